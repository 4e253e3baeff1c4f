//! Which name services glibc asks: the only `unsafe` beside the packet socket.
//!
//! A static program has the services `files` and `dns` in it. For any other that /etc/nsswitch.conf names, such as
//! `mdns4_minimal` or `resolve`, glibc would load the host's plugin, and with it the host's C library, into a program that
//! was linked with another: it may crash. So the two that are built in are all that is asked, whatever the file says.

use std::ffi::{CStr, c_char, c_int};
use std::sync::Once;

static CONFIGURED: Once = Once::new();

/// Makes host names be looked up in /etc/hosts and by DNS, and nowhere else.
pub(super) fn only_what_is_built_in() {
    CONFIGURED.call_once(|| {
        if cfg!(target_env = "gnu") {
            configure(c"hosts", c"files dns");
        }
    });
}

#[cfg(target_env = "gnu")]
fn configure(database: &CStr, services: &CStr) {
    unsafe extern "C" {
        /// Public since glibc 2.0 (`nss.h`).
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }
    // SAFETY: both are strings that end with NUL and live for ever, glibc copies what it keeps of them, and no other
    // thread of this process has looked a name up before.
    unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
}

/// Other C libraries have no plugins.
#[cfg(not(target_env = "gnu"))]
fn configure(_: &CStr, _: &CStr) {}
