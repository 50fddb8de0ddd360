//! What the owner of links asks of them, and whether they are ready.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;

use event_listener::{Event, EventListener};

use crate::sync::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

/// Shared by all links of a process: what they are to do, and how many things they still wait for.
#[derive(Debug, Default)]
pub struct Control {
    phase: AtomicU8,
    shutdown: AtomicBool,
    /// Topics that were announced and have not found their other side.
    unready: AtomicUsize,
    /// Tasks and taps that something still depends on.
    busy: AtomicUsize,
    changed: Event,
}

/// What links are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    Run,
    /// Readers leave; what publishers have sent is brought to an end.
    Drain,
    /// Whatever is left is left.
    Stop,
}

impl Control {
    /// Publishers that end from now on do so because the node shuts down, and may come back.
    pub fn shut_down(&self) {
        self.shutdown.store(true, Ordering::Release);
        self.changed.notify(usize::MAX);
    }

    /// Readers leave, publishers' messages are brought to an end: no publisher sends any more.
    pub fn drain(&self) {
        self.enter(Phase::Drain);
    }

    /// Ends all links, whatever is on its way.
    pub fn stop(&self) {
        self.enter(Phase::Stop);
    }

    /// Ready once every topic that was announced has found its other side, or links are to end: says whether it is the
    /// first.
    pub async fn ready(&self) -> bool {
        let ready = || self.unready.load(Ordering::Acquire) == 0;
        self.until(|| ready() || self.phase() > Phase::Run || self.is_shutdown()).await;
        ready()
    }

    /// Ready once nothing is on its way any more and all links have ended, after [`drain`](Control::drain) or
    /// [`stop`](Control::stop).
    pub async fn ended(&self) {
        self.until(|| self.busy.load(Ordering::Acquire) == 0).await;
    }

    pub(super) fn is_shutdown(&self) -> bool {
        self.shutdown.load(Ordering::Acquire)
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Run,
            1 => Phase::Drain,
            _ => Phase::Stop,
        }
    }

    /// The phase, and a wake when it changes.
    pub(super) fn watch(
        &self,
        context: &mut Context<'_>,
        listener: &mut Option<EventListener>,
    ) -> Phase {
        loop {
            let listening = listener.get_or_insert_with(|| self.changed.listen());
            let phase = self.phase();
            if phase == Phase::Stop || Pin::new(listening).poll(context).is_pending() {
                return phase;
            }
            *listener = None;
        }
    }

    pub(super) async fn until_draining(&self) {
        self.until(|| self.phase() > Phase::Run).await;
    }

    pub(super) async fn until_stopped(&self) {
        self.until(|| self.phase() == Phase::Stop).await;
    }

    pub(super) fn expect(&self, count: usize) {
        self.unready.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn found(&self) {
        self.unready.fetch_sub(1, Ordering::Release);
        self.changed.notify(usize::MAX);
    }

    fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.changed.notify(usize::MAX);
    }

    /// Check, listen, check.
    async fn until(&self, holds: impl Fn() -> bool) {
        while !holds() {
            let changed = self.changed.listen();
            if holds() {
                return;
            }
            changed.await;
        }
    }
}

/// Something that links still have to do, as long as it is there.
#[derive(Debug)]
pub(super) struct Busy(Arc<Control>);

impl Busy {
    pub(super) fn new(control: &Arc<Control>) -> Busy {
        control.busy.fetch_add(1, Ordering::Relaxed);
        Busy(control.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Release);
        self.0.changed.notify(usize::MAX);
    }
}
