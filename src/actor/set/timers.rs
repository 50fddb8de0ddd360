//! The timers of one actor: messages that it tells itself, later or periodically. They are part of
//! the actor's task and need no task of their own.

use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use mycelium_executor::{Executor, SendFuture};

/// A timer of an actor: [`ActorContext::tell_after`](crate::actor::ActorContext::tell_after).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer(u64);

/// The message of a timer, told once or periodically.
pub(crate) enum Message<M> {
    Once(Option<M>),
    Every(Duration, Box<dyn FnMut() -> M + Send>),
}

struct Entry<M> {
    timer: Timer,
    at: Duration,
    message: Message<M>,
}

/// The timers of one actor.
pub(crate) struct Timers<M> {
    entries: Vec<Entry<M>>,
    next: u64,
    /// Sleeps until the earliest timer is due.
    sleep: Option<(Duration, SendFuture<()>)>,
    /// The number of messages that the timers have told.
    told: u64,
    /// Whether the last message came from a timer, so that the mailbox is polled next.
    is_turn_of_mailbox: bool,
}

impl<M> Default for Timers<M> {
    fn default() -> Timers<M> {
        Timers { entries: Vec::new(), next: 0, sleep: None, told: 0, is_turn_of_mailbox: false }
    }
}

impl<M> Timers<M> {
    /// Cancels one timer and returns its message. Without timers, ends the sleep and returns `None`.
    /// A timer that is created later has another number.
    pub(crate) fn pop(&mut self) -> Option<Message<M>> {
        let entry = self.entries.pop();
        if entry.is_none() {
            self.sleep = None;
        }
        entry.map(|entry| entry.message)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of messages that the timers have told.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    /// Returns whether the mailbox is polled first this time, so that timers that are always due do
    /// not starve the mailbox.
    pub(crate) fn is_turn_of_mailbox(&mut self) -> bool {
        std::mem::take(&mut self.is_turn_of_mailbox)
    }

    pub(crate) fn add(&mut self, at: Duration, message: Message<M>) -> Timer {
        let timer = Timer(self.next);
        self.next += 1;
        self.entries.push(Entry { timer, at, message });
        timer
    }

    /// Cancels a timer. Returns whether the timer still had a message to tell.
    pub(crate) fn cancel(&mut self, timer: Timer) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.timer != timer);
        self.entries.len() != before
    }

    /// Returns the message of the first expired timer. If none has expired, wakes the task when one
    /// does.
    pub(crate) fn poll(&mut self, executor: &dyn Executor, context: &mut Context<'_>) -> Poll<M> {
        loop {
            let first = self.entries.iter().enumerate().min_by_key(|(_, entry)| entry.at);
            let Some((index, at)) = first.map(|(index, entry)| (index, entry.at)) else {
                return Poll::Pending;
            };
            let now = executor.now();
            if at <= now {
                if let Some(message) = self.expire(index, now) {
                    self.told += 1;
                    self.is_turn_of_mailbox = true;
                    return Poll::Ready(message);
                }
                continue;
            }
            let sleep = match &mut self.sleep {
                Some((until, sleep)) if *until == at => sleep,
                _ => &mut self.sleep.insert((at, executor.sleep_until(at))).1,
            };
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.sleep = None;
            // The clock may lag behind its timer; without this check the loop would spin.
            if executor.now() < at {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Returns the message of an expired timer. A periodic timer is next due at the first multiple
    /// of its period after `now`.
    fn expire(&mut self, index: usize, now: Duration) -> Option<M> {
        let entry = &mut self.entries[index];
        match &mut entry.message {
            Message::Every(period, make) => {
                let late = now.saturating_sub(entry.at).as_nanos() / period.as_nanos().max(1);
                let periods = u32::try_from(late).unwrap_or(u32::MAX).saturating_add(1);
                entry.at = entry.at.saturating_add(period.saturating_mul(periods));
                Some(make())
            }
            Message::Once(message) => {
                let message = message.take();
                self.entries.swap_remove(index);
                message
            }
        }
    }
}

impl<M> fmt::Debug for Timers<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timers({})", self.entries.len())
    }
}
