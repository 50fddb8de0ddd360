//! The ports of a service as types: what it declares that it reads and emits, so that the compiler
//! refuses everything else. `#[service]` implements these traits and makes the ports' constants.

use std::fmt;
use std::marker::PhantomData;

use mycelium_core::Message;
use mycelium_transports::local::Publisher;

use crate::inbox::Inbox;
use crate::service::Service;

/// The service declares that it reads `M`.
#[diagnostic::on_unimplemented(
    message = "service `{Self}` does not declare that it reads `{M}`",
    note = "declare it: `#[service(reads({M}), ..)]`; for a port, `reads({M} as port)`, use \
            `ctx.subscribe_on(Self::port)`"
)]
pub trait Reads<M: Message>: Service {
    #[doc(hidden)]
    fn inbox(inputs: &Self::Inputs) -> &Inbox<M>;
}

/// The service declares that it emits `M`.
#[diagnostic::on_unimplemented(
    message = "service `{Self}` does not declare that it emits `{M}`",
    note = "declare it: `#[service(emits({M}), ..)]`; for a port, `emits({M} as port)`, use \
            `ctx.emit_on(Self::port, ..)`"
)]
pub trait Emits<M: Message>: Service {
    #[doc(hidden)]
    fn publisher(outputs: &mut Self::Outputs) -> &mut Publisher<M>;
}

/// The service has a named port by which it reads `M`, an [`Input`].
pub trait ReadsOn<M: Message, const PORT: usize>: Service {
    #[doc(hidden)]
    fn inbox(inputs: &Self::Inputs) -> &Inbox<M>;
}

/// The service has a named port by which it emits `M`, an [`Output`].
pub trait EmitsOn<M: Message, const PORT: usize>: Service {
    #[doc(hidden)]
    fn publisher(outputs: &mut Self::Outputs) -> &mut Publisher<M>;
}

/// A message that service `S` declares that it emits: the same as `S: Emits<Self>`. In this form
/// the compiler names an undeclared message.
pub trait EmittedBy<S: Service>: Message {
    #[doc(hidden)]
    fn publisher(outputs: &mut S::Outputs) -> &mut Publisher<Self>;
}

impl<S: Emits<M>, M: Message> EmittedBy<S> for M {
    #[inline]
    fn publisher(outputs: &mut S::Outputs) -> &mut Publisher<M> {
        <S as Emits<M>>::publisher(outputs)
    }
}

/// A named port by which service `S` emits `M`. `#[service(emits(M as port))]` makes the constant
/// `S::port`.
pub struct Output<S, M, const PORT: usize>(PhantomData<fn() -> (S, M)>);

/// A named port by which service `S` reads `M`. `#[service(reads(M as port))]` makes the constant
/// `S::port`.
pub struct Input<S, M, const PORT: usize>(PhantomData<fn() -> (S, M)>);

macro_rules! port {
    ($port:ident) => {
        impl<S, M, const PORT: usize> $port<S, M, PORT> {
            #[doc(hidden)]
            #[expect(clippy::new_without_default, reason = "the macro makes the constant")]
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

        impl<S: Service, M: Message, const PORT: usize> fmt::Debug for $port<S, M, PORT> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {PORT} of {}", stringify!($port), S::NAME)
            }
        }
    };
}

port!(Output);
port!(Input);
