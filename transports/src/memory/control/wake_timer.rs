//! Timers by which the sessions of two processes wake each other's tasks.
//!
//! A `Wake` packet takes two threads, one after the other: it wakes the control thread, which wakes
//! the executor's thread, which runs the task. A descriptor that the executor itself watches needs
//! the second thread only. A task of its own waits for it, because the session of the link has more
//! to do in each poll.
//!
//! The descriptor is a timer that is never started: the peer sets its count of expirations, which is
//! an event for those who watch it. That call never waits, whatever a hostile owner does with its
//! timer; a write to an eventfd or a pipe could. Nobody reads the timer, because the other side can
//! make a read wait.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use mycelium_executor::{Executor, Watched};

use super::connection::Connection;
use super::socket::Timer;
use crate::memory::packet::{Packet, PacketKind};
use crate::sync::{AtomicBool, Ordering};

/// A timer by which the peer wakes tasks of an executor. Until the peer has it, and once this is
/// dropped, the peer's wakes go to the control thread.
#[derive(Debug)]
pub struct WakeTimer(Arc<Shared>);

/// What the [`WakeTimer`] and the one of its task share: the first of them that is dropped ends the
/// other.
#[derive(Debug)]
struct Shared {
    timer: Timer,
    connection: Arc<Connection>,
    number: u8,
    has_ended: AtomicBool,
}

impl WakeTimer {
    /// Returns whether this system has such timers.
    #[must_use]
    pub fn is_supported() -> bool {
        Timer::create().is_ok()
    }

    /// Creates a timer, passes it to the peer with this number, and spawns the task that calls
    /// `ring` after the peer has rung, perhaps several times. `ring` must not panic. Replaces the
    /// previous timer with the number.
    ///
    /// # Errors
    /// If the executor cannot watch a descriptor or has ended, or the system has no such timers or
    /// no descriptor left.
    pub fn open(
        connection: &Arc<Connection>,
        number: u8,
        executor: &dyn Executor,
        ring: impl Fn() + Send + 'static,
    ) -> io::Result<WakeTimer> {
        let timer = Timer::create()?;
        let watched = executor.watch(timer.descriptor())?;
        let (connection, has_ended) = (connection.clone(), AtomicBool::new(false));
        let shared = Arc::new(Shared { timer, connection, number, has_ended });
        let [timer, of_task] = [shared.clone(), shared.clone()].map(WakeTimer);
        let task = Box::pin(listen(watched, of_task, ring));
        executor.spawn(task).map_err(io::Error::other)?;
        let passed = shared.connection.send(shared.packet(), Some(shared.timer.as_fd()));
        passed.map_err(io::Error::other)?;
        Ok(timer)
    }
}

/// Takes the timer back. Then the peer wakes the control thread, once because it may have rung
/// before that.
impl Drop for WakeTimer {
    fn drop(&mut self) {
        let shared = &*self.0;
        // Release, for the `Acquire` in `listen`: an event is seen after the end that caused it.
        if !shared.has_ended.swap(true, Ordering::Release) {
            // They fail if the connection has ended, and never.
            let _ = shared.connection.send(shared.packet(), None);
            let _ = shared.timer.ring();
        }
    }
}

impl Shared {
    fn packet(&self) -> Packet {
        Packet::new(PacketKind::WakeTimer, self.number.into(), [0; 4])
    }
}

/// Calls `ring` after the peer has rung, until the timer is taken back, and then once more.
async fn listen(mut watched: Watched, timer: WakeTimer, ring: impl Fn()) {
    while watched.event().await && !timer.0.has_ended.load(Ordering::Acquire) {
        ring();
    }
    ring();
}
