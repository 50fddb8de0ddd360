//! An *intake* carries the frames of one type from a connection to the service that publishes them:
//! a bounded channel of messages, each with the number of its client.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use mycelium_core::Message;
use mycelium_core::channel::mpmc::{self, Receiver, Sender};

use super::codec::LegacyCodec;

/// The capacity of the channel of one type, in messages.
const WAITING: usize = 64;

/// Creates the [intakes](Intake) of one type.
pub(crate) trait MakeIntake: Send + Sync {
    /// Creates the intake of one more connection. `None` if the channel allows no more.
    fn intake(&self) -> Option<Box<dyn Intake>>;

    /// Closes the channel: no more messages are accepted.
    fn close(&self);
}

/// Takes the frames of one type from one connection.
pub(crate) trait Intake: Send {
    /// Decodes a payload from a client. Call [`poll_send`](Intake::poll_send) next.
    fn decode(&mut self, client: u64, payload: &[u8]) -> Result<(), String>;

    /// Sends the decoded message. False if the channel is closed.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<bool>;
}

/// A message, and the number of the client that sent it.
#[derive(Debug)]
pub(crate) struct FromClient<M> {
    pub(crate) client: u64,
    pub(crate) message: M,
}

/// Creates the channel of messages `M`: the factory of its intakes, and its receiver.
pub(crate) fn channel<M: Message>(
    codec: &Arc<LegacyCodec<M>>,
) -> (Box<dyn MakeIntake>, Receiver<FromClient<M>>) {
    let (sender, receiver) = mpmc::bounded(WAITING).expect("the capacity is a power of two");
    (Box::new(Intakes { codec: codec.clone(), sender }), receiver)
}

struct Intakes<M: Message> {
    codec: Arc<LegacyCodec<M>>,
    sender: Sender<FromClient<M>>,
}

impl<M: Message> MakeIntake for Intakes<M> {
    fn intake(&self) -> Option<Box<dyn Intake>> {
        let (codec, sender) = (self.codec.clone(), self.sender.try_clone()?);
        Some(Box::new(TypedIntake { codec, sender, waiting: None }))
    }

    fn close(&self) {
        self.sender.close_channel();
    }
}

struct TypedIntake<M: Message> {
    codec: Arc<LegacyCodec<M>>,
    sender: Sender<FromClient<M>>,
    waiting: Option<FromClient<M>>,
}

impl<M: Message> Intake for TypedIntake<M> {
    fn decode(&mut self, client: u64, payload: &[u8]) -> Result<(), String> {
        self.waiting = Some(FromClient { client, message: self.codec.decode(payload)? });
        Ok(())
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.waiting.is_none() {
            return Poll::Ready(true);
        }
        let sent = ready!(self.sender.poll_send(context, &mut self.waiting));
        Poll::Ready(sent.is_ok())
    }
}
