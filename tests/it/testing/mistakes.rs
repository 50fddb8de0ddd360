//! The panic messages of a wrong test, or of a test whose service is wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mycelium::testing::ServiceTest;
use mycelium::{Context, Result, message, service};

use crate::node::services::{ENDLESS, Number, Square};
use crate::running::{Says, main_with};
use crate::support::idle_services;
use crate::testing::service_test::{Squarer, number};

#[message(topic = "unknown", id = 9)]
#[derive(Debug)]
struct Unknown {
    value: u64,
}

/// Returns the message with which `test` panics.
#[track_caller]
pub(crate) fn panic_of(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("it should have panicked");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().expect("a text")).to_owned(),
    }
}

#[test]
fn a_message_that_nothing_reads_or_emits() {
    panic_of(|| ServiceTest::new(|| Squarer).send(Unknown { value: 1 })).says(
        "the test sends `Unknown`, but no service of this test reads topic `unknown`: \
         `Squarer` reads `Number` (topic `numbers`)",
    );
    panic_of(|| ServiceTest::new(|| ENDLESS).end_topic::<Number>())
        .ends("reads topic `numbers`: they read nothing");
    panic_of(|| _ = ServiceTest::new(|| Squarer).receive::<Unknown>()).says(
        "the test receives `Unknown`, but no service of this test emits it to topic `unknown`: \
         `Squarer` emits `Square` (topic `squares`)",
    );
}

#[test]
fn a_message_that_does_not_come() {
    for (numbers, expected) in [
        (&[][..], "`Squarer` waits for `numbers`, or for time (`advance`)"),
        (&[13], "`Squarer` has failed, and its restart waits for time (`advance`)"),
        (&[999], "`Squarer` failed permanently: no use"),
    ] {
        let text = panic_of(|| {
            let mut test = ServiceTest::new(|| Squarer).supervised();
            test.send_all(numbers.iter().copied().map(number));
            test.expect::<Square>();
        });
        assert_eq!(text, format!("no `Square` was emitted: {expected}"));
    }
    let text = panic_of(|| {
        let mut test = ServiceTest::new(|| Squarer);
        test.end_topic::<Number>();
        test.expect::<Square>();
    });
    text.says("no `Square` was emitted: `Squarer` has ended");
}

#[test]
fn a_service_that_fails() {
    let fails = |value| panic_of(move || ServiceTest::new(|| Squarer).send(number(value)));
    assert_eq!(fails(13), "`Squarer` failed: unlucky (to test failures, call `supervised()`)");
    fails(666).begins("`Squarer` panicked: the beast");
    fails(999).begins("`Squarer` failed: no use");
}

/// Fails once, at its end.
struct BadEnd(Arc<AtomicBool>);

#[service(reads(Number))]
impl BadEnd {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while numbers.recv().await.is_some() {}
        match self.0.swap(true, Ordering::Relaxed) {
            true => Ok(()),
            false => panic!("at the end"),
        }
    }
}

#[test]
fn a_failure_at_the_end_is_not_overlooked() {
    let service = || {
        let has_failed = Arc::<AtomicBool>::default();
        move || BadEnd(has_failed.clone())
    };
    panic_of(|| _ = ServiceTest::new(service()).finish()).begins("`BadEnd` panicked: at the end");
    let report = ServiceTest::new(service()).supervised().finish().unwrap();
    assert_eq!((report.services[0].starts, report.services[0].panics), (2, 1));
}

idle_services! {
    // It has a subscription that it never takes.
    Idle(reads(Number), emits(Square));
}

#[test]
fn a_queue_that_is_full() {
    let node = main_with("[topic.numbers]\ncapacity = 4").service(|| Idle);
    panic_of(|| ServiceTest::of(node).send_all((0..9).map(number))).says(
        "`Idle` has not taken its messages: the queue of topic `numbers` is full, after 4 \
         messages; `Idle` has not called `ctx.subscribe::<Number>()`",
    );
}

/// It has two named ports of one type.
struct Merge;

#[service(reads(Number as left, Number as right), emits(Square as merged))]
impl Merge {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let _left = ctx.subscribe_on(Self::left)?;
        ctx.shutdown_requested().await;
        Ok(())
    }
}

#[test]
fn named_ports() {
    panic_of(|| ServiceTest::new(|| Merge).send(number(1))).says(
        "the test sends `Number`, but no service of this test reads topic `numbers`: `Merge` reads \
         `Number` (topic `left`), `Merge` reads `Number` (topic `right`); use `send_to(\"left\", ..)`",
    );
    panic_of(|| _ = ServiceTest::new(|| Merge).receive::<Square>())
        .ends("`Square` (topic `merged`); use `receive_from(\"merged\")`");
    panic_of(|| ServiceTest::new(|| Merge).send_all_to("right", (0..1_025).map(number)))
        .ends("`Merge` has not called `ctx.subscribe_on(Self::right)`");
}

/// Never waits, so a test cannot advance it.
struct Busy;

#[service()]
impl Busy {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        loop {
            ctx.sleep(Duration::ZERO).await?;
        }
    }
}

#[test]
fn services_that_never_wait() {
    panic_of(|| ServiceTest::new(|| Busy).run())
        .begins("`Busy` ran 100000 steps at one time of the clock and never waited");
    panic_of(|| ServiceTest::new(|| Busy).steps(100).run()).begins("`Busy` ran 100 steps");
    let text = panic_of(|| ServiceTest::new(|| ENDLESS).run());
    text.begins("`Source` emitted 10");
    text.mentions("a test keeps at most 1000000 messages and 256 MiB");
}

#[test]
fn a_panic_has_the_line_of_the_test() {
    let place = Arc::new(Mutex::new(None));
    let (seen, before) = (place.clone(), std::panic::take_hook());
    let here = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == here {
            *seen.lock().unwrap() = info.location().map(|place| place.file().to_owned());
        } else {
            before(info);
        }
    }));
    panic_of(|| ServiceTest::new(|| Squarer).send(Unknown { value: 1 }));
    assert_eq!(place.lock().unwrap().as_deref(), Some(file!()));
}
