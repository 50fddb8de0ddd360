//! Paused time: an executor whose clock moves only when a test moves it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use crate::executor::{Executor, MakeDedicated, MakeLocal, SendFuture, SpawnError};
#[cfg(unix)]
use crate::network::WakeStream;
use crate::network::{Listener, Stream};
use crate::thread::{GrantedPlacement, Thread, ThreadError};

/// An executor with paused time. It uses the tasks, threads and streams of another executor, but
/// only [`advance`](PausedTime::advance) moves its clock.
///
/// A test then never really waits, and does not depend on the speed of the machine. Clones, and the
/// executors of [dedicated](Executor::dedicate) threads, share one time. It begins at zero. The
/// calendar time moves with it.
///
/// Moving the time wakes the tasks whose timers are due; it does not run them. The executor runs
/// them later, so let it run before you check what the tasks did. A timer counts from its first
/// poll.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use std::time::Duration;
///
/// use mycelium_core::wait::WaitStrategy;
/// use mycelium_executor::{Clock, Executor, PausedTime, SendFuture, SpawnError, block_on};
///
/// struct Own(Clock);
///
/// impl Executor for Own {
///     // As in your own executor.
/// #   fn name(&self) -> String { "own".to_owned() }
/// #   fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
/// #       drop(task);
/// #       Err(SpawnError::Ended)
/// #   }
/// #   fn now(&self) -> Duration { self.0.now() }
/// #   fn sleep_until(&self, _: Duration) -> SendFuture<()> { Box::pin(std::future::pending()) }
/// }
///
/// let executor = PausedTime::new(Own(Clock::start()));
/// let hour = Duration::from_secs(3_600);
/// let timer = executor.sleep_until(hour);
///
/// executor.advance(hour);
/// assert_eq!(executor.now(), hour);
/// block_on(timer, WaitStrategy::Park);
/// ```
#[derive(Clone)]
pub struct PausedTime<E> {
    executor: E,
    time: Arc<Time>,
}

struct Time {
    start: SystemTime,
    state: Mutex<TimeState>,
}

#[derive(Default)]
struct TimeState {
    now: Duration,
    /// The awaited timers, by deadline and number.
    timers: BTreeMap<(Duration, u64), Waker>,
    next: u64,
}

impl<E: Executor> PausedTime<E> {
    /// Pauses the time of `executor`. The calendar time starts at the executor's calendar time.
    pub fn new(executor: E) -> PausedTime<E> {
        let start = executor.wall_clock();
        PausedTime::starting_at(executor, start)
    }

    /// Pauses the time as [`new`](PausedTime::new) does, with this calendar time at the start.
    pub fn starting_at(executor: E, start: SystemTime) -> PausedTime<E> {
        PausedTime { executor, time: Arc::new(Time { start, state: Mutex::default() }) }
    }
}

impl<E> PausedTime<E> {
    /// Moves the time forward. Timers that are due are woken in the order of their deadlines.
    ///
    /// A task that sleeps in a loop creates its next timer only when it runs: to let it run at each
    /// deadline, use [`advance_to_next_timer`](PausedTime::advance_to_next_timer) and run the
    /// executor in between.
    pub fn advance(&self, duration: Duration) {
        let end = self.time.state().now.saturating_add(duration);
        while self.time.wake_first(end) {}
        let mut state = self.time.state();
        state.now = state.now.max(end);
    }

    /// Moves the time to the next deadline that a task waits for, and wakes all tasks that wait for
    /// it. Returns whether there was one.
    pub fn advance_to_next_timer(&self) -> bool {
        let Some(next) = self.next_timer() else { return false };
        let now = self.time.state().now;
        self.advance(next.saturating_sub(now));
        true
    }

    /// Returns the next deadline that a task waits for.
    #[must_use]
    pub fn next_timer(&self) -> Option<Duration> {
        self.time.state().timers.keys().next().map(|(deadline, _)| *deadline)
    }
}

impl Time {
    /// Wakes the first timer if its deadline is not after `end`. Returns whether it was.
    fn wake_first(&self, end: Duration) -> bool {
        let mut state = self.state();
        let Some(first) = state.timers.first_entry().filter(|first| first.key().0 <= end) else {
            return false;
        };
        let ((deadline, _), waker) = first.remove_entry();
        state.now = state.now.max(deadline);
        drop(state);
        waker.wake();
        true
    }

    fn state(&self) -> MutexGuard<'_, TimeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A timer, which is ready when the time has reached its deadline.
struct Timer {
    time: Arc<Time>,
    deadline: Duration,
    number: Option<u64>,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Timer { time, deadline, number } = &mut *self;
        let mut state = time.state();
        if state.now >= *deadline {
            if number.is_some() {
                return Poll::Ready(());
            }
            // Yields once. Otherwise a loop of short sleeps would never return to the executor in
            // paused time.
            *number = Some(u64::MAX);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let number = *number.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        let replaced = state.timers.insert((*deadline, number), context.waker().clone());
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            // Drops the waker without the lock: this may drop a task, and other timers with it.
            let waker = self.time.state().timers.remove(&(self.deadline, number));
            drop(waker);
        }
    }
}

impl<E: Executor> Executor for PausedTime<E> {
    fn name(&self) -> String {
        format!("{}, paused time", self.executor.name())
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        self.executor.spawn(task)
    }

    fn runs_local(&self) -> bool {
        self.executor.runs_local()
    }

    fn spawn_local(&self, make: MakeLocal) -> Result<(), SpawnError> {
        self.executor.spawn_local(make)
    }

    fn dedicate(
        &self,
        thread: Thread,
        make: MakeDedicated,
    ) -> Result<GrantedPlacement, ThreadError> {
        let time = self.time.clone();
        let make: MakeDedicated =
            Box::new(move |executor| make(Arc::new(PausedTime { executor, time })));
        self.executor.dedicate(thread, make)
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), SpawnError> {
        self.executor.blocking(work)
    }

    fn now(&self) -> Duration {
        self.time.state().now
    }

    fn sleep_until(&self, deadline: Duration) -> SendFuture<()> {
        Box::pin(Timer { time: self.time.clone(), deadline, number: None })
    }

    fn wall_clock(&self) -> SystemTime {
        let now = self.now();
        self.time.start.checked_add(now).unwrap_or(self.time.start)
    }

    fn entropy(&self) -> u64 {
        self.executor.entropy()
    }

    fn connect(&self, address: String) -> SendFuture<io::Result<Stream>> {
        self.executor.connect(address)
    }

    fn tcp_stream(&self, socket: TcpStream) -> io::Result<Stream> {
        self.executor.tcp_stream(socket)
    }

    fn tcp_listener(&self, socket: TcpListener) -> io::Result<Listener> {
        self.executor.tcp_listener(socket)
    }

    #[cfg(unix)]
    fn unix_stream(&self, socket: UnixStream) -> io::Result<Stream> {
        self.executor.unix_stream(socket)
    }

    #[cfg(unix)]
    fn wake_stream(&self, socket: UnixStream) -> io::Result<WakeStream> {
        self.executor.wake_stream(socket)
    }

    #[cfg(unix)]
    fn unix_listener(&self, socket: UnixListener) -> io::Result<Listener> {
        self.executor.unix_listener(socket)
    }

    fn interrupted(&self) -> SendFuture<io::Result<()>> {
        self.executor.interrupted()
    }
}

impl<E> fmt::Debug for PausedTime<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PausedTime").field(&self.time.state().now).finish()
    }
}
