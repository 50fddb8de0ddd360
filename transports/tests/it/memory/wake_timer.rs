//! A process is woken through its executor, or by the control thread if that is not possible.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mycelium_core::doorbell::WakePath;
use mycelium_executor::{Executor, SendFuture, SpawnError, Watched};
use mycelium_transports::memory::{Gone, Packet, PacketError, PacketKind, WakeTimer};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

use crate::memory::connections::Pair;
use crate::memory::support::Event;

/// The packet with which the peer gets a timer.
const WAKE_TIMER: Packet = Packet { kind: PacketKind::WakeTimer, number: 0, args: [0; 4] };

const FIRST: WakePath = WakePath::Executor(0);

/// An executor that watches descriptors and has one task. It wakes no task: the tests poll.
#[derive(Default)]
struct Watcher {
    task: Mutex<Option<SendFuture<()>>>,
    rung: Arc<AtomicBool>,
}

impl Watcher {
    /// Opens a wake timer, whose task is this executor's from now on.
    fn open(&self, pair: &Pair, path: WakePath) -> WakeTimer {
        let WakePath::Executor(number) = path else { panic!("no executor") };
        let rung = self.rung.clone();
        let ring = move || rung.store(true, Ordering::Relaxed);
        let timer = WakeTimer::open(&pair.connected.0, number, self, ring).unwrap();
        settle(pair);
        self.has_rung();
        timer
    }

    /// Polls the task. Returns whether it has seen that the peer has rung.
    fn has_rung(&self) -> bool {
        let mut task = self.task.lock().unwrap();
        let mut context = Context::from_waker(Waker::noop());
        if task.as_mut().unwrap().as_mut().poll(&mut context).is_ready() {
            *task = None;
        }
        self.rung.swap(false, Ordering::Relaxed)
    }

    fn has_ended(&self) -> bool {
        self.task.lock().unwrap().is_none()
    }
}

impl Executor for Watcher {
    fn name(&self) -> String {
        "watcher".to_owned()
    }

    fn spawn(&self, task: SendFuture<()>) -> Result<(), SpawnError> {
        *self.task.lock().unwrap() = Some(task);
        Ok(())
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep_until(&self, _: Duration) -> SendFuture<()> {
        Box::pin(std::future::pending())
    }

    fn watch(&self, descriptor: Arc<OwnedFd>) -> io::Result<Watched> {
        let events = epoll::create(CreateFlags::CLOEXEC)?;
        let kinds = EventFlags::IN | EventFlags::ET;
        epoll::add(&events, &descriptor, EventData::new_u64(0), kinds)?;
        Ok(Watched::new(move |_| {
            let _open = &descriptor;
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let mut space = [MaybeUninit::uninit()];
            let (found, _) = epoll::wait(&events, &mut space, Some(&at_once)).unwrap();
            if found.is_empty() { Poll::Pending } else { Poll::Ready(true) }
        }))
    }
}

/// Waits until both control threads have handled everything that was sent before.
fn settle(pair: &Pair) {
    for (from, to) in [(&pair.connected, &pair.accepted), (&pair.accepted, &pair.connected)] {
        let mark = Packet::new(PacketKind::Refused, 7, [0; 4]);
        from.0.send(mark, None).unwrap();
        assert_eq!(to.1.packet().0, mark);
    }
}

#[test]
fn a_peer_is_woken_by_its_timer_and_then_by_its_control_thread() {
    let pair = Pair::new("wake-timer");
    let here = Watcher::default();
    let timer = here.open(&pair, FIRST);
    assert!(!here.has_rung());
    for _ in 0..1000 {
        pair.accepted.0.wake(FIRST);
        assert!(here.has_rung(), "within this process at once");
        assert!(!here.has_rung());
    }
    // The opposite direction has no timer.
    pair.connected.0.wake(FIRST);
    assert!(matches!(pair.accepted.1.next(), Event::Wake));

    drop(timer);
    assert!(matches!(pair.connected.1.next(), Event::Wake), "for what was rung before");
    assert!(here.has_rung() && here.has_ended(), "it looks once more");
    pair.accepted.0.wake(FIRST);
    assert!(matches!(pair.connected.1.next(), Event::Wake));
    // Another executor takes its place.
    let next = Watcher::default();
    let _timer = next.open(&pair, FIRST);
    pair.accepted.0.wake(FIRST);
    assert!(next.has_rung());
}

#[test]
fn a_peer_whose_task_was_dropped_is_woken_by_its_control_thread() {
    let pair = Pair::new("dropped-wake-task");
    let here = Watcher::default();
    let _timer = here.open(&pair, FIRST);
    *here.task.lock().unwrap() = None;
    assert!(matches!(pair.connected.1.next(), Event::Wake), "for what was rung before");
    pair.accepted.0.wake(FIRST);
    assert!(matches!(pair.connected.1.next(), Event::Wake));
}

#[test]
fn each_path_has_a_timer() {
    let pair = Pair::new("wake-timers");
    let paths = [0, 3, WakePath::EXECUTORS - 1].map(WakePath::Executor);
    let here = paths.map(|path| {
        let executor = Watcher::default();
        let timer = executor.open(&pair, path);
        (executor, timer)
    });
    // No path has this number.
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).unwrap();
    let packet = Packet { number: WakePath::EXECUTORS.into(), ..WAKE_TIMER };
    pair.connected.0.send(packet, Some(timer.as_fd())).unwrap();
    settle(&pair);
    for (place, path) in paths.into_iter().enumerate() {
        pair.accepted.0.wake(path);
        let rung = here.each_ref().map(|(executor, _)| executor.has_rung());
        assert_eq!(rung, std::array::from_fn(|other| other == place));
    }
    for path in [WakePath::Thread, WakePath::Executor(1), WakePath::Executor(WakePath::EXECUTORS)] {
        pair.accepted.0.wake(path);
        assert!(matches!(pair.connected.1.next(), Event::Wake), "{path:?} has no timer");
    }
}

#[test]
fn other_descriptors_are_refused() {
    let others: [OwnedFd; 3] = [
        UnixDatagram::pair().unwrap().0.into(),
        eventfd(0, EventfdFlags::empty()).unwrap(),
        File::open("/dev/null").unwrap().into(),
    ];
    for other in others {
        let pair = Pair::new("no-wake-timer");
        pair.connected.0.send(WAKE_TIMER, Some(other.as_fd())).unwrap();
        let expected = PacketError::NoTimer(PacketKind::WakeTimer);
        assert_eq!(pair.accepted.1.gone(), Gone::Packet(expected));
    }
}
