//! A member's side of a bundle: reads the pipe from the launcher of this process, and ends the
//! process when the launcher is gone.
//!
//! [`mycelium_bundle::protocol`] defines the format of the pipe's content. Panic contract: no input
//! causes a panic in this module.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;
use std::{env, thread};

use mycelium_bundle::protocol::{Lines, PIPE_VARIABLE, pipe_identity};
use rustix::io::ioctl_fionread;
use rustix::process::{Signal, getpid, kill_current_process_group, kill_process};

use crate::support::lock::lock;
use crate::support::log;
use crate::support::members::{MEMBERS, Members};

/// Reads the reports of this process's launcher. When the launcher is gone, ends the process with
/// SIGTERM, as the launcher would, and with SIGKILL to its process group if it still runs after
/// `grace`.
///
/// A [node](crate::Node) calls this when it starts, with a grace of five seconds more than its
/// `shutdown`. It then knows which process runs which node, and which nodes have completed, and
/// does not wait for a node that will not run again. A member must call this itself before its node
/// starts if it runs no node, does much work before its node starts, or needs another grace; only
/// the first call has an effect. It starts a thread that reads standard input, so a member cannot
/// use standard input for anything else. In a process that was not started by a bundle it does
/// nothing.
///
/// Members that lose their launcher all end at the same time, not in the order of the bundle.
///
/// # Errors
/// The system's error if standard input is closed, or the thread cannot be started.
pub fn end_with_launcher(grace: Duration) -> io::Result<()> {
    let mut follows = lock(&FOLLOWS);
    if !*follows {
        follow(grace)?;
        *follows = true;
    }
    Ok(())
}

/// How much longer than its `shutdown` a node may take to end after its launcher is gone.
const SLACK: Duration = Duration::from_secs(5);

/// Calls [`end_with_launcher`] for a node that starts.
pub(crate) fn follow_by_node(node: &str, shutdown: Duration) {
    if let Err(error) = end_with_launcher(shutdown.saturating_add(SLACK)) {
        log::warn!(node, %error, "this process cannot notice the end of its launcher");
    }
}

/// Whether this process already follows its launcher, or has no launcher to follow.
static FOLLOWS: Mutex<bool> = Mutex::new(false);

fn follow(grace: Duration) -> io::Result<()> {
    let Some(mut pipe) = pipe()? else { return Ok(()) };
    let mut reader = Reader { lines: Lines::default(), members: &MEMBERS, has_warned: false };
    // Reads now: nodes must know the lines that were written before this process started.
    let mut bytes = Vec::new();
    let available = ioctl_fionread(&pipe)?;
    (&mut pipe).take(available).read_to_end(&mut bytes)?;
    reader.read(&bytes);
    thread::Builder::new().name("launcher".into()).spawn(move || {
        reader.read_to_end(pipe);
        log::error!("the launcher is gone, this process ends");
        // The signals cannot fail: a process may always signal itself and its own group.
        let _ = kill_process(getpid(), Signal::TERM);
        let (_never, nothing) = channel::<()>();
        let _ = nothing.recv_timeout(grace);
        let _ = kill_current_process_group(Signal::KILL);
    })?;
    Ok(())
}

/// Returns the pipe from the launcher, if this process was started by one: a process that only
/// inherited the variable has a different standard input.
pub(crate) fn pipe() -> io::Result<Option<File>> {
    let Ok(expected) = env::var(PIPE_VARIABLE) else { return Ok(None) };
    let pipe = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    Ok((pipe_identity(&pipe)? == expected).then_some(pipe))
}

/// Reads the launcher's reports from the lines of the pipe, and stores them in `members`.
struct Reader {
    lines: Lines,
    members: &'static Members,
    /// Whether an ignored line was already logged.
    has_warned: bool,
}

impl Reader {
    fn read_to_end(&mut self, mut pipe: File) {
        let mut buffer = [0; 4096];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => self.read(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                // Ends as at the end of the pipe: a process that cannot detect the end of its
                // launcher must not outlive it.
                Err(_) => return,
            }
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let Reader { lines, members, has_warned } = self;
        lines.read(bytes, |line| {
            let ignored = match line {
                Ok((member, state)) if members.set(member, state) => return,
                Ok((member, _)) => member.as_bytes(),
                Err(line) => line,
            };
            if !std::mem::replace(has_warned, true) {
                log::warn!(
                    line = %ignored.escape_ascii(),
                    "this process ignored a line from the launcher: its form is unknown, or there are too many \
                     members; further ones are ignored silently"
                );
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::members::MemberState;

    #[test]
    fn bad_lines_are_ignored_and_the_next_one_is_read() {
        let members: &'static Members = Box::leak(Box::new(Members::new()));
        let mut reader = Reader { lines: Lines::default(), members, has_warned: false };
        reader.read(b"member feed 4711\nresigned feed\ncompleted fe");
        assert!(reader.has_warned);
        assert_eq!(members.state("feed"), Some(MemberState::Running(4711)));
        reader.read(b"ed\n");
        assert_eq!(members.state("feed"), Some(MemberState::Completed));
    }
}
