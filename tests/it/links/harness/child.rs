//! Child processes that act as peers: this test binary in another role.

use std::collections::VecDeque;
use std::env;
use std::io::{Read, Write, stdin};
use std::process::{Stdio, exit};
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Place, hello};
use crate::support::{Process, in_role};

const PART: &str = "MYCELIUM_PEER_PART";
const PLACE: &str = "MYCELIUM_PEER_PLACE";

/// Starts a process that runs only this test, with a part to play.
pub(crate) fn child(test: &str, part: &str, place: &Place) -> Process {
    let mut command = in_role(test);
    command.env(PART, part).env(PLACE, place.to_string());
    Process(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
}

/// Returns the part of this process, or `None` in the test run itself. A child ends with its
/// parent, and may have as many descriptors as the system allows.
pub(crate) fn part() -> Option<(String, Place)> {
    let (part, place) = (env::var(PART).ok()?, env::var(PLACE).ok()?);
    limit_descriptors(getrlimit(Resource::Nofile).maximum);
    thread::spawn(|| {
        // The parent closes the other end when it dies.
        _ = stdin().read(&mut [0]);
        exit(0);
    });
    Some((part, Place::parse(&place)))
}

pub(crate) fn limit_descriptors(current: Option<u64>) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// Sends a hello byte by byte, without its last byte, on at most `most` connections at a time.
pub(crate) fn drip(place: &Place, most: usize) {
    let greeting = hello("drip", 1, 1);
    let mut open = VecDeque::new();
    loop {
        if open.len() < most
            && let Ok(stream) = place.open()
        {
            open.push_back((stream, 0));
        }
        let Some((mut stream, said)) = open.pop_front() else { continue };
        if said + 1 < greeting.len() && stream.write_all(&greeting[said..=said]).is_ok() {
            open.push_back((stream, said + 1));
        }
    }
}
