//! `ocfbox touch`: the process in which monitor finds out whether storage answers.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use super::terms;
use crate::host::helper;
use crate::host::mount::Device;
use crate::host::mount::touch::{Place, Work};

#[derive(Debug, clap::Args)]
pub(super) struct Words {
    #[command(flatten)]
    terms: terms::Starter,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Read from a block device
    Device {
        /// The number of the device
        #[arg(long, value_parser = device)]
        number: Device,
        /// Where it is
        path: PathBuf,
    },
    /// Ask how full the file system is
    Server(Mounted),
    /// Read the topmost directory
    Root(Mounted),
    /// Write a file and read it back
    Write {
        #[command(flatten)]
        mounted: Mounted,
        /// The file, below the mount point
        file: PathBuf,
    },
    /// Remove that file
    Remove {
        #[command(flatten)]
        mounted: Mounted,
        /// The file, below the mount point
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Mounted {
    /// The number of the mount
    #[arg(long)]
    id: u32,
    /// Where it is
    point: PathBuf,
}

impl Mounted {
    fn place(self) -> Place {
        Place { id: self.id, point: self.point }
    }
}

fn device(word: &str) -> Result<Device, String> {
    Device::parse(word).ok_or_else(|| format!("{word} is no device number"))
}

pub(super) fn run(words: Words) -> u8 {
    let work = match words.what {
        What::Device { number, path } => Work::ReadDevice(number, path),
        What::Server(mounted) => Work::AskServer(mounted.place()),
        What::Root(mounted) => Work::ReadRoot(mounted.place()),
        What::Write { mounted, file } => Work::WriteFile(mounted.place(), file),
        What::Remove { mounted, file } => Work::RemoveFile(mounted.place(), file),
    };
    helper::begin(&work.doing(), words.terms.terms());
    helper::told(work.perform())
}
