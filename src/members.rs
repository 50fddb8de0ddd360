//! What the launcher of this process has said of the members of its bundle: which process is which member, and which
//! members will not come again.
//!
//! The launcher writes lines, one change each; [`Lines`] reads them and [`MEMBERS`] keeps what they say for all nodes of
//! the process. The lines:
//!
//! | line | meaning |
//! | --- | --- |
//! | `member <name> <pid>` | the process with this id runs the member; 0: no process does at the moment |
//! | `completed <name>` | the member has exited with code 0 and is not started again |
//! | `gone <name>` | the member is not started again, and has not completed |
//!
//! Panic contract: no input makes this module panic. A line that is too long or has another form is dropped; names
//! beyond [`MOST`] are dropped. Both are logged once.
#![cfg_attr(not(unix), expect(dead_code, reason = "bundles are for Unix"))]

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Longest name of a member, in bytes: a link says no longer one.
pub(crate) const LONGEST_NAME: usize = 62;
/// Longest line, without its end: `completed` or `member`, a name, and a process id.
const LONGEST_LINE: usize = 96;
/// Number of members that are remembered.
const MOST: usize = 4096;

/// What this process was told.
pub(crate) static MEMBERS: Members = Members::new();

/// What the launcher said last of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No process runs it at the moment. One will.
    Expected,
    /// The process with this id runs it.
    Runs(u32),
    /// It has exited with code 0 and is not started again.
    Completed,
    /// It is not started again, and has not completed.
    Gone,
}

impl Standing {
    /// Whether no process of the member runs, or will run.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Standing::Completed | Standing::Gone)
    }

    /// The line that says this of a member, with its end.
    pub(crate) fn line(self, member: &str) -> String {
        match self {
            Standing::Expected => format!("member {member} 0\n"),
            Standing::Runs(pid) => format!("member {member} {pid}\n"),
            Standing::Completed => format!("completed {member}\n"),
            Standing::Gone => format!("gone {member}\n"),
        }
    }

    /// Reads a line without its end.
    fn parse(line: &[u8]) -> Option<(&str, Standing)> {
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let (word, name) = (words.next()?, words.next()?);
        let standing = match word {
            "member" => match words.next()?.parse().ok()? {
                0 => Standing::Expected,
                pid => Standing::Runs(pid),
            },
            "completed" => Standing::Completed,
            "gone" => Standing::Gone,
            _ => return None,
        };
        (words.next().is_none() && is_name(name)).then_some((name, standing))
    }
}

/// Whether a member can have this name: 1 to 62 bytes without white space and control characters.
pub(crate) fn is_name(name: &str) -> bool {
    let separates = |char: char| char.is_whitespace() || char.is_control();
    (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(separates)
}

/// The standings of all members, and who is told when one changes.
pub(crate) struct Members(Mutex<State>);

struct State {
    standings: BTreeMap<String, Standing>,
    watchers: Vec<(u64, Watcher)>,
    next: u64,
}

type Watcher = Arc<Mutex<dyn FnMut(&str, Standing) + Send>>;

impl Members {
    pub(crate) const fn new() -> Members {
        Members(Mutex::new(State { standings: BTreeMap::new(), watchers: Vec::new(), next: 0 }))
    }

    /// What the launcher said last of a member. `None` if it has said nothing of one with this name: there is no
    /// launcher, or the node belongs to no bundle.
    pub(crate) fn standing(&self, member: &str) -> Option<Standing> {
        self.state().standings.get(member).copied()
    }

    /// Calls `watcher` with what holds now and after each change, until the result is dropped. The last call for a member
    /// has its latest standing; one that was replaced meanwhile may be left out, and the latest may be told twice. The
    /// watcher is called by one thread at a time.
    pub(crate) fn watch(
        &'static self,
        watcher: impl FnMut(&str, Standing) + Send + 'static,
    ) -> Watch {
        let watcher: Watcher = Arc::new(Mutex::new(watcher));
        let mut state = self.state();
        let (id, standings) = (state.next, state.standings.clone());
        state.next += 1;
        state.watchers.push((id, watcher.clone()));
        // Whoever is told may drop a watch of its own, which takes the lock.
        drop(state);
        standings.keys().for_each(|member| self.show(member, &watcher));
        Watch { members: self, id }
    }

    /// Takes in what a line says. False if there is no room for another name.
    fn tell(&self, member: &str, standing: Standing) -> bool {
        let mut state = self.state();
        let before = state.standings.get(member).copied();
        if before.is_some_and(|before| before.is_final() || before == standing) {
            return true;
        }
        if before.is_none() && state.standings.len() >= MOST {
            return false;
        }
        state.standings.insert(member.to_owned(), standing);
        let watchers: Vec<Watcher> =
            state.watchers.iter().map(|(_, watcher)| watcher.clone()).collect();
        drop(state);
        watchers.iter().for_each(|watcher| self.show(member, watcher));
        true
    }

    /// Whoever has the watcher's lock last sees the latest standing.
    fn show(&self, member: &str, watcher: &Watcher) {
        let mut watcher = watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(standing) = self.standing(member) {
            watcher(member, standing);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a watch when it is dropped.
pub(crate) struct Watch {
    members: &'static Members,
    id: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.members.state().watchers.retain(|(id, _)| *id != self.id);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Splits what the launcher writes into lines, with bounded memory.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    /// The line so far is too long: the rest of it is dropped.
    overlong: bool,
    /// Something was dropped, and logged.
    complained: bool,
}

impl Lines {
    /// Takes the next bytes, however they were cut, and tells `members` what their lines say.
    pub(crate) fn read(&mut self, bytes: &[u8], members: &Members) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            self.overlong |= self.partial.len() + text.len() > LONGEST_LINE;
            if !self.overlong {
                self.partial.extend_from_slice(text);
            }
            if ends {
                let line = std::mem::take(&mut self.partial);
                let overlong = std::mem::take(&mut self.overlong);
                let said = Standing::parse(&line).filter(|_| !overlong);
                let told = said.is_some_and(|(member, standing)| members.tell(member, standing));
                if !told && !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(
                        line = %line.escape_ascii(),
                        "ignores what the launcher says: it is not understood, or of too many \
                         members; further lines are ignored without a word"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> &'static Members {
        Box::leak(Box::new(Members::new()))
    }

    #[test]
    fn lines_say_what_they_said_however_they_are_cut() {
        let said = [
            ("feed", Standing::Expected, "feed", Standing::Expected),
            ("feed", Standing::Runs(4711), "feed", Standing::Runs(4711)),
            ("sink", Standing::Gone, "sink", Standing::Gone),
            ("feed", Standing::Completed, "feed", Standing::Completed),
        ];
        let text: String = said.iter().map(|(name, standing, ..)| standing.line(name)).collect();
        for cut in 1..text.len() {
            let (members, mut lines) = (members(), Lines::default());
            text.as_bytes().chunks(cut).for_each(|bytes| lines.read(bytes, members));
            assert_eq!(members.standing("feed"), Some(Standing::Completed), "cut at {cut}");
            assert_eq!(members.standing("sink"), Some(Standing::Gone), "cut at {cut}");
            assert_eq!(members.standing("nobody"), None);
        }
        let longest = "n".repeat(LONGEST_NAME);
        let (members, mut lines) = (members(), Lines::default());
        lines.read(Standing::Runs(u32::MAX).line(&longest).as_bytes(), members);
        assert_eq!(members.standing(&longest), Some(Standing::Runs(u32::MAX)));
    }

    #[test]
    fn other_lines_are_dropped_and_the_next_one_is_read() {
        let (members, mut lines) = (members(), Lines::default());
        let long = vec![b'x'; 1 << 20];
        let hostile: [&[u8]; 11] = [
            b"\n",
            b"member\n",
            b"member feed\n",
            b"member feed -1\n",
            b"member feed 99999999999\n",
            b"member feed 1 2\n",
            b"completed \n",
            b"completed  feed\n",
            b"completed \xff\xfe\n",
            b"resigned feed\n",
            &long,
        ];
        for line in hostile {
            lines.read(line, members);
            assert!(lines.partial.len() <= LONGEST_LINE, "memory is bounded");
        }
        // The end of the longest one.
        lines.read(b" feed\ncompleted feed\n", members);
        assert!(lines.complained);
        assert_eq!(members.state().standings.len(), 1);
        assert_eq!(members.standing("feed"), Some(Standing::Completed));
    }

    #[test]
    fn names_are_bounded() {
        let (members, mut lines) = (members(), Lines::default());
        for name in 0..MOST + 10 {
            lines.read(Standing::Runs(1).line(&name.to_string()).as_bytes(), members);
        }
        assert_eq!(members.state().standings.len(), MOST);
        for name in ["", "two words", "tab\tbed", "line\nbreak", &"n".repeat(63), "bell\u{7}"] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[test]
    fn watchers_are_told_what_holds_and_what_changes_until_they_leave() {
        let members = members();
        members.tell("feed", Standing::Runs(1));
        let told = Arc::new(Mutex::new(Vec::new()));
        let watch = members.watch({
            let told = told.clone();
            move |member, standing| told.lock().unwrap().push((member.to_owned(), standing))
        });
        members.tell("feed", Standing::Runs(1));
        members.tell("feed", Standing::Completed);
        // What is final stays.
        members.tell("feed", Standing::Runs(2));
        drop(watch);
        members.tell("sink", Standing::Runs(3));
        let feed = |standing| ("feed".to_owned(), standing);
        assert_eq!(*told.lock().unwrap(), [feed(Standing::Runs(1)), feed(Standing::Completed)]);
        assert_eq!(members.standing("feed"), Some(Standing::Completed));
    }
}
