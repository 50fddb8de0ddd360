//! The services of one type: [`Incoming`] publishes the messages of clients, [`Outgoing`] sends the
//! messages of a topic to clients.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use mycelium_core::Message;
use mycelium_core::channel::mpmc::Receiver;
use mycelium_core::legacy::{LONGEST_PAYLOAD, frame_header};
use mycelium_macros::service;
use mycelium_transports::counters::LegacyValue;
use mycelium_transports::local::Delivery;

use super::codec::LegacyCodec;
use super::hub::Hub;
use super::intake::FromClient;
use crate::error::Result;
use crate::links::log::Level;
use crate::service::Context;

/// Which client sent each message of an [`Incoming`], for the [`Outgoing`] of the same topic, which
/// does not return messages to their sender. Has entries for the messages that may still be read.
#[derive(Debug, Default)]
pub(crate) struct Origins(OnceLock<Table>);

#[derive(Debug)]
struct Table {
    epoch: u64,
    /// The entry of the message with sequence `n` is at index `n` modulo the length.
    clients: Box<[AtomicU64]>,
}

impl Origins {
    /// Sets the table for the messages of a publisher with this epoch, whose ring has `capacity`
    /// slots.
    fn begin(&self, epoch: u64, capacity: usize) {
        // Two rings of entries: while a message is being published, a whole ring before it may be
        // unread.
        let clients = || (0..2 * capacity).map(|_| AtomicU64::new(0)).collect();
        self.0.get_or_init(|| Table { epoch, clients: clients() });
    }

    /// Sets the client that sent the next message. When the ring publishes the message, this entry
    /// becomes visible to its readers, too.
    fn set(&self, sequence: u64, client: u64) {
        if let Some(place) = self.0.get().and_then(|table| table.place(sequence)) {
            place.store(client, Ordering::Relaxed);
        }
    }

    /// Returns the client that sent a message; `None` if it did not come from a client.
    fn of(&self, epoch: Option<u64>, sequence: u64) -> Option<u64> {
        let table = self.0.get().filter(|table| Some(table.epoch) == epoch)?;
        table.place(sequence).map(|place| place.load(Ordering::Relaxed))
    }
}

impl Table {
    fn place(&self, sequence: u64) -> Option<&AtomicU64> {
        let length = (self.clients.len() as u64).max(1);
        self.clients.get((sequence % length) as usize)
    }
}

/// Publishes the messages of one type that clients send.
pub(crate) struct Incoming<M: Message> {
    pub(crate) hub: Arc<Hub>,
    pub(crate) receiver: Receiver<FromClient<M>>,
    pub(crate) origins: Option<Arc<Origins>>,
}

#[service(send, emits(M as topic))]
impl<M: Message> Incoming<M> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let publisher = ctx.publisher_of(Self::topic);
        let origins = self.origins.as_deref();
        origins.inspect(|it| it.begin(publisher.epoch(), publisher.capacity()));
        // At a shutdown, this publishes the messages that clients have already sent.
        while let Some(FromClient { client, message }) = self.receiver.recv().await {
            if let Some(origins) = origins {
                origins.set(ctx.publisher_of(Self::topic).sent(), client);
            }
            match ctx.pass_on(Self::topic, message).await {
                Ok(()) => self.hub.count(LegacyValue::Received, 1),
                Err(error) => {
                    self.hub.count(LegacyValue::Refused, 1);
                    let words = format_args!("a message of a client is lost: {error}");
                    self.hub.log(Level::Warn, "refused", "", &words);
                }
            }
        }
        Ok(())
    }
}

/// Sends the messages of a topic to all clients.
pub(crate) struct Outgoing<M: Message> {
    pub(crate) hub: Arc<Hub>,
    pub(crate) type_id: u16,
    pub(crate) codec: Arc<LegacyCodec<M>>,
    pub(crate) origins: Option<Arc<Origins>>,
}

#[service(send, reads(M as topic))]
impl<M: Message> Outgoing<M> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut messages = ctx.subscribe_on(Self::topic)?;
        let mut payload = Vec::new();
        while let Some(delivery) = messages.recv().await {
            match delivery {
                Delivery::Msg(message) => {
                    let epoch = messages.epoch_in_flight();
                    let from = self.origins.as_ref();
                    let from = from.and_then(|origins| origins.of(epoch, message.sequence()));
                    payload.clear();
                    self.codec.encode(&message, &mut payload);
                    match u32::try_from(payload.len()) {
                        Ok(length) if length <= LONGEST_PAYLOAD => {
                            self.hub.send(&frame_header(self.type_id, length), &payload, from);
                        }
                        _ => {
                            let length = payload.len();
                            let why = format_args!(
                                "a payload of {length} bytes: at most {LONGEST_PAYLOAD} can be sent"
                            );
                            self.lose(1, &why);
                        }
                    }
                }
                // A gap is only counted: the original system has no frame for gaps.
                Delivery::Gap(gap) => self.lose(gap.count, &gap),
            }
        }
        Ok(())
    }
}

impl<M: Message> Outgoing<M> {
    /// Counts messages that clients miss.
    fn lose(&self, count: u64, why: &dyn std::fmt::Display) {
        self.hub.count(LegacyValue::Missed, count);
        let words = format_args!("clients miss messages of type {}: {why}", self.type_id);
        self.hub.log(Level::Warn, "missed", &self.type_id.to_string(), &words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_of_each_unread_message_is_known() {
        let origins = Origins::default();
        assert_eq!(origins.of(Some(1), 0), None, "nothing was sent");
        origins.begin(1, 4);
        // All slots of a ring of 4 are unread, and one more message is about to be published.
        (0..5).for_each(|sequence| origins.set(sequence, 100 + sequence));
        assert!((0..5).all(|sequence| origins.of(Some(1), sequence) == Some(100 + sequence)));
        assert_eq!(origins.of(Some(2), 0), None, "the message of another publisher");
        assert_eq!(origins.of(None, 0), None);
    }
}
