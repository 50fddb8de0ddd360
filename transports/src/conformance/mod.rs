//! What every transport promises on every executor, as laws that are generic over both.
//!
//! A [`Law`] is one thing that a user relies on. It is given a [`Pair`] of executors, which may be one and the same: on one
//! its publishers run, on the other its readers. It opens a [`Transport`] between the two and fails by a panic that says
//! what was seen.
//!
//! Who writes a transport implements [`Transport`] and writes `conformance!(MyTransport);` in a test file: one test for each
//! law, on plain [`Threads`]. [`laws`] and [`check()`] run them on any executor, and on any two. Where transports differ, a
//! transport says by how much ([`Transport::RINGS`]); the laws are the same for all.
//!
//! ```
//! use mycelium_transports::conformance::{self, TestExecutor, Local, Threads};
//!
//! let threads = TestExecutor::of::<Threads>();
//! let laws = conformance::laws::<Local>();
//! let law = laws.iter().find(|law| law.name == "a_sleeping_reader_is_woken").expect("it is one of them");
//! conformance::check(law, &threads, &threads, conformance::TIME_LIMIT).expect("the law holds");
//! ```

mod check;
mod ends;
mod faults;
mod link;
mod local;
mod order;
mod pair;
mod pressure;
mod threads;
mod waking;

use mycelium_core::message;
use mycelium_executor::LocalFuture;

use crate::local::{Delivery, EmitError, Policy, TryRecv, Undelivered};

pub use check::{TIME_LIMIT, TestExecutor, check};
pub use ends::*;
pub use faults::*;
pub use link::{Link, StreamPair};
pub use local::Local;
pub use order::*;
pub use pair::{Pair, Task, cut};
pub use pressure::*;
pub use threads::Threads;
pub use waking::*;

/// The message that the laws send.
#[message(topic = "conformance", id = 0xFFFE)]
#[derive(Debug, PartialEq, Eq)]
pub struct Probe {
    /// Which publisher it is from.
    pub publisher: u64,
    /// Which of the publisher's messages it is.
    pub number: u64,
}

/// A transport with one topic, as the laws see it.
pub trait Transport: Sized + 'static {
    /// What it is called in tables.
    const NAME: &'static str;
    /// How many rings lie between a publisher and an observing reader. A publisher is ahead of a
    /// gating reader by one ring at most, wherever that reader is.
    const RINGS: u64;
    /// The publishing end.
    type Publisher: Publish;
    /// The reading end.
    type Subscription: Subscribe;

    /// A topic from the executor of the publishers to that of the readers, with rings of `capacity` messages each.
    /// `strictest` is the strictest policy that one of the readers will have.
    fn open(pair: &Pair, capacity: usize, strictest: Policy) -> Self;

    /// A publisher of its own, to be used on the publishers' executor.
    fn publisher(&self, name: &str) -> Self::Publisher;

    /// A subscription to all publishers, present and to come, to be used on the readers' executor.
    fn subscribe(&self, name: &str, policy: Policy) -> Self::Subscription;

    /// Does what may happen to such a transport at any time and has to go unnoticed: a connection is lost.
    fn disturb(&self) {}
}

/// The publishing end of a [`Transport`]: what the laws ask of a [`Publisher`](crate::local::Publisher).
pub trait Publish: Send + 'static {
    /// See [`Publisher::emit`](crate::local::Publisher::emit).
    fn emit(&mut self, message: Probe)
    -> impl Future<Output = Result<(), EmitError<Probe>>> + Send;

    /// See [`Publisher::try_emit`](crate::local::Publisher::try_emit).
    ///
    /// # Errors
    /// With the message, if a gating subscription holds the publisher.
    fn try_emit(&mut self, message: Probe) -> Result<(), EmitError<Probe>>;
}

/// The reading end of a [`Transport`]: what the laws ask of a [`Subscription`](crate::local::Subscription).
pub trait Subscribe: Send + 'static {
    /// See [`Subscription::recv`](crate::local::Subscription::recv).
    fn recv(&mut self) -> impl Future<Output = Option<Delivery<Probe>>> + Send;

    /// See [`Subscription::try_recv`](crate::local::Subscription::try_recv).
    fn try_recv(&mut self) -> TryRecv<Probe>;

    /// See [`Subscription::fail`](crate::local::Subscription::fail).
    fn fail(&mut self) -> Option<Undelivered>;

    /// See [`Subscription::depth`](crate::local::Subscription::depth).
    fn depth(&self) -> usize;
}

/// One thing that users of a transport rely on.
#[derive(Clone, Copy, Debug)]
pub struct Law {
    /// What it says.
    pub name: &'static str,
    /// Panics if it is broken.
    pub run: fn(Pair) -> LocalFuture<()>,
}

/// All laws, for one transport.
#[must_use]
pub fn laws<T: Transport>() -> Vec<Law> {
    crate::conformance! { @all list T }
}

/// Makes one test for each law, on plain threads: `conformance!(MyTransport);`. On another executor:
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
            a_disturbance_loses_and_repeats_nothing,
            a_full_block_subscription_blocks_the_publisher,
            try_emit_returns_the_message_of_a_full_ring,
            a_full_reject_subscription_returns_the_message,
            an_observer_never_blocks_the_publisher_and_gets_exact_gaps,
            a_latest_reader_gets_the_newest_message_and_the_skipped_number,
            an_observer_that_is_always_slower_still_gets_messages,
            the_end_follows_the_last_message_of_all_publishers,
            a_late_reader_starts_with_the_next_message,
            a_late_publisher_is_read_from_its_first_message,
            a_restarted_publisher_is_read_from_its_first_message,
            a_restarted_reader_starts_with_new_messages,
            a_reader_that_leaves_unblocks_the_publisher,
            a_cancelled_emit_sends_nothing,
            a_cancelled_receive_takes_nothing,
            a_task_that_panics_affects_no_other_task,
            a_message_whose_handler_failed_is_redelivered_once,
            every_message_is_counted_after_a_shutdown,
            a_sleeping_reader_is_woken,
            a_sleeping_publisher_is_woken,
            a_receive_with_a_timeout_loses_nothing,
        }
    };
    (@list $transport:ty: $($law:ident),* $(,)?) => {
        vec![$($crate::conformance::Law {
            name: stringify!($law),
            run: |pair| Box::pin($crate::conformance::$law::<$transport>(pair)),
        }),*]
    };
    (@tests $transport:ty, $subject:ty: $($law:ident),* $(,)?) => {
        $(
            #[test]
            fn $law() {
                let executor = $crate::conformance::TestExecutor::of::<$subject>();
                let law = $crate::conformance::Law {
                    name: stringify!($law),
                    run: |pair| Box::pin($crate::conformance::$law::<$transport>(pair)),
                };
                let checked = $crate::conformance::check(
                    &law, &executor, &executor, $crate::conformance::TIME_LIMIT,
                );
                if let Err(broken) = checked {
                    panic!("{broken}");
                }
            }
        )*
    };
}

fn probe(publisher: u64, number: u64) -> Probe {
    Probe { publisher, number }
}

/// So many rounds of something, fewer where an interpreter runs them.
const fn rounds(count: u64) -> u64 {
    if cfg!(miri) { count.div_ceil(50) } else { count }
}

/// The number of a delivery that must be a message.
#[track_caller]
fn number(delivery: Option<Delivery<Probe>>) -> u64 {
    match delivery {
        Some(Delivery::Msg(probe)) => probe.number,
        Some(Delivery::Gap(gap)) => panic!("{gap}, though nothing may be missing"),
        None => panic!("the end, though there is more to come"),
    }
}
