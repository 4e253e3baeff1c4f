//! What the agents do with what not every machine's kernel has - bond, VLAN, dummy, VRF, ipvlan, NFS -: in a virtual
//! machine with Debian's kernel.
//!
//! A test is a script in `cases/`, run by the guest's shell with what `lib.sh` gives it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "libtest shows what a case printed")]

mod archive;
mod contents;
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
    address_of_a_vrf_itself
    address_on_a_bond
    address_on_a_dummy
    address_on_a_lacp_bond
    address_on_a_macvlan
    address_on_a_round_robin_bond
    address_on_a_vlan
    address_on_an_ipvlan
    announcements_over_a_bond
    bond_in_a_vrf
    bond_that_is_down
    choice_of_the_interface
    ethmonitor_asks_over_a_bond
    ethmonitor_of_a_bond
    ethmonitor_of_a_bonds_speed
    ethmonitor_of_a_vlan_and_a_dummy
    ethmonitor_of_ports_that_hear_nobody
    iface_macvlan_over_a_bond
    ipv6_on_a_bond_and_its_vlan
    macaddr_as_a_macvlan
    macaddr_of_a_bond
    macaddr_of_a_bond_that_is_down
    macaddr_of_a_bond_that_keeps_its_own
    macaddr_of_a_card_that_wants_to_be_down
    macaddr_of_a_dummy
    macaddr_of_a_lacp_bond
    macaddr_of_a_vlan
    macaddr_of_every_kind_of_bond
    macaddr_with_two_owners
    nfs_agent_killed_in_stop
    nfs_bind_and_submount
    nfs_holders
    nfs_idle_and_its_server_lost
    nfs_lives
    nfs_of_version_3
    nfs_refused
    nfs_soft_and_its_server_lost
    nfs_spared_holder
    nfs_watched_and_its_server_lost
    nfs_written_to_and_its_server_lost
    port_of_a_bond_or_bridge
    same_address_in_two_vrfs
    vrf_needs_nic
}
