//! The *cell* of an actor, which its task shares with its references.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mycelium_core::channel::{Queue, QueueSender};
use mycelium_core::ring::PushError;
use mycelium_transports::counters::ActorValue;

use super::Set;
use super::core::{AnyCell, Core};
use crate::actor::values::{FindActorError, Mail};
use crate::support::lock::lock;

/// The core of an actor, and a sender for further references.
pub(crate) struct Cell<M: Mail, Q: Queue> {
    pub(crate) core: Core,
    /// The set of actors to which the actor belongs.
    pub(crate) set: Arc<Set>,
    /// The sender that is cloned for references. `None` once all references are dropped, or if the
    /// queue has one sender and a reference has it.
    master: Mutex<Option<Q::Sender<M>>>,
    /// For a queue with one sender: when one side has ended, the number of messages that it has
    /// sent or taken. The difference between both numbers is the number of unhandled messages.
    pub(crate) unseen: AtomicU64,
}

impl<M: Mail, Q: Queue> Cell<M, Q> {
    /// `sender`: `None` if the queue has one sender, which the first reference takes.
    pub(crate) fn new(core: Core, set: Arc<Set>, sender: Option<Q::Sender<M>>) -> Cell<M, Q> {
        Cell { core, set, master: Mutex::new(sender), unseen: AtomicU64::new(0) }
    }

    /// Returns a sender for a new reference.
    pub(crate) fn sender(&self) -> Result<Q::Sender<M>, FindActorError> {
        let mut master = lock(&self.master);
        let name = || self.core.label().to_string();
        let Some(sender) = &*master else {
            return Err(FindActorError::OneSender { name: name(), queue: Q::NAME });
        };
        match sender.try_clone() {
            Some(sender) => Ok(sender),
            // The queue allows only one sender, which the new reference takes.
            None => master
                .take()
                .ok_or_else(|| FindActorError::OneSender { name: name(), queue: Q::NAME }),
        }
    }

    /// Sends to the mailbox by the sender of the cell.
    #[inline]
    pub(crate) fn try_send(&self, mail: M) -> Result<(), PushError<M>> {
        match &mut *lock(&self.master) {
            Some(sender) => sender.try_send(mail),
            None => Err(PushError::Closed(mail)),
        }
    }

    /// Returns whether the mailbox refuses messages.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.master).as_ref().is_none_or(QueueSender::is_closed)
    }

    /// Decrements the number of references. The mailbox closes with the last one.
    pub(crate) fn end_refer(&self) {
        if self.core.end_refer() {
            let master = lock(&self.master).take();
            drop(master);
        }
    }

    /// Notes the end of one side of a queue with one sender: the number of messages that the sender
    /// has sent or the actor has taken. The second call counts the difference.
    pub(crate) fn count_unseen(&self, messages: u64) {
        const SET: u64 = 1 << 63;
        let other = self.unseen.swap(messages | SET, Ordering::AcqRel);
        if other & SET != 0 {
            let unseen = (other & !SET).abs_diff(messages);
            // Counts no 0: the first call, also with 0, decides which thread stores second words.
            if unseen > 0 {
                self.core.kind.line.count_many(ActorValue::Unseen, unseen);
            }
        }
    }
}

impl<M: Mail, Q: Queue> AnyCell for Cell<M, Q> {
    fn core(&self) -> &Core {
        &self.core
    }

    fn describe(&self) -> String {
        describe::<Q>(self.core.kind.name)
    }

    fn release(&self) {
        self.end_refer();
    }
}

/// A cell of any type, with its set.
pub(crate) trait SetCell: AnyCell {
    fn set(&self) -> &Arc<Set>;
}

impl<M: Mail, Q: Queue> SetCell for Cell<M, Q> {
    fn set(&self) -> &Arc<Set> {
        &self.set
    }
}

/// Returns the name of an actor type with its queue.
pub(crate) fn describe<Q: Queue>(actor: &str) -> String {
    format!("{actor} ({})", Q::NAME)
}
