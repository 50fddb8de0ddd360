//! One task of glommio's that runs all of ours.
//!
//! glommio 0.9 has a hole: if a thread is suspended for longer than the preempt timer at a certain moment, it takes that
//! for a turn in which nothing was to be done, and sleeps with tasks that are ready. (`tasks_that_wake_each_other_never_stall` in the
//! conformance suite stood still within a second.) So an executor that is made here has a preempt timer that never comes,
//! and this task, which keeps what is ready itself, makes glommio look at its rings: it waits for a timer that is due, and
//! glommio, with nothing else to do, looks at rings and timers once and goes on.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::AsyncRead;
use futures_util::FutureExt;
use glommio::net::TcpStream;
use glommio::timer::Timer;
use mycelium_executor::Clock;

use crate::home::Home;
use crate::room::Room;
use crate::{Glommio, Settings};

/// After so many tasks, the clock is looked at.
const TASKS: u32 = 32;

/// Runs `body` and what it spawns, inside glommio, until it has ended.
///
/// # Errors
/// If there is no socket for the bell.
pub(crate) async fn within<F>(
    settings: Settings,
    body: impl FnOnce(Glommio) -> F + 'static,
) -> io::Result<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let (home, room, heard) = Home::begin()?;
    let stay = Stay { home, room };
    let mut bell = TcpStream::from(socket2::Socket::from(heard));
    let (mut look, within) = (None, settings.look());
    let result = Rc::new(RefCell::new(None));
    let (executor, told) = (stay.home.clone(), result.clone());
    let work = async move {
        let executor = Glommio { home: executor, clock: Clock::start(), settings };
        let done = AssertUnwindSafe(async move { body(executor).await }).catch_unwind().await;
        told.replace(Some(done));
    };
    stay.room.start(&stay.home, Box::pin(work));
    let done = poll_fn(|context| {
        stay.home.wakes_up();
        loop {
            look = None;
            match stay.turn(within) {
                Turn::Look => look = Some(due(context)),
                Turn::Idle => {
                    hear(&mut bell, context);
                    if !stay.home.falls_asleep() {
                        continue;
                    }
                }
            }
            // After a turn: whatever ended has been polled.
            if let Some(done) = result.take() {
                return Poll::Ready(done);
            }
            stay.room.set_runner(context.waker());
            return Poll::Pending;
        }
    })
    .await;
    drop(look.take());
    drop(stay);
    done.map_or_else(|panic| resume_unwind(panic), Ok)
}

/// What comes after having polled tasks.
enum Turn {
    /// There are more, but glommio is to look at its rings.
    Look,
    /// There are none.
    Idle,
}

/// As long as this is, tasks run here.
struct Stay {
    home: Arc<Home>,
    room: Rc<Room>,
}

impl Stay {
    /// Polls what is ready, for so long.
    fn turn(&self, within: Duration) -> Turn {
        let _polling = self.room.polling();
        let begin = Clock::start();
        let mut tasks = 0;
        loop {
            self.home.receive(&self.room);
            if !self.room.poll_next() {
                return Turn::Idle;
            }
            tasks += 1;
            let is_late = tasks % TASKS == 0 && begin.now() >= within;
            if is_late || glommio::executor().need_preempt() {
                return Turn::Look;
            }
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.home.end(&self.room);
    }
}

/// A timer that is due when glommio looks at its timers, but not yet.
fn due(context: &mut Context<'_>) -> Timer {
    let mut pause = Duration::from_micros(1);
    loop {
        let mut timer = Timer::new(pause);
        if Pin::new(&mut timer).poll(context).is_pending() {
            return timer;
        }
        // The thread was suspended for as long.
        pause *= 2;
    }
}

/// Takes what rang, and waits for the next time.
fn hear(bell: &mut TcpStream, context: &mut Context<'_>) {
    let mut rings = [0; 64];
    while let Poll::Ready(Ok(1..)) = Pin::new(&mut *bell).poll_read(context, &mut rings) {}
}
