//! A thread gets what was requested and inherits nothing from the thread that started it.
#![cfg(all(target_os = "linux", not(miri)))]

use std::sync::mpsc;

use mycelium_executor::{Class, PlacementFallback, Thread, allowed_cores};
use thread_priority::unix::{ThreadSchedulePolicy, thread_schedule_policy};

/// The output of `observe` on a thread with these properties.
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
