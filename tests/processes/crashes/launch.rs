//! The bundle of three nodes: their names, their topics, and the commands that start them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use mycelium::supervision::Restart;
use mycelium_bundle::{Bundle, BundleEvent, Member};

use super::checker::Promise;
use super::roles;

/// Longer than any process needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const MEMBERS: [&str; 3] = ["source", "processor", "sink"];

/// The streams: publisher, topic, reader, and what the reader is promised.
pub(crate) const STREAMS: [(&str, &str, &str, Promise); 5] = [
    ("source", "orders", "processor", Promise::AtLeastOnce),
    ("source", "orders", "sink", Promise::AtLeastOnce),
    ("source", "ticks", "sink", Promise::Told),
    ("source", "notes", "sink", Promise::AtMostOnce),
    ("processor", "results", "sink", Promise::AtLeastOnce),
];

/// Returns the file with the last error line of a start of a member.
pub(crate) fn errors(place: &Path, member: &str, life: u64) -> PathBuf {
    place.join(format!("{member}.{life}.err"))
}

/// Returns a bundle without members, and its events.
pub(crate) fn observed() -> (Bundle, Receiver<BundleEvent>) {
    let (sender, events) = channel();
    let bundle = Bundle::new().deadline(PATIENCE);
    (bundle.observe(move |event| _ = sender.send(event.clone())), events)
}

/// Returns a bundle of the nodes with their own directory, and its events. Nodes end in order: each
/// one after the nodes that it reads from.
pub(crate) fn bundle(place: &Path) -> (Bundle, Receiver<BundleEvent>) {
    let (mut bundle, events) = observed();
    let restart = Restart {
        limit: u32::MAX,
        window: Duration::from_secs(1),
        backoff: Duration::from_millis(20),
        longest: Duration::from_millis(200),
    };
    for name in MEMBERS {
        let starting = member(place, name, "crashes::roles::enter").restart(restart);
        let feeders = STREAMS.iter().filter(|(_, _, reader, _)| *reader == name);
        let member = feeders.fold(starting, |member, (feeder, ..)| member.ends_after(feeder));
        bundle = bundle.member(member);
    }
    (bundle, events)
}

/// Returns a member: a process of this program in which the test `enter` plays its role.
pub(crate) fn member(place: &Path, name: &'static str, enter: &'static str) -> Member {
    let (place, lives) = (place.to_owned(), AtomicU64::new(0));
    Member::new(name, move || {
        let life = lives.fetch_add(1, Ordering::Relaxed);
        let errors = File::create(errors(&place, name, life)).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", enter, "--nocapture", "--test-threads=1"]);
        command.env(roles::ROLE, name).env(roles::PLACE, &place);
        command.env(roles::LIFE, life.to_string()).stdout(Stdio::null()).stderr(errors);
        command
    })
}
