//! A correct transport with a fault.

use std::any::TypeId;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Mutex;

use mycelium_core::TraceContext;
use mycelium_transports::conformance::{Local, Pair, Probe, Publish, Subscribe, TestTransport};
use mycelium_transports::counters::Latency;
use mycelium_transports::local::{
    BatchError, Delivery, EmitError, OnStall, Policy, Publisher, Start, SubscribeOptions,
    Subscription, TryRecv, Undelivered,
};

/// What an emit returns.
pub(super) type Emitted = Result<(), EmitError<Probe>>;

/// One fault of a transport, with its state at each end.
pub(super) trait Fault: Default + Send + 'static {
    fn emit(
        &mut self,
        publisher: &mut Publisher<Probe>,
        message: Probe,
    ) -> impl Future<Output = Emitted> + Send {
        publisher.emit(message)
    }

    fn recv(
        &mut self,
        reader: &mut Subscription<Probe>,
    ) -> impl Future<Output = Option<Delivery<Probe>>> + Send {
        reader.recv()
    }

    /// Whether dropped subscriptions stay subscribed.
    const LEAKS: bool = false;

    /// The policy of a subscription, instead of the requested one.
    fn policy(requested: Policy) -> Policy {
        requested
    }

    /// What happens to stalled readers, instead of what was requested.
    fn on_stall(requested: OnStall) -> OnStall {
        requested
    }

    /// The messages of a batch that are sent.
    fn batch(messages: &[Probe]) -> Vec<Probe> {
        messages.to_vec()
    }

    /// What a batch has sent, instead of what it says.
    fn sent(said: usize) -> usize {
        said
    }

    /// The depth, instead of the real one.
    fn depth(real: usize) -> usize {
        real
    }

    fn until_below(&mut self, publisher: &mut Publisher<Probe>) -> impl Future<Output = ()> + Send {
        publisher.until_below()
    }

    /// The trace of a message, instead of its own.
    fn trace(real: Option<TraceContext>) -> Option<TraceContext> {
        real
    }

    /// The latencies that readers have measured, instead of the real ones.
    fn latencies(real: Vec<Latency>) -> Vec<Latency> {
        real
    }

    /// The start of a subscription, instead of the requested one.
    fn start(requested: Start) -> Start {
        requested
    }
}

pub(super) struct Bad<F>(Local, PhantomData<F>);

/// An end of the correct transport, used with the fault.
pub(super) struct End<E: Send + 'static, F: Fault>(Option<E>, F);

impl<E: Send, F: Fault> End<E, F> {
    fn of(end: E) -> End<E, F> {
        End(Some(end), F::default())
    }

    fn parts(&mut self) -> (&mut E, &mut F) {
        (self.0.as_mut().unwrap(), &mut self.1)
    }
}

impl<E: Send, F: Fault> Drop for End<E, F> {
    fn drop(&mut self) {
        static LEAKED: Mutex<Vec<Box<dyn Send>>> = Mutex::new(Vec::new());
        if F::LEAKS
            && let Some(end) = self.0.take()
            && TypeId::of::<E>() == TypeId::of::<Subscription<Probe>>()
        {
            LEAKED.lock().unwrap().push(Box::new(end));
        }
    }
}

impl<F: Fault> TestTransport for Bad<F> {
    const NAME: &'static str = "bad";
    const RINGS: u64 = Local::RINGS;
    type Publisher = End<Publisher<Probe>, F>;
    type Subscription = End<Subscription<Probe>, F>;

    fn open(pair: &Pair, capacity: usize, strictest: Policy) -> Bad<F> {
        Bad(Local::open(pair, capacity, strictest), PhantomData)
    }

    fn open_alone(pair: &Pair, capacity: usize) -> Bad<F> {
        Bad(Local::open_alone(pair, capacity), PhantomData)
    }

    fn meet(&self, pair: &Pair, options: SubscribeOptions) {
        self.0.meet(pair, options);
    }

    fn set_on_stall(&self, pair: &Pair, on_stall: OnStall) {
        self.0.set_on_stall(pair, F::on_stall(on_stall));
    }

    fn latencies(&self) -> Vec<Latency> {
        F::latencies(self.0.latencies())
    }

    fn publisher(&self, name: &str) -> Self::Publisher {
        End::of(self.0.publisher(name))
    }

    fn subscribe(&self, name: &str, options: impl Into<SubscribeOptions>) -> Self::Subscription {
        let mut options = options.into();
        (options.policy, options.start) = (F::policy(options.policy), F::start(options.start));
        End::of(self.0.subscribe(name, options))
    }
}

impl<F: Fault> Publish for End<Publisher<Probe>, F> {
    async fn emit(&mut self, message: Probe) -> Emitted {
        let (publisher, fault) = self.parts();
        fault.emit(publisher, message).await
    }

    fn try_emit(&mut self, message: Probe) -> Emitted {
        self.parts().0.try_emit(message)
    }

    async fn emit_batch(&mut self, messages: &[Probe], sent: &mut usize) -> Result<(), BatchError> {
        let messages = F::batch(messages);
        let publisher = self.parts().0;
        poll_fn(|context| {
            let mut now = *sent;
            let polled = publisher.poll_emit_batch(context, &messages, &mut now);
            *sent = if polled.is_ready() { now } else { F::sent(now) };
            polled
        })
        .await
    }

    fn depth(&self) -> usize {
        F::depth(self.0.as_ref().unwrap().depth())
    }

    fn backpressure_threshold_exceeded(&mut self) -> bool {
        self.parts().0.backpressure_threshold_exceeded()
    }

    async fn until_below(&mut self) {
        let (publisher, fault) = self.parts();
        fault.until_below(publisher).await;
    }

    async fn confirmed(&mut self) {
        self.parts().0.confirmed().await;
    }
}

impl<F: Fault> Subscribe for End<Subscription<Probe>, F> {
    async fn recv(&mut self) -> Option<Delivery<Probe>> {
        let (reader, fault) = self.parts();
        fault.recv(reader).await
    }

    async fn recv_many(&mut self, deliveries: &mut Vec<Delivery<Probe>>, limit: usize) -> usize {
        // Faults happen to each delivery. None of these laws waits for more than one.
        let (reader, fault) = self.parts();
        if limit == 1 {
            let received = fault.recv(reader).await;
            return received.into_iter().map(|it| deliveries.push(it)).count();
        }
        reader.recv_many(deliveries, limit).await
    }

    fn try_recv(&mut self) -> TryRecv<Probe> {
        self.parts().0.try_recv()
    }

    fn fail(&mut self) -> Option<Undelivered> {
        self.parts().0.fail()
    }

    fn depth(&self) -> usize {
        self.0.as_ref().unwrap().depth()
    }

    fn trace(&self) -> Option<TraceContext> {
        F::trace(self.0.as_ref().unwrap().trace())
    }
}
