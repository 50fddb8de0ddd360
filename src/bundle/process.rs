//! A member's process: started, watched and killed without ever signalling a process id that is no longer its own.
//!
//! Its thread waits for the exit but leaves the process unreaped, so the kernel keeps its id, and that of its group,
//! until [`Process::reap`], after which nothing is signalled.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;

use rustix::io::retry_on_intr;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

/// A process that leads a group. Dropping it kills and reaps it.
pub(super) struct Process {
    child: Child,
    id: Pid,
    reaped: bool,
}

impl Process {
    /// Starts `command` and calls `exited` on a thread once it has exited.
    pub(super) fn start(
        mut command: Command,
        exited: impl FnOnce() + Send + 'static,
    ) -> io::Result<Process> {
        let child = command.process_group(0).spawn()?;
        let id = Pid::from_child(&child);
        let process = Process { child, id, reaped: false };
        thread::Builder::new().name("member".into()).spawn(move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            // It fails for a process that was reaped already, which has exited.
            let _ = retry_on_intr(|| waitid(WaitId::Pid(id), options));
            exited();
        })?;
        Ok(process)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end. What else is in its group is its own to ask.
    pub(super) fn terminate(&self) {
        // It fails for a process that has exited in the meantime, which is as well.
        let _ = kill_process(self.id, Signal::TERM);
    }

    pub(super) fn kill(&self) {
        // As above.
        let _ = kill_process_group(self.id, Signal::KILL);
    }

    /// Ends what is left of its group, waits for it to exit and says how it did.
    pub(super) fn reap(mut self) -> io::Result<ExitStatus> {
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
