//! Tests of the laws themselves: transports with one fault each, and the law that must notice it.
#![cfg(all(unix, not(miri)))]

use std::any::TypeId;
use std::future::poll_fn;
use std::panic;
use std::pin::pin;
use std::sync::{Mutex, Once};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use mycelium_core::TraceContext;
use mycelium_transports::conformance::{
    Local, Pair, Probe, Publish, Subscribe, TestExecutor, Threads, Transport, check, laws,
};
use mycelium_transports::counters::Latency;
use mycelium_transports::local::{
    BatchError, Delivery, EmitError, OnStall, Policy, Publisher, Start, SubscribeOptions,
    Subscription, TryRecv, Undelivered,
};

/// One fault of a transport, with its state at each end.
trait Fault: Default + Send + 'static {
    fn emit(
        &mut self,
        publisher: &mut Publisher<Probe>,
        message: Probe,
    ) -> impl Future<Output = Result<(), EmitError<Probe>>> + Send {
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

struct Bad<F> {
    transport: Local,
    fault: std::marker::PhantomData<F>,
}

/// An end of the correct transport, used with the fault.
struct End<E: Send + 'static, F: Fault>(Option<E>, F);

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

impl<F: Fault> Transport for Bad<F> {
    const NAME: &'static str = "bad";
    const RINGS: u64 = Local::RINGS;
    type Publisher = End<Publisher<Probe>, F>;
    type Subscription = End<Subscription<Probe>, F>;

    fn open(pair: &Pair, capacity: usize, strictest: Policy) -> Bad<F> {
        let transport = Local::open(pair, capacity, strictest);
        Bad { transport, fault: std::marker::PhantomData }
    }

    fn open_alone(pair: &Pair, capacity: usize) -> Bad<F> {
        let transport = Local::open_alone(pair, capacity);
        Bad { transport, fault: std::marker::PhantomData }
    }

    fn meet(&self, pair: &Pair, options: SubscribeOptions) {
        self.transport.meet(pair, options);
    }

    fn set_on_stall(&self, pair: &Pair, on_stall: OnStall) {
        self.transport.set_on_stall(pair, F::on_stall(on_stall));
    }

    fn latencies(&self) -> Vec<Latency> {
        F::latencies(self.transport.latencies())
    }

    fn publisher(&self, name: &str) -> Self::Publisher {
        End::of(self.transport.publisher(name))
    }

    fn subscribe(&self, name: &str, options: impl Into<SubscribeOptions>) -> Self::Subscription {
        let mut options = options.into();
        (options.policy, options.start) = (F::policy(options.policy), F::start(options.start));
        End::of(self.transport.subscribe(name, options))
    }
}

impl<F: Fault> Publish for End<Publisher<Probe>, F> {
    async fn emit(&mut self, message: Probe) -> Result<(), EmitError<Probe>> {
        let (publisher, fault) = self.parts();
        fault.emit(publisher, message).await
    }

    fn try_emit(&mut self, message: Probe) -> Result<(), EmitError<Probe>> {
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

/// Checks that the law fails because of the fault, with this text in its message.
fn catches<F: Fault>(law: &str, text: &str) {
    silence_panics();
    let laws = laws::<Bad<F>>();
    let law = laws.iter().find(|known| known.name == law).expect("the law exists");
    let threads = TestExecutor::of::<Threads>();
    // A law that waits for a missing event takes the whole time limit, so start with a short one. A
    // busy machine may need more, and a lost wake needs a reader that is parked at that moment.
    let mut errors = Vec::new();
    for time_limit in [2, 2, 2, 60] {
        match check(law, &threads, &threads, Duration::from_secs(time_limit)) {
            Err(error) if error.contains(text) => return,
            outcome => errors.push(outcome.err()),
        }
    }
    panic!("expected an error with `{text}`, found {errors:?}");
}

/// Silences panics of the laws' threads: the tests read the messages of the laws.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // Only the threads of tests have a name.
            if thread::current().name().is_some() {
                print(panic);
            }
        }));
    });
}

/// True at every fifth call.
fn every_fifth(count: &mut u32) -> bool {
    *count += 1;
    count.is_multiple_of(5)
}

#[derive(Default)]
struct Nothing;

impl Fault for Nothing {}

#[test]
fn a_correct_transport_keeps_all_laws() {
    let threads = TestExecutor::of::<Threads>();
    for law in laws::<Bad<Nothing>>() {
        check(&law, &threads, &threads, Duration::from_secs(60)).unwrap();
    }
}

#[test]
fn every_law_can_be_broken() {
    let tests = include_str!("bad_transports.rs");
    for law in laws::<Local>() {
        assert!(tests.contains(&format!("\"{}\"", law.name)), "no fault breaks {}", law.name);
    }
}

#[derive(Default)]
struct Drops(u32);

impl Fault for Drops {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        if every_fifth(&mut self.0) {
            reader.recv().await;
        }
        reader.recv().await
    }
}

#[test]
fn a_dropped_message_is_noticed() {
    catches::<Drops>("messages_of_a_publisher_arrive_once_and_in_order", "number and sequence");
    catches::<Drops>("messages_keep_their_traces", "in order");
    catches::<Drops>("every_message_is_counted_after_a_shutdown", "with Block");
    catches::<Drops>("a_disturbance_loses_and_repeats_nothing", "left == right");
    catches::<Drops>("a_task_that_panics_affects_no_other_task", "left == right");
    catches::<Drops>("a_receive_with_a_timeout_loses_nothing", "left == right");
    catches::<Drops>(
        "an_observer_never_blocks_the_publisher_and_gets_exact_gaps",
        "the number is taken plus missed",
    );
}

#[derive(Default)]
struct Doubles(u32, Option<Delivery<Probe>>);

impl Fault for Doubles {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        if let Some(again) = self.1.take() {
            return Some(again);
        }
        let delivery = reader.recv().await;
        if every_fifth(&mut self.0) {
            self.1.clone_from(&delivery);
        }
        delivery
    }
}

#[test]
fn a_repeated_message_is_noticed() {
    catches::<Doubles>("messages_of_a_publisher_arrive_once_and_in_order", "number and sequence");
    catches::<Doubles>("a_message_whose_handler_failed_is_redelivered_once", "left == right");
    catches::<Doubles>("a_late_node_gets_no_message_twice", "round 0: ");
}

#[derive(Default)]
struct Reorders(u32, Option<Delivery<Probe>>);

impl Fault for Reorders {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        if let Some(late) = self.1.take() {
            return Some(late);
        }
        let delivery = reader.recv().await;
        if !every_fifth(&mut self.0) {
            return delivery;
        }
        match reader.try_recv().delivery() {
            Some(next) => {
                self.1 = delivery;
                Some(next)
            }
            None => delivery,
        }
    }
}

#[test]
fn reordered_messages_are_noticed() {
    catches::<Reorders>("messages_of_a_publisher_arrive_once_and_in_order", "number and sequence");
}

#[derive(Default)]
struct ChangesTheSpan;

impl Fault for ChangesTheSpan {
    fn trace(real: Option<TraceContext>) -> Option<TraceContext> {
        real.map(|trace| trace.with_span([1; 8]))
    }
}

#[test]
fn a_wrong_trace_is_noticed() {
    catches::<ChangesTheSpan>("messages_keep_their_traces", "the trace of message");
}

#[derive(Default)]
struct HidesLatencies;

impl Fault for HidesLatencies {
    fn latencies(_: Vec<Latency>) -> Vec<Latency> {
        Vec::new()
    }
}

/// The messages are sent late: the time until then is not measured.
#[derive(Default)]
struct SendsLate(Vec<Probe>);

impl Fault for SendsLate {
    async fn emit(
        &mut self,
        publisher: &mut Publisher<Probe>,
        message: Probe,
    ) -> Result<(), EmitError<Probe>> {
        self.0.push(message);
        if self.0.len() < 4 {
            return Ok(());
        }
        for message in self.0.drain(..) {
            publisher.emit(message).await?;
        }
        Ok(())
    }
}

#[test]
fn a_wrong_latency_is_noticed() {
    const LAW: &str = "a_measured_message_shows_how_long_it_took";
    if !cfg!(feature = "metrics") {
        // Nothing is counted.
        return;
    }
    catches::<HidesLatencies>(LAW, "expected one reader");
    catches::<SendsLate>(LAW, "latencies");
}

#[derive(Default)]
struct HidesTheClose;

impl Fault for HidesTheClose {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        match reader.recv().await {
            None => std::future::pending().await,
            delivery => delivery,
        }
    }
}

#[test]
fn a_hidden_close_is_noticed() {
    catches::<HidesTheClose>(
        "the_end_follows_the_last_message_of_all_publishers",
        "timeout: the end",
    );
}

#[derive(Default)]
struct ClosesEarly(u32);

impl Fault for ClosesEarly {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        self.0 += 1;
        if self.0 == 10 { None } else { reader.recv().await }
    }
}

#[test]
fn an_early_close_is_noticed() {
    catches::<ClosesEarly>(
        "a_restarted_publisher_is_read_from_its_first_message",
        "unexpected end",
    );
}

/// Polls a future with a waker that does nothing.
async fn without_wakes<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|_| future.as_mut().poll(&mut Context::from_waker(Waker::noop()))).await
}

#[derive(Default)]
struct LosesWakesOfReaders;

impl Fault for LosesWakesOfReaders {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        without_wakes(reader.recv()).await
    }
}

#[derive(Default)]
struct LosesWakesOfPublishers;

impl Fault for LosesWakesOfPublishers {
    async fn emit(
        &mut self,
        publisher: &mut Publisher<Probe>,
        message: Probe,
    ) -> Result<(), EmitError<Probe>> {
        without_wakes(publisher.emit(message)).await
    }
}

#[test]
fn a_lost_wake_is_noticed() {
    catches::<LosesWakesOfReaders>(
        "a_sleeping_reader_is_woken",
        "timeout: a sleeping reader is woken",
    );
    catches::<LosesWakesOfPublishers>(
        "a_sleeping_publisher_is_woken",
        "timeout: a sleeping publisher is woken",
    );
}

#[derive(Default)]
struct TakesBeforeItIsReady;

impl Fault for TakesBeforeItIsReady {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        let delivery = reader.recv().await;
        yield_once().await;
        delivery
    }
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

#[derive(Default)]
struct SendsBeforeItIsReady;

impl Fault for SendsBeforeItIsReady {
    async fn emit(
        &mut self,
        publisher: &mut Publisher<Probe>,
        message: Probe,
    ) -> Result<(), EmitError<Probe>> {
        publisher.emit(message).await?;
        yield_once().await;
        Ok(())
    }
}

#[test]
fn an_effect_of_a_cancelled_future_is_noticed() {
    catches::<TakesBeforeItIsReady>("a_cancelled_receive_takes_nothing", "dropped at poll");
    catches::<SendsBeforeItIsReady>("a_cancelled_emit_sends_nothing", "poll");
}

#[derive(Default)]
struct NeverBlocks;

impl Fault for NeverBlocks {
    fn policy(_: Policy) -> Policy {
        Policy::DropOldest
    }
}

#[test]
fn missing_backpressure_is_noticed() {
    catches::<NeverBlocks>(
        "a_full_block_subscription_blocks_the_publisher",
        "timeout: the publisher waits",
    );
    catches::<NeverBlocks>(
        "try_emit_returns_the_message_of_a_full_ring",
        "accepted more than the ring holds",
    );
    catches::<NeverBlocks>("a_full_reject_subscription_returns_the_message", "rejected");
    catches::<NeverBlocks>("a_reader_that_stalls_is_evicted_until_it_reads", "the reason of");
}

#[derive(Default)]
struct AlwaysBlocks;

impl Fault for AlwaysBlocks {
    fn policy(_: Policy) -> Policy {
        Policy::Block
    }
}

#[test]
fn a_blocking_observer_is_noticed() {
    catches::<AlwaysBlocks>(
        "an_observer_never_blocks_the_publisher_and_gets_exact_gaps",
        "an observer never blocks",
    );
    catches::<AlwaysBlocks>(
        "a_drop_newest_reader_keeps_the_oldest_messages",
        "timeout: the publisher emits",
    );
    catches::<AlwaysBlocks>("a_sampling_reader_gets_every_nth_message", "right: 3");
    catches::<AlwaysBlocks>(
        "a_reader_by_key_gets_the_newest_message_of_each_key",
        "expected a gap first",
    );
    catches::<AlwaysBlocks>(
        "a_full_reject_subscription_returns_the_message",
        "timeout: emit does not wait",
    );
}

#[derive(Default)]
struct HidesGaps;

impl Fault for HidesGaps {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        loop {
            match reader.recv().await {
                Some(Delivery::Gap(_)) => {}
                delivery => return delivery,
            }
        }
    }
}

#[test]
fn a_hidden_gap_is_noticed() {
    catches::<HidesGaps>(
        "an_observer_that_is_always_slower_still_gets_messages",
        "in order, after the gap",
    );
    catches::<HidesGaps>(
        "an_observer_never_blocks_the_publisher_and_gets_exact_gaps",
        "the number is taken plus missed",
    );
    catches::<HidesGaps>(
        "a_reader_that_stalls_is_evicted_until_it_reads",
        "in order, after the gap",
    );
    catches::<HidesGaps>(
        "a_latest_reader_gets_the_newest_message_and_the_skipped_number",
        "expected a gap first",
    );
}

/// Loses the first delivery of a subscription.
#[derive(Default)]
struct StartsLate(bool);

impl Fault for StartsLate {
    async fn recv(&mut self, reader: &mut Subscription<Probe>) -> Option<Delivery<Probe>> {
        if !self.0 {
            reader.recv().await;
            self.0 = true;
        }
        reader.recv().await
    }
}

#[test]
fn a_reader_that_starts_too_late_is_noticed() {
    catches::<StartsLate>("a_late_reader_starts_with_the_next_message", "timeout: its first");
    catches::<StartsLate>(
        "a_late_publisher_is_read_from_its_first_message",
        "timeout: all sent messages",
    );
}

#[derive(Default)]
struct NeverLeaves;

impl Fault for NeverLeaves {
    const LEAKS: bool = true;
}

#[test]
fn a_reader_that_never_leaves_is_noticed() {
    catches::<NeverLeaves>(
        "a_reader_that_leaves_unblocks_the_publisher",
        "timeout: the next messages",
    );
    catches::<NeverLeaves>(
        "a_restarted_reader_starts_with_new_messages",
        "timeout: the publisher continues",
    );
}

#[derive(Default)]
struct ForgetsTheStart;

impl Fault for ForgetsTheStart {
    fn start(_: Start) -> Start {
        Start::Next
    }
}

#[test]
fn a_late_reader_without_retained_messages_is_noticed() {
    catches::<ForgetsTheStart>(
        "a_late_reader_may_start_at_the_oldest_retained_message",
        "timeout: a retained message",
    );
    catches::<ForgetsTheStart>(
        "the_first_reader_of_a_late_node_may_start_at_the_oldest_retained_message",
        "timeout: a retained message",
    );
}

#[derive(Default)]
struct NeverLetsGo;

impl Fault for NeverLetsGo {
    fn on_stall(_: OnStall) -> OnStall {
        OnStall::Block
    }
}

/// Evicts every reader that does not make room at once.
#[derive(Default)]
struct LetsGoAtOnce;

impl Fault for LetsGoAtOnce {
    fn on_stall(_: OnStall) -> OnStall {
        OnStall::EvictAfter(Duration::ZERO)
    }
}

#[test]
fn a_reader_that_stalls_for_ever_is_noticed() {
    let law = "a_reader_that_stalls_is_evicted_until_it_reads";
    catches::<NeverLetsGo>(law, "timeout: the publisher continues");
    catches::<LetsGoAtOnce>(law, "timeout: the publisher waits again");
}

/// Loses the last message of a batch.
#[derive(Default)]
struct ShortensBatches;

impl Fault for ShortensBatches {
    fn batch(messages: &[Probe]) -> Vec<Probe> {
        messages[..messages.len().saturating_sub(1)].to_vec()
    }
}

/// Says of a batch that waits that nothing was sent.
#[derive(Default)]
struct ForgetsWhatWasSent;

impl Fault for ForgetsWhatWasSent {
    fn sent(_: usize) -> usize {
        0
    }
}

#[test]
fn an_incomplete_batch_is_noticed() {
    catches::<ShortensBatches>("batches_arrive_once_and_in_order", "0 of at most");
    catches::<ShortensBatches>("an_observer_gets_the_exact_gaps_of_batches", "timeout: what");
    catches::<ShortensBatches>("a_failed_batch_is_redelivered_one_by_one", "timeout: all");
    catches::<ForgetsWhatWasSent>("a_cancelled_batch_has_sent_a_prefix", "left == right");
}

#[derive(Default)]
struct NeverPressed;

impl Fault for NeverPressed {
    async fn until_below(&mut self, _: &mut Publisher<Probe>) {}
}

#[derive(Default)]
struct LosesWakesOfRelief;

impl Fault for LosesWakesOfRelief {
    async fn until_below(&mut self, publisher: &mut Publisher<Probe>) {
        without_wakes(publisher.until_below()).await;
    }
}

/// Says that the ring is empty.
#[derive(Default)]
struct HidesTheDepth;

impl Fault for HidesTheDepth {
    fn depth(_: usize) -> usize {
        0
    }
}

#[test]
fn a_threshold_without_effect_is_noticed() {
    let law = "a_publisher_waits_until_its_reader_is_below_the_threshold";
    catches::<NeverPressed>(law, "timeout: the publisher waits");
    catches::<LosesWakesOfRelief>(law, "timeout: the publisher continues");
    catches::<HidesTheDepth>(law, "timeout: the publisher waits");
}
