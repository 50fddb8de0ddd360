//! The output of handlers. An [`Out`] has the publishers of a service, or of a program without
//! services.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use mycelium_core::{Code, Message};
use mycelium_transports::local::{EmitError, Publisher, Refusal, Schema};

use crate::error::NoPublisher;
use crate::service::port::AnyPublisher;

/// Where a [handler](crate::route::Handler) emits messages to the bus: to the subscriptions of
/// their topics. It is a reference to publishers, and costs nothing if no handler uses it.
///
/// [`Context::out`](crate::Context::out) has the publishers that its service declares in
/// `emits(..)`. [`Out::to`] takes [publishers outside](crate::Running::publisher) of services;
/// [`Out::none`] has none. An emit uses the publisher of the topic of the message's type.
///
/// ```
/// use mycelium::counters::Region;
/// use mycelium::route::{Handler, Out};
/// use mycelium::{Node, Policy, Result, message};
///
/// #[message(topic = "ticks", id = 1)]
/// struct Tick {
///     price: u64,
/// }
///
/// #[message(topic = "orders", id = 2)]
/// #[derive(Debug, PartialEq)]
/// struct Order {
///     price: u64,
/// }
///
/// struct Strategy;
///
/// impl Handler<Tick> for Strategy {
///     fn handle(&mut self, tick: &Tick, out: &mut Out<'_>) -> Result<()> {
///         Ok(out.try_emit(Order { price: tick.price + 1 })?)
///     }
/// }
///
/// let node = Node::builder("main").build()?;
/// let mut orders = node.subscribe::<Order>("test", Policy::Block)?;
/// let mut publisher = node.publisher::<Order>("test")?;
/// Strategy.handle(&Tick { price: 7 }, &mut Out::to(&mut publisher))?;
/// let order = orders.try_recv().delivery().and_then(|delivery| delivery.message());
/// assert_eq!(order, Some(Order { price: 8 }));
///
/// let error = Strategy.handle(&Tick { price: 7 }, &mut Out::none()).unwrap_err();
/// assert!(error.to_string().starts_with("`Order` was not sent to topic `orders`"));
/// # Ok::<(), mycelium::Error>(())
/// ```
pub struct Out<'a> {
    bus: Option<&'a mut dyn Bus>,
}

/// Publishers for an [`Out`]: a [`Publisher`], a tuple of up to four, or the
/// [`Context`](crate::Context) of a service.
pub trait Bus: Send {
    #[doc(hidden)]
    fn each(&mut self, visit: &mut dyn FnMut(&mut dyn AnyPublisher));

    /// Returns whether the service of these publishers should end.
    #[doc(hidden)]
    fn is_ending(&self) -> bool {
        false
    }

    /// Notes that an emit begins: the time of its wait is counted from zero.
    #[doc(hidden)]
    fn begin(&mut self) {}

    /// Watches an emit that waits for this reader. Ready if the service should end.
    #[doc(hidden)]
    fn poll_wait(
        &mut self,
        _context: &mut Context<'_>,
        _topic: &str,
        _reader: Option<&str>,
    ) -> Poll<()> {
        Poll::Pending
    }
}

impl<'a> Out<'a> {
    /// Creates an `Out` without publishers: each emit fails.
    #[inline]
    #[must_use]
    pub fn none() -> Out<'a> {
        Out { bus: None }
    }

    /// Creates an `Out` that emits through these publishers.
    #[inline]
    pub fn to(bus: &'a mut impl Bus) -> Out<'a> {
        Out { bus: Some(bus) }
    }

    /// Publishes a message to all subscriptions of its topic. Waits while a `block` subscription is
    /// full, as [`Context::emit`](crate::Context::emit) does. For [`AsyncHandler`]s.
    ///
    /// If the future is dropped before it completes, the message was not sent.
    ///
    /// # Errors
    /// [`OutError`] with the message: an error of [`Context::emit`](crate::Context::emit), or there
    /// is no publisher for its type.
    ///
    /// [`AsyncHandler`]: crate::route::AsyncHandler
    pub async fn emit<M: Message>(&mut self, message: M) -> Result<(), OutError<M>> {
        self.emit_ref(&message).await
    }

    /// Like [`emit`](Out::emit), but never waits. For [`Handler`](crate::route::Handler)s.
    ///
    /// # Errors
    /// [`OutError`] with the message: an error of [`Context::try_emit`](crate::Context::try_emit),
    /// or there is no publisher for its type.
    #[inline]
    pub fn try_emit<M: Message>(&mut self, message: M) -> Result<(), OutError<M>> {
        self.try_emit_ref(&message)
    }

    /// Like [`emit`](Out::emit), but the caller keeps the message.
    ///
    /// # Errors
    /// The same as for [`emit`](Out::emit), with a copy of the message.
    pub async fn emit_ref<M: Message>(&mut self, message: &M) -> Result<(), OutError<M>> {
        self.bus.iter_mut().for_each(|bus| bus.begin());
        poll_fn(|context| self.poll_emit(context, message)).await
    }

    /// Like [`try_emit`](Out::try_emit), but the caller keeps the message.
    ///
    /// # Errors
    /// The same as for [`try_emit`](Out::try_emit), with a copy of the message.
    #[inline]
    pub fn try_emit_ref<M: Message>(&mut self, message: &M) -> Result<(), OutError<M>> {
        self.with(message, Publisher::try_emit_ref)
    }

    /// Claims room for a message: on success, its [`try_emit`](Out::try_emit) has room. `routes!`
    /// calls it for a message that goes to the bus, before any handler runs.
    ///
    /// # Errors
    /// Same as [`try_emit_ref`](Out::try_emit_ref). A fast handler of the topic may still refuse
    /// the message.
    #[inline]
    pub fn claim<M: Message>(&mut self, message: &M) -> Result<(), OutError<M>> {
        self.with(message, Publisher::try_claim)
    }

    /// Calls `emit` with the publisher of a message.
    #[inline]
    fn with<M: Message>(
        &mut self,
        message: &M,
        emit: impl FnOnce(&mut Publisher<M>, &M) -> Result<(), Refusal>,
    ) -> Result<(), OutError<M>> {
        let Some(bus) = &mut self.bus else { return Err(OutError::NoPublisher(message.clone())) };
        let (is_ending, mut given, mut result) = (bus.is_ending(), Some(emit), None);
        bus.each(&mut |publisher| {
            if let Some(publisher) = of_type::<M>(publisher)
                && let Some(emit) = given.take()
            {
                let emitted = match is_ending {
                    true => Err(Refusal::ShuttingDown),
                    false => emit(publisher, message),
                };
                result = Some(emitted.map_err(|refusal| {
                    EmitError::new(publisher.topic().clone(), message.clone(), refusal)
                }));
            }
        });
        match result {
            None => Err(OutError::NoPublisher(message.clone())),
            Some(result) => result.map_err(OutError::Refused),
        }
    }

    fn poll_emit<M: Message>(
        &mut self,
        context: &mut Context<'_>,
        message: &M,
    ) -> Poll<Result<(), OutError<M>>> {
        let Some(bus) = &mut self.bus else {
            return Poll::Ready(Err(OutError::NoPublisher(message.clone())));
        };
        let shutting_down = |topic| {
            let error = EmitError::new(topic, message.clone(), Refusal::ShuttingDown);
            Poll::Ready(Err(OutError::Refused(error)))
        };
        let (is_ending, mut polled) = (bus.is_ending(), None);
        let (mut topic, mut blocked_by) = (None, None);
        bus.each(&mut |publisher| {
            if let Some(publisher) = of_type::<M>(publisher)
                && topic.is_none()
            {
                topic = Some(publisher.topic().clone());
                if !is_ending {
                    polled = Some(publisher.poll_emit(context, message));
                    blocked_by = publisher.blocked_by();
                }
            }
        });
        let Some(topic) = topic else {
            return Poll::Ready(Err(OutError::NoPublisher(message.clone())));
        };
        match polled {
            None => return shutting_down(topic),
            Some(Poll::Ready(result)) => return Poll::Ready(result.map_err(OutError::Refused)),
            Some(Poll::Pending) => {}
        }
        if bus.poll_wait(context, &topic, blocked_by.as_deref()).is_ready() {
            return shutting_down(topic);
        }
        Poll::Pending
    }
}

/// Returns the publisher as a `Publisher<M>`, if it publishes the topic of `M`.
#[inline]
fn of_type<M: Message>(publisher: &mut dyn AnyPublisher) -> Option<&mut Publisher<M>> {
    let publisher = (publisher as &mut dyn Any).downcast_mut::<Publisher<M>>()?;
    (**publisher.topic() == *M::TOPIC).then_some(publisher)
}

impl<M: Message> Bus for Publisher<M> {
    #[inline]
    fn each(&mut self, visit: &mut dyn FnMut(&mut dyn AnyPublisher)) {
        visit(self);
    }
}

macro_rules! tuples {
    ($(($($publisher:ident)*))*) => {$(
        impl<$($publisher: Message),*> Bus for ($(Publisher<$publisher>,)*) {
            #[inline]
            fn each(&mut self, visit: &mut dyn FnMut(&mut dyn AnyPublisher)) {
                #[allow(non_snake_case, reason = "named as the type")]
                let ($($publisher,)*) = self;
                $(visit($publisher);)*
            }
        }
    )*};
}

tuples! {
    (A B)
    (A B C)
    (A B C D)
}

impl fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out").field("has_bus", &self.bus.is_some()).finish()
    }
}

/// A message that an [`Out`] did not emit, and why.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutError<M> {
    /// The publisher did not accept the message.
    Refused(EmitError<M>),
    /// There is no publisher for the type of the message. This is a mistake in the program: a
    /// service that returns this error is not restarted.
    NoPublisher(M),
}

impl<M> OutError<M> {
    /// Returns the message.
    pub fn into_message(self) -> M {
        match self {
            OutError::Refused(EmitError { message, .. }) | OutError::NoPublisher(message) => {
                message
            }
        }
    }

    /// Returns the code with which the text of the error ends.
    pub fn code(&self) -> Code {
        match self {
            OutError::Refused(error) => error.code(),
            OutError::NoPublisher(_) => Code::NO_PUBLISHER,
        }
    }
}

impl<M: Message> fmt::Display for OutError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutError::Refused(error) => error.fmt(f),
            OutError::NoPublisher(_) => {
                let (name, topic) = (Schema::of::<M>().name(), M::TOPIC);
                write!(
                    f,
                    "`{name}` was not sent to topic `{topic}`: {NoPublisher} [{}]",
                    self.code()
                )
            }
        }
    }
}

/// Formats as `Display` does: `main` and `unwrap` print this.
impl<M: Message> fmt::Debug for OutError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<M: Message> std::error::Error for OutError<M> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OutError::Refused(error) => error.source(),
            OutError::NoPublisher(_) => Some(&NoPublisher),
        }
    }
}
