//! The starts of each member: when they began and ended, and their faults, which must explain their
//! ends.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use mycelium_bundle::BundleEvent;
use rustix::process::Signal;

use super::checker::Life;
use super::launch::{MEMBERS, errors};

/// The starts of each member, in order.
pub(crate) type Starts = BTreeMap<&'static str, Vec<Start>>;

/// One start of a member.
pub(crate) struct Start {
    pub(crate) pid: u32,
    pub(crate) life: Life,
    /// The fault that it has suffered.
    pub(crate) fate: Fate,
    /// Whether it is stopped by a signal.
    pub(crate) stopped: bool,
    /// Confirmations that were known before its kill: topic, start of the publisher, number.
    pub(crate) confirmed: Vec<(&'static str, u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    None,
    Killed,
    AskedToEnd,
}

pub(crate) struct Lives {
    pub(crate) starts: Starts,
    /// The number of events so far; it serves as the time.
    count: usize,
}

impl Lives {
    pub(crate) fn new() -> Lives {
        Lives { starts: MEMBERS.map(|member| (member, Vec::new())).into(), count: 0 }
    }

    /// Returns the number of starts of a member.
    pub(crate) fn of(&self, member: &str) -> u64 {
        self.starts[member].len() as u64
    }

    pub(crate) fn last(&mut self, member: &str) -> Option<&mut Start> {
        self.starts.get_mut(member).unwrap().last_mut()
    }

    /// Returns whether a member is running and no fault will end it. A member that got SIGTERM
    /// closes its sockets.
    pub(crate) fn is_up(&self, member: &str) -> bool {
        let stays = |start: &Start| start.life.ended == usize::MAX && start.fate == Fate::None;
        self.starts[member].last().is_some_and(stays)
    }

    /// Records a fault of the last start of a member.
    pub(crate) fn suffers(&mut self, member: &str, fate: Fate) {
        let count = self.count;
        let Some(start) = self.last(member) else { return };
        start.fate = fate;
        if fate == Fate::AskedToEnd {
            start.life.asked = start.life.asked.min(count);
        }
    }

    /// Records an event, and checks that the member's faults explain it.
    pub(crate) fn note(&mut self, event: &BundleEvent, place: &Path) {
        self.count += 1;
        let starts = self.starts.get_mut(event.member()).unwrap();
        match event {
            BundleEvent::Started { pid, .. } => {
                let life =
                    Life { began: self.count, asked: usize::MAX, ended: usize::MAX, killed: false };
                let (fate, stopped, confirmed) = (Fate::None, false, Vec::new());
                starts.push(Start { pid: *pid, life, fate, stopped, confirmed });
            }
            BundleEvent::Exited { member, status } => {
                let start = starts.last_mut().unwrap();
                start.life.ended = self.count;
                start.life.killed = status.signal() == Some(Signal::KILL.as_raw());
                let expected = match (start.life.killed, status.code()) {
                    (true, _) => start.fate == Fate::Killed,
                    // It may have ended in order before the kill.
                    (false, Some(1)) => start.life.asked < usize::MAX,
                    (false, code) => start.fate == Fate::None && code == Some(0),
                };
                let life = starts.len() as u64 - 1;
                let said = || fs::read_to_string(errors(place, member, life));
                assert!(expected, "{event}: {}", said().unwrap_or_default());
            }
            BundleEvent::Stopping { .. } => {
                let start = starts.last_mut().unwrap();
                start.life.asked = start.life.asked.min(self.count);
            }
            BundleEvent::Restarting { .. } => {}
            other => panic!("{other}"),
        }
    }

    /// Returns the history of all starts, for a failed test.
    pub(crate) fn story(&self) -> String {
        let mut story = String::new();
        for (member, starts) in &self.starts {
            for (life, start) in starts.iter().enumerate() {
                let Start { life: span, fate, stopped, .. } = start;
                story += &format!("{member} {life}: {span:?} {fate:?}, stopped: {stopped}\n");
            }
        }
        story
    }
}
