//! The process of a member: how it is started, watched and killed. No signal is ever sent to a
//! process id that the kernel has given to another process.
//!
//! A thread waits for the exit but does not reap the process. So the kernel reserves the ids of the
//! process and of its group until [`Process::reap`]. No signal is sent after that.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;

use rustix::io::retry_on_intr;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

/// A process that leads a group. Dropping it kills the group and reaps the process.
pub struct Process {
    /// The child with its streams. Wait for its exit by [`reap`](Process::reap) only.
    pub child: Child,
    id: Pid,
    reaped: bool,
}

impl Process {
    /// Starts `command` and calls `exited` on a thread once it has exited.
    ///
    /// # Errors
    /// If the system refuses the process or the thread.
    pub fn start(
        mut command: Command,
        exited: impl FnOnce() + Send + 'static,
    ) -> io::Result<Process> {
        let child = command.process_group(0).spawn()?;
        let id = Pid::from_child(&child);
        let process = Process { child, id, reaped: false };
        thread::Builder::new().name("member".into()).spawn(move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            // Fails only if the process was already reaped, so it has exited.
            let _ = retry_on_intr(|| waitid(WaitId::Pid(id), options));
            exited();
        })?;
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM to the process, not to its group: the process is responsible for the other
    /// processes of the group.
    pub(crate) fn terminate(&self) {
        // Fails only if the process has exited meanwhile.
        let _ = kill_process(self.id, Signal::TERM);
    }

    /// Kills the process and its group.
    pub fn kill(&self) {
        // As above.
        let _ = kill_process_group(self.id, Signal::KILL);
    }

    /// Kills the rest of the group, waits for the exit and returns the exit status.
    ///
    /// # Errors
    /// If the system does not return the exit status.
    pub fn reap(mut self) -> io::Result<ExitStatus> {
        self.end()
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        self.kill();
        self.reaped = true;
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.end();
        }
    }
}
