//! Waiting without an executor: a thread that blocks until a future is ready.
//!
//! Whatever can be awaited can be waited for so: the ends of channels, and anything else that keeps a `Waker`. The bell
//! that would wake a task wakes the thread, and how the thread waits for it is chosen as for tasks
//! ([`WaitStrategy`]).

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use mycelium_core::wait::{WaitStrategy, pause};

const NOTHING: usize = 0;
/// It was woken and does not know yet.
const WOKEN: usize = 1;
/// It sleeps, or is about to.
const ASLEEP: usize = 2;

/// Runs a future to its end on this thread, which does nothing else meanwhile.
///
/// With [`WaitStrategy::Spin`] the thread never sleeps: it answers soonest, and keeps its core busy. With
/// [`WaitStrategy::SpinThenPark`] it looks so many times whether it was woken, then it sleeps; with [`WaitStrategy::Park`] it sleeps at
/// once. A thread that sleeps costs nothing. (The ends of a channel have a wait policy of their own, for tasks; leave it
/// at `Park` here.)
///
/// ```
/// use mycelium_core::channel::spsc;
/// use mycelium_core::wait::WaitStrategy;
/// use mycelium_executor::block_on;
///
/// let (mut sender, mut receiver) = spsc::bounded(16)?;
/// let answers = std::thread::spawn(move || {
///     let mut sum = 0;
///     while let Some(number) = block_on(receiver.recv(), WaitStrategy::SpinThenPark(1_000)) {
///         sum += number;
///     }
///     sum
/// });
/// for number in 0..100 {
///     block_on(sender.send(number), WaitStrategy::Park).expect("the receiver takes all");
/// }
/// drop(sender);
/// assert_eq!(answers.join().unwrap(), 4_950);
/// # Ok::<(), mycelium_core::ring::CapacityError>(())
/// ```
///
/// On a thread that an executor runs its tasks on, this stops them all: `await` there.
pub fn block_on<F: Future>(future: F, wait: WaitStrategy) -> F::Output {
    thread_local! {
        // Kept, so that waiting allocates nothing. One that waits within another wait does allocate: it must not take
        // the wakes of the outer one.
        static SIGNAL: Cell<Option<Arc<Signal>>> = const { Cell::new(None) };
    }

    let signal = SIGNAL.take().unwrap_or_default();
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let output = loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => break output,
            Poll::Pending => signal.wait(wait),
        }
    };
    SIGNAL.set(Some(signal));
    output
}

/// How one thread is woken.
struct Signal {
    state: AtomicUsize,
    thread: Thread,
}

impl Default for Signal {
    fn default() -> Signal {
        Signal { state: AtomicUsize::new(NOTHING), thread: thread::current() }
    }
}

impl Signal {
    /// Waits until it was woken since the last time.
    fn wait(&self, wait: WaitStrategy) {
        let mut looks = match wait {
            WaitStrategy::Spin => usize::MAX,
            WaitStrategy::SpinThenPark(looks) => looks,
            WaitStrategy::Park => 0,
        };
        while looks > 0 {
            if self.is_woken() {
                return;
            }
            pause();
            if wait != WaitStrategy::Spin {
                looks -= 1;
            }
        }
        // Acquire, on success and on failure, with the Release of `wake`: what the waker did before.
        let asleep =
            self.state.compare_exchange(NOTHING, ASLEEP, Ordering::Acquire, Ordering::Acquire);
        if asleep.is_ok() {
            // A thread may be unparked for other reasons.
            while self.state.load(Ordering::Acquire) == ASLEEP {
                thread::park();
            }
        }
        // A swap: a second wake may have come since the look that ended the wait, and what that waker did before has to be
        // visible to the poll that follows.
        self.state.swap(NOTHING, Ordering::Acquire);
    }

    fn is_woken(&self) -> bool {
        // Loads first: a look must not take the line away from who wakes.
        self.state.load(Ordering::Relaxed) == WOKEN
            && self.state.swap(NOTHING, Ordering::Acquire) == WOKEN
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // The system is asked only for a thread that sleeps.
        if self.state.swap(WOKEN, Ordering::Release) == ASLEEP {
            self.thread.unpark();
        }
    }
}
