//! The ports of a service as types: the messages that it declares to read and emit, so that the
//! compiler refuses all others. `#[service]` implements these traits and creates the ports'
//! constants.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{self, Poll};

use mycelium_core::{Message, Request};
use mycelium_transports::local::{EmitError, Publisher};
#[cfg(feature = "describe")]
use mycelium_transports::untyped::UntypedPublisher;

use crate::error::BuildError;
use crate::inbox::Inbox;
use crate::inbox::request::{Answering, Requester};
use crate::plan::Ports;
use crate::service::emit::emitter::Emit;
use crate::service::wiring::Wiring;

/// A type with `#[service]`: its name and its ports.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    note = "put `#[mycelium::service(reads(..), emits(..))]` on `impl {Self} {{ async fn run(..) .. }}`"
)]
pub trait HasPorts: Sized + 'static {
    /// The service's name in topologies, logs and counters: the name of its type.
    const NAME: &'static str;
    /// Whether the service has no subscriptions.
    #[doc(hidden)]
    const IS_SOURCE: bool;
    /// The subscriptions of the service.
    #[doc(hidden)]
    type Inputs: Send + 'static;
    /// The publishers of the service.
    #[doc(hidden)]
    type Outputs: Send + 'static;

    #[doc(hidden)]
    fn ports() -> Ports;

    #[doc(hidden)]
    fn wire(wiring: &mut Wiring<'_>) -> Result<(Self::Inputs, Self::Outputs), BuildError>;

    #[doc(hidden)]
    fn each_output(outputs: &mut Self::Outputs, visit: &mut dyn FnMut(&mut dyn AnyPublisher));

    /// Calls `visitor` with each type that the service requests or answers.
    #[doc(hidden)]
    fn each_request(visitor: &mut impl RequestVisitor);
}

/// A visitor of request types.
pub trait RequestVisitor {
    /// Visits a type that the service requests or answers.
    fn visit<Q: Request>(&mut self);
}

/// A publisher of any message type.
pub trait AnyPublisher: Any {
    /// See [`Publisher::poll_confirmed`].
    fn poll_confirmed(&mut self, context: &task::Context<'_>) -> Poll<()>;
    /// Returns the name of the publisher's topic, and the number of its unconfirmed messages.
    fn unconfirmed(&self) -> (Arc<str>, usize);
    /// See [`Publisher::poll_until_below`].
    fn poll_until_below(&mut self, context: &task::Context<'_>) -> Poll<()>;
}

impl<M: Message> AnyPublisher for Publisher<M> {
    fn poll_confirmed(&mut self, context: &task::Context<'_>) -> Poll<()> {
        Publisher::poll_confirmed(self, context)
    }

    fn unconfirmed(&self) -> (Arc<str>, usize) {
        (self.topic().clone(), self.depth())
    }

    fn poll_until_below(&mut self, context: &task::Context<'_>) -> Poll<()> {
        Publisher::poll_until_below(self, context)
    }
}

#[cfg(feature = "describe")]
impl AnyPublisher for UntypedPublisher {
    fn poll_confirmed(&mut self, context: &task::Context<'_>) -> Poll<()> {
        UntypedPublisher::poll_confirmed(self, context)
    }

    fn unconfirmed(&self) -> (Arc<str>, usize) {
        (self.topic().clone(), self.depth())
    }

    fn poll_until_below(&mut self, context: &task::Context<'_>) -> Poll<()> {
        UntypedPublisher::poll_until_below(self, context)
    }
}

/// The service declares that it reads `M`.
#[diagnostic::on_unimplemented(
    message = "service `{Self}` does not declare that it reads `{M}`",
    note = "declare it: `#[service(reads({M}), ..)]`; for a port, `reads({M} as port)`, use \
            `ctx.subscribe_on(Self::port)`"
)]
pub trait Reads<M: Message>: HasPorts {
    #[doc(hidden)]
    fn inbox(inputs: &Self::Inputs) -> &Arc<Inbox<M>>;
}

/// The service has a named port through which it reads `M`: an [`Input`].
pub trait ReadsOn<M: Message, const PORT: usize>: HasPorts {
    #[doc(hidden)]
    fn inbox(inputs: &Self::Inputs) -> &Arc<Inbox<M>>;
}

/// The service has a named port through which it emits `M`: an [`Output`].
pub trait EmitsOn<M: Message, const PORT: usize>: HasPorts {
    #[doc(hidden)]
    fn publisher(outputs: &mut Self::Outputs) -> &mut Publisher<M>;
}

/// Service `S` declares that it emits this message on the topic of its type.
#[diagnostic::on_unimplemented(
    message = "service `{S}` does not emit `{Self}` on the topic of its type",
    label = "not declared",
    note = "declare the message: `#[service(emits(Message), ..)]`; if it has a port, as in \
            `emits(Message as port)`, write `ctx.on(Self::port).emit(..)`",
    note = "messages are emitted by value: `*message` of a reference or of a `Received<Message>`"
)]
pub trait EmittedBy<S: HasPorts>: Message {
    /// The future of an emit: [`Emit`]. It is a type of this trait, so that the compiler reports an
    /// undeclared message by a single error.
    type Emit<'c>: Future<Output = Result<(), EmitError<Self>>> + From<Emit<'c, Self>>;

    #[doc(hidden)]
    fn publisher(outputs: &mut S::Outputs) -> &mut Publisher<Self>;
}

/// A named port through which service `S` emits `M`. `#[service(emits(M as port))]` creates the
/// constant `S::port`.
pub struct Output<S, M, const PORT: usize>(PhantomData<fn() -> (S, M)>);

/// A named port through which service `S` reads `M`. `#[service(reads(M as port))]` creates the
/// constant `S::port`.
pub struct Input<S, M, const PORT: usize>(PhantomData<fn() -> (S, M)>);

macro_rules! port {
    ($port:ident) => {
        impl<S, M, const PORT: usize> $port<S, M, PORT> {
            #[doc(hidden)]
            #[must_use]
            pub const fn new() -> Self {
                $port(PhantomData)
            }
        }

        impl<S, M, const PORT: usize> Clone for $port<S, M, PORT> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<S, M, const PORT: usize> Copy for $port<S, M, PORT> {}

        impl<S: HasPorts, M: Message, const PORT: usize> fmt::Debug for $port<S, M, PORT> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {PORT} of {}", stringify!($port), S::NAME)
            }
        }
    };
}

port!(Output);
port!(Input);

/// The service declares that it requests `Q`.
#[diagnostic::on_unimplemented(
    message = "service `{Self}` does not declare that it requests `{Q}`",
    note = "declare it: `#[service(requests({Q}), ..)]`"
)]
pub trait Asks<Q: Request>: HasPorts {
    #[doc(hidden)]
    fn requester(outputs: &mut Self::Outputs) -> &mut Requester<Q>;
}

/// The service declares that it answers `Q`.
#[diagnostic::on_unimplemented(
    message = "service `{Self}` does not declare that it answers `{Q}`",
    note = "declare it: `#[service(answers({Q}), ..)]`"
)]
pub trait Answers<Q: Request>: HasPorts {
    #[doc(hidden)]
    fn answering(inputs: &Self::Inputs) -> &Answering<Q>;
}
