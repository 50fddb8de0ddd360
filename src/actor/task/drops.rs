//! Drops of the user's values: the instance, a waiting handler with what it holds, the message of a
//! timer. A panic in one of these drops is counted and logged, and changes nothing else: the task
//! goes on, and another drop may panic, too, without ending the process.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mycelium_core::channel::Queue;
use mycelium_transports::counters::ActorValue;

use crate::actor::life::Actor;
use crate::actor::set::cell::{Cell, SetCell};
use crate::actor::values::Severity;
use crate::supervise::{Panic, caught, text_and_place, with_place};
use crate::support::log;

/// The instance of an actor, if there is one.
pub(crate) struct Instance<A: Actor, Q: Queue> {
    pub(crate) actor: Option<A>,
    pub(crate) cell: Arc<Cell<A::Mail, Q>>,
}

impl<A: Actor, Q: Queue> Instance<A, Q> {
    pub(crate) fn none(cell: &Arc<Cell<A::Mail, Q>>) -> Instance<A, Q> {
        Instance { actor: None, cell: cell.clone() }
    }
}

impl<A: Actor, Q: Queue> Drop for Instance<A, Q> {
    fn drop(&mut self) {
        discard_by(&*self.cell, &mut || self.actor = None);
    }
}

/// A future of an actor, which may hold values of the user while it waits. Drops it in place.
pub(crate) struct Guarded<'a, F, C: SetCell> {
    pub(crate) future: Pin<&'a mut Option<F>>,
    pub(crate) cell: &'a C,
}

impl<F: Future, C: SetCell> Guarded<'_, F, C> {
    /// Polls the future, which is there until this value is dropped.
    #[inline]
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.future.as_mut().as_pin_mut() {
            Some(future) => future.poll(context),
            None => Poll::Pending,
        }
    }
}

impl<F, C: SetCell> Drop for Guarded<'_, F, C> {
    fn drop(&mut self) {
        discard_by(self.cell, &mut || self.future.set(None));
    }
}

/// Drops a value of the user.
pub(crate) fn discard<T>(cell: &dyn SetCell, value: T) {
    let mut value = Some(value);
    discard_by(cell, &mut || value = None);
}

/// Takes a `dyn` function, so that it is compiled once.
fn discard_by(cell: &dyn SetCell, drops: &mut dyn FnMut()) {
    if let Err(panic) = caught(drops) {
        count_panic(cell, panic, "a value of the actor panicked when it was dropped");
    }
}

/// Counts and logs a panic that does not change what the actor does next.
#[cold]
pub(crate) fn count_panic(cell: &dyn SetCell, panic: Panic, what: &str) {
    cell.core().kind.count(ActorValue::Panics);
    let (actor, error) = (cell.core().label(), panicked(panic));
    note_failure(cell, &format_args!("panic: {error}"), Severity::Panic);
    log::error!(actor = &*actor, error, "{}", what);
}

/// Notes a failure for a test.
pub(crate) fn note_failure(cell: &dyn SetCell, error: &dyn fmt::Display, severity: Severity) {
    #[cfg(feature = "testing")]
    if let Some(notes) = cell.set().notes.get() {
        notes.add_failure(cell.core().label(), error, severity);
    }
    let _ = (cell, error, severity);
}

/// Returns the text of a panic, with its location.
pub(crate) fn panicked(panic: Panic) -> String {
    let (text, place) = text_and_place(panic);
    with_place(&text, place.as_deref())
}
