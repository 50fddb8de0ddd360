//! `ServiceTest`: messages, time, failures, restarts, gaps and the end.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use mycelium::error::StartError;
use mycelium::execution::Execution;
use mycelium::observe::Outcome;
use mycelium::testing::ServiceTest;
use mycelium::{Context, Delivery, Error, Node, Result, service};

use crate::node::services::{Deaf, ENDLESS, Number, Square};
use crate::running::{Says, main_with};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn number(value: u64) -> Number {
    Number { value }
}

fn square(value: u64) -> Square {
    Square { value }
}

/// Squares each number; 13 is an error, 666 a panic, and 999 a permanent error.
pub(crate) struct Squarer;

#[service(reads(Number), emits(Square))]
impl Squarer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while let Some(delivery) = numbers.recv().await {
            let Delivery::Msg(number) = delivery else { continue };
            match number.value {
                13 if !number.redelivered() => return Err(Error::msg("unlucky")),
                666 => panic!("the beast"),
                999 => return Err(Error::msg("no use").permanent()),
                value => ctx.emit(square(value * value)).await?,
            }
        }
        Ok(())
    }
}

#[test]
fn a_service_answers_and_is_then_silent() {
    let mut test = ServiceTest::new(|| Squarer);
    test.send(number(7));
    assert_eq!(test.receive(), Some(square(49)));
    assert_eq!(test.receive::<Square>(), None);
    test.send_all((1..=3).map(number));
    assert_eq!(test.expect::<Square>(), square(1));
    assert_eq!(test.receive_all::<Square>(), [square(4), square(9)]);
    let report = test.finish().unwrap();
    assert_eq!(report.services[0].outcome, Outcome::Completed);
    assert_eq!(report.services[0].starts, 1);
}

/// Emits one number per second, and the calendar time at that moment.
struct Ticker;

#[service(emits(Number))]
impl Ticker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        loop {
            ctx.sleep(SECOND).await?;
            ctx.emit(number(ctx.now().as_secs())).await?;
        }
    }
}

#[test]
fn time_moves_only_by_the_test_and_fires_each_timer_at_its_deadline() {
    let mut test = ServiceTest::new(|| Ticker);
    assert_eq!(test.receive::<Number>(), None);
    test.advance(SECOND / 2);
    assert_eq!(test.receive::<Number>(), None);
    test.advance(9 * SECOND);
    assert_eq!(test.receive_all::<Number>(), (1..=9).map(number).collect::<Vec<_>>());
    assert_eq!(test.now(), 9 * SECOND + SECOND / 2);
    test.finish().unwrap();
}

/// Uses all parts of a context, in a service that stays on its thread.
struct Everything(Rc<Cell<u32>>);

#[service(emits(Number))]
impl Everything {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let year_2000 = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_800);
        assert_eq!(ctx.wall_clock(), year_2000);
        let here = std::thread::current().id();
        assert_eq!(ctx.blocking(|| std::thread::current().id()).await?, here);
        assert_eq!(ctx.spawn(async { 7 }).await?, 7);
        assert!(ctx.connect("127.0.0.1:1").await.is_err());
        let clock = ctx.clock();
        let slept = ctx.spawn(async move { clock.sleep(SECOND).await.map(|()| clock.now()) });
        assert_eq!(slept.await?, Ok(SECOND));
        self.0.set(self.0.get() + 1);
        let random = ctx.random();
        ctx.emit(number(random)).await?;
        Ok(())
    }
}

#[test]
fn local_services_tasks_and_blocking_work_run_on_the_thread_of_the_test() {
    let random = || {
        let mut test = ServiceTest::new(|| Everything(Rc::default()));
        test.advance(SECOND);
        let number = test.expect::<Number>();
        test.finish().unwrap();
        number
    };
    assert_eq!(random(), random(), "each run is like the one before");
}

#[test]
fn a_service_with_a_thread_runs_on_the_thread_of_the_test() {
    let topology = "[node.main]\nexecutor = \"glommio\"\nservices = [\"Squarer\"]\n\
                    [service.Squarer]\nrun = \"dedicated\"\nwait = \"spin\"";
    let node = main_with(topology)
        .execution("Squarer", Execution::dedicated())
        .watchdog(SECOND)
        .service(|| Squarer);
    let mut test = ServiceTest::of(node);
    test.send(number(2));
    assert_eq!(test.expect::<Square>(), square(4));
    test.finish().unwrap();
}

#[test]
fn an_error_redelivers_the_message_after_the_pause() {
    let mut test = ServiceTest::new(|| Squarer).supervised();
    test.send_all([13, 2].map(number));
    let failures = test.failures();
    assert_eq!(failures.len(), 1);
    failures[0].says("`Squarer` failed: unlucky");
    assert!(!failures[0].panicked);
    assert_eq!(test.receive::<Square>(), None, "it waits for its restart");
    test.advance(60 * SECOND);
    assert_eq!(test.receive_all::<Square>(), [square(169), square(4)]);
    let report = test.finish().unwrap();
    assert_eq!((report.services[0].starts, report.services[0].errors), (2, 1));
}

/// Emits the sum when its topic ends.
struct Sum;

#[service(reads(Number), emits(Square))]
impl Sum {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut sum, mut numbers) = (0, ctx.subscribe::<Number>()?);
        while let Some(delivery) = numbers.recv().await {
            sum += delivery.message().map_or(0, |number| number.value);
        }
        ctx.emit(square(sum)).await?;
        Ok(())
    }
}

#[test]
fn the_end_of_a_topic_and_of_the_node_end_a_reader() {
    for end in [ServiceTest::end_topic::<Number>, ServiceTest::shutdown] {
        let mut test = ServiceTest::new(|| Sum);
        test.send_all((1..=4).map(number));
        assert_eq!(test.receive::<Square>(), None);
        end(&mut test);
        assert_eq!(test.expect::<Square>(), square(10));
        test.finish().unwrap();
    }
}

/// Adds the numbers of both ports.
struct Adder;

#[service(reads(Number as left, Number as right), emits(Number as sums))]
impl Adder {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut left = ctx.subscribe_on(Self::left)?;
        let mut right = ctx.subscribe_on(Self::right)?;
        while let (Some(a), Some(b)) = (left.recv().await, right.recv().await) {
            if let (Some(a), Some(b)) = (a.message(), b.message()) {
                ctx.on(Self::sums).emit(number(a.value + b.value)).await?;
            }
        }
        Ok(())
    }
}

#[test]
fn named_ports_are_topics_of_their_names_or_bound_by_the_builder() {
    let node = Node::builder("main").service(|| Adder);
    let node =
        node.bind("Adder", "left", "l").bind("Adder", "right", "r").bind("Adder", "sums", "s");
    let by_name = (ServiceTest::new(|| Adder), ["left", "right", "sums"]);
    for (mut test, [left, right, sums]) in [by_name, (ServiceTest::of(node), ["l", "r", "s"])] {
        test.send_all_to(left, [1, 2].map(number));
        assert_eq!(test.receive_from::<Number>(sums), None);
        test.send_to(right, number(10));
        assert_eq!(test.expect_from::<Number>(sums), number(11));
        test.end_topic_of::<Number>(right);
        test.shutdown();
        assert_eq!(test.receive_all_from::<Number>(sums), []);
        test.finish().unwrap();
    }
}

#[test]
fn messages_of_an_endless_source_are_received_one_by_one() {
    let mut test = ServiceTest::new(|| ENDLESS);
    for value in 0..5_000 {
        assert_eq!(test.expect::<Number>(), number(value));
    }
    test.finish().unwrap();
}

/// Keeps working after the shutdown.
struct Lingering;

#[service()]
impl Lingering {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.shutdown_requested().await;
        let clock = ctx.clock();
        ctx.blocking(|| ()).await?;
        while clock.sleep(SECOND).await.is_ok() {}
        Ok(())
    }
}

#[test]
fn the_deadline_of_a_shutdown_passes_in_no_time() {
    ServiceTest::new(|| Lingering).finish().unwrap();
    let error = ServiceTest::new(|| Deaf).finish().unwrap_err();
    assert!(matches!(error, StartError::Abandoned { .. }), "{error}");
}
