//! Paused time on an executor without tasks: timers, their order, and the effects of a drop.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use mycelium_executor::{
    Executor, GrantedPlacement, LocalFuture, MakeDedicated, PausedTime, SendFuture, SpawnError,
    Thread, ThreadError,
};

/// An executor that runs nothing, and creates the future of a dedicated thread on the calling
/// thread.
#[derive(Clone, Default)]
struct Idle(Arc<Mutex<Vec<Duration>>>);

impl Executor for Idle {
    fn name(&self) -> String {
        "idle".to_owned()
    }

    fn spawn(&self, _: SendFuture<()>) -> Result<(), SpawnError> {
        Err(SpawnError::Ended)
    }

    fn dedicate(&self, _: Thread, make: MakeDedicated) -> Result<GrantedPlacement, ThreadError> {
        let mut body: LocalFuture<()> = make(Arc::new(self.clone()));
        let _ = body.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        Ok(GrantedPlacement::default())
    }

    fn now(&self) -> Duration {
        unreachable!("the time of this executor is not used")
    }

    fn sleep_until(&self, _: Duration) -> SendFuture<()> {
        unreachable!("the time of this executor is not used")
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Wakes>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(timer: &mut SendFuture<()>, wakes: &Arc<Wakes>) -> Poll<()> {
    timer.as_mut().poll(&mut Context::from_waker(&Waker::from(wakes.clone())))
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_next_timer_is_the_earliest_one_that_is_awaited() {
    let (time, wakes) = (PausedTime::new(Idle::default()), Arc::new(Wakes::default()));
    let mut timers = [5, 2, 2, 9].map(|at| time.sleep_until(at * SECOND));
    timers.iter_mut().for_each(|timer| assert!(poll(timer, &wakes).is_pending()));
    let unpolled = time.sleep_until(SECOND);
    assert!(time.advance_to_next_timer());
    assert_eq!((time.now(), wakes.0.load(Ordering::Relaxed)), (2 * SECOND, 2));
    drop(timers);
    assert_eq!(time.next_timer(), None, "a dropped timer is forgotten");
    drop(unpolled);
}

/// Without this, a loop of sleeps without a duration would never return to its executor.
#[test]
fn a_timer_in_the_past_yields_once() {
    let (time, wakes) = (PausedTime::new(Idle::default()), Arc::new(Wakes::default()));
    let mut timer = time.sleep_until(Duration::ZERO);
    assert!(poll(&mut timer, &wakes).is_pending());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(poll(&mut timer, &wakes).is_ready());
}

#[test]
fn the_executor_of_a_dedicated_thread_has_the_same_time() {
    let idle = Idle::default();
    let (seen, times) = (idle.0.clone(), idle.0.clone());
    let time = PausedTime::new(idle);
    time.advance(7 * SECOND);
    let make: MakeDedicated =
        Box::new(move |there| Box::pin(async move { seen.lock().unwrap().push(there.now()) }));
    time.dedicate(Thread::default(), make).unwrap();
    assert_eq!(*times.lock().unwrap(), [7 * SECOND]);
}
