//! A thread gets what was requested and inherits nothing from the thread that started it.

use std::cell::Cell;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use mycelium_executor::{Class, PlacementFallback, Thread, ThreadError, allowed_cores};
use thread_priority::unix::{ThreadSchedulePolicy, thread_schedule_policy};

/// Returns the output of `observe` on a thread with these properties.
fn seen<T: Send + 'static>(thread: Thread, observe: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let (thread, _) = thread.start(|| Ok(move || sender.send(observe()).unwrap())).unwrap();
    thread.join().unwrap();
    receiver.recv().unwrap()
}

#[test]
fn a_thread_started_by_a_pinned_one_has_all_cores_or_its_own() {
    let all = allowed_cores().unwrap();
    let (first, last) = (all[0], all[all.len() - 1]);
    let pinned = |core| Thread { cores: vec![core], ..Thread::default() };
    let inner = seen(pinned(first), move || {
        let all = seen(Thread::default(), || allowed_cores().unwrap());
        (all, seen(pinned(last), || allowed_cores().unwrap()))
    });
    assert_eq!(inner, (all, vec![last]));
}

#[test]
fn a_thread_started_by_a_real_time_one_has_the_normal_class() {
    let real_time =
        Thread { class: Class::Fifo(1), fallback: PlacementFallback::Warn, ..Thread::default() };
    let is_real_time = || matches!(thread_schedule_policy(), Ok(ThreadSchedulePolicy::Realtime(_)));
    let granted = real_time.clone().start(|| Ok(|| ())).unwrap().1;
    let (outer, inner) =
        seen(real_time, move || (is_real_time(), seen(Thread::default(), is_real_time)));
    assert_eq!((outer, inner), (granted.class != Class::Normal, false));
}

/// Sends a message at the end of the thread that has it as a local variable. Before that it waits,
/// so that a `start` that returns too early is noticed.
struct AtExit {
    returned: Receiver<()>,
    ended: Sender<()>,
}

impl Drop for AtExit {
    fn drop(&mut self) {
        let _ = self.returned.recv_timeout(Duration::from_millis(50));
        let _ = self.ended.send(());
    }
}

#[test]
fn a_refused_thread_has_ended_when_start_returns() {
    thread_local!(static AT_EXIT: Cell<Option<AtExit>> = const { Cell::new(None) });
    let error = ThreadError::Start { error: "refused".to_owned() };
    let refusal = error.clone();
    let (has_returned, returned) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    let refused = Thread::default().start(move || {
        AT_EXIT.set(Some(AtExit { returned, ended }));
        Err::<fn(), _>(refusal)
    });
    assert_eq!(refused.map(|_| ()), Err(error));
    assert_eq!(end.try_recv(), Ok(()));
    drop(has_returned);
}
