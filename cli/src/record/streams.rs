//! From the deliveries of a topic to the entries of the recording.

use std::collections::HashMap;
use std::sync::Arc;

use mycelium::untyped::{MessageType, Source, UntypedDelivery, UntypedMessage, UntypedReader};
use mycelium_executor::Executor;
use mycelium_record::{End, RecordError, Recorded, Stream};
use mycelium_smol::Smol;

use super::output::{Output, Slot, nanoseconds};
use crate::peers::find::unavailable;
use crate::shared::exit::Failure;

/// The most deliveries of a topic, and about the most of their bytes, that are recorded before
/// another topic has its turn.
const BURST: usize = 1024;
const BURST_BYTES: usize = 1 << 20;

/// A topic of a node that is read.
pub(super) struct Reading {
    pub(super) reader: UntypedReader,
    topic: Topic,
}

/// What is known of the topic.
struct Topic {
    /// The name of the node, from its socket or the file.
    found: String,
    /// The name that the node has sent.
    node: String,
    topic: String,
    message: Option<Arc<MessageType>>,
    /// The streams that have begun and not ended.
    streams: HashMap<(Arc<str>, u64), Slot>,
    /// The stream of the last message.
    last: Option<(Source, Slot)>,
    has_ended: bool,
    /// Publishers wait for this reader.
    gates: bool,
}

impl Reading {
    pub(super) fn new(node: &str, topic: &str, reader: UntypedReader, gates: bool) -> Reading {
        let topic = Topic {
            found: node.to_owned(),
            node: node.to_owned(),
            topic: topic.to_owned(),
            message: None,
            streams: HashMap::new(),
            last: None,
            has_ended: false,
            gates,
        };
        Reading { reader, topic }
    }

    /// Returns whether publishers wait for this reader.
    pub(super) fn gates(&self) -> bool {
        self.topic.gates
    }

    /// Returns whether all publishers of the topic have ended. If they do not wait for this reader,
    /// they end with the connection, too.
    pub(super) fn has_ended(&self) -> bool {
        self.topic.has_ended
    }

    /// Records the deliveries that have arrived.
    pub(super) async fn take(
        &mut self,
        smol: &Smol,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let Reading { reader, topic } = self;
        let first = reader.recv().await;
        let mut next = first.map_err(|error| unavailable(&topic.found, &error))?;
        // All of them have arrived.
        let (at, mut bytes) = (nanoseconds(smol.wall_clock()), 0);
        for left in (0..BURST).rev() {
            let Some(delivery) = next else { return Ok(()) };
            if let UntypedDelivery::Message(message) = &delivery {
                bytes += message.bytes.len();
                topic.message(output, message, at)?;
            } else {
                topic.event(smol, output, &delivery, at).await?;
            }
            // Takes no delivery that it would not record in this turn.
            next = if left > 0 && bytes < BURST_BYTES { reader.try_recv() } else { None };
        }
        Ok(())
    }
}

impl Topic {
    /// Records a message.
    fn message(
        &mut self,
        output: &mut Output<'_>,
        message: &UntypedMessage<'_>,
        received_at: u64,
    ) -> Result<(), Failure> {
        let Some(slot) = self.slot(message.source) else { return Ok(()) };
        let recorded = Recorded {
            sequence: message.sequence,
            received_at,
            sent_at: message.sent_at,
            trace: message.trace,
            retained: message.retained,
            bytes: message.bytes,
        };
        output.message(slot, &recorded).map_err(|error| self.lied(&error))
    }

    /// Records a delivery that is not a message.
    async fn event(
        &mut self,
        smol: &Smol,
        output: &mut Output<'_>,
        delivery: &UntypedDelivery<'_>,
        at: u64,
    ) -> Result<(), Failure> {
        let recorded = match delivery {
            UntypedDelivery::Subscribed { node, message, .. } => {
                (self.node, self.message) = ((*node).to_owned(), Some((*message).clone()));
                Ok(())
            }
            UntypedDelivery::Began { source, first } => {
                let Some(message) = self.message.clone() else { return Ok(()) };
                let Source { publisher, epoch } = (*source).clone();
                let stream = Stream {
                    node: self.node.clone(),
                    topic: self.topic.clone(),
                    publisher: publisher.to_string(),
                    epoch,
                    message,
                };
                let slot = output.begin(smol, stream, *first, at).await?;
                self.streams.insert((publisher, epoch), slot);
                (self.last, self.has_ended) = (None, false);
                Ok(())
            }
            UntypedDelivery::Gap { source, next, missed, reason } => match self.slot(source) {
                Some(slot) => output.gap(slot, *next, *missed, *reason, at),
                None => Ok(()),
            },
            UntypedDelivery::Ended { source, next } => {
                self.end(output, source, End::Ended, *next, at)
            }
            UntypedDelivery::Lost { source, next } => {
                self.end(output, source, End::Lost, *next, at)
            }
            UntypedDelivery::Disconnected { reason } => {
                output.disconnected(&self.node, &self.topic, reason, at);
                self.has_ended |= !self.gates;
                Ok(())
            }
            UntypedDelivery::TopicEnded => {
                (self.last, self.has_ended) = (None, true);
                // The ends of these streams did not arrive.
                let mut streams = self.streams.drain();
                streams.try_for_each(|(_, slot)| output.end(slot, End::Lost, None, at))
            }
            _ => Ok(()),
        };
        recorded.map_err(|error| self.lied(&error))
    }

    fn end(
        &mut self,
        output: &mut Output<'_>,
        source: &Source,
        end: End,
        next: u64,
        at: u64,
    ) -> Result<(), RecordError> {
        let slot = self.streams.remove(&(source.publisher.clone(), source.epoch));
        (self.last, self.has_ended) = (None, self.streams.is_empty());
        slot.map_or(Ok(()), |slot| output.end(slot, end, Some(next), at))
    }

    /// Returns the stream of a publisher.
    fn slot(&mut self, source: &Source) -> Option<Slot> {
        match &self.last {
            Some((known, slot)) if known == source => Some(*slot),
            _ => {
                let slot = *self.streams.get(&(source.publisher.clone(), source.epoch))?;
                self.last = Some((source.clone(), slot));
                Some(slot)
            }
        }
    }

    /// Returns the failure of a node whose deliveries do not add up.
    fn lied(&self, error: &RecordError) -> Failure {
        Failure::Unavailable(format!("node `{}`: {error}", self.found))
    }
}
