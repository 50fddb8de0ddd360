//! Requests and replies between two tasks on one thread: one at a time, or many open at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context as KameoContext, Message as KameoMessage};
use mycelium::{Context, Node, Result};
use mycelium_core::message;
use ractor::{Actor, ActorProcessingErr, ActorRef as Ractor, RpcReplyPort};
use tokio::sync::{mpsc, oneshot};

use super::handler::{KAMEO, RACTOR};
use super::host::{Host, OnTokio, both, inside, run_node};
use super::services::FITS;
use crate::ends::CAPACITY;
use crate::harness::{Column, Mismatch, Round};
use crate::sample::{Item, Tally};

pub(crate) const MPSC_ONESHOT: &str = "tokio mpsc and oneshot";

#[message(topic = "questions", id = 13, reply = Reply)]
struct Question {
    number: u64,
}

#[message(topic = "replies", id = 14)]
struct Reply {
    number: u64,
}

/// Requests each number, and stores the outcome.
struct Asker {
    count: usize,
    open: usize,
    outcome: Arc<Mutex<Option<(Tally, Duration)>>>,
}

#[mycelium::service(requests(Question))]
impl Asker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut tally, start) = (Tally::default(), Instant::now());
        if self.open == 1 {
            for number in 0..self.count as u64 {
                ctx.request(Question { number }).await?.number.add(&mut tally);
            }
        } else {
            for first in (0..self.count as u64).step_by(self.open) {
                let numbers = first..(first + self.open as u64).min(self.count as u64);
                let replies = numbers.map(|number| ctx.request(Question { number }));
                for reply in join_all(replies).await {
                    reply?.number.add(&mut tally);
                }
            }
        }
        let outcome = (tally, start.elapsed());
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        Ok(())
    }
}

struct Answerer;

#[mycelium::service(answers(Question))]
impl Answerer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut questions = ctx.requests::<Question>();
        while let Some(question) = questions.recv().await {
            question.reply_with(|question| Reply { number: question.number });
        }
        Ok(())
    }
}

/// Two services of a node.
pub(crate) fn services<H: Host>(name: &'static str, open: usize) -> Column {
    Column::new(name, move |count| {
        let outcome = Arc::new(Mutex::new(None));
        let asker = outcome.clone();
        let node = Node::builder("bench")
            .service(|| Answerer)
            .service(move || Asker { count, open, outcome: asker.clone() })
            .build()
            .expect(FITS);
        run_node::<H>(name, node)?;
        let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        checked(name, count, outcome)
    })
}

fn checked(
    name: &'static str,
    count: usize,
    outcome: Option<(Tally, Duration)>,
) -> std::result::Result<Round, Mismatch> {
    let (tally, took) = outcome.ok_or_else(|| Mismatch::new(name, "a task failed"))?;
    Mismatch::check(name, u64::expected(count), tally)?;
    Ok(Round::Total(took))
}

/// Calls `ask` for each number, `open` at a time.
async fn ask_all<F: Future<Output = Option<u64>>>(
    count: usize,
    open: usize,
    mut ask: impl FnMut(u64) -> F,
) -> Option<(Tally, Duration)> {
    let (mut tally, start) = (Tally::default(), Instant::now());
    if open == 1 {
        for number in 0..count as u64 {
            ask(number).await?.add(&mut tally);
        }
    } else {
        for first in (0..count as u64).step_by(open) {
            let numbers = first..(first + open as u64).min(count as u64);
            for reply in join_all(numbers.map(&mut ask)).await {
                reply?.add(&mut tally);
            }
        }
    }
    Some((tally, start.elapsed()))
}

/// By hand: a bounded channel of tokio, and a oneshot channel for each reply.
pub(crate) fn channels(open: usize) -> Column {
    Column::new(MPSC_ONESHOT, move |count| {
        let ran = inside::<OnTokio, _>(async move |executor| {
            let (sender, mut receiver) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(CAPACITY);
            let answers = async move {
                while let Some((number, reply)) = receiver.recv().await {
                    let _ = reply.send(number);
                }
            };
            let asks = async move {
                ask_all(count, open, |number| {
                    let sender = &sender;
                    async move {
                        let (reply, replied) = oneshot::channel();
                        sender.send((number, reply)).await.ok()?;
                        replied.await.ok()
                    }
                })
                .await
            };
            both(&executor, answers, asks).await.map(|((), asked)| asked)
        });
        checked(MPSC_ONESHOT, count, ran.flatten().flatten())
    })
}

/// Answers with the number.
struct Echo;

impl kameo::Actor for Echo {
    type Args = Echo;
    type Error = std::convert::Infallible;

    async fn on_start(echo: Echo, _: ActorRef<Echo>) -> std::result::Result<Echo, Self::Error> {
        Ok(echo)
    }
}

impl KameoMessage<u64> for Echo {
    type Reply = u64;

    async fn handle(&mut self, number: u64, _: &mut KameoContext<Echo, u64>) -> u64 {
        number
    }
}

/// `ask` of an actor of kameo, with a bounded mailbox.
pub(crate) fn kameo(open: usize) -> Column {
    Column::new(KAMEO, move |count| {
        let ran = inside::<OnTokio, _>(async move |executor| {
            let actor = Echo::spawn_with_mailbox(Echo, mailbox::bounded(CAPACITY));
            let asks = async move {
                ask_all(count, open, |number| {
                    let actor = &actor;
                    async move { actor.ask(number).send().await.ok() }
                })
                .await
            };
            both(&executor, async {}, asks).await.map(|((), asked)| asked)
        });
        checked(KAMEO, count, ran.flatten().flatten())
    })
}

struct RactorEcho;

struct Call(u64, RpcReplyPort<u64>);

impl Actor for RactorEcho {
    type Msg = Call;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        _: Ractor<Call>,
        (): (),
    ) -> std::result::Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: Ractor<Call>,
        Call(number, reply): Call,
        (): &mut (),
    ) -> std::result::Result<(), ActorProcessingErr> {
        _ = reply.send(number);
        Ok(())
    }
}

/// `call` of an actor of ractor, whose mailbox is unbounded.
pub(crate) fn ractor(open: usize) -> Column {
    Column::new(RACTOR, move |count| {
        let ran = inside::<OnTokio, _>(async move |executor| {
            let (actor, ended) = Actor::spawn(None, RactorEcho, ()).await.ok()?;
            let asked = actor.clone();
            let asks = async move {
                ask_all(count, open, |number| {
                    let asked = &asked;
                    async move {
                        let reply = asked.call(|port| Call(number, port), None).await;
                        reply.ok()?.success_or(()).ok()
                    }
                })
                .await
            };
            let asked = both(&executor, async {}, asks).await.map(|((), asked)| asked);
            actor.stop(None);
            ended.await.ok()?;
            asked
        });
        checked(RACTOR, count, ran.flatten().flatten())
    })
}
