//! How members see that their launcher is gone, however it went: a pipe ends when its last writer does.
//!
//! The kernel's own signal for this (`PR_SET_PDEATHSIG`) is Linux's alone, follows the thread that started the member
//! rather than the process, and comes too late if the launcher dies before the member asks for it. A pipe has none of
//! these faults. Its writing end is closed on exec, so no member ever holds it.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, pipe};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;
use std::{env, thread};

use rustix::process::{Signal, getpid, kill_current_process_group, kill_process};

/// Says which pipe is the lifeline, as `device:inode`. A process that only inherited the variable has another standard
/// input than that.
const VARIABLE: &str = "MYCELIUM_LIFELINE";

/// The launcher's side.
pub(super) struct Lifeline {
    reader: PipeReader,
    _writer: PipeWriter,
    identity: String,
}

impl Lifeline {
    pub(super) fn new() -> io::Result<Lifeline> {
        let (reader, writer) = pipe()?;
        Ok(Lifeline { identity: identity(&duplicate(&reader)?)?, reader, _writer: writer })
    }

    /// Makes it the standard input of what `command` starts.
    pub(super) fn attach(&self, command: &mut Command) -> io::Result<()> {
        command.stdin(self.reader.try_clone()?).env(VARIABLE, &self.identity);
        Ok(())
    }
}

/// Ends this process when its launcher is gone: with SIGTERM, as the launcher would have, and with SIGKILL to its process
/// group if it is still there after `grace`.
///
/// To be called at the start of a member's `main`. It starts a thread that reads standard input, which a member has no
/// other use for. In a process that no [`Bundle`](super::Bundle) started it does nothing.
///
/// Members that lose their launcher all end at once, not in the order of the bundle.
///
/// # Errors
/// If standard input is closed, or the thread cannot be started.
pub fn end_with_launcher(grace: Duration) -> io::Result<()> {
    let Ok(lifeline) = env::var(VARIABLE) else { return Ok(()) };
    let stdin = duplicate(&io::stdin())?;
    if identity(&stdin)? != lifeline {
        return Ok(());
    }
    thread::Builder::new().name("lifeline".into()).spawn(move || {
        wait_for_end(stdin);
        tracing::error!("the launcher is gone, this process ends");
        // These cannot fail: a process may always signal itself, and its group was made for it.
        let _ = kill_process(getpid(), Signal::TERM);
        let (_never, nothing) = channel::<()>();
        let _ = nothing.recv_timeout(grace);
        let _ = kill_current_process_group(Signal::KILL);
    })?;
    Ok(())
}

fn wait_for_end(mut stdin: File) {
    let mut ignored = [0; 64];
    loop {
        match stdin.read(&mut ignored) {
            Ok(0) => return,
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            // Who cannot watch must not outlive what it cannot see.
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
