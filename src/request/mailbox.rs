//! The queue in which the requests of one topic wait for a service of this node.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mycelium_core::Request;
use mycelium_core::channel::mpmc::{self, Receiver, Sender};
use mycelium_core::ring::CapacityError;

use super::slot::Slot;
use super::state::MailboxState;

/// A request in a mailbox. If it is dropped there, its requester learns that nobody takes it.
pub(super) struct Queued<Q: Request>(Option<Arc<Slot<Q>>>);

impl<Q: Request> Queued<Q> {
    pub(super) fn new(slot: Arc<Slot<Q>>) -> Queued<Q> {
        Queued(Some(slot))
    }

    /// The slot, if its requester still waits: the service has taken the request.
    pub(super) fn take(mut self) -> Option<Arc<Slot<Q>>> {
        self.0.take().filter(|slot| slot.take())
    }

    /// The request was not sent.
    pub(super) fn withdraw(mut self) {
        self.0 = None;
    }
}

impl<Q: Request> Drop for Queued<Q> {
    fn drop(&mut self) {
        self.0.iter().for_each(|slot| slot.abandon());
    }
}

/// The mailbox of a topic. It closes when those who request have ended, or those who answer.
pub(crate) struct Mailbox<Q: Request> {
    /// All requesters have a copy; this one closes it.
    sender: Mutex<Sender<Queued<Q>>>,
    /// Keeps it open until the node starts.
    receiver: Mutex<Option<Receiver<Queued<Q>>>>,
    /// The services that request and have not ended. It closes with the last one.
    requesters: AtomicUsize,
    /// Requesters outside the services. It stays open for them, until a shutdown.
    outside: AtomicUsize,
    state: Arc<MailboxState>,
}

impl<Q: Request> Mailbox<Q> {
    fn new(capacity: usize) -> Result<Mailbox<Q>, CapacityError> {
        let (sender, receiver) = mpmc::bounded(capacity)?;
        Ok(Mailbox {
            sender: Mutex::new(sender),
            receiver: Mutex::new(Some(receiver)),
            requesters: AtomicUsize::new(0),
            outside: AtomicUsize::new(0),
            state: Arc::default(),
        })
    }

    pub(super) fn sender(&self) -> Sender<Queued<Q>> {
        lock(&self.sender).clone()
    }

    /// For a service that answers.
    pub(super) fn receiver(&self) -> Receiver<Queued<Q>> {
        let receiver = lock(&self.receiver);
        receiver.clone().expect("services are wired before the node starts")
    }

    pub(crate) fn state(&self) -> &Arc<MailboxState> {
        &self.state
    }

    pub(super) fn add_requester(&self, is_service: bool) {
        self.count(is_service).fetch_add(1, Ordering::AcqRel);
    }

    /// A requester has ended: the last one closes the mailbox.
    pub(super) fn end_requester(&self, is_service: bool) {
        let was_last = self.count(is_service).fetch_sub(1, Ordering::AcqRel) == 1;
        // Those outside do not close it: others may be made later.
        if was_last && is_service && self.outside.load(Ordering::Acquire) == 0 {
            lock(&self.sender).close_channel();
        }
    }

    fn count(&self, is_service: bool) -> &AtomicUsize {
        if is_service { &self.requesters } else { &self.outside }
    }
}

/// A mailbox of any request type, for the node.
pub(crate) trait AnyMailbox: Send + Sync {
    /// The node starts: without a service that answers, the mailbox closes.
    fn start(&self);
    /// The node shuts down: those who answer get the requests that wait, and then the end.
    fn close(&self);
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<Q: Request> AnyMailbox for Mailbox<Q> {
    fn start(&self) {
        let receiver = lock(&self.receiver).take();
        // Requests that were made before the start are dropped here if nobody answers.
        drop(receiver);
    }

    fn close(&self) {
        self.state.shuts_down.set(true);
        lock(&self.sender).close_channel();
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// The mailboxes of a node, by topic.
#[derive(Default)]
pub(crate) struct Mailboxes(Mutex<BTreeMap<&'static str, Arc<dyn AnyMailbox>>>);

impl Mailboxes {
    /// The mailbox of `Q`, made now if it does not exist. `None` if another request type has its
    /// topic.
    pub(crate) fn of<Q: Request>(
        &self,
        capacity: usize,
    ) -> Result<Option<Arc<Mailbox<Q>>>, CapacityError> {
        let mut mailboxes = lock(&self.0);
        let mailbox = match mailboxes.get(Q::TOPIC) {
            Some(mailbox) => mailbox.clone(),
            None => {
                let mailbox: Arc<dyn AnyMailbox> = Arc::new(Mailbox::<Q>::new(capacity)?);
                mailboxes.insert(Q::TOPIC, mailbox.clone());
                mailbox
            }
        };
        Ok(mailbox.into_any().downcast().ok())
    }

    /// The node starts.
    pub(crate) fn start(&self) {
        lock(&self.0).values().for_each(|mailbox| mailbox.start());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
