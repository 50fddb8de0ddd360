//! A topic that is read from the peer: what this side subscribes to, and what it has lost.

use std::sync::Arc;

use mycelium_core::descriptor::Digest;
use mycelium_core::link::{Interest, InterestId, Name, ReaderMode, ReaderStart, SendError};

use super::incoming_stream::IncomingStream;
use super::recalls::Recalls;
use crate::link::config::TopicInterest;
use crate::link::growth::Growth;
use crate::local::state::{Known, next_number};
use crate::local::{KeepOpen, Policy, Start, Topic};
use crate::seam::Credit;
use crate::stream::{NodeLink, STREAMS};

/// A topic that is read from the peer.
pub(super) struct RemoteTopic {
    pub(super) id: InterestId,
    pub(super) topic: Arc<Topic>,
    /// Prevents the subscriptions from ending until the peer has ended the topic.
    pub(super) keep_open: Option<KeepOpen>,
    /// The peer has never answered for this topic.
    pub(super) is_new: bool,
    pub(super) start: Start,
    /// A stream was lost on this connection. On the next one, this side subscribes from the next
    /// message on, so that the peer sends no earlier message again.
    pub(super) has_lost: bool,
    /// What this side subscribes to.
    pub(super) interest: Interest,
    /// How the peer's messages become those of this program, if the layout differs.
    pub(super) growth: Option<Growth>,
    /// The layout was compared on this connection.
    pub(super) is_compared: bool,
    pub(super) recalls: Recalls,
    /// The lost streams of the peer's process whose publishers retain messages, by epoch.
    pub(super) known: Vec<(u64, Known)>,
}

impl RemoteTopic {
    /// Subscribes to a topic.
    ///
    /// # Errors
    /// If the link has no place for it.
    pub(super) fn new(
        TopicInterest { topic, policy, start }: &TopicInterest,
        link: &mut NodeLink<'_>,
    ) -> Result<RemoteTopic, SendError> {
        let schema = topic.schema();
        let interest = Interest {
            topic: Name::try_from(topic.name()).unwrap_or_default(),
            type_id: schema.id,
            digest: schema.digest,
            mode: match policy {
                Policy::Block => ReaderMode::Gating,
                Policy::Reject => ReaderMode::Rejecting,
                Policy::DropNewest
                | Policy::DropOldest
                | Policy::Latest
                | Policy::LatestByKey(_)
                | Policy::Sample(_) => ReaderMode::Observing,
            },
            start: if start.is_earlier() { ReaderStart::Oldest } else { ReaderStart::Next },
            window: u32::try_from(Credit::of(topic).most).unwrap_or(u32::MAX),
            unit: Credit::of(topic).unit,
        };
        Ok(RemoteTopic {
            id: link.subscribe(interest)?,
            topic: topic.clone(),
            keep_open: Some(topic.keep_open()),
            is_new: true,
            start: *start,
            has_lost: false,
            interest,
            growth: None,
            is_compared: false,
            recalls: Recalls::default(),
            known: Vec::new(),
        })
    }

    /// Subscribes to messages with another layout. Returns false if the link has no more places or
    /// numbers.
    pub(super) fn resubscribe(
        &mut self,
        link: &mut NodeLink<'_>,
        digest: Digest,
        growth: Option<Growth>,
    ) -> bool {
        let more = growth.map_or(0, |growth| growth.more());
        let (credit, _) = Credit::of_longer(&self.topic, more);
        let window = u32::try_from(credit.most).unwrap_or(u32::MAX);
        let interest = Interest { digest, window, ..self.interest };
        let Ok(id) = link.subscribe(interest) else { return false };
        _ = link.unsubscribe(self.id);
        (self.id, self.interest, self.growth) = (id, interest, growth);
        true
    }

    /// Ends a stream of one of these topics as lost, because its end has not arrived.
    pub(super) fn lose(topics: &mut [RemoteTopic], stream: IncomingStream) {
        if let Some(topic) = topics.iter_mut().find(|topic| topic.id == stream.interest) {
            topic.has_lost = true;
            if stream.joiners.is_some() {
                let known = Known { next: stream.next(), number: next_number() };
                topic.known.retain(|(epoch, _)| *epoch != stream.epoch());
                topic.known.push((stream.epoch(), known));
                let surplus = topic.known.len().saturating_sub(STREAMS);
                topic.known.drain(..surplus);
            }
        }
        stream.lose();
    }
}
