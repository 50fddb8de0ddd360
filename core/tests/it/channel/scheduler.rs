//! A minimal scheduler: it polls a task only when it was woken, so after a lost wake it has no task
//! to poll before the work is done. Also futures for its tasks: one that is dropped after some
//! polls, one that lets others run first.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

/// Whether it was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

#[derive(Default)]
pub(crate) struct Scheduler<'a> {
    pub(crate) tasks: Vec<Task<'a>>,
    pub(crate) random: u64,
}

impl<'a> Scheduler<'a> {
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + 'a) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.tasks.push(Task { woken, future: Some(Box::pin(task)) });
    }

    fn random(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) as usize % below
    }

    /// Polls tasks in random order until none is awake; for the first `spurious` polls, sleeping
    /// ones as well. Returns how many did not end.
    pub(crate) fn run(&mut self, spurious: usize) -> usize {
        for step in 0.. {
            assert!(step < 100_000, "they keep each other awake and get nowhere");
            let awake = |task: &Task<'_>| {
                task.future.is_some() && (step < spurious || task.woken.0.load(Relaxed))
            };
            let ready: Vec<_> = (0..self.tasks.len()).filter(|&i| awake(&self.tasks[i])).collect();
            if ready.is_empty() {
                break;
            }
            let next = ready[self.random(ready.len())];
            let Task { woken, future } = &mut self.tasks[next];
            woken.0.store(false, Relaxed);
            let waker = Waker::from(woken.clone());
            let polled = future.as_mut().unwrap().as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() {
                *future = None;
            }
        }
        self.tasks.iter().filter(|task| task.future.is_some()).count()
    }
}

pub(crate) struct Task<'a> {
    woken: Arc<Woken>,
    /// `None` after it has ended.
    pub(crate) future: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
}

/// Polls a future this many times, and then drops it.
pub(crate) async fn cut<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

/// Wakes its task and lets others be polled first.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
