//! Requests to block devices and to the driver of loop devices (`loop(4)`), and a question about threads (`kcmp(2)`), for
//! which no crate has a safe call.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

/// Of `linux/fs.h`.
const BLKFLSBUF: libc::c_ulong = 0x1261;
/// Of `linux/loop.h`.
const LOOP_GET_STATUS64: libc::c_ulong = 0x4C05;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct Config {
    file: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// `struct loop_info64` of the same.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl Info {
    const NOTHING: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

/// The number of a loop device that nobody uses at this moment.
pub(super) fn free(control: &File) -> io::Result<u32> {
    // SAFETY: the request takes no argument, and the descriptor is open as long as `control` is borrowed.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    Ok(Errno::result(number).map(i32::cast_unsigned)?)
}

/// Writes out what is cached of a device, and forgets it.
pub(super) fn flush(device: &File) -> io::Result<()> {
    // SAFETY: the request takes no argument, and the descriptor is open as long as `device` is borrowed.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), BLKFLSBUF as _, 0) };
    Ok(Errno::result(done).map(drop)?)
}

/// Makes the device one of the file, until the last who has it open closes it.
pub(super) fn configure(
    device: &File,
    file: &File,
    read_only: bool,
    offset: u64,
    size_limit: u64,
    name: &[u8],
) -> io::Result<()> {
    let mut file_name = [0; 64];
    for (to, from) in file_name.iter_mut().take(63).zip(name) {
        *to = *from;
    }
    let config = Config {
        file: file.as_raw_fd().cast_unsigned(),
        block_size: 0,
        info: Info {
            offset,
            size_limit,
            flags: LO_FLAGS_AUTOCLEAR | if read_only { LO_FLAGS_READ_ONLY } else { 0 },
            file_name,
            ..Info::NOTHING
        },
        reserved: [0; 8],
    };
    // SAFETY: the kernel reads one `struct loop_config`, which `config` is in size and layout (asserted below), and
    // keeps no pointer to it; both descriptors are open as long as their files are borrowed.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) };
    Ok(Errno::result(done).map(drop)?)
}

/// The file of a loop device: the number of its file system as `stat(2)` tells it, and its own.
pub(super) fn backing(device: &File) -> io::Result<(u64, u64)> {
    let mut info = Info::NOTHING;
    // SAFETY: the kernel writes one `struct loop_info64`, which `info` is in size and layout (asserted below) and which
    // has no invalid values; the descriptor is open as long as `device` is borrowed.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64 as _, &raw mut info) };
    Ok(Errno::result(done).map(|_| (info.device, info.inode))?)
}

const _: () = assert!(size_of::<Config>() == 304 && size_of::<Info>() == 232);

/// What threads may have in common, with the numbers of `linux/kcmp.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Common {
    /// The table of open files.
    Files = 2,
    /// The root and the working directory.
    Directories = 3,
}

/// Whether two threads are known to have the same. Where the kernel does not tell, nothing is.
pub(super) fn have_in_common(one: i32, other: i32, what: Common) -> bool {
    let unused: libc::c_ulong = 0;
    // SAFETY: the kernel compares what it has of two tasks, and takes no pointer from here.
    let answer =
        unsafe { libc::syscall(libc::SYS_kcmp, one, other, what as libc::c_int, unused, unused) };
    answer == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_until_one_goes_its_own_way() {
        let first = nix::unistd::gettid().as_raw();
        std::thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel();
            let (send, wait) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).unwrap();
                tell.send(nix::unistd::gettid().as_raw()).unwrap();
                wait.recv()
            });
            let other = told.recv().unwrap();
            assert!(have_in_common(first, other, Common::Files));
            assert!(!have_in_common(first, other, Common::Directories));
            drop(send);
        });
        assert!(!have_in_common(first, 1, Common::Files));
    }
}
