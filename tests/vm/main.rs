//! What the agents do on devices that not every machine's kernel has - bond, VLAN, dummy, VRF, ipvlan -: in a virtual
//! machine with Debian's kernel.
//!
//! A test is a script in `cases/`, run by the guest's shell with what `lib.sh` gives it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "libtest shows what a case printed")]

mod archive;
mod guest;
mod kernel;

use std::path::{Path, PathBuf};

/// All cases.
fn scripts() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/cases");
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

macro_rules! cases {
    ($($name:ident)*) => {
        $(
            #[test]
            #[ignore = "needs QEMU: tests/run vm"]
            fn $name() {
                guest::run(stringify!($name));
            }
        )*

        #[test]
        fn every_script_is_a_test() {
            let mut scripts: Vec<String> = scripts()
                .iter()
                .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            scripts.sort();
            assert_eq!(scripts, [$(stringify!($name)),*]);
        }
    };
}

cases! {
    address_on_a_bond
}
