//! Actors in tests: their mailbox, time and failures, and the actors that they tell and ask.

use std::time::Duration;

use futures_util::FutureExt;
use mycelium::actors::{ActorContext, ActorEnd, ActorRef, Gone, OnError, TellError};
use mycelium::channel::Spsc;
use mycelium::requests::RequestError;
use mycelium::testing::{MockActor, TestActor, TestActors};
use mycelium::{Error, Result, actor, message};

use super::mistakes::panic_of;
use crate::running::Says;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Do {
    Add(u64),
    Fail,
    Panic,
    Continue,
    Stall,
    Spin,
}

#[message(topic = "sum-requests", id = 1, reply = Sum)]
#[derive(Debug, PartialEq)]
struct GetSum {
    after_seconds: u64,
}

#[message(topic = "sums", id = 2)]
#[derive(Debug, PartialEq)]
struct Sum {
    sum: u64,
}

#[message(topic = "count-requests", id = 3, reply = Sum)]
#[derive(Debug, PartialEq)]
struct GetCount {
    of: u64,
}

#[derive(Default)]
struct Adder {
    sum: u64,
}

#[actor]
impl Adder {
    #[tell]
    async fn act(&mut self, what: Do, ctx: &mut ActorContext<Self>) -> Result<()> {
        match what {
            Do::Add(number) => self.sum += number,
            Do::Fail => return Err(Error::msg("told to fail")),
            Do::Panic => panic!("told to panic"),
            Do::Continue => return Err(Error::msg("never mind")),
            Do::Stall => std::future::pending().await,
            Do::Spin => {
                if let Some(mut myself) = ctx.myself() {
                    myself.try_tell(Do::Spin)?;
                }
            }
        }
        Ok(())
    }

    #[remote]
    async fn sum(&mut self, request: GetSum, ctx: &mut ActorContext<Self>) -> Result<Sum> {
        ctx.sleep(SECOND * u32::try_from(request.after_seconds)?).await?;
        Ok(Sum { sum: self.sum })
    }

    #[remote]
    fn count(&mut self, request: GetCount) -> Sum {
        Sum { sum: request.of }
    }

    fn on_error(&mut self, error: &Error) -> OnError {
        if error.to_string() == "never mind" { OnError::Continue } else { OnError::Restart }
    }
}

const NOW: GetSum = GetSum { after_seconds: 0 };

fn sum(adder: &mut TestActor<Adder>) -> u64 {
    adder.ask(NOW).unwrap().sum
}

#[test]
fn only_the_test_moves_the_time() {
    let mut adder = TestActor::new(Adder::default);
    let mut reply = adder.start_ask(GetSum { after_seconds: 60 });
    assert_eq!(reply.outcome(), None);
    adder.advance(59 * SECOND);
    assert_eq!(reply.outcome(), None);
    adder.advance(SECOND);
    assert_eq!(reply.outcome(), Some(Ok(Sum { sum: 0 })));
    assert_eq!(reply.outcome(), None);
    assert_eq!(adder.set().now(), 60 * SECOND);

    let mut late = adder.start_ask(GetSum { after_seconds: 9 }).within(3 * SECOND);
    adder.advance(4 * SECOND);
    assert!(matches!(late.outcome(), Some(Err(RequestError::Deadline { .. }))));
}

#[test]
fn a_failure_is_a_panic_of_the_test_unless_it_is_supervised() {
    panic_of(|| TestActor::new(Adder::default).tell(Do::Fail))
        .says("`Adder#1` failed: told to fail (to test failures, call `supervised()`)");
    let text = panic_of(|| TestActor::new(Adder::default).tell(Do::Panic));
    let place = format!("(at {}:", file!());
    assert!(text.contains("panic: told to panic") && text.contains(&place), "{text}");

    let mut adder = TestActor::new(Adder::default).supervised();
    adder.tell(Do::Add(1));
    adder.tell(Do::Fail);
    assert_eq!(adder.restarts(), 0, "the pause has not passed");
    adder.advance(SECOND);
    assert_eq!((adder.restarts(), sum(&mut adder)), (1, 1));
    adder.tell(Do::Panic);
    adder.advance(SECOND);
    assert_eq!((adder.restarts(), sum(&mut adder)), (2, 0));
    let failures = adder.set().failures();
    let failures: Vec<_> = failures.iter().map(|it| (&*it.error, it.panicked)).collect();
    let [("told to fail", false), (panic, true)] = failures[..] else { panic!("{failures:?}") };
    panic.begins("panic: told to panic");
    assert_eq!(adder.set().failures(), []);
}

#[test]
fn an_error_after_which_the_actor_continues_is_seen_and_is_no_panic() {
    let mut adder = TestActor::new(Adder::default);
    adder.tell(Do::Continue);
    adder.tell(Do::Add(1));
    assert_eq!(sum(&mut adder), 1);
    let failures = adder.set().failures();
    assert_eq!(failures.len(), 1);
    failures[0].says("`Adder#1` failed, and continues: never mind");
    assert!(failures[0].ignored);
}

#[test]
fn the_mailbox_fills_while_nothing_runs_and_what_a_stop_leaves_is_dead_mail() {
    let set = TestActors::new();
    let mut adder = set.spawn_as(Adder::default, |adder| adder.name("adder").capacity(2));
    adder.try_tell(Do::Add(1)).unwrap();
    adder.try_tell(Do::Add(2)).unwrap();
    assert_eq!(adder.try_tell(Do::Add(3)), Err(TellError::Full(Do::Add(3))));
    // This handles a message, and so makes room.
    adder.tell(Do::Add(3));
    assert_eq!(sum(&mut adder), 6);
    adder.try_tell(Do::Add(4)).unwrap();
    adder.try_tell(Do::Add(5)).unwrap();
    assert_eq!(adder.stop(), ActorEnd::Stopped);
    let dead = set.dead_mail();
    assert_eq!(dead.len(), 2);
    assert_eq!((&*dead[0].actor, dead[0].message_type), ("adder", std::any::type_name::<Do>()));
    assert_eq!(set.dead_mail(), []);

    let mut adder = set.spawn(Adder::default);
    adder.try_tell(Do::Add(1)).unwrap();
    assert_eq!(adder.drain(), ActorEnd::Stopped);
    assert_eq!(set.dead_mail(), []);
}

#[test]
fn mistakes_of_a_test_are_panics_that_say_what_to_do() {
    let mut adder = TestActor::new(Adder::default);
    panic_of(|| _ = adder.ask(GetSum { after_seconds: 1 }))
        .begins("`Adder#1` has not replied to `sum-requests`: it waits");
    adder.advance(SECOND);
    assert_eq!(adder.stop(), ActorEnd::Stopped);
    panic_of(|| adder.tell(Do::Add(1))).says("`Adder#1` is told a message, but it was stopped");

    let mut adder = TestActors::new().spawn_as(Adder::default, |adder| adder.capacity(2));
    adder.tell(Do::Stall);
    adder.tell(Do::Add(1));
    adder.tell(Do::Add(2));
    panic_of(|| adder.tell(Do::Add(3))).mentions("its mailbox is full (2 messages)");
    panic_of(|| _ = adder.stop()).mentions("waits for something that is not a part of this test");
    assert_eq!(adder.set().shutdown(SECOND).len(), 1);
    assert_eq!(adder.end(), Some(ActorEnd::Abandoned));

    let mut adder = TestActors::new().steps(1_000).spawn(Adder::default);
    panic_of(|| adder.tell(Do::Spin)).mentions("never waited");
}

/// Tells and asks an adder, and reports how the adder ended.
struct Client {
    adder: ActorRef<Adder>,
    ended: u64,
}

#[actor]
impl Client {
    fn started(&mut self, ctx: &mut ActorContext<Self>) {
        ctx.watch(&self.adder);
    }

    #[tell]
    async fn pass(&mut self, number: u64) -> Result<()> {
        self.adder.tell(Do::Add(number)).await?;
        Ok(())
    }

    #[remote]
    async fn sum(&mut self, request: GetSum) -> Result<Sum> {
        match self.adder.ask(request).await {
            Ok(sum) => Ok(sum),
            Err(_) => Ok(Sum { sum: 1_000 + self.ended }),
        }
    }

    fn gone(&mut self, gone: Gone) {
        self.ended += if gone.end.is_failure() { 10 } else { 1 };
    }
}

/// Returns a mock of an adder, and a client that uses it.
fn mocked() -> (TestActors, MockActor<Adder>, TestActor<Client>) {
    let set = TestActors::new();
    let mock = set.mock::<Adder>();
    let reference = mock.reference();
    let client = set.spawn(move || Client { adder: reference.clone(), ended: 0 });
    (set, mock, client)
}

#[test]
fn a_mock_keeps_what_it_is_told_and_the_test_replies() {
    let (_set, mock, mut client) = mocked();
    client.tell(1);
    client.tell(2);
    assert_eq!(mock.waiting(), 2);
    assert_eq!(mock.receive(), Some(Do::Add(1)));
    assert_eq!(mock.receive_all(), [Do::Add(2)]);
    assert_eq!(mock.receive::<Do>(), None);
    // A request that the mock drops has failed.
    let mut reply = client.start_ask(NOW);
    drop(mock.asked::<GetSum>().unwrap());
    assert_eq!(reply.outcome(), Some(Ok(Sum { sum: 1_000 })));
    assert!(mock.asked::<GetSum>().is_none());
}

#[test]
fn a_mock_ends_as_the_test_says_and_others_see_it() {
    for fails in [false, true] {
        let (set, mock, mut client) = mocked();
        if fails {
            mock.fail("it broke")
        } else {
            mock.stop()
        }
        let ended = if fails { 10 } else { 1 };
        assert_eq!(client.ask(NOW), Ok(Sum { sum: 1_000 + ended }));
        assert_eq!(set.actors().count(), 1);
    }
}

#[test]
fn a_mailbox_with_one_sender_has_one_reference_also_as_a_mock() {
    let set = TestActors::new();
    let mock = set.mock_as::<Adder, Spsc>(|adder| adder.name("one").queue());
    let mut only = mock.reference();
    assert!(panic_of(|| drop(mock.reference())).contains("no reference to `one`"));
    only.try_tell(Do::Add(1)).unwrap();
    assert_eq!(mock.receive(), Some(Do::Add(1)));
}

#[test]
fn a_mock_keeps_requests_of_other_types_and_drops_those_that_were_cancelled() {
    let set = TestActors::new();
    let mock = set.mock::<Adder>();
    let mut desk = mock.reference();
    let sum = desk.ask(NOW);
    desk.try_tell(Do::Add(7)).unwrap();
    let counts = [desk.ask(GetCount { of: 1 }), desk.ask(GetCount { of: 2 })];
    assert_eq!(mock.waiting(), 4);
    assert_eq!(mock.asked::<GetCount>().unwrap().of, 1);
    drop(counts);
    assert!(mock.asked::<GetCount>().is_none());
    assert_eq!(mock.receive(), Some(Do::Add(7)));
    mock.asked::<GetSum>().unwrap().reply(Sum { sum: 3 });
    assert_eq!(sum.now_or_never(), Some(Ok(Sum { sum: 3 })));
    assert_eq!(mock.waiting(), 0);
}
