//! Tests of services and actors: [`ServiceTest`] runs one service, or a few, without threads and
//! without real time. [`TestActor`] does the same with an actor.
//!
//! `docs/testing-your-services.md` is the guide. `testing/tasks.rs` is the executor of a test,
//! `shared/probe` gives a test access to its node, `testing/panics.rs` has the texts of panics,
//! `testing/requests.rs` has requests and replies, and this file has the methods for users. The
//! node is a real one, with the usual rings, policies, supervision and shutdown.
//! `testing/replay.rs` has recordings as input,
//! `testing/actors.rs` has a set of actors, on the same executor, `testing/actor.rs` a single
//! actor, and `testing/mock_actor.rs` a stand-in that only keeps the messages it gets.
//!
//! Needs the feature `testing`:
//!
//! ```toml
//! [dev-dependencies]
//! mycelium = { path = "mycelium", features = ["testing"] }
//! ```

#[cfg(feature = "actors")]
mod actor;
#[cfg(feature = "actors")]
mod actors;
#[cfg(feature = "actors")]
mod mock_actor;
mod panics;
#[cfg(feature = "record")]
mod replay;
mod requests;
mod tasks;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use mycelium_core::Message;
use mycelium_executor::{Executor, PausedTime};
use mycelium_transports::counters::Metric;
use mycelium_transports::local::{EmitError, Publisher, Refusal, Schema};

use crate::error::StartError;
use crate::node::builder::Builder;
use crate::node::{Node, Running};
use crate::observe::report::Report;
use crate::plan::Port;
use crate::service::Service;
use crate::shared::ServiceNode;
use crate::shared::probe::{Probe, TEST};
use tasks::{TestExecutor, TestTasks, advance_by_one};

#[cfg(feature = "actors")]
pub use crate::actor::{ActorFailure, UnhandledMail};
pub use crate::shared::probe::Failure;
#[cfg(feature = "actors")]
pub use actor::{TestActor, TestReply};
#[cfg(feature = "actors")]
pub use actors::TestActors;
#[cfg(feature = "actors")]
pub use mock_actor::{MockActor, any};

/// The default limit of steps at one time of the clock. Beyond it, the call panics.
const STEPS: usize = 100_000;
/// The maximum number of messages, and of timers, in one call. Beyond it, the call panics.
const MANY: usize = 1_000_000;
/// The maximum bytes of messages in one call; small in the test of this limit. Beyond it, the call
/// panics.
const MEMORY: usize = if cfg!(test) { 1 << 20 } else { 256 << 20 };
/// The calendar time at the start of each test: 2000-01-01, 00:00 UTC.
const START: Duration = Duration::from_secs(946_684_800);

/// Runs services in a test: on the thread of the test, one step after the other, with time that
/// only [`advance`](ServiceTest::advance) changes.
///
/// The test is the environment of the services: it [sends](ServiceTest::send) the messages that
/// they read and [receives](ServiceTest::receive) the messages that they emit. Nothing runs between
/// its calls, so all runs of a test are the same. All emitted messages are kept until the test
/// receives them.
///
/// If a service fails, with an error or a panic, the next call panics with the text of the failure.
/// To test failures and restarts, call [`supervised`](ServiceTest::supervised). A panic has the
/// line of the call in the test, and the reason, for example that no service reads a message.
///
/// ```
/// use std::time::Duration;
///
/// use mycelium::testing::ServiceTest;
/// use mycelium::{Context, Result, message, service};
///
/// #[message(topic = "ticks", id = 1)]
/// struct Tick {
///     price: i64,
/// }
///
/// #[message(topic = "signals", id = 2)]
/// #[derive(Debug, PartialEq)]
/// struct Signal {
///     change: i64,
/// }
///
/// struct Detector {
///     limit: i64,
///     last: Option<i64>,
/// }
///
/// #[service(reads(Tick), emits(Signal))]
/// impl Detector {
///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
///         let mut ticks = ctx.subscribe::<Tick>()?;
///         while let Some(delivery) = ticks.recv().await {
///             let Some(tick) = delivery.message() else { continue };
///             let change = tick.price - self.last.replace(tick.price).unwrap_or(tick.price);
///             if change.abs() > self.limit {
///                 ctx.emit(Signal { change }).await?;
///             }
///         }
///         Ok(())
///     }
/// }
///
/// let mut test = ServiceTest::new(|| Detector { limit: 5, last: None });
/// test.send(Tick { price: 100 });
/// test.send(Tick { price: 110 });
/// assert_eq!(test.receive::<Signal>(), Some(Signal { change: 10 }));
/// test.advance(Duration::from_secs(60));
/// assert_eq!(test.receive::<Signal>(), None);
/// test.finish().unwrap();
/// ```
pub struct ServiceTest {
    running: Running,
    node: Arc<ServiceNode>,
    probe: Arc<Probe>,
    time: PausedTime<TestExecutor>,
    /// Dropped after `running`: the end of the node is requested before its tasks are dropped.
    tasks: TestTasks,
    /// The publishers of the test, by topic, with the number of messages that each has sent.
    publishers: BTreeMap<String, (Box<dyn Any>, usize)>,
    ended_topics: BTreeSet<String>,
    /// The publishers of recorded streams.
    #[cfg(feature = "record")]
    replayed: Vec<mycelium_transports::untyped::UntypedPublisher>,
    steps: usize,
    is_supervised: bool,
}

impl ServiceTest {
    /// Creates a test of one service. The factory creates the service, and again after each panic.
    /// A named port is bound to a topic with the name of the port.
    ///
    /// # Panics
    /// If the service cannot be part of a node.
    #[must_use]
    #[track_caller]
    pub fn new<S: Service>(factory: impl FnMut() -> S + Send + 'static) -> ServiceTest {
        let (ports, node) = (S::ports(), Node::builder("test").service(factory));
        let names = ports.reads.iter().chain(&ports.emits).filter_map(Port::name);
        ServiceTest::of(names.fold(node, |node, port| node.bind(S::NAME, port, port)))
    }

    /// Creates a test of all services of a builder, with its topology, names, observers and hooks.
    /// They run on the thread of the test; their execution is ignored.
    ///
    /// # Panics
    /// If the services do not fit together.
    #[must_use]
    #[track_caller]
    pub fn of(builder: Builder) -> ServiceTest {
        let mut node = match builder.build() {
            Ok(node) => node,
            Err(error) => panic!("the node of this test cannot be built: {error}"),
        };
        let probe = Arc::new(Probe::default());
        if let Err(error) = node.prepare_for_test(&probe) {
            panic!("the node of this test cannot be built: {error}");
        }
        let tasks = TestTasks::new(node.requested_executor().unwrap_or("test"));
        let start = SystemTime::UNIX_EPOCH + START;
        let time = PausedTime::starting_at(tasks.executor(), start);
        let running = match node.start(time.clone()) {
            Ok(running) => running,
            Err(error) => panic!("the node of this test does not start: {error}"),
        };
        let node = running.node().clone();
        let (publishers, steps, is_supervised) = (BTreeMap::new(), STEPS, false);
        let ended_topics = BTreeSet::new();
        ServiceTest {
            running,
            node,
            probe,
            time,
            tasks,
            publishers,
            ended_topics,
            #[cfg(feature = "record")]
            replayed: Vec::new(),
            steps,
            is_supervised,
        }
    }

    /// Allows services to fail: a failure does not panic in the test. The node restarts the service
    /// after a pause, as outside tests, and [`failures`](ServiceTest::failures) returns the
    /// failures. Advance the time to end the pause.
    #[must_use]
    pub fn supervised(mut self) -> ServiceTest {
        self.is_supervised = true;
        self
    }

    /// Sets how many steps services may take at one time of the clock before a call panics because
    /// they never wait. In one step, each task that can make progress is polled about once. The
    /// default is 100,000.
    #[must_use]
    pub fn steps(mut self, most: usize) -> ServiceTest {
        self.steps = most;
        self
    }

    /// Runs all services until each of them waits for a message, for time, or has ended.
    ///
    /// # Panics
    /// If they never wait, or one fails.
    #[track_caller]
    pub fn run(&mut self) {
        self.settle();
        self.report_failures();
    }

    /// Sends a message to its topic and [runs](ServiceTest::run) the services.
    ///
    /// # Panics
    /// If no service reads it, or the queue of a service is full.
    #[track_caller]
    pub fn send<M: Message>(&mut self, message: M) {
        self.send_one(M::TOPIC, &message);
        self.run();
    }

    /// Sends as [`send`](ServiceTest::send) does, to the topic with this name.
    ///
    /// # Panics
    /// Same as [`send`](ServiceTest::send).
    #[track_caller]
    pub fn send_to<M: Message>(&mut self, topic: &str, message: M) {
        self.send_one(topic, &message);
        self.run();
    }

    /// Sends all messages, and then [runs](ServiceTest::run) the services. A service that may miss
    /// messages (`drop-oldest`, `latest`) misses those that do not fit into its queue.
    ///
    /// # Panics
    /// Same as [`send`](ServiceTest::send).
    #[track_caller]
    pub fn send_all<M: Message>(&mut self, messages: impl IntoIterator<Item = M>) {
        self.send_all_to(M::TOPIC, messages);
    }

    /// Sends messages as [`send_all`](ServiceTest::send_all) does, to the topic with this name.
    ///
    /// # Panics
    /// Same as [`send`](ServiceTest::send).
    #[track_caller]
    pub fn send_all_to<M: Message>(&mut self, topic: &str, messages: impl IntoIterator<Item = M>) {
        self.assert_not_ended(topic);
        for message in messages {
            self.send_one(topic, &message);
        }
        self.run();
    }

    /// Returns the values of the metrics that the services have created through
    /// [`Context::metrics`](crate::Context::metrics).
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        self.running.metrics()
    }

    /// Returns the next message that a service emitted and the test has not received. If there is
    /// none, the services run until there is one, or all wait.
    ///
    /// # Panics
    /// If no service emits it.
    #[track_caller]
    pub fn receive<M: Message>(&mut self) -> Option<M> {
        self.receive_from(M::TOPIC)
    }

    /// Returns the next message as [`receive`](ServiceTest::receive) does, from the topic with this
    /// name.
    ///
    /// # Panics
    /// Same as [`receive`](ServiceTest::receive).
    #[track_caller]
    pub fn receive_from<M: Message>(&mut self, topic: &str) -> Option<M> {
        self.run_until_output::<M>(topic);
        self.probe.take(topic)
    }

    /// Returns all messages of a topic that services emit until all wait.
    ///
    /// # Panics
    /// Same as [`receive`](ServiceTest::receive), and if services emit without an end.
    #[track_caller]
    pub fn receive_all<M: Message>(&mut self) -> Vec<M> {
        self.receive_all_from(M::TOPIC)
    }

    /// Returns all messages as [`receive_all`](ServiceTest::receive_all) does, from the topic with
    /// this name.
    ///
    /// # Panics
    /// Same as [`receive_all`](ServiceTest::receive_all).
    #[track_caller]
    pub fn receive_all_from<M: Message>(&mut self, topic: &str) -> Vec<M> {
        self.run();
        let mut messages = Vec::new();
        while let Some(message) = self.receive_from(topic) {
            messages.push(message);
        }
        messages
    }

    /// Returns the next message, as [`receive`](ServiceTest::receive). Panics if none comes.
    ///
    /// # Panics
    /// If there is no message: the text says what the services wait for.
    #[track_caller]
    pub fn expect<M: Message>(&mut self) -> M {
        self.expect_from(M::TOPIC)
    }

    /// Returns the next message as [`expect`](ServiceTest::expect) does, from the topic with this
    /// name.
    ///
    /// # Panics
    /// Same as [`expect`](ServiceTest::expect).
    #[track_caller]
    pub fn expect_from<M: Message>(&mut self, topic: &str) -> M {
        self.run_until_output::<M>(topic);
        if self.probe.has::<M>(topic) != Some(true) {
            self.panic_of_silence::<M>(topic);
        }
        self.taken(topic)
    }

    /// Advances the time, from timer to timer, and runs the services at each.
    ///
    /// # Panics
    /// Same as [`run`](ServiceTest::run).
    #[track_caller]
    pub fn advance(&mut self, duration: Duration) {
        let end = self.time.now().saturating_add(duration);
        self.run();
        for _ in 0..MANY {
            let is_end = advance_by_one(&self.time, end);
            self.run();
            if is_end {
                return;
            }
        }
        panic!(
            "{MANY} timers fired within {duration:?}, and {} more to go: advance less at once",
            humantime::format_duration(end - self.time.now())
        );
    }

    /// Returns the time since the start of the test, which `ctx.now()` of services also returns.
    /// The calendar (`ctx.wall_clock()`) begins at 2000-01-01, 00:00 UTC.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.time.now()
    }

    /// Returns the failures of services since the last call, in order; for
    /// [`supervised`](ServiceTest::supervised) tests.
    ///
    /// # Panics
    /// Same as [`run`](ServiceTest::run).
    #[track_caller]
    pub fn failures(&mut self) -> Vec<Failure> {
        self.run();
        self.probe.take_failures()
    }

    /// Ends the topic `M`: services receive its remaining messages, and then `None`.
    ///
    /// # Panics
    /// If no service reads it, or as [`run`](ServiceTest::run).
    #[track_caller]
    pub fn end_topic<M: Message>(&mut self) {
        self.end_topic_of::<M>(M::TOPIC);
    }

    /// Ends the topic with this name as [`end_topic`](ServiceTest::end_topic) does.
    ///
    /// # Panics
    /// Same as [`end_topic`](ServiceTest::end_topic).
    #[track_caller]
    pub fn end_topic_of<M: Message>(&mut self, topic: &str) {
        self.publisher::<M>(topic);
        self.publishers.remove(topic);
        #[cfg(feature = "record")]
        self.replayed.retain(|publisher| **publisher.topic() != *topic);
        self.ended_topics.insert(topic.to_owned());
        self.run();
    }

    /// Shuts the node down: sources end, readers receive the sent messages, and then `None`. The
    /// test can still receive the messages that services emit at their end.
    ///
    /// # Panics
    /// Same as [`run`](ServiceTest::run).
    #[track_caller]
    pub fn shutdown(&mut self) {
        self.publishers.clear();
        #[cfg(feature = "record")]
        self.replayed.clear();
        self.running.shutdown();
        self.run();
    }

    /// [Shuts the node down](ServiceTest::shutdown) and advances the time until it has ended.
    /// Returns the report of the node.
    ///
    /// # Errors
    /// Same as [`Running::join`]: if a service failed permanently, or had not ended at the deadline
    /// of the shutdown.
    ///
    /// # Panics
    /// If a service fails and would be restarted, except in a
    /// [`supervised`](ServiceTest::supervised) test.
    #[track_caller]
    pub fn finish(mut self) -> Result<Report, StartError> {
        self.publishers.clear();
        #[cfg(feature = "record")]
        self.replayed.clear();
        self.running.shutdown();
        self.settle();
        while !self.node.lifecycle.finished.is_set() {
            assert!(self.time.advance_to_next_timer(), "the node waits for something outside");
            self.settle();
        }
        let ServiceTest { running, .. } = self;
        let report = running.join().now_or_never().expect("the node has ended");
        if !self.is_supervised {
            Failure::panic_of_any(&self.probe.take_failures());
        }
        report
    }

    /// Runs all services until they wait.
    #[track_caller]
    fn settle(&mut self) {
        let (mut messages, mut bytes) = (0, 0);
        for _ in 0..self.steps {
            if !self.tasks.step() {
                match self.probe.collect() {
                    (0, _) => return,
                    (more, size) => (messages, bytes) = (messages + more, bytes + size),
                }
            }
            if messages > MANY || bytes > MEMORY {
                self.panic_of_many_messages(messages, bytes);
            }
        }
        self.panic_of_busy_services();
    }

    #[track_caller]
    fn report_failures(&self) {
        if !self.is_supervised {
            Failure::panic_of_any(&self.probe.take_failures());
        }
    }

    #[track_caller]
    fn assert_not_ended(&self, topic: &str) {
        assert!(
            !self.ended_topics.contains(topic),
            "topic `{topic}` has ended: this test called `end_topic` before"
        );
    }

    /// Sends a message. If a queue is full, runs the services and tries again.
    #[track_caller]
    fn send_one<M: Message>(&mut self, topic: &str, message: &M) {
        self.assert_not_ended(topic);
        let mut poll = self.poll_send(topic, message);
        if poll.is_pending() {
            // The queue may be full because the readers have not run yet, so runs them now.
            self.run();
            poll = self.poll_send(topic, message);
        }
        match poll {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(refusal)) => panic!("{}", EmitError::new(topic.into(), (), refusal)),
            Poll::Pending => self.panic_of_full_queue::<M>(topic),
        }
    }

    /// Runs the services until one has emitted a message to this topic, or until all wait.
    #[track_caller]
    fn run_until_output<M: Message>(&mut self, topic: &str) {
        for _ in 0..self.steps {
            match self.probe.has::<M>(topic) {
                Some(true) => return,
                Some(false) => {}
                None => self.panic_of_unknown_output::<M>(topic),
            }
            if !self.tasks.step() && self.probe.collect().0 == 0 {
                return self.report_failures();
            }
        }
        self.panic_of_busy_services()
    }

    /// Takes a message that is known to be there. A separate function, so that only its own stack
    /// frame, not the caller's, has room for a message.
    fn taken<M: Message>(&self, topic: &str) -> M {
        self.probe.take(topic).expect("there is one")
    }

    /// Sends a message. Pending if a queue is full.
    #[track_caller]
    fn poll_send<M: Message>(&mut self, topic: &str, message: &M) -> Poll<Result<(), Refusal>> {
        let (publisher, sent) = self.publisher::<M>(topic);
        let context = Context::from_waker(Waker::noop());
        let mut poll = publisher.poll_emit_ref(&context, message);
        if poll.is_pending() {
            // The first poll may be pending only to yield, as after each 256 messages.
            poll = publisher.poll_emit_ref(&context, message);
        }
        *sent += usize::from(matches!(poll, Poll::Ready(Ok(()))));
        poll
    }

    /// Returns the test's publisher of a topic, and the number of messages that it has sent.
    #[track_caller]
    fn publisher<M: Message>(&mut self, topic: &str) -> (&mut Publisher<M>, &mut usize) {
        if !self.publishers.contains_key(topic) {
            if self.probe.inputs().iter().all(|input| input.topic != topic) {
                self.panic_of_unread_message::<M>(topic);
            }
            let publisher = match self.running.publisher_to::<M>(topic, TEST) {
                Ok(publisher) => Box::new(publisher),
                Err(error) => {
                    panic!("the test cannot send `{}`: {error}", Schema::of::<M>().name())
                }
            };
            self.publishers.insert(topic.to_owned(), (publisher, 0));
        }
        let (publisher, sent) = self.publishers.get_mut(topic).expect("inserted above");
        match publisher.downcast_mut() {
            Some(publisher) => (publisher, sent),
            None => panic!(
                "topic `{topic}` carries another message than `{}`",
                Schema::of::<M>().name()
            ),
        }
    }
}

impl fmt::Debug for ServiceTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTest").field("node", &self.running).finish_non_exhaustive()
    }
}
