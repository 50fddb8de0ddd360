//! The correct transport, with a fault.

use std::any::TypeId;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Waker};
use std::time::Duration;

use mycelium_core::TraceContext;
use mycelium_executor::yield_now;
use mycelium_transports::conformance::{Local, Pair, Probe, Publish, Subscribe, TestTransport};
use mycelium_transports::counters::Latency;
use mycelium_transports::local::{
    BatchError, Delivery, EmitError, OnStall, Policy, Publisher, Retain, Start, SubscribeOptions,
    Subscription, TryRecv, Undelivered,
};

/// The fault of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    Drops,
    Doubles,
    Reorders,
    ChangesTheSpan,
    HidesLatencies,
    /// Does not measure the time until it sends a message.
    SendsLate,
    HidesTheClose,
    ClosesEarly,
    /// Loses the first delivery of a subscription.
    StartsLate,
    /// Keeps dropped subscriptions subscribed.
    Stays,
    ForgetsTheStart,
    RetainsNothing,
    NeverBlocks,
    AlwaysBlocks,
    HidesGaps,
    NeverLetsGo,
    /// Evicts every reader that does not make room at once.
    LetsGoAtOnce,
    /// Loses the last message of a batch.
    ShortensBatches,
    /// Reports that nothing of a waiting batch was sent.
    ForgetsWhatWasSent,
    NeverPressed,
    LosesWakesOfRelief,
    /// Reports that the ring is empty.
    HidesTheDepth,
    ReadersSleepOn,
    PublishersSleepOn,
    TakesBeforeItIsReady,
    SendsBeforeItIsReady,
}

/// The fault of transports that are opened from now on. It is global because laws open their
/// transports themselves; with a type for each fault, all laws would be compiled for each of them.
pub(super) static FAULT: Mutex<Fault> = Mutex::new(Fault::Nothing);

/// Polls a future with a waker that does nothing.
async fn without_wakes<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|_| future.as_mut().poll(&mut Context::from_waker(Waker::noop()))).await
}

pub(super) struct Bad(Local, Fault);

/// One end of the correct transport, with the fault.
pub(super) struct End<E: Send + 'static> {
    end: Option<E>,
    fault: Fault,
    /// How many times it has received.
    calls: u32,
    /// The delivery that it returns next.
    kept: Option<Delivery<Probe>>,
    /// Messages that it has not sent yet.
    unsent: Vec<Probe>,
}

impl<E: Send> End<E> {
    fn new(end: E, fault: Fault) -> End<E> {
        End { end: Some(end), fault, calls: 0, kept: None, unsent: Vec::new() }
    }

    fn get(&self) -> &E {
        self.end.as_ref().unwrap()
    }

    fn get_mut(&mut self) -> &mut E {
        self.end.as_mut().unwrap()
    }
}

impl<E: Send> Drop for End<E> {
    fn drop(&mut self) {
        static LEAKED: Mutex<Vec<Box<dyn Send>>> = Mutex::new(Vec::new());
        if self.fault == Fault::Stays
            && let Some(end) = self.end.take()
            && TypeId::of::<E>() == TypeId::of::<Subscription<Probe>>()
        {
            LEAKED.lock().unwrap().push(Box::new(end));
        }
    }
}

impl TestTransport for Bad {
    const NAME: &'static str = "bad";
    const RINGS: u64 = <Local>::RINGS;
    type Publisher = End<Publisher<Probe>>;
    type Subscription = End<Subscription<Probe>>;

    async fn open(pair: &Pair, capacity: usize, strictest: Policy) -> Bad {
        Bad(Local::open(pair, capacity, strictest).await, *FAULT.lock().unwrap())
    }

    fn open_alone(pair: &Pair, capacity: usize) -> Bad {
        Bad(Local::open_alone(pair, capacity), *FAULT.lock().unwrap())
    }

    fn meet(&self, pair: &Pair, options: SubscribeOptions) {
        self.0.meet(pair, options);
    }

    fn set_on_stall(&self, pair: &Pair, on_stall: OnStall) {
        let on_stall = match self.1 {
            Fault::NeverLetsGo => OnStall::Block,
            Fault::LetsGoAtOnce => OnStall::EvictAfter(Duration::ZERO),
            _ => on_stall,
        };
        self.0.set_on_stall(pair, on_stall);
    }

    fn retain(&self, retain: Retain) {
        if self.1 != Fault::RetainsNothing {
            self.0.retain(retain);
        }
    }

    fn latencies(&self) -> Vec<Latency> {
        if self.1 == Fault::HidesLatencies { Vec::new() } else { self.0.latencies() }
    }

    fn publisher(&self, name: &str) -> Self::Publisher {
        End::new(self.0.publisher(name), self.1)
    }

    fn subscribe(&self, name: &str, options: impl Into<SubscribeOptions>) -> Self::Subscription {
        let mut options = options.into();
        match self.1 {
            Fault::NeverBlocks => options.policy = Policy::DropOldest,
            Fault::AlwaysBlocks => options.policy = Policy::Block,
            Fault::ForgetsTheStart => options.start = Start::Next,
            _ => {}
        }
        End::new(self.0.subscribe(name, options), self.1)
    }
}

impl Publish for End<Publisher<Probe>> {
    async fn emit(&mut self, message: Probe) -> Result<(), EmitError<Probe>> {
        let publisher = self.end.as_mut().unwrap();
        match self.fault {
            Fault::PublishersSleepOn => without_wakes(publisher.emit(message)).await,
            Fault::SendsBeforeItIsReady => {
                publisher.emit(message).await?;
                yield_now().await;
                Ok(())
            }
            Fault::SendsLate => {
                self.unsent.push(message);
                if self.unsent.len() == 4 {
                    for message in self.unsent.drain(..) {
                        publisher.emit(message).await?;
                    }
                }
                Ok(())
            }
            _ => publisher.emit(message).await,
        }
    }

    fn try_emit(&mut self, message: Probe) -> Result<(), EmitError<Probe>> {
        self.get_mut().try_emit(message)
    }

    async fn emit_batch(&mut self, messages: &[Probe], sent: &mut usize) -> Result<(), BatchError> {
        let loses_last = self.fault == Fault::ShortensBatches;
        let messages = &messages[..messages.len().saturating_sub(usize::from(loses_last))];
        let forgets = self.fault == Fault::ForgetsWhatWasSent;
        let publisher = self.get_mut();
        poll_fn(|context| {
            let mut now = *sent;
            let polled = publisher.poll_emit_batch(context, messages, &mut now);
            *sent = if forgets && polled.is_pending() { 0 } else { now };
            polled
        })
        .await
    }

    fn depth(&self) -> usize {
        if self.fault == Fault::HidesTheDepth { 0 } else { self.get().depth() }
    }

    fn backpressure_threshold_exceeded(&mut self) -> bool {
        self.get_mut().backpressure_threshold_exceeded()
    }

    async fn until_below(&mut self) {
        match self.fault {
            Fault::NeverPressed => {}
            Fault::LosesWakesOfRelief => without_wakes(self.get_mut().until_below()).await,
            _ => self.get_mut().until_below().await,
        }
    }

    async fn confirmed(&mut self) {
        self.get_mut().confirmed().await;
    }
}

impl Subscribe for End<Subscription<Probe>> {
    async fn recv(&mut self) -> Option<Delivery<Probe>> {
        if let Some(kept) = self.kept.take() {
            return Some(kept);
        }
        self.calls += 1;
        let is_fifth = self.calls.is_multiple_of(5);
        let reader = self.end.as_mut().unwrap();
        match self.fault {
            Fault::ReadersSleepOn => return without_wakes(reader.recv()).await,
            Fault::ClosesEarly if self.calls == 10 => return None,
            Fault::Drops if is_fifth => _ = reader.recv().await,
            Fault::StartsLate if self.calls == 1 => _ = reader.recv().await,
            _ => {}
        }
        let mut delivery = reader.recv().await;
        match self.fault {
            Fault::Doubles if is_fifth => self.kept.clone_from(&delivery),
            Fault::Reorders if is_fifth => {
                if let Some(next) = reader.try_recv().delivery() {
                    self.kept = delivery.replace(next);
                }
            }
            Fault::HidesTheClose if delivery.is_none() => pending().await,
            Fault::HidesGaps => {
                while let Some(Delivery::Gap(_)) = delivery {
                    delivery = reader.recv().await;
                }
            }
            Fault::TakesBeforeItIsReady => yield_now().await,
            _ => {}
        }
        delivery
    }

    async fn recv_many(&mut self, deliveries: &mut Vec<Delivery<Probe>>, limit: usize) -> usize {
        // Faults apply to single deliveries, and none of these laws waits for more than one.
        if limit == 1 {
            let received = self.recv().await;
            return received.into_iter().map(|it| deliveries.push(it)).count();
        }
        self.get_mut().recv_many(deliveries, limit).await
    }

    fn try_recv(&mut self) -> TryRecv<Probe> {
        self.get_mut().try_recv()
    }

    fn fail(&mut self) -> Option<Undelivered> {
        self.get_mut().fail()
    }

    fn depth(&self) -> usize {
        self.get().depth()
    }

    fn trace(&self) -> Option<TraceContext> {
        let real = self.get().trace();
        let changes = self.fault == Fault::ChangesTheSpan;
        real.map(|trace| if changes { trace.with_span([1; 8]) } else { trace })
    }
}
