//! The laws of every transport on every executor, as generic tests.
//!
//! A [`Law`] is one property that a user relies on. It gets a [`Pair`] of executors, which may be
//! the same one: its publishers run on the first, its readers on the second. It opens a
//! [`TestTransport`] between them, and panics with its observation if the law is broken.
//!
//! To test a transport, implement [`TestTransport`] and write `conformance!(MyTransport);` in a
//! test file: it makes one test per law, on plain [`Threads`]. [`laws()`] and [`check()`] run them
//! on any executor, and on any two. The laws are the same for all transports; the constants of
//! [`TestTransport`] say how a transport differs. Links need a [`StreamPair`], engines a
//! [`TestEngine`]. A law that needs more than the [`Capabilities`] of a transport is not checked:
//! [`Law::lacks`] says why.
//!
//! ```
//! use mycelium_transports::conformance::{self, Local, Threads};
//!
//! conformance::assert_holds::<Local, Threads>("a_sleeping_reader_is_woken");
//! ```

mod check;
mod engine;
mod laws;
mod link;
mod local;
mod no_tasks;
mod pair;
mod spans;
mod threads;

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use futures_util::FutureExt;
use mycelium_core::{Message, TraceContext, message};
use mycelium_executor::conformance::Subject;

use crate::counters::Latency;
use crate::local::{
    BatchError, Delivery, EmitError, Gap, LatestByKey, OnStall, Policy, Retain, SubscribeOptions,
    TryRecv, Undelivered,
};
use crate::seam::{Audience, Capabilities};

pub use check::{Law, TIME_LIMIT, TestExecutor, check};
pub use engine::{Carried, TestEngine};
pub use laws::*;
pub use link::{Link, StreamPair};
pub use local::Local;
pub use no_tasks::NoTasks;
use pair::{POLL_EVERY, timeout};
pub use pair::{Pair, Task, cut};
pub use spans::Spans;
pub use threads::Threads;

/// The message that the laws send.
#[message(topic = "conformance", id = 0xFFFE)]
#[derive(Debug, PartialEq, Eq)]
pub struct Probe {
    /// The index of the message's publisher.
    pub publisher: u64,
    /// The message's number among the publisher's messages.
    pub number: u64,
}

/// What a transport carries for the probes of a law.
pub trait Sample: Message {
    /// Returns the message for a probe.
    fn of(probe: Probe) -> Self;

    /// Returns the probe of a message.
    fn probe(self) -> Probe;
}

impl Sample for Probe {
    fn of(probe: Probe) -> Probe {
        probe
    }

    fn probe(self) -> Probe {
        self
    }
}

/// A probe in a message of any length: most fit into a slot or two, and some are fragmented on
/// links.
#[message(topic = "conformance", id = 0xFFFE)]
#[derive(Debug, PartialEq, Eq)]
pub struct Filled {
    /// The index of the message's publisher.
    pub publisher: u64,
    /// The message's number among the publisher's messages.
    pub number: u64,
    text: String,
    bytes: Option<Vec<u8>>,
}

impl Sample for Filled {
    fn of(Probe { publisher, number }: Probe) -> Filled {
        let bytes = (number % 64 == 9).then(|| vec![7; 5_000]);
        Filled { publisher, number, text: "é".repeat(number as usize % 40), bytes }
    }

    fn probe(self) -> Probe {
        let probe = Probe { publisher: self.publisher, number: self.number };
        assert_eq!(Filled::of(probe), self, "the message is whole");
        probe
    }
}

/// A transport with one topic.
pub trait TestTransport: Sized + 'static {
    /// The transport's name in reports.
    const NAME: &'static str;
    /// The number of rings between a publisher and an observing reader. A publisher is ahead of a
    /// gating reader by at most one ring on every transport.
    const RINGS: u64;
    /// What the transport promises.
    const CAPABILITIES: Capabilities = Capabilities::ALL;
    /// Whether publishers wait for the transport while their ring is full, whoever reads.
    const PACES: bool = false;
    /// The publishing end.
    type Publisher: Publish;
    /// The reading end.
    type Subscription: Subscribe;

    /// Opens a topic between the two executors, with rings of `capacity` messages. `strictest` is
    /// the strictest policy of all later readers. Readers are sent all messages from then on.
    fn open(pair: &Pair, capacity: usize, strictest: Policy) -> impl Future<Output = Self>;

    /// Opens a topic as [`open`](TestTransport::open) does, with a reader and a publisher.
    fn joined(
        pair: &Pair,
        capacity: usize,
        policy: Policy,
    ) -> impl Future<Output = (Self, Self::Subscription, Self::Publisher)> {
        async move {
            let transport = Self::open(pair, capacity, policy).await;
            let reader = transport.subscribe("reader", policy);
            let publisher = transport.publisher("publisher");
            (transport, reader, publisher)
        }
    }

    /// Opens a topic as [`open`](TestTransport::open) does, but the publishers do not know the
    /// readers' node and keep no messages for it, until it joins by [`meet`](TestTransport::meet).
    fn open_alone(pair: &Pair, capacity: usize) -> Self;

    /// Lets the readers' node join, for readers with these options.
    fn meet(&self, pair: &Pair, options: SubscribeOptions);

    /// Sets what happens to readers that stall, for publishers created later. The time comes from
    /// the publishers' executor.
    fn set_on_stall(&self, pair: &Pair, on_stall: OnStall);

    /// Makes publishers that are created later retain messages.
    fn retain(&self, retain: Retain);

    /// Creates a publisher that runs on the publishers' executor.
    fn publisher(&self, name: &str) -> Self::Publisher;

    /// Creates a subscription that runs on the readers' executor. It reads all publishers, present
    /// and future.
    fn subscribe(&self, name: &str, options: impl Into<SubscribeOptions>) -> Self::Subscription;

    /// Returns the latencies that the readers have measured, if the topics
    /// [measure](Pair::latency_sample) them.
    fn latencies(&self) -> Vec<Latency>;

    /// Causes a fault that the transport must hide, such as a lost connection. Does nothing by
    /// default: a transport that does not resume has no such fault.
    fn disturb(&self) {}

    /// Returns the key of the messages: the index of their publisher.
    fn by_publisher(keys: NonZeroU32) -> LatestByKey {
        key_of::<Probe>(keys)
    }
}

/// The publishing end of a [`TestTransport`]: the methods of a
/// [`Publisher`](crate::local::Publisher) that laws use.
pub trait Publish: Send + 'static {
    /// See [`Publisher::emit`](crate::local::Publisher::emit).
    fn emit(&mut self, message: Probe)
    -> impl Future<Output = Result<(), EmitError<Probe>>> + Send;

    /// See [`Publisher::try_emit`](crate::local::Publisher::try_emit).
    ///
    /// # Errors
    /// If a gating subscription blocks the publisher: the error contains the message.
    fn try_emit(&mut self, message: Probe) -> Result<(), EmitError<Probe>>;

    /// See [`Publisher::poll_emit_batch`](crate::local::Publisher::poll_emit_batch).
    fn emit_batch(
        &mut self,
        messages: &[Probe],
        sent: &mut usize,
    ) -> impl Future<Output = Result<(), BatchError>> + Send;

    /// See [`Publisher::depth`](crate::local::Publisher::depth).
    fn depth(&self) -> usize;

    /// See [`Publisher::backpressure_threshold_exceeded`].
    ///
    /// [`Publisher::backpressure_threshold_exceeded`]:
    /// crate::local::Publisher::backpressure_threshold_exceeded
    fn backpressure_threshold_exceeded(&mut self) -> bool;

    /// See [`Publisher::until_below`](crate::local::Publisher::until_below).
    fn until_below(&mut self) -> impl Future<Output = ()> + Send;

    /// See [`Publisher::confirmed`](crate::local::Publisher::confirmed).
    fn confirmed(&mut self) -> impl Future<Output = ()> + Send;
}

/// The reading end of a [`TestTransport`]: the methods of a
/// [`Subscription`](crate::local::Subscription) that laws use.
pub trait Subscribe: Send + 'static {
    /// See [`Subscription::recv`](crate::local::Subscription::recv).
    fn recv(&mut self) -> impl Future<Output = Option<Delivery<Probe>>> + Send;

    /// See [`Subscription::recv_many`](crate::local::Subscription::recv_many).
    fn recv_many(
        &mut self,
        deliveries: &mut Vec<Delivery<Probe>>,
        limit: usize,
    ) -> impl Future<Output = usize> + Send;

    /// See [`Subscription::try_recv`](crate::local::Subscription::try_recv).
    fn try_recv(&mut self) -> TryRecv<Probe>;

    /// Reports that the handling of the last message failed, and returns the message if it is not
    /// delivered again. See [`Subscription::fail`](crate::local::Subscription::fail).
    fn fail(&mut self) -> Option<Undelivered>;

    /// See [`Subscription::depth`](crate::local::Subscription::depth).
    fn depth(&self) -> usize;

    /// See [`Subscription::trace`](crate::local::Subscription::trace).
    fn trace(&self) -> Option<TraceContext>;
}

fn key_of<M: Sample>(keys: NonZeroU32) -> LatestByKey {
    LatestByKey::of::<M>("publisher", keys).expect("a field of the message")
}

/// What a law needs beside a carrier that loses nothing while nothing fails.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub enum Need {
    Nothing,
    /// Readers may gate: what they fail to handle comes again.
    Gate,
    /// A slow reader blocks its publishers.
    HoldUp,
    /// A lost connection loses nothing.
    Resume,
    /// The carrier knows all publishers and all readers: so a topic ends with its last publisher,
    /// and a late reader gets what publishers still have.
    KnowAll,
}

impl Need {
    /// Returns the promise that the transport does not give, if there is one.
    #[must_use]
    pub fn lacks<T: TestTransport>(self) -> Option<&'static str> {
        let Capabilities { holds_up, resumes, audience, .. } = T::CAPABILITIES;
        match self {
            Need::Gate => T::CAPABILITIES.lacks(Policy::Block),
            Need::HoldUp if !holds_up => Some("hold up publishers for slow readers"),
            Need::Resume if !resumes => Some("resume after a lost connection"),
            Need::KnowAll if audience == Audience::Group => Some("know all publishers and readers"),
            _ => None,
        }
    }
}

/// Returns all laws, for one transport.
#[must_use]
pub fn laws<T: TestTransport>() -> Vec<Law> {
    crate::conformance! { @all list T }
}

/// Checks the law of this name, with its publishers and its readers on the same executor.
///
/// # Panics
/// If the law is broken, or if there is no such law.
pub fn assert_holds<T: TestTransport, S: Subject>(name: &str) {
    let (laws, executor) = (laws::<T>(), TestExecutor::of::<S>());
    let law = laws.iter().find(|law| law.name == name).expect("the law exists");
    if let Err(broken) = check(law, &executor, &executor, TIME_LIMIT) {
        panic!("{broken}");
    }
}

/// Checks each law whose needs the transport meets, one after the other. Returns the laws that were
/// not checked, each with the promise that is missing.
///
/// # Panics
/// If a law is broken: with all that are.
#[must_use]
pub fn assert_kept<T: TestTransport, S: Subject>() -> Vec<(&'static str, &'static str)> {
    let executor = TestExecutor::of::<S>();
    let (mut broken, mut not_kept) = (Vec::new(), Vec::new());
    for law in laws::<T>() {
        match law.lacks {
            Some(what) => not_kept.push((law.name, what)),
            None => broken.extend(check(&law, &executor, &executor, TIME_LIMIT).err()),
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    not_kept
}

/// Creates one test per law, on plain threads: `conformance!(MyTransport);`. On another executor:
/// `conformance!(MyTransport, MySubject);`.
#[macro_export]
macro_rules! conformance {
    ($transport:ty) => {
        $crate::conformance! { $transport, $crate::conformance::Threads }
    };
    ($transport:ty, $subject:ty) => {
        $crate::conformance! { @all tests $transport, $subject }
    };
    (@all $what:ident $($types:tt)*) => {
        $crate::conformance! {
            @$what $($types)*:
            messages_of_a_publisher_arrive_once_and_in_order,
            a_disturbance_loses_and_repeats_nothing: Resume,
            a_full_block_subscription_blocks_the_publisher: HoldUp,
            try_emit_returns_the_message_of_a_full_ring: HoldUp,
            a_full_reject_subscription_returns_the_message: HoldUp,
            an_observer_never_blocks_the_publisher_and_gets_exact_gaps,
            a_latest_reader_gets_the_newest_message_and_the_skipped_number,
            an_observer_that_is_always_slower_still_gets_messages,
            a_reader_that_stalls_is_evicted_until_it_reads: HoldUp,
            a_publisher_waits_until_its_reader_is_below_the_threshold: HoldUp,
            batches_arrive_once_and_in_order,
            an_observer_gets_the_exact_gaps_of_batches,
            a_cancelled_batch_has_sent_a_prefix,
            a_failed_batch_is_redelivered_one_by_one: Gate,
            a_sampling_reader_gets_every_nth_message,
            a_reader_by_key_gets_the_newest_message_of_each_key,
            a_drop_newest_reader_keeps_the_oldest_messages,
            a_late_reader_may_start_at_the_oldest_message: KnowAll,
            the_first_reader_of_a_late_node_may_start_at_the_oldest_message: KnowAll,
            a_late_node_gets_no_message_twice: KnowAll,
            late_readers_get_what_is_retained: KnowAll,
            readers_join_while_retained_messages_are_replaced: KnowAll,
            the_end_follows_the_last_message_of_all_publishers: KnowAll,
            a_late_reader_starts_with_the_next_message,
            a_late_publisher_is_read_from_its_first_message,
            a_restarted_publisher_is_read_from_its_first_message,
            a_restarted_reader_starts_with_new_messages,
            a_reader_that_leaves_unblocks_the_publisher: HoldUp,
            a_cancelled_emit_sends_nothing,
            a_cancelled_receive_takes_nothing,
            a_task_that_panics_affects_no_other_task,
            a_message_whose_handler_failed_is_redelivered_once: Gate,
            every_message_is_counted_after_a_shutdown,
            a_sleeping_reader_is_woken,
            a_sleeping_publisher_is_woken: HoldUp,
            a_receive_with_a_timeout_loses_nothing,
            messages_keep_their_traces,
            a_measured_message_shows_how_long_it_took,
        }
    };
    (@list $transport:ty: $($law:ident $(: $need:ident)?),* $(,)?) => {
        vec![$($crate::conformance::Law {
            name: stringify!($law),
            run: |pair| Box::pin($crate::conformance::$law::<$transport>(pair)),
            is_traced: false,
            lacks: [$($crate::conformance::Need::$need,)? $crate::conformance::Need::Nothing][0]
                .lacks::<$transport>(),
        }),*]
    };
    (@tests $transport:ty, $subject:ty: $($law:ident $(: $need:ident)?),* $(,)?) => {
        $(
            #[test]
            fn $law() {
                $crate::conformance::assert_holds::<$transport, $subject>(stringify!($law));
            }
        )*
    };
}

fn probe(publisher: u64, number: u64) -> Probe {
    Probe { publisher, number }
}

/// Returns a number of rounds, reduced under Miri.
const fn rounds(count: u64) -> u64 {
    if cfg!(miri) { count.div_ceil(50) } else { count }
}

/// Emits messages with these numbers, one after the other, and returns the publisher. `index` is
/// the index of the publisher.
async fn emit_all<P: Publish>(mut publisher: P, index: u64, numbers: Range<u64>) -> P {
    for number in numbers {
        publisher.emit(probe(index, number)).await.expect("no reader rejects");
    }
    publisher
}

/// Emits as [`emit_all`] does, and waits until all are sent.
async fn emitted<P: Publish>(pair: &Pair, publisher: P, index: u64, numbers: Range<u64>) -> P {
    let emits = pair.publish(emit_all(publisher, index, numbers));
    pair.join("the publisher emits", emits).await
}

/// Emits as [`emit_all`] does, and waits until the publisher has ended on its own executor.
async fn emitted_to_the_end<P: Publish>(pair: &Pair, publisher: P, index: u64, of: Range<u64>) {
    let emits = pair.publish(emit_all(publisher, index, of).map(drop));
    pair.join("the publisher emits and ends", emits).await;
}

/// Receives messages with these numbers. `what` names them in a panic.
async fn expect_all(
    pair: &Pair,
    reader: &mut impl Subscribe,
    what: &str,
    numbers: impl IntoIterator<Item = u64>,
) {
    for next in numbers {
        let delivery = pair.within(&format!("{what}, number {next}"), reader.recv()).await;
        assert_eq!(number(delivery), next, "{what}");
    }
}

/// Whether a topic ends with its last publisher.
const fn ends<T: TestTransport>() -> bool {
    matches!(T::CAPABILITIES.audience, Audience::One)
}

/// Expects the end of a topic whose publishers have ended. If it does not end, expects that the
/// reader has taken all.
async fn expect_end<T: TestTransport>(pair: &Pair, reader: &mut T::Subscription) {
    if ends::<T>() {
        assert_eq!(pair.within("the end", reader.recv()).await, None);
    } else {
        // What is sent twice is on its way.
        let more = timeout(&pair.readers, Duration::from_millis(50), reader.recv()).await;
        assert_eq!(more, None, "all messages were taken");
    }
}

/// Returns the next delivery, or `None` at the end of the topic. If the topic does not end, it
/// returns `None` as soon as `is_all` says that the reader has taken all.
async fn rest<T: TestTransport>(
    pair: &Pair,
    reader: &mut T::Subscription,
    is_all: impl Fn() -> bool,
) -> Option<Delivery<Probe>> {
    let next = async {
        if ends::<T>() {
            return reader.recv().await;
        }
        while !is_all() {
            if let Some(found) = timeout(&pair.readers, POLL_EVERY, reader.recv()).await {
                return found;
            }
        }
        None
    };
    pair.within("the rest, or the end", next).await
}

/// The numbers of messages that a reader took and missed.
#[derive(Default)]
struct Account {
    taken: u64,
    missed: u64,
}

impl Account {
    /// Counts a delivery. Returns the gap if it is one.
    #[track_caller]
    fn count(&mut self, delivery: Delivery<Probe>) -> Option<Gap> {
        match delivery {
            Delivery::Msg(probe) => {
                assert_eq!(probe.number, self.taken + self.missed, "in order, after the gap");
                self.taken += 1;
                None
            }
            Delivery::Gap(gap) => {
                self.missed += gap.count;
                Some(gap)
            }
        }
    }

    /// Returns the next delivery. `sent` messages were sent in all.
    async fn receive(
        &mut self,
        pair: &Pair,
        reader: &mut impl Subscribe,
        sent: u64,
    ) -> Option<Gap> {
        let Account { taken, missed } = self;
        let what = format!("what became of {sent}, beyond {taken} taken and {missed} missed");
        match pair.within(&what, reader.recv()).await {
            Some(delivery) => self.count(delivery),
            None => panic!("the end instead of {what}"),
        }
    }

    fn sum(&self) -> u64 {
        self.taken + self.missed
    }
}

/// Returns the number of the delivered message. Panics if there is no message.
#[track_caller]
fn number(delivery: Option<Delivery<Probe>>) -> u64 {
    number_and_mark(delivery).0
}

/// Returns the number of the delivered message, and whether it is redelivered.
#[track_caller]
fn number_and_mark(delivery: Option<Delivery<Probe>>) -> (u64, bool) {
    match delivery {
        Some(Delivery::Msg(probe)) => (probe.number, probe.redelivered()),
        Some(Delivery::Gap(gap)) => panic!("unexpected gap: {gap}"),
        None => panic!("unexpected end"),
    }
}
