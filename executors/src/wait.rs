//! Waiting without an executor: [`block_on`] blocks a thread until a future is ready.
//!
//! It works for every future that stores a `Waker`, such as the futures of a channel. The wake-up
//! that would schedule a task unparks the thread. [`WaitStrategy`] chooses between spinning and
//! parking, as for tasks.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use mycelium_core::wait::{WaitStrategy, pause};

const NOTHING: usize = 0;
/// A wake-up has arrived and was not consumed yet.
const WOKEN: usize = 1;
/// The thread is parked, or about to park.
const ASLEEP: usize = 2;

/// Runs a future to its end, and blocks this thread until then.
///
/// With [`WaitStrategy::Spin`] the thread never parks: it has the lowest latency and keeps its core
/// busy. With [`WaitStrategy::SpinThenPark`] it checks for a wake-up the given number of times and
/// then parks. With [`WaitStrategy::Park`] it parks at once. A parked thread uses no processor
/// time. (The ends of a channel have their own wait strategy for tasks; leave it at `Park` here.)
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
/// Do not call this on a thread that runs tasks of an executor: it would stop all of them. Use
/// `await` there.
pub fn block_on<F: Future>(future: F, wait: WaitStrategy) -> F::Output {
    thread_local! {
        // Reused, so that waiting does not allocate. A nested wait finds no signal and allocates
        // one: it must not consume the wake-ups of the outer wait.
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

/// Wakes one thread.
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
    /// Waits until a wake-up has arrived since the last call.
    fn wait(&self, wait: WaitStrategy) {
        let mut spins = match wait {
            WaitStrategy::Spin => usize::MAX,
            WaitStrategy::SpinThenPark(spins) => spins,
            WaitStrategy::Park => 0,
        };
        while spins > 0 {
            if self.is_woken() {
                return;
            }
            pause();
            if wait != WaitStrategy::Spin {
                spins -= 1;
            }
        }
        // Acquire, on success and on failure, pairs with the Release of `wake`: the work of the
        // waking thread before it is visible.
        let asleep =
            self.state.compare_exchange(NOTHING, ASLEEP, Ordering::Acquire, Ordering::Acquire);
        if asleep.is_ok() {
            // `park` may return without a wake-up.
            while self.state.load(Ordering::Acquire) == ASLEEP {
                thread::park();
            }
        }
        // A swap, not a store: a second wake-up may have arrived since the check that ended the
        // wait, and the next poll must see the work of that waking thread.
        self.state.swap(NOTHING, Ordering::Acquire);
    }

    fn is_woken(&self) -> bool {
        // A relaxed load first, because a check must not take the cache line from the waking
        // thread.
        self.state.load(Ordering::Relaxed) == WOKEN
            && self.state.swap(NOTHING, Ordering::Acquire) == WOKEN
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Makes a system call only if the thread is parked.
        if self.state.swap(WOKEN, Ordering::Release) == ASLEEP {
            self.thread.unpark();
        }
    }
}

// Yielding to other tasks.

/// Lets other tasks of the executor run: is pending once, and wakes its own task at once.
///
/// ```
/// use mycelium_core::wait::WaitStrategy;
/// use mycelium_executor::{block_on, yield_now};
///
/// block_on(yield_now(), WaitStrategy::Park);
/// ```
pub fn yield_now() -> impl Future<Output = ()> + Send + 'static {
    let mut yielded = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}
