//! The pipe from the launcher to one process of a member: it says which members run or have ended, and by its end that
//! the launcher is gone, however it went.
//!
//! The kernel's own signal for this (`PR_SET_PDEATHSIG`) is Linux's alone, follows the thread that started the member
//! rather than the process, and comes too late if the launcher dies before the member asks for it. A pipe has none of
//! these faults. Its writing end is closed on exec, so no member ever holds it.
//!
//! The writing end never blocks. A line is shorter than `PIPE_BUF`, so it is written whole or not at all; one that has no
//! room is lost, and the next one that has brings all that holds with it.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;
use std::{env, thread};

use rustix::io::{ioctl_fionbio, ioctl_fionread};
use rustix::process::{Signal, getpid, kill_current_process_group, kill_process};

use crate::members::{Lines, MEMBERS};

/// Says which pipe is the lifeline, as `device:inode`. A process that only inherited the variable has another standard
/// input than that.
const VARIABLE: &str = "MYCELIUM_LIFELINE";

/// The launcher's side of the pipe to one process.
pub(super) struct Lifeline {
    writer: PipeWriter,
    /// A line was lost since all that holds was written.
    behind: bool,
}

impl Lifeline {
    /// A pipe that holds `lines`, as the standard input of what `command` starts.
    pub(super) fn attach(command: &mut Command, lines: &[String]) -> io::Result<Lifeline> {
        let (reader, lifeline) = Lifeline::new(lines)?;
        let identity = identity(&duplicate(&reader)?)?;
        command.stdin(reader).env(VARIABLE, identity);
        Ok(lifeline)
    }

    fn new(lines: &[String]) -> io::Result<(PipeReader, Lifeline)> {
        let (reader, writer) = pipe()?;
        ioctl_fionbio(&writer, true)?;
        let mut lifeline = Lifeline { writer, behind: false };
        lifeline.write(lines);
        Ok((reader, lifeline))
    }

    /// Writes what has `changed`, or `all` that holds if something was lost before. Never blocks.
    pub(super) fn tell(&mut self, changed: &[String], all: &[String]) {
        let lines = if self.behind { all } else { changed };
        self.write(lines);
    }

    fn write(&mut self, lines: &[String]) {
        // It fails if the pipe is full, or the process is gone and reads nothing more.
        self.behind = !lines.iter().all(|line| self.writer.write_all(line.as_bytes()).is_ok());
    }
}

/// Listens to the launcher of this process, and ends the process when the launcher is gone: with SIGTERM, as the launcher
/// would have, and with SIGKILL to its process group if it is still there after `grace`.
///
/// To be called at the start of a member's `main`, before its nodes start: these learn from the launcher which process
/// runs which node, and which nodes have completed, so that they do not wait for one that will not come again. It
/// starts a thread that reads standard input, which a member has no other use for. In a process that no
/// [`Bundle`](super::Bundle) started it does nothing.
///
/// Members that lose their launcher all end at once, not in the order of the bundle.
///
/// # Errors
/// If standard input is closed, or the thread cannot be started.
pub fn end_with_launcher(grace: Duration) -> io::Result<()> {
    let Ok(lifeline) = env::var(VARIABLE) else { return Ok(()) };
    let mut stdin = duplicate(&io::stdin())?;
    if identity(&stdin)? != lifeline {
        return Ok(());
    }
    let mut lines = Lines::default();
    read_what_is_there(&mut stdin, &mut lines)?;
    thread::Builder::new().name("lifeline".into()).spawn(move || {
        read_to_the_end(stdin, &mut lines);
        tracing::error!("the launcher is gone, this process ends");
        // These cannot fail: a process may always signal itself, and its group was made for it.
        let _ = kill_process(getpid(), Signal::TERM);
        let (_never, nothing) = channel::<()>();
        let _ = nothing.recv_timeout(grace);
        let _ = kill_current_process_group(Signal::KILL);
    })?;
    Ok(())
}

/// What the launcher wrote before it started this process is known before a node starts.
fn read_what_is_there(stdin: &mut File, lines: &mut Lines) -> io::Result<()> {
    let mut there = Vec::new();
    stdin.take(ioctl_fionread(&*stdin)?).read_to_end(&mut there)?;
    lines.read(&there, &MEMBERS);
    Ok(())
}

fn read_to_the_end(mut stdin: File, lines: &mut Lines) {
    let mut buffer = [0; 4096];
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => lines.read(&buffer[..read], &MEMBERS),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            // A process that cannot see its launcher's end must not outlive it.
            Err(_) => return,
        }
    }
}

fn duplicate(descriptor: &impl AsFd) -> io::Result<File> {
    Ok(File::from(descriptor.as_fd().try_clone_to_owned()?))
}

fn identity(file: &File) -> io::Result<String> {
    let metadata = file.metadata()?;
    Ok(format!("{}:{}", metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::{Members, Standing};

    fn said(reader: &mut PipeReader, members: &Members) {
        let mut there = vec![0; usize::try_from(ioctl_fionread(&*reader).unwrap()).unwrap()];
        reader.read_exact(&mut there).unwrap();
        Lines::default().read(&there, members);
    }

    #[test]
    fn nobody_waits_for_a_member_that_does_not_read_and_it_catches_up() {
        let members = Members::new();
        let feed = |standing: Standing| [standing.line("feed")];
        let (mut reader, mut lifeline) = Lifeline::new(&feed(Standing::Runs(1))).unwrap();
        let mut pid = 1;
        while !lifeline.behind {
            pid += 1;
            lifeline.tell(&feed(Standing::Runs(pid)), &[]);
        }
        // Another one is lost: there is no more room than before.
        lifeline.tell(&[], &feed(Standing::Runs(u32::MAX)));
        assert!(lifeline.behind);
        said(&mut reader, &members);
        assert_eq!(members.standing("feed"), Some(Standing::Runs(pid - 1)));
        let all = [Standing::Completed.line("feed"), Standing::Runs(7).line("sink")];
        lifeline.tell(&all[1..], &all);
        assert!(!lifeline.behind);
        said(&mut reader, &members);
        assert_eq!(members.standing("feed"), Some(Standing::Completed));
        assert_eq!(members.standing("sink"), Some(Standing::Runs(7)));
    }

    #[test]
    fn a_member_that_is_gone_ends_no_launcher() {
        let (reader, mut lifeline) = Lifeline::new(&[]).unwrap();
        drop(reader);
        lifeline.tell(&[Standing::Completed.line("feed")], &[]);
    }
}
