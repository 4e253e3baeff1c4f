//! On which nodes the shared disk is mounted, looked at all the time: never on two.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::fleet::Fleet;
use crate::image::Image;
use crate::{Outcome, clock, store};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(3);

/// Where a stop may have moved it, so that nobody finds it.
const REFUGE: &str = "/var/lib/.store";

/// What was seen so far.
#[derive(Default)]
struct Sight {
    /// The first process of each node.
    nodes: Vec<(u8, i32)>,
    /// Where it was mounted, one after the other.
    places: Vec<u8>,
    looks: usize,
    offence: Option<String>,
}

/// An eye on the mount tables of all nodes; it closes with this value.
pub struct Eye {
    image: Arc<Image>,
    sight: Arc<Mutex<Sight>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Eye {
    /// Looks from now on.
    pub fn open(fleet: &Fleet, image: &Arc<Image>) -> Self {
        let (sight, is_over) = (Arc::<Mutex<Sight>>::default(), Arc::new(AtomicBool::new(false)));
        let (image, end) = (Arc::clone(image), Arc::clone(&is_over));
        let (seen, disk) = (Arc::clone(&sight), Arc::clone(&image));
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                look(&seen, &disk);
                thread::sleep(PAUSE);
            }
        });
        let eye = Self { image, sight, is_over, thread: Some(thread) };
        eye.meet(fleet);
        eye
    }

    /// Learns which machines there are, as one that was switched on again is another one.
    pub fn meet(&self, fleet: &Fleet) {
        let nodes = fleet.running().map(|(number, node)| (number, node.first_process()));
        self.sight().nodes = nodes.collect();
    }

    /// Looks at the mount namespaces of all processes there are, which takes longer: one has it mounted and no other. What
    /// lives on in a container of a node that has given it up is as bad as two nodes.
    pub fn look_around(&self) {
        let holders = namespaces(&self.image.numbers());
        if holders.len() != 1 {
            let words = format!("TWO MOUNTS: when all is done, {holders:?} have it mounted");
            self.sight().offence.get_or_insert(words);
        }
    }

    /// Shows that it was mounted on these nodes, one after the other, and never twice at the same time.
    pub fn expect(&self, places: &[u8]) -> Outcome<()> {
        let sight = self.sight();
        if let Some(offence) = &sight.offence {
            return Err(offence.clone());
        }
        let Sight { places: seen, looks, .. } = &*sight;
        (seen == places)
            .then_some(())
            .ok_or_else(|| format!("in {looks} looks it was mounted on {seen:?}, not {places:?}"))
    }

    /// The disk that is looked at.
    pub fn image(&self) -> &Image {
        &self.image
    }

    fn sight(&self) -> MutexGuard<'_, Sight> {
        self.sight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Eye {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

/// Two looks, one after the other: what both show was there all the time between them.
fn look(sight: &Mutex<Sight>, image: &Image) {
    let nodes = sight.lock().unwrap_or_else(PoisonError::into_inner).nodes.clone();
    let both = || (mounts(&nodes), image.file_systems());
    let ((first, made), (second, there)) = (both(), both());
    let lasting: Vec<&(u8, String)> = first.iter().filter(|mount| second.contains(mount)).collect();
    let alive: Vec<&String> = made.iter().filter(|name| there.contains(name)).collect();
    let mut sight = sight.lock().unwrap_or_else(PoisonError::into_inner);
    sight.looks += 1;
    for (node, _) in &first {
        if sight.places.last() != Some(node) {
            sight.places.push(*node);
        }
    }
    if (lasting.len() > 1 || alive.len() > 1) && sight.offence.is_none() {
        sight.offence = Some(format!(
            "TWO MOUNTS: at {} ms it is mounted by {lasting:?}, and the kernel has it on {alive:?}",
            clock::now().as_millis()
        ));
    }
}

/// One process of each mount namespace that has a mount of these devices, with its name.
fn namespaces(devices: &[String]) -> Vec<String> {
    let (mut known, mut found) = (Vec::new(), Vec::new());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in entries.map(|entry| entry.path()) {
        // Whoever has ended meanwhile, and what is no process, has none.
        let Ok(namespace) = fs::read_link(process.join("ns/mnt")) else { continue };
        let Ok(table) = fs::read_to_string(process.join("mountinfo")) else { continue };
        let is_it = |line: &str| {
            line.split(' ').nth(2).is_some_and(|device| devices.iter().any(|own| own == device))
        };
        if !known.contains(&namespace) && table.lines().any(is_it) {
            known.push(namespace);
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            found.push(format!("{} ({})", process.display(), name.trim()));
        }
    }
    found
}

/// The mounts of ext4 on loop devices: the node and the number of the mount with that of its device. A node that is off
/// has none.
fn mounts(nodes: &[(u8, i32)]) -> Vec<(u8, String)> {
    let mut found = Vec::new();
    for (number, process) in nodes {
        let table = fs::read_to_string(format!("/proc/{process}/mountinfo")).unwrap_or_default();
        for line in table.lines().filter(|line| line.contains(" - ext4 /dev/loop")) {
            let words: Vec<&str> = line.split(' ').collect();
            if [store::PLACE, REFUGE].contains(&words[4]) {
                found.push((*number, format!("{} of {}", words[0], words[2])));
            }
        }
    }
    found
}
