//! The publisher of a topic whose message type is not known: puts bytes into a [`Writer`].

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use mycelium_core::wait::WaitStrategy;
use thiserror::Error;
use zerocopy::IntoBytes;

use super::value::ViewError;
use crate::layout::{Layout, LayoutError, MessageType};
use crate::link::LayoutMismatch;
use crate::local::state::Origin;
use crate::local::values::{Refusal, TopicError};
use crate::local::writer::Writer;
use crate::local::{DeferredWakes, EmitError, TaskBudget, Topic};

/// Emits messages to one topic as bytes, for a program that does not have their type. Readers check
/// each message. Dropping it ends its stream; sent messages are still delivered.
pub struct UntypedPublisher {
    writer: Writer,
    layout: Layout,
    /// The message that is pushed, as words.
    words: Vec<usize>,
}

/// Why a topic has no untyped publisher, or bytes were not sent.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum UntypedPublishError {
    /// The topic has a publisher with this epoch, or too many gating subscriptions.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The layout of the topic's messages is nested too deeply.
    #[error("topic `{topic}`: {error}")]
    Layout {
        /// The topic.
        topic: Arc<str>,
        /// The reason.
        error: LayoutError,
    },
    /// The bytes do not match the layout of the topic's messages.
    #[error("topic `{topic}`: {error}")]
    Message {
        /// The topic.
        topic: Arc<str>,
        /// The reason.
        error: ViewError,
    },
    /// A subscription or a fast handler refuses the message.
    #[error(transparent)]
    Refused(#[from] EmitError<()>),
}

/// The number of words that are kept for the next message: those of 1 MiB.
const KEPT: usize = (1 << 20) / size_of::<usize>();

impl UntypedPublisher {
    /// Creates a publisher of bytes with its own ring, as [`Topic::publisher`] does for a type.
    ///
    /// # Errors
    /// If the topic has a publisher with this epoch, or too many gating subscriptions, or its
    /// messages are nested too deeply.
    pub fn new(
        topic: &Arc<Topic>,
        name: &str,
        epoch: u64,
    ) -> Result<UntypedPublisher, UntypedPublishError> {
        let layout = Layout::of(topic.schema().descriptor)
            .map_err(|error| UntypedPublishError::Layout { topic: topic.name().into(), error })?;
        let origin = Origin::Local { is_typed: false };
        let writer = Writer::join(topic, name, epoch, origin, 0, None, None)?;
        Ok(UntypedPublisher { writer, layout, words: Vec::new() })
    }

    /// Sets how `emit` waits for room. The default is [`WaitStrategy::Park`].
    pub fn set_wait_strategy(&mut self, wait: WaitStrategy) {
        self.writer.set_wait_strategy(wait);
    }

    /// Attaches this publisher to a task's budget. The code that polls the task passes the returned
    /// value to [`poll_with`](crate::local::poll_with).
    pub fn attach(&mut self, budget: &Arc<TaskBudget>) -> DeferredWakes {
        self.writer.attach(budget)
    }

    /// Emits the bytes of a message. Waits while a [`Policy::Block`](crate::local::Policy::Block)
    /// subscription needs the whole ring.
    ///
    /// If the future is dropped before it completes, the message was not sent.
    ///
    /// # Errors
    /// If the bytes do not match the layout of the topic's messages, or a subscription or a fast
    /// handler refuses the message.
    pub async fn emit(&mut self, message: &[u8]) -> Result<(), UntypedPublishError> {
        self.check(message)?;
        let length = message.len();
        self.words.truncate(KEPT);
        self.words.shrink_to(KEPT);
        self.words.resize(length.div_ceil(size_of::<usize>()), 0);
        // The bytes after the message are 0.
        if let Some(last) = self.words.last_mut() {
            *last = 0;
        }
        self.words.as_mut_bytes()[..length].copy_from_slice(message);
        let emitted = poll_fn(|context| {
            if self.writer.is_exhausted(context) {
                return Poll::Pending;
            }
            self.writer.poll_push(context, &self.words, length)
        });
        emitted.await.map_err(|refusal| self.refused(refusal))
    }

    fn refused(&self, refusal: Refusal) -> UntypedPublishError {
        UntypedPublishError::Refused(EmitError::new(self.topic().clone(), (), refusal))
    }

    /// Checks that the bytes match the layout of the topic's messages, and what a typed publisher
    /// checks.
    fn check(&mut self, message: &[u8]) -> Result<(), UntypedPublishError> {
        let (expected, found) = (self.layout.size(), message.len());
        let is_fixed = self.writer.topic.schema().is_fixed;
        let viewed = match self.layout.view(message) {
            Ok(_) if is_fixed && found > expected => Err(ViewError::Size { expected, found }),
            viewed => viewed.map(drop),
        };
        if let Err(error) = viewed {
            return Err(UntypedPublishError::Message { topic: self.topic().clone(), error });
        }
        if is_fixed {
            return Ok(());
        }
        let checked = self.writer.check_length(found).map_err(Refusal::from);
        let checked = checked.and_then(|()| self.writer.check_keys(message));
        checked.map_err(|refusal| self.refused(refusal))
    }

    /// Compares a type of messages with that of the topic. Returns the difference, if there is one.
    #[must_use]
    pub fn mismatch(&self, message: &MessageType) -> Option<LayoutMismatch> {
        let (schema, digest) = (self.writer.topic.schema(), message.digest());
        let is_same = (schema.id, schema.digest) == (message.id, digest);
        (!is_same).then(|| LayoutMismatch::new(schema, digest, Some(&message.form)))
    }

    /// Returns the name of the publisher.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.writer.state.name
    }

    /// Returns the name of the publisher's topic.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.writer.state.topic
    }

    /// Returns the number of messages that the slowest gating reader still needs.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.writer.depth()
    }

    /// Waits until every gating subscription has finished all sent messages or has left, for
    /// hand-written futures.
    pub fn poll_confirmed(&mut self, context: &Context<'_>) -> Poll<()> {
        self.writer.poll_confirmed(context)
    }

    /// Waits while the threshold of backpressure is exceeded, for hand-written futures.
    pub fn poll_until_below(&mut self, context: &Context<'_>) -> Poll<()> {
        self.writer.poll_until_below(context)
    }

    /// Keeps what this publisher [retains](crate::local::Retain) after its end, until one of the
    /// same name joins.
    pub fn retain_after_end(&self) {
        self.writer.retain_after_end();
    }
}

impl fmt::Debug for UntypedPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = self.topic();
        f.debug_struct("UntypedPublisher").field("topic", topic).finish_non_exhaustive()
    }
}
