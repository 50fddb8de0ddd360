//! The state of a mailbox that requesters check while they wait for a reply.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use mycelium_transports::counters::{Line, ResponderValue};

/// Flags that the node sets; initially all false.
#[derive(Debug, Default)]
pub(crate) struct MailboxState {
    /// Requests are rejected when the mailbox is full; otherwise they wait.
    pub(super) rejects: AtomicBool,
    /// A told call that has no room is dropped, which is no error.
    pub(super) drops: AtomicBool,
    /// The node shuts down, and has closed the mailbox.
    pub(super) shuts_down: AtomicBool,
    /// The mailbox's requests go to another node.
    pub(super) is_remote: AtomicBool,
    /// No task takes requests from the mailbox any more.
    is_unread: AtomicBool,
    /// The other node is not connected.
    pub(super) is_unreachable: AtomicBool,
    /// Whether requests that were sent to the other node were cancelled.
    cancelled: Cancelled,
    /// The answering services.
    pub(super) responders: Arc<Responders>,
}

/// The number of responders in one block of the list.
const RESPONDERS: usize = 8;

/// The counters of the services that answer a topic, by number, so that a held request stores only
/// the number. Entries are never removed: a service keeps its number as long as the node lives.
#[derive(Debug, Default)]
pub(crate) struct Responders {
    lines: [OnceLock<Line<ResponderValue>>; RESPONDERS],
    next: OnceLock<Box<Responders>>,
}

impl Responders {
    /// Adds the counters of a service, and returns their number.
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
    /// Creates the state of a mailbox whose requests are counted by `responders`.
    pub(crate) fn counted_by(responders: Arc<Responders>) -> MailboxState {
        MailboxState { responders, ..MailboxState::default() }
    }

    /// Notes that the node, or the set of actors, shuts down.
    pub(crate) fn set_shuts_down(&self) {
        self.shuts_down.store(true, Ordering::Relaxed);
    }

    /// Makes the mailbox reject requests when it is full.
    pub(crate) fn reject(&self) {
        self.rejects.store(true, Ordering::Relaxed);
    }

    /// Makes the mailbox drop told calls when it is full, and reject requests.
    pub(crate) fn drop_told(&self) {
        self.drops.store(true, Ordering::Relaxed);
        self.reject();
    }

    /// Notes that requests go to another node, and whether that node is connected.
    pub(crate) fn set_remote(&self, is_connected: bool) {
        self.is_remote.store(true, Ordering::Relaxed);
        self.is_unreachable.store(!is_connected, Ordering::Relaxed);
    }

    /// Notes that no task takes requests any more. Waiting requests are dropped after this call.
    pub(crate) fn end_reading(&self) {
        self.is_unread.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Returns whether no service will take a request that was sent before this call. If false, and
    /// the last taker ends later, that taker drops the request. Reason: a send raises a fence, or
    /// wakes a task that will take the request. Of that fence and the fence of `end_reading`, the
    /// later one sees all that was written before the earlier one.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread.load(Ordering::Relaxed)
    }

    /// Notifies the client of the other node that a taken request was cancelled.
    pub(super) fn cancel(&self) {
        if self.is_remote.load(Ordering::Relaxed) {
            // Release: a client that sees this flag sees the cancelled request.
            self.cancelled.some.store(true, Ordering::Release);
            self.cancelled.client.wake();
        }
    }

    /// Returns whether requests were cancelled since
    /// [`forget_cancelled`](MailboxState::forget_cancelled). If not, registers `waker` to be woken
    /// when one is.
    pub(crate) fn has_cancelled(&self, waker: &Waker) -> bool {
        self.cancelled.client.register(waker);
        self.cancelled.some.load(Ordering::Acquire)
    }

    pub(crate) fn forget_cancelled(&self) {
        self.cancelled.some.swap(false, Ordering::AcqRel);
    }
}
