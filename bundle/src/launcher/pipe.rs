//! The launcher's end of the pipe to one process. The pipe carries the states of the members. Its
//! end tells the process that the launcher is gone, even if the launcher was killed.
//!
//! The kernel has a signal for this (`PR_SET_PDEATHSIG`), but only on Linux; it depends on the
//! thread that started the process instead of the launcher, and is lost if the launcher dies before
//! the process requests it. A pipe has none of these faults. Its writing end is closed on exec, so
//! no member ever has it.
//!
//! Writing never blocks. A line is shorter than `PIPE_BUF`, so it is written whole or not at all.
//! After a line was lost, the next write sends the states of all members.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Write, pipe};
use std::os::fd::AsFd;
use std::process::Command;

use rustix::io::ioctl_fionbio;

use crate::protocol::{PIPE_VARIABLE, pipe_identity};

/// The launcher's end of the pipe to one process.
pub(crate) struct MemberPipe {
    writer: PipeWriter,
    /// Whether a line was lost since the states of all members were last written.
    has_lost: bool,
}

impl MemberPipe {
    /// Creates a pipe that contains `lines`, as the standard input of the process that `command`
    /// starts.
    pub(crate) fn attach(command: &mut Command, lines: &[String]) -> io::Result<MemberPipe> {
        let (reader, member) = MemberPipe::new(lines)?;
        let identity = pipe_identity(&File::from(reader.as_fd().try_clone_to_owned()?))?;
        command.stdin(reader).env(PIPE_VARIABLE, identity);
        Ok(member)
    }

    fn new(lines: &[String]) -> io::Result<(PipeReader, MemberPipe)> {
        let (reader, writer) = pipe()?;
        ioctl_fionbio(&writer, true)?;
        let mut member = MemberPipe { writer, has_lost: false };
        member.write(lines, lines);
        Ok((reader, member))
    }

    /// Writes the lines that have `changed`, or `all` lines if one was lost before. Never blocks.
    pub(crate) fn write(&mut self, changed: &[String], all: &[String]) {
        let lines = if self.has_lost { all } else { changed };
        // If the pipe is full or the process is gone, the write fails and the line is lost.
        self.has_lost = !lines.iter().all(|line| self.writer.write_all(line.as_bytes()).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use rustix::io::ioctl_fionread;

    use super::*;
    use crate::protocol::{Lines, MemberState};

    fn read(reader: &mut PipeReader, states: &mut BTreeMap<String, MemberState>) {
        let mut bytes = vec![0; usize::try_from(ioctl_fionread(&*reader).unwrap()).unwrap()];
        reader.read_exact(&mut bytes).unwrap();
        Lines::default().read(&bytes, |line| {
            let (member, state) = line.expect("a whole line");
            states.insert(member.to_owned(), state);
        });
    }

    #[test]
    fn a_member_that_does_not_read_blocks_nobody_and_catches_up() {
        let mut states = BTreeMap::new();
        let feed = |state: MemberState| [state.line("feed")];
        let (mut reader, mut pipe) = MemberPipe::new(&feed(MemberState::Running(1))).unwrap();
        let mut pid = 1;
        while !pipe.has_lost {
            pid += 1;
            pipe.write(&feed(MemberState::Running(pid)), &[]);
        }
        // The pipe is still full, so the next line is lost too.
        pipe.write(&[], &feed(MemberState::Running(u32::MAX)));
        assert!(pipe.has_lost);
        read(&mut reader, &mut states);
        assert_eq!(states["feed"], MemberState::Running(pid - 1));
        let all = [MemberState::Completed.line("feed"), MemberState::Running(7).line("sink")];
        pipe.write(&all[1..], &all);
        assert!(!pipe.has_lost);
        read(&mut reader, &mut states);
        assert_eq!(states["feed"], MemberState::Completed);
        assert_eq!(states["sink"], MemberState::Running(7));
    }

    #[test]
    fn a_member_that_is_gone_does_not_end_its_launcher() {
        let (reader, mut pipe) = MemberPipe::new(&[]).unwrap();
        drop(reader);
        pipe.write(&[MemberState::Completed.line("feed")], &[]);
    }
}
