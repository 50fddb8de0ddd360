//! The protocol between a launcher and its members' processes: lines in a pipe, and exit codes.
//!
//! The standard input of a member's process is a pipe. Only the launcher has its other end, and
//! writes lines to it:
//!
//! | line | meaning |
//! | --- | --- |
//! | `member <name> <pid>` | the process with this id runs the member; 0: no process does at the moment |
//! | `completed <name>` | the member has exited with code 0 and is not started again |
//! | `gone <name>` | the member is not started again, and has not completed |
//!
//! The end of the pipe means that the launcher is gone. The variable [`PIPE_VARIABLE`] identifies
//! the pipe, as `device:inode`. So a process that only inherited the variable sees that its
//! standard input is not the pipe.
//!
//! Panic contract: no input makes this module panic. A line that is too long or malformed is
//! reported.

#[cfg(unix)]
use std::os::unix::fs::MetadataExt;

/// The environment variable that identifies the pipe.
pub const PIPE_VARIABLE: &str = "MYCELIUM_LIFELINE";
/// The longest name of a member, in bytes: the longest name that a node can have.
pub const LONGEST_NAME: usize = 62;
/// The exit code of a member whose next start would fail in the same way: `EX_CONFIG` of
/// `sysexits.h`.
pub const NO_RESTART: u8 = 78;
/// The exit code of a member that has lost accepted messages: `EX_IOERR` of `sysexits.h`.
pub const UNDELIVERED: u8 = 74;
/// The longest line in bytes, without its line feed: `completed` or `member`, a name, and a process
/// id.
const LONGEST_LINE: usize = 96;

/// The state of a member as last reported by the launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// No process runs the member at the moment, but one will.
    Expected,
    /// The process with this id runs the member.
    Running(u32),
    /// The member has exited with code 0 and will not be started again.
    Completed,
    /// The member will not be started again, and has not completed.
    Gone,
}

impl MemberState {
    /// Returns whether the member will never run again.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, MemberState::Completed | MemberState::Gone)
    }

    /// Returns the line that reports this state of `member`, with a line feed.
    #[must_use]
    pub fn line(self, member: &str) -> String {
        match self {
            MemberState::Expected => format!("member {member} 0\n"),
            MemberState::Running(pid) => format!("member {member} {pid}\n"),
            MemberState::Completed => format!("completed {member}\n"),
            MemberState::Gone => format!("gone {member}\n"),
        }
    }

    /// Parses a line without its line feed.
    fn parse(line: &[u8]) -> Option<(&str, MemberState)> {
        let mut words = std::str::from_utf8(line).ok()?.split(' ');
        let (word, name) = (words.next()?, words.next()?);
        let state = match word {
            "member" => match words.next()?.parse().ok()? {
                0 => MemberState::Expected,
                pid => MemberState::Running(pid),
            },
            "completed" => MemberState::Completed,
            "gone" => MemberState::Gone,
            _ => return None,
        };
        (words.next().is_none() && is_name(name)).then_some((name, state))
    }
}

/// Returns whether this is a valid name: 1 to 62 bytes without white space and control characters.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let separates = |char: char| char.is_whitespace() || char.is_control();
    (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(separates)
}

/// Returns the value of [`PIPE_VARIABLE`] for a pipe.
///
/// # Errors
/// If the system refuses the file's metadata.
#[cfg(unix)]
pub fn pipe_identity(pipe: &std::fs::File) -> std::io::Result<String> {
    let metadata = pipe.metadata()?;
    Ok(format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// Splits the bytes of the pipe into lines, with a limited amount of memory.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
    /// Whether the current line is too long, so that the rest of it is dropped.
    overlong: bool,
}

impl Lines {
    /// Reads the next bytes, which may be cut anywhere. Calls `each` for each line that ends in
    /// them: with the member and its state, or with the bytes of a line that is malformed or too
    /// long.
    pub fn read(&mut self, bytes: &[u8], mut each: impl FnMut(Result<(&str, MemberState), &[u8]>)) {
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
                let parsed = MemberState::parse(&line);
                let is_whole = !std::mem::take(&mut self.overlong);
                each(parsed.filter(|_| is_whole).ok_or(&line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns everything that `lines` reads from `bytes`.
    fn read(lines: &mut Lines, bytes: &[u8]) -> Vec<Option<(String, MemberState)>> {
        let mut read = Vec::new();
        lines.read(bytes, |line| {
            read.push(line.ok().map(|(member, state)| (member.to_owned(), state)));
        });
        read
    }

    #[test]
    fn lines_are_read_however_they_are_cut() {
        let said = [
            ("feed", MemberState::Expected),
            ("feed", MemberState::Running(4711)),
            ("sink", MemberState::Gone),
            ("feed", MemberState::Completed),
            (&"n".repeat(LONGEST_NAME), MemberState::Running(u32::MAX)),
        ];
        let text: String = said.iter().map(|(name, state)| state.line(name)).collect();
        let expected: Vec<_> =
            said.iter().map(|(name, state)| Some(((*name).to_owned(), *state))).collect();
        for cut in 1..text.len() {
            let mut lines = Lines::default();
            let heard: Vec<_> =
                text.as_bytes().chunks(cut).flat_map(|bytes| read(&mut lines, bytes)).collect();
            assert_eq!(heard, expected, "cut at {cut}");
        }
    }

    #[test]
    fn other_lines_are_reported_and_the_next_one_is_read() {
        let mut lines = Lines::default();
        let long = vec![b'x'; 1 << 20];
        let hostile: [&[u8]; 10] = [
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
        ];
        for line in hostile {
            assert_eq!(read(&mut lines, line), [None]);
        }
        assert_eq!(read(&mut lines, &long), []);
        assert!(lines.partial.len() <= LONGEST_LINE, "memory is bounded");
        // The end of the line that is too long, then a good line.
        let rest = read(&mut lines, b" feed\ncompleted feed\n");
        assert_eq!(rest, [None, Some(("feed".to_owned(), MemberState::Completed))]);
    }
}
