//! A correct transport with a fault.

use std::any::TypeId;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mycelium_core::TraceContext;
use mycelium_transports::conformance::{Local, Pair, Probe, Publish, Subscribe, TestTransport};
use mycelium_transports::counters::Latency;
use mycelium_transports::local::{
    BatchError, Delivery, EmitError, OnStall, Policy, Publisher, Start, SubscribeOptions,
    Subscription, TryRecv, Undelivered,
};

/// The fault of a transport.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault(u32);

impl Fault {
    pub(super) const NOTHING: Fault = Fault(0);
    pub(super) const DROPS: Fault = Fault(1);
    pub(super) const DOUBLES: Fault = Fault(2);
    pub(super) const REORDERS: Fault = Fault(3);
    pub(super) const CHANGES_THE_SPAN: Fault = Fault(4);
    pub(super) const HIDES_LATENCIES: Fault = Fault(5);
    /// The time until it sends a message is not measured.
    pub(super) const SENDS_LATE: Fault = Fault(6);
    pub(super) const HIDES_THE_CLOSE: Fault = Fault(7);
    pub(super) const CLOSES_EARLY: Fault = Fault(8);
    /// Loses the first delivery of a subscription.
    pub(super) const STARTS_LATE: Fault = Fault(9);
    /// Dropped subscriptions stay subscribed.
    pub(super) const NEVER_LEAVES: Fault = Fault(10);
    pub(super) const FORGETS_THE_START: Fault = Fault(11);
    pub(super) const NEVER_BLOCKS: Fault = Fault(12);
    pub(super) const ALWAYS_BLOCKS: Fault = Fault(13);
    pub(super) const HIDES_GAPS: Fault = Fault(14);
    pub(super) const NEVER_LETS_GO: Fault = Fault(15);
    /// Evicts every reader that does not make room at once.
    pub(super) const LETS_GO_AT_ONCE: Fault = Fault(16);
    /// Loses the last message of a batch.
    pub(super) const SHORTENS_BATCHES: Fault = Fault(17);
    /// Says of a batch that waits that nothing was sent.
    pub(super) const FORGETS_WHAT_WAS_SENT: Fault = Fault(18);
    pub(super) const NEVER_PRESSED: Fault = Fault(19);
    pub(super) const LOSES_WAKES_OF_RELIEF: Fault = Fault(20);
    /// Says that the ring is empty.
    pub(super) const HIDES_THE_DEPTH: Fault = Fault(21);
    pub(super) const LOSES_WAKES_OF_READERS: Fault = Fault(22);
    pub(super) const LOSES_WAKES_OF_PUBLISHERS: Fault = Fault(23);
    pub(super) const TAKES_BEFORE_IT_IS_READY: Fault = Fault(24);
    pub(super) const SENDS_BEFORE_IT_IS_READY: Fault = Fault(25);

    /// Adds the fault, as nanoseconds, to the time limit of a law, which the transport gets with
    /// its executors. With a separate type for each fault, the compiler would compile all laws for
    /// each.
    pub(super) fn within(self, time_limit: Duration) -> Duration {
        time_limit + Duration::from_nanos(self.0.into())
    }

    fn of(pair: &Pair) -> Fault {
        Fault(pair.time_limit.subsec_nanos() % 1_000)
    }
}

/// Polls a future with a waker that does nothing.
async fn without_wakes<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|_| future.as_mut().poll(&mut Context::from_waker(Waker::noop()))).await
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub(super) struct Bad(Local, Fault);

/// An end of the correct transport, used with the fault.
pub(super) struct End<E: Send + 'static> {
    end: Option<E>,
    fault: Fault,
    /// How often it has received.
    calls: u32,
    /// What it receives next.
    kept: Option<Delivery<Probe>>,
    /// What it has not sent yet.
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
        if self.fault == Fault::NEVER_LEAVES
            && let Some(end) = self.end.take()
            && TypeId::of::<E>() == TypeId::of::<Subscription<Probe>>()
        {
            LEAKED.lock().unwrap().push(Box::new(end));
        }
    }
}

impl TestTransport for Bad {
    const NAME: &'static str = "bad";
    const RINGS: u64 = Local::RINGS;
    type Publisher = End<Publisher<Probe>>;
    type Subscription = End<Subscription<Probe>>;

    fn open(pair: &Pair, capacity: usize, strictest: Policy) -> Bad {
        Bad(Local::open(pair, capacity, strictest), Fault::of(pair))
    }

    fn open_alone(pair: &Pair, capacity: usize) -> Bad {
        Bad(Local::open_alone(pair, capacity), Fault::of(pair))
    }

    fn meet(&self, pair: &Pair, options: SubscribeOptions) {
        self.0.meet(pair, options);
    }

    fn set_on_stall(&self, pair: &Pair, on_stall: OnStall) {
        let on_stall = match self.1 {
            Fault::NEVER_LETS_GO => OnStall::Block,
            Fault::LETS_GO_AT_ONCE => OnStall::EvictAfter(Duration::ZERO),
            _ => on_stall,
        };
        self.0.set_on_stall(pair, on_stall);
    }

    fn latencies(&self) -> Vec<Latency> {
        if self.1 == Fault::HIDES_LATENCIES { Vec::new() } else { self.0.latencies() }
    }

    fn publisher(&self, name: &str) -> Self::Publisher {
        End::new(self.0.publisher(name), self.1)
    }

    fn subscribe(&self, name: &str, options: impl Into<SubscribeOptions>) -> Self::Subscription {
        let mut options = options.into();
        match self.1 {
            Fault::NEVER_BLOCKS => options.policy = Policy::DropOldest,
            Fault::ALWAYS_BLOCKS => options.policy = Policy::Block,
            Fault::FORGETS_THE_START => options.start = Start::Next,
            _ => {}
        }
        End::new(self.0.subscribe(name, options), self.1)
    }
}

impl Publish for End<Publisher<Probe>> {
    async fn emit(&mut self, message: Probe) -> Result<(), EmitError<Probe>> {
        let publisher = self.end.as_mut().unwrap();
        match self.fault {
            Fault::LOSES_WAKES_OF_PUBLISHERS => without_wakes(publisher.emit(message)).await,
            Fault::SENDS_BEFORE_IT_IS_READY => {
                publisher.emit(message).await?;
                yield_once().await;
                Ok(())
            }
            Fault::SENDS_LATE => {
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
        let loses_last = self.fault == Fault::SHORTENS_BATCHES;
        let messages = &messages[..messages.len().saturating_sub(usize::from(loses_last))];
        let forgets = self.fault == Fault::FORGETS_WHAT_WAS_SENT;
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
        if self.fault == Fault::HIDES_THE_DEPTH { 0 } else { self.get().depth() }
    }

    fn backpressure_threshold_exceeded(&mut self) -> bool {
        self.get_mut().backpressure_threshold_exceeded()
    }

    async fn until_below(&mut self) {
        match self.fault {
            Fault::NEVER_PRESSED => {}
            Fault::LOSES_WAKES_OF_RELIEF => without_wakes(self.get_mut().until_below()).await,
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
            Fault::LOSES_WAKES_OF_READERS => return without_wakes(reader.recv()).await,
            Fault::CLOSES_EARLY if self.calls == 10 => return None,
            Fault::DROPS if is_fifth => _ = reader.recv().await,
            Fault::STARTS_LATE if self.calls == 1 => _ = reader.recv().await,
            _ => {}
        }
        let mut delivery = reader.recv().await;
        match self.fault {
            Fault::DOUBLES if is_fifth => self.kept.clone_from(&delivery),
            Fault::REORDERS if is_fifth => {
                if let Some(next) = reader.try_recv().delivery() {
                    self.kept = delivery.replace(next);
                }
            }
            Fault::HIDES_THE_CLOSE if delivery.is_none() => pending().await,
            Fault::HIDES_GAPS => {
                while let Some(Delivery::Gap(_)) = delivery {
                    delivery = reader.recv().await;
                }
            }
            Fault::TAKES_BEFORE_IT_IS_READY => yield_once().await,
            _ => {}
        }
        delivery
    }

    async fn recv_many(&mut self, deliveries: &mut Vec<Delivery<Probe>>, limit: usize) -> usize {
        // Faults happen to each delivery. None of these laws waits for more than one.
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
        let changes = self.fault == Fault::CHANGES_THE_SPAN;
        real.map(|trace| if changes { trace.with_span([1; 8]) } else { trace })
    }
}
