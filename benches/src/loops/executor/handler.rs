//! A message to a handler on the same thread: one after the other while both are awake, and there and back with both
//! asleep between.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glommio::channels::local_channel::{self, LocalReceiver, LocalSender};
use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context, Message};
use ractor::{Actor, ActorProcessingErr, ActorRef as Ractor};
use tokio::sync::oneshot;

use super::host::{Host, OnGlommio, OnTokio, both, inside};
use super::services::{Board, FITS, stream, trips};
use crate::ends::{CAPACITY, Ends, Receive, Transmit};
use crate::harness::{Column, Mismatch};
use crate::item::Item;
use crate::sample::Tally;

/// Services of a node.
pub(crate) struct Services<H> {
    pub(crate) name: &'static str,
    pub(crate) parked: bool,
    pub(crate) host: PhantomData<H>,
}

impl<H: Host> Column for Services<H> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let board = Arc::new(Board::default());
        let node = if self.parked {
            trips(operations, false, &board).build().expect(FITS)
        } else {
            stream(operations, &board)
        };
        let ended = inside::<H, _>(async move |executor| {
            node.start(executor).expect("it has all it needs").join().await.is_ok()
        });
        if ended != Some(true) {
            return Err(Mismatch::new(self.name, "the node failed"));
        }
        let found = board.found();
        Mismatch::check(self.name, u64::expected(operations), found.tally)?;
        Ok(found.took)
    }
}

/// A rival's channel between two tasks.
pub(crate) struct Channel<H, P, Q> {
    pub(crate) ends: fn() -> Ends<P, Q>,
    pub(crate) parked: bool,
    pub(crate) host: PhantomData<H>,
}

impl<H: Host, P: Transmit, Q: Receive> Column for Channel<H, P, Q> {
    fn name(&self) -> &'static str {
        (self.ends)().name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let (there, back) = ((self.ends)(), (self.ends)());
        let (name, parked) = (there.name, self.parked);
        let ran = inside::<H, _>(async move |executor| {
            if parked {
                let asks = ask(there.sender, back.receiver, operations);
                both(&executor, answer(there.receiver, back.sender), asks)
                    .await
                    .map(|(_, asked)| asked)
            } else {
                let receives = receive(there.receiver, operations);
                let sent = both(&executor, receives, send(there.sender, operations)).await;
                sent.map(|((tally, end), start)| (tally, end - start))
            }
        });
        let (tally, took) = ran.flatten().ok_or(Mismatch::new(name, "a task panicked"))?;
        Mismatch::check(name, u64::expected(operations), tally)?;
        Ok(took)
    }
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

pub(super) async fn ask(
    mut sender: impl Transmit,
    mut receiver: impl Receive,
    trips: usize,
) -> (Tally, Duration) {
    let (mut tally, start) = (Tally::default(), Instant::now());
    for number in 0..trips as u64 {
        if !sender.transmit(number).await {
            break;
        }
        let Some(back) = receiver.receive().await else { break };
        back.add(&mut tally);
    }
    (tally, start.elapsed())
}

pub(super) async fn answer(mut receiver: impl Receive, mut sender: impl Transmit) {
    while let Some(number) = receiver.receive().await {
        if !sender.transmit(number).await {
            break;
        }
    }
}

/// glommio's own channel between two of its tasks.
pub(crate) struct LocalChannel {
    pub(crate) parked: bool,
}

pub(crate) const LOCAL_CHANNEL: &str = "glommio local_channel";

impl Column for LocalChannel {
    fn name(&self) -> &'static str {
        LOCAL_CHANNEL
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let parked = self.parked;
        let ran = inside::<OnGlommio, _>(async move |_| {
            let ((to, there), (back, from)) =
                (local_channel::new_bounded(CAPACITY), local_channel::new_bounded(CAPACITY));
            if parked {
                let answering = glommio::spawn_local(local_answer(there, back)).detach();
                let asked = glommio::spawn_local(local_ask(to, from, operations)).await;
                answering.await;
                asked
            } else {
                let receives = glommio::spawn_local(local_receive(there, operations)).detach();
                let start = glommio::spawn_local(local_send(to, operations)).await;
                let (tally, end) = receives.await.unwrap_or((Tally::default(), start));
                (tally, end - start)
            }
        });
        let (tally, took) = ran.ok_or(Mismatch::new(LOCAL_CHANNEL, "a task panicked"))?;
        Mismatch::check(LOCAL_CHANNEL, u64::expected(operations), tally)?;
        Ok(took)
    }
}

async fn local_send(sender: LocalSender<u64>, count: usize) -> Instant {
    let start = Instant::now();
    for number in 0..count as u64 {
        if sender.send(number).await.is_err() {
            break;
        }
    }
    start
}

async fn local_receive(receiver: LocalReceiver<u64>, count: usize) -> (Tally, Instant) {
    let mut tally = Tally::default();
    while tally.count < count as u64
        && let Some(number) = receiver.recv().await
    {
        number.add(&mut tally);
    }
    (tally, Instant::now())
}

async fn local_ask(
    sender: LocalSender<u64>,
    receiver: LocalReceiver<u64>,
    trips: usize,
) -> (Tally, Duration) {
    let (mut tally, start) = (Tally::default(), Instant::now());
    for number in 0..trips as u64 {
        if sender.send(number).await.is_err() {
            break;
        }
        let Some(back) = receiver.recv().await else { break };
        back.add(&mut tally);
    }
    (tally, start.elapsed())
}

async fn local_answer(receiver: LocalReceiver<u64>, sender: LocalSender<u64>) {
    while let Some(number) = receiver.recv().await {
        if sender.send(number).await.is_err() {
            break;
        }
    }
}

/// What an actor does: it adds numbers up, and says so when it has all.
struct Adder {
    tally: Tally,
    count: usize,
    done: Option<oneshot::Sender<(Tally, Instant)>>,
}

impl Adder {
    fn new(count: usize) -> (Adder, oneshot::Receiver<(Tally, Instant)>) {
        let (done, told) = oneshot::channel();
        (Adder { tally: Tally::default(), count, done: Some(done) }, told)
    }

    fn add(&mut self, number: u64) -> u64 {
        number.add(&mut self.tally);
        if self.tally.count == self.count as u64
            && let Some(done) = self.done.take()
        {
            // Who asks counts the answers itself.
            let _ = done.send((self.tally, Instant::now()));
        }
        number
    }
}

/// An actor of kameo's, with a bounded mailbox.
pub(crate) struct Kameo {
    pub(crate) parked: bool,
}

pub(crate) const KAMEO: &str = "kameo actor";

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

impl Column for Kameo {
    fn name(&self) -> &'static str {
        KAMEO
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let parked = self.parked;
        let ran = inside::<OnTokio, _>(async move |executor| {
            let (adder, told) = Adder::new(operations);
            let actor = Adder::spawn_with_mailbox(adder, mailbox::bounded(CAPACITY));
            let asks = async move {
                let (mut tally, start) = (Tally::default(), Instant::now());
                for number in 0..operations as u64 {
                    if parked {
                        actor.ask(number).await.ok()?.add(&mut tally);
                    } else {
                        actor.tell(number).await.ok()?;
                    }
                }
                Some((tally, start, start.elapsed()))
            };
            let (asked, told) = both(&executor, asks, told).await?;
            let ((tally, start, took), (added, end)) = (asked?, told.ok()?);
            Some(if parked { (tally, took) } else { (added, end - start) })
        });
        let ran = ran.flatten().ok_or(Mismatch::new(KAMEO, "the actor failed"))?;
        Mismatch::check(KAMEO, u64::expected(operations), ran.0)?;
        Ok(ran.1)
    }
}

/// An actor of ractor's, whose mailbox has no bound.
pub(crate) struct Ractors {
    pub(crate) parked: bool,
}

pub(crate) const RACTOR: &str = "ractor actor";

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

impl Column for Ractors {
    fn name(&self) -> &'static str {
        RACTOR
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let parked = self.parked;
        let ran = inside::<OnTokio, _>(async move |executor| {
            let (adder, told) = Adder::new(operations);
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
            let (asked, told) = both(&executor, asks, told).await?;
            let ((tally, start, took), (added, end)) = (asked?, told.ok()?);
            actor.stop(None);
            ended.await.ok()?;
            Some(if parked { (tally, took) } else { (added, end - start) })
        });
        let ran = ran.flatten().ok_or(Mismatch::new(RACTOR, "the actor failed"))?;
        Mismatch::check(RACTOR, u64::expected(operations), ran.0)?;
        Ok(ran.1)
    }
}
