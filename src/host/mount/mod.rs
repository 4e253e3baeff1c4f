//! Mounts, in the verbs of the agents: the kernel's table, its calls, loop devices, health, and who keeps one busy.
//!
//! A mount is its number and its device, never a text that looks like it.

pub mod attach;
mod bound;
pub mod device;
pub mod elsewhere;
pub mod health;
pub mod holders;
mod ioctl;
pub mod loopdev;
pub mod news;
pub mod options;
pub mod path;
mod scan;
pub mod seize;
pub mod superblock;
pub mod table;
mod task;
pub mod touch;
pub mod unmount;

pub use options::Options;
pub use table::{Device, Mount, Table};
