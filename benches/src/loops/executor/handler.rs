//! A message to a handler on the same thread. Busy: one after the other while both sides are awake.
//! Parked: there and back, each side asleep until the other one sends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use glommio::channels::local_channel;
use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context, Message};
use ractor::{Actor, ActorProcessingErr, ActorRef as Ractor};
use tokio::sync::oneshot;

use super::host::{Host, OnGlommio, OnTokio, both, inside, run_node};
use super::services::{FITS, Results, stream, trips};
use crate::ends::{CAPACITY, Ends, Receive, Transmit};
use crate::harness::{Column, Mismatch, Round};
use crate::loops::tasks::{answer, ask};
use crate::sample::{Item, Tally};

pub(crate) const LOCAL_CHANNEL: &str = "glommio local_channel";
pub(crate) const KAMEO: &str = "kameo actor";
pub(crate) const RACTOR: &str = "ractor actor";

/// Services of a node.
pub(crate) fn services<H: Host>(name: &'static str, parked: bool) -> Column {
    Column::new(name, move |operations| {
        let results = Arc::new(Results::default());
        let node = if parked {
            trips(operations, false, &results).build().expect(FITS)
        } else {
            stream(operations, &results)
        };
        run_node::<H>(name, node)?;
        let found = results.found();
        checked(name, operations, Some((found.tally, found.took)))
    })
}

/// A round whose tally is that of all numbers.
fn checked(
    name: &'static str,
    operations: usize,
    outcome: Option<(Tally, Duration)>,
) -> Result<Round, Mismatch> {
    let (tally, took) = outcome.ok_or_else(|| Mismatch::new(name, "a task failed"))?;
    Mismatch::check(name, u64::expected(operations), tally)?;
    Ok(Round::Total(took))
}

/// A rival's channel between two tasks.
pub(crate) fn channel<H: Host, P: Transmit, Q: Receive>(
    ends: fn() -> Ends<P, Q>,
    parked: bool,
) -> Column {
    let name = ends().name;
    Column::new(name, move |operations| {
        let (mut there, mut back) = (ends(), ends());
        let outcome = inside::<H, _>(async move |executor| {
            if parked {
                let answers = async move {
                    answer(&mut there.receiver, &mut back.sender, operations).await;
                };
                let asks = async move {
                    ask(&mut there.sender, &mut back.receiver, operations, || {}).await
                };
                both(&executor, answers, asks).await.map(|(_, asked)| asked)
            } else {
                let receives = receive(there.receiver, operations);
                let sent = both(&executor, receives, send(there.sender, operations)).await;
                sent.map(|((tally, end), start)| (tally, end - start))
            }
        });
        checked(name, operations, outcome.flatten())
    })
}

async fn send(mut sender: impl Transmit, count: usize) -> Instant {
    let start = Instant::now();
    for number in 0..count as u64 {
        if !sender.transmit(number).await {
            break;
        }
    }
    start
}

async fn receive(mut receiver: impl Receive, count: usize) -> (Tally, Instant) {
    let mut tally = Tally::default();
    while tally.count < count as u64
        && let Some(number) = receiver.receive().await
    {
        number.add(&mut tally);
    }
    (tally, Instant::now())
}

/// glommio's own channel between two of its tasks. Its ends cannot leave the thread, so they do not
/// implement `Transmit` and `Receive`.
pub(crate) fn local(parked: bool) -> Column {
    Column::new(LOCAL_CHANNEL, move |operations| {
        let outcome = inside::<OnGlommio, _>(async move |_| {
            let (to, there) = local_channel::new_bounded(CAPACITY);
            let (back, from) = local_channel::new_bounded(CAPACITY);
            let receives = async move {
                let mut tally = Tally::default();
                while tally.count < operations as u64
                    && let Some(number) = there.recv().await
                {
                    u64::add(&number, &mut tally);
                    if parked && back.send(number).await.is_err() {
                        break;
                    }
                }
                (tally, Instant::now())
            };
            let receiving = glommio::spawn_local(receives).detach();
            let sends = async move {
                let start = Instant::now();
                for number in 0..operations as u64 {
                    let sent = to.send(number).await.is_ok();
                    if !sent || parked && from.recv().await != Some(number) {
                        break;
                    }
                }
                (start, start.elapsed())
            };
            let (start, took) = glommio::spawn_local(sends).await;
            let (tally, end) = receiving.await?;
            Some((tally, if parked { took } else { end - start }))
        });
        checked(LOCAL_CHANNEL, operations, outcome.flatten())
    })
}

/// The state of an actor: it adds numbers up, and reports when it has all.
struct Adder {
    tally: Tally,
    count: usize,
    done: Option<oneshot::Sender<(Tally, Instant)>>,
}

impl Adder {
    fn new(count: usize) -> (Adder, oneshot::Receiver<(Tally, Instant)>) {
        let (done, added) = oneshot::channel();
        (Adder { tally: Tally::default(), count, done: Some(done) }, added)
    }

    fn add(&mut self, number: u64) -> u64 {
        number.add(&mut self.tally);
        if self.tally.count == self.count as u64
            && let Some(done) = self.done.take()
        {
            // The asking side counts the answers and ignores this.
            let _ = done.send((self.tally, Instant::now()));
        }
        number
    }
}

/// The tally and the time of a round, given those of the asking and of the adding side.
fn outcome(
    asked: (Tally, Instant, Duration),
    added: (Tally, Instant),
    parked: bool,
) -> (Tally, Duration) {
    let ((tally, start, took), (added, end)) = (asked, added);
    if parked { (tally, took) } else { (added, end - start) }
}

impl kameo::Actor for Adder {
    type Args = Adder;
    type Error = std::convert::Infallible;

    async fn on_start(adder: Adder, _: ActorRef<Adder>) -> Result<Adder, Self::Error> {
        Ok(adder)
    }
}

impl Message<u64> for Adder {
    type Reply = u64;

    async fn handle(&mut self, number: u64, _: &mut Context<Adder, u64>) -> u64 {
        self.add(number)
    }
}

/// An actor of kameo, with a bounded mailbox.
pub(crate) fn kameo(parked: bool) -> Column {
    Column::new(KAMEO, move |operations| {
        let ran = inside::<OnTokio, _>(async move |executor| {
            let (adder, added) = Adder::new(operations);
            let actor = Adder::spawn_with_mailbox(adder, mailbox::bounded(CAPACITY));
            let asks = async move {
                let (mut tally, start) = (Tally::default(), Instant::now());
                for number in 0..operations as u64 {
                    if parked {
                        actor.ask(number).send().await.ok()?.add(&mut tally);
                    } else {
                        actor.tell(number).send().await.ok()?;
                    }
                }
                Some((tally, start, start.elapsed()))
            };
            let (asked, added) = both(&executor, asks, added).await?;
            Some(outcome(asked?, added.ok()?, parked))
        });
        checked(KAMEO, operations, ran.flatten())
    })
}

struct Calls;

enum Call {
    Tell(u64),
    Ask(u64, ractor::RpcReplyPort<u64>),
}

impl Actor for Calls {
    type Msg = Call;
    type State = Adder;
    type Arguments = Adder;

    async fn pre_start(&self, _: Ractor<Call>, adder: Adder) -> Result<Adder, ActorProcessingErr> {
        Ok(adder)
    }

    async fn handle(
        &self,
        _: Ractor<Call>,
        call: Call,
        adder: &mut Adder,
    ) -> Result<(), ActorProcessingErr> {
        match call {
            Call::Tell(number) => _ = adder.add(number),
            Call::Ask(number, reply) => _ = reply.send(adder.add(number)),
        }
        Ok(())
    }
}

/// An actor of ractor, whose mailbox is unbounded.
pub(crate) fn ractor(parked: bool) -> Column {
    Column::new(RACTOR, move |operations| {
        let ran = inside::<OnTokio, _>(async move |executor| {
            let (adder, added) = Adder::new(operations);
            let (actor, ended) = Actor::spawn(None, Calls, adder).await.ok()?;
            let asked = actor.clone();
            let asks = async move {
                let (mut tally, start) = (Tally::default(), Instant::now());
                for number in 0..operations as u64 {
                    if parked {
                        let reply = asked.call(|port| Call::Ask(number, port), None).await;
                        reply.ok()?.success_or(()).ok()?.add(&mut tally);
                    } else {
                        asked.cast(Call::Tell(number)).ok()?;
                    }
                }
                Some((tally, start, start.elapsed()))
            };
            let (asked, added) = both(&executor, asks, added).await?;
            actor.stop(None);
            ended.await.ok()?;
            Some(outcome(asked?, added.ok()?, parked))
        });
        checked(RACTOR, operations, ran.flatten())
    })
}
