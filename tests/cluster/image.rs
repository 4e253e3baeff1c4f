//! A disk that every node sees and only one may mount: a file with an ext4, of which each node makes a loop device of its
//! own, with its own cache, as each has of a disk behind two cables.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::laboratory::disk;
use crate::machine::SHARED;
use crate::namespaces::run;
use crate::{Outcome, clock, says, store};

/// The disk; it is thrown away with this value.
pub struct Image {
    name: String,
}

impl Image {
    /// A new disk. With `guarded` its file system notices by itself that another node has it (multiple mount protection).
    pub fn make(guarded: bool) -> Outcome<Self> {
        // No other run on this machine has one of that name.
        let image = Self { name: format!("store-{}.img", clock::now().as_micros()) };
        fs::create_dir_all(disk("shared")).map_err(says("cannot make a place for the image"))?;
        let features = if guarded { "mmp" } else { "^mmp" };
        let path = image.path();
        let mut command = Command::new("mkfs.ext4");
        run(command.args(["-q", "-F", "-O", features]).arg(path).arg("32M"))?;
        Ok(image)
    }

    /// Where a node finds it.
    pub fn on_node(&self) -> String {
        format!("{SHARED}/{}", self.name)
    }

    fn path(&self) -> PathBuf {
        disk("shared").join(&self.name)
    }

    /// The file systems that the kernel has of it, whether or not a path leads to them: the loop devices of them. All
    /// nodes have one kernel.
    pub fn file_systems(&self) -> Vec<String> {
        let entries = fs::read_dir("/sys/fs/ext4").into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_it = |name: &String| {
            let file = fs::read_to_string(format!("/sys/block/{name}/loop/backing_file"));
            file.is_ok_and(|file| file.trim_end().ends_with(&self.name))
        };
        names.filter(is_it).collect()
    }

    /// The numbers of those devices, as a mount table has them.
    pub fn numbers(&self) -> Vec<String> {
        let number = |name: &String| fs::read_to_string(format!("/sys/block/{name}/dev")).ok();
        let names = self.file_systems();
        names.iter().filter_map(number).map(|number| number.trim().to_owned()).collect()
    }

    /// Whether the journal has to be replayed, as after a loss of power.
    pub fn needs_recovery(&self) -> Outcome<bool> {
        let about = run(Command::new("dumpe2fs").arg("-h").arg(self.path()))?;
        Ok(about.contains("needs_recovery"))
    }

    /// The numbers that the store has kept. Nobody may have it mounted, and the file system has to be without a fault.
    pub fn inspect(&self) -> Outcome<Vec<u64>> {
        let mounted = self.file_systems();
        if !mounted.is_empty() {
            return Err(format!("the image is still mounted, on {}", mounted.join(", ")));
        }
        run(Command::new("e2fsck").args(["-fn"]).arg(self.path()))?;
        let place = disk("inspection");
        fs::create_dir_all(&place).map_err(says("cannot make a mount point"))?;
        run(Command::new("mount").args(["-o", "loop,ro"]).arg(self.path()).arg(&place))?;
        let text = fs::read_to_string(place.join(store::FILE)).map_err(says("no numbers"));
        run(Command::new("umount").arg(&place))?;
        let number = |line: &str| line.parse().map_err(says(format!("{line:?} is no number")));
        text?.lines().map(number).collect()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _gone = fs::remove_file(self.path());
    }
}
