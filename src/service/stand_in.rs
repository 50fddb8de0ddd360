//! A service that takes the place of another one, whose code this program does not have: it emits
//! bytes on the topics of that service, and discards what that service would read.

use std::fmt::{self, Debug};
use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, join_all, select};
use mycelium_transports::link::LayoutMismatch;
use mycelium_transports::local::{Drain, ShuttingDown};
use mycelium_transports::untyped::{MessageType, UntypedPublisher};

use crate::error::{BuildError, Error, Result};
use crate::plan::Ports;
use crate::service::port::{AnyPublisher, HasPorts, RequestVisitor};
use crate::service::wiring::Wiring;
use crate::service::{Context, Life, Service, supervise};
use crate::support::lock::lock;
use crate::task::launch::Launch;

/// What a stand-in does in place of a service: see
/// [`Builder::stand_in`](crate::Builder::stand_in).
pub trait StandIn: Send + 'static {
    /// Runs as the service would, until it has ended.
    fn run<'a>(&'a mut self, emits: Emits<'a>) -> BoxFuture<'a, Result<()>>;
}

/// The publishers and the node of a [`StandIn`].
pub struct Emits<'a> {
    context: &'a mut Context<StandInService>,
}

impl Emits<'_> {
    /// Returns the names and the topics of the publishers: `Service`, or `Service.port` for a named
    /// port. Their places are those for [`emit`](Emits::emit).
    pub fn publishers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.context.outputs.iter().map(|publisher| (&**publisher.name(), &**publisher.topic()))
    }

    /// Compares a type of messages with that of the publisher at this place. Returns the difference,
    /// if there is one.
    #[must_use]
    pub fn mismatch(&self, place: usize, message: &MessageType) -> Option<LayoutMismatch> {
        self.context.outputs.get(place)?.mismatch(message)
    }

    /// Publishes the bytes of a message through the publisher at this place. Waits while a `block`
    /// subscription is full.
    ///
    /// If the future is dropped before it completes, the message was not sent.
    ///
    /// # Errors
    /// If there is no such publisher, the bytes do not match the layout of the topic's messages, the
    /// message is refused, or the node shuts down.
    pub async fn emit(&mut self, place: usize, message: &[u8]) -> Result<()> {
        if self.context.is_shutting_down() {
            return Err(ShuttingDown.into());
        }
        let shutdown = self.context.shutdown_requested();
        let Some(publisher) = self.context.outputs.get_mut(place) else {
            return Err(Error::msg(format!("no publisher {place}")).permanent());
        };
        // The emit is polled first: most do not wait.
        match select(pin!(publisher.emit(message)), pin!(shutdown)).await {
            Either::Left((emitted, _)) => emitted.map_err(|error| Error::from(error).permanent()),
            Either::Right(_) => Err(ShuttingDown.into()),
        }
    }

    /// Waits until this time of the node's clock.
    ///
    /// # Errors
    /// If the node shuts down.
    pub fn sleep_until(
        &self,
        time: Duration,
    ) -> impl Future<Output = Result<()>> + Send + use<> + 'static {
        let now = self.context.now();
        let sleep = (time > now).then(|| self.context.sleep(time - now));
        async move {
            match sleep {
                Some(sleep) => Ok(sleep.await?),
                None => Ok(()),
            }
        }
    }

    /// Returns the time of the node's clock.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.context.now()
    }
}

impl Debug for Emits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emits").field("service", &self.context.name()).finish_non_exhaustive()
    }
}

/// The service of a stand-in; `None` after a panic, when it fails.
pub(crate) struct StandInService(pub(crate) Option<Box<dyn StandIn>>);

impl HasPorts for StandInService {
    const NAME: &'static str = "StandIn";
    const IS_SOURCE: bool = true;
    type Inputs = Mutex<Vec<Drain>>;
    type Outputs = Vec<UntypedPublisher>;

    fn ports() -> Ports {
        Ports::default()
    }

    fn wire(wiring: &mut Wiring<'_>) -> Result<(Self::Inputs, Self::Outputs), BuildError> {
        Ok((Mutex::new(wiring.drains()?), wiring.untyped_outputs()?))
    }

    fn each_output(outputs: &mut Self::Outputs, visit: &mut dyn FnMut(&mut dyn AnyPublisher)) {
        outputs.iter_mut().for_each(|publisher| visit(publisher));
    }

    fn each_request(_: &mut impl RequestVisitor) {}
}

impl Service for StandInService {
    async fn run(&mut self, context: &mut Context<Self>) -> Result<()> {
        let mut drains = mem::take(&mut *lock(&context.inputs));
        let drained =
            join_all(drains.iter_mut().map(|drain| poll_fn(|context| drain.poll_drain(context))));
        let Some(stand_in) = &mut self.0 else {
            return Err(Error::msg("the stand-in has panicked").permanent());
        };
        let run = stand_in.run(Emits { context });
        let drained = match select(run, drained).await {
            Either::Left((ended, drained)) => ended.map(|()| drained)?,
            Either::Right((_, run)) => return run.await,
        };
        // The streams end now. What is read may end only after them.
        context.outputs.clear();
        drained.await;
        Ok(())
    }

    fn launch() -> Launch<Box<Life<Self>>> {
        Launch::send(supervise::<Self>)
    }
}
