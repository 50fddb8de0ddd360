//! What a mailbox is like, for those who wait for a reply.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use mycelium_transports::counters::{Line, ResponderValue};

/// Set by the node; all are false at first.
#[derive(Debug, Default)]
pub(crate) struct MailboxState {
    /// Requests are rejected when it is full; otherwise they wait.
    pub(super) rejects: Flag,
    /// The node shuts down, and has closed it.
    pub(super) shuts_down: Flag,
    /// Its requests go to another node.
    pub(super) is_remote: Flag,
    /// Nobody takes requests from it any more.
    is_unread: Flag,
    /// That node is not connected.
    pub(super) is_unreachable: Flag,
    /// Requests that were sent to that node are cancelled.
    cancelled: Cancelled,
    /// Those who answer.
    pub(super) responders: Arc<Responders>,
}

/// How many responders one block has.
const RESPONDERS: usize = 8;

/// The counters of those who answer a topic, by number, so that a request that is held needs no
/// handle of its own. None is removed: a service has one for as long as the node lives.
#[derive(Debug, Default)]
pub(crate) struct Responders {
    lines: [OnceLock<Line<ResponderValue>>; RESPONDERS],
    next: OnceLock<Box<Responders>>,
}

impl Responders {
    /// Adds one, and returns its number.
    pub(crate) fn add(&self, mut line: Line<ResponderValue>) -> usize {
        for (number, place) in self.lines.iter().enumerate() {
            match place.set(line) {
                Ok(()) => return number,
                Err(refused) => line = refused,
            }
        }
        RESPONDERS + self.next.get_or_init(Box::default).add(line)
    }

    #[inline]
    pub(super) fn count(&self, number: usize, value: ResponderValue) {
        match self.lines.get(number) {
            Some(place) => place.get().into_iter().for_each(|line| line.count(value)),
            None => {
                let next = self.next.get().into_iter();
                next.for_each(|next| next.count(number - RESPONDERS, value));
            }
        }
    }
}

#[derive(Debug, Default)]
struct Cancelled {
    some: AtomicBool,
    client: AtomicWaker,
}

impl MailboxState {
    /// That of a mailbox whose requests are counted by these.
    pub(crate) fn counted_by(responders: Arc<Responders>) -> MailboxState {
        MailboxState { responders, ..MailboxState::default() }
    }

    /// The node, or the set of actors, shuts down.
    pub(crate) fn set_shuts_down(&self) {
        self.shuts_down.set(true);
    }

    /// Requests that find it full are rejected.
    pub(crate) fn reject(&self) {
        self.rejects.set(true);
    }

    /// Its requests go to another node, which is connected or not.
    pub(crate) fn set_remote(&self, is_connected: bool) {
        self.is_remote.set(true);
        self.is_unreachable.set(!is_connected);
    }

    /// Nobody takes requests from it any more. Requests that wait are dropped after this.
    pub(crate) fn end_reading(&self) {
        self.is_unread.set(true);
        fence(Ordering::SeqCst);
    }

    /// Whether nobody takes a request any more that was sent before this. If not, and nobody takes
    /// it later, it is dropped. A send raises a fence, or wakes a task that will take what it sent:
    /// of that fence and the one of `end_reading`, the later one sees what was before the other.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread.get()
    }

    /// A request that was taken is cancelled.
    pub(super) fn cancel(&self) {
        if self.is_remote.get() {
            // Release: the client that sees this sees that the request is cancelled.
            self.cancelled.some.store(true, Ordering::Release);
            self.cancelled.client.wake();
        }
    }

    /// Whether requests were cancelled since [`forget_cancelled`](MailboxState::forget_cancelled).
    /// If not, the task is woken when one is.
    pub(crate) fn has_cancelled(&self, waker: &Waker) -> bool {
        self.cancelled.client.register(waker);
        self.cancelled.some.load(Ordering::Acquire)
    }

    pub(crate) fn forget_cancelled(&self) {
        self.cancelled.some.swap(false, Ordering::AcqRel);
    }
}

#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub(super) fn set(&self, value: bool) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
