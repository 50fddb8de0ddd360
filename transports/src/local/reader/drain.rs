//! A subscription that takes messages and looks at none.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::subscription::Finisher;
use super::{Found, Reader};
use crate::local::task_budget::{DeferredWakes, TaskBudget};
use crate::local::topic::{Membership, Topic};
use crate::local::values::{SubscribeOptions, TopicError};

/// Takes all messages of a topic of this process and discards them, for a program that stands in
/// for a reader whose publishers would wait. Dropping it unsubscribes.
pub struct Drain {
    reader: Reader,
}

impl Drain {
    /// Subscribes to all publishers, present and future, as [`Topic::subscribe`] does for a type.
    ///
    /// # Errors
    /// If the topic has too many gating subscriptions.
    pub fn new(
        topic: &Arc<Topic>,
        name: &str,
        options: SubscribeOptions,
    ) -> Result<Drain, TopicError> {
        topic.check_key(options)?;
        Ok(Drain { reader: Reader::new(Membership::join(topic, name, options, false)?) })
    }

    /// Attaches this subscription to a task's budget. The code that polls the task passes the
    /// returned value to [`poll_with`](crate::local::poll_with).
    pub fn attach(&mut self, budget: &Arc<TaskBudget>) -> DeferredWakes {
        self.reader.attach(budget)
    }

    /// Returns a handle that can end this subscription from another task.
    #[must_use]
    pub fn finisher(&self) -> Finisher {
        Finisher(self.reader.membership.state.clone())
    }

    /// Discards messages until every publisher has ended, for hand-written futures.
    pub fn poll_drain(&mut self, context: &Context<'_>) -> Poll<()> {
        loop {
            if self.reader.is_exhausted(context) {
                return Poll::Pending;
            }
            self.reader.settle();
            match self.reader.find_or_park(context) {
                Found::Message(header) => self.reader.take(header),
                Found::Gap(_) => {}
                Found::Closed => return Poll::Ready(()),
                Found::Empty => return Poll::Pending,
            }
        }
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").finish_non_exhaustive()
    }
}
