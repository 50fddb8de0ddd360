//! Transports that a program brings along, at the seam: one only counts messages, another one
//! connects two nodes of this process and confirms nothing.
#![cfg(all(feature = "signals", feature = "topology"))]

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{FusedFuture, select};
use mycelium::error::{BuildError, StartError};
use mycelium::subscribe::GapReason;
use mycelium::transport::{Capabilities, Ends, Feed, Tap, TapItem, TapStream, Transport};
use mycelium::{Builder, Context, Delivery, Node, Policy, Result, message, service};
use mycelium_executor::SendFuture;
use mycelium_tokio::Tokio;
use tokio::sync::{mpsc, oneshot};

use crate::running::{Says, end, main_with, run};

#[message(topic = "ticks", id = 1)]
#[derive(Debug, PartialEq)]
struct Tick {
    number: u64,
}

const TICKS: u64 = 100_000;

/// Emits this many ticks.
struct Clock(u64);

#[service(emits(Tick))]
impl Clock {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..self.0 {
            ctx.emit(Tick { number }).await?;
        }
        Ok(())
    }
}

/// Returns a node that emits this many ticks.
fn clock(count: u64) -> Builder {
    Node::builder("main").service(move || Clock(count))
}

/// Counts messages and gaps.
#[derive(Clone, Default)]
struct Count {
    messages: Arc<AtomicU64>,
    missed: Arc<AtomicU64>,
}

impl Count {
    fn has_all(&self) {
        let [messages, missed] =
            [&self.messages, &self.missed].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(messages + missed, TICKS, "{messages} messages, {missed} missed");
        assert!(messages > 0);
    }
}

/// Reads these taps until all publishers have ended, and passes on each item with its publisher,
/// epoch and sequence.
async fn take_all(
    ends: &Ends,
    mut taps: Vec<Tap>,
    mut take: impl FnMut(&str, u64, u64, TapItem<'_>),
) {
    let mut draining = pin!(ends.draining().fuse());
    let all = poll_fn(|context| {
        let _ = draining.as_mut().poll(context);
        let mut are_empty = true;
        for tap in &mut taps {
            tap.park(context.waker());
            tap.streams().retain_mut(|stream| read(stream, &mut take));
            are_empty &= tap.streams().is_empty();
        }
        if are_empty && draining.is_terminated() { Poll::Ready(()) } else { Poll::Pending }
    });
    select(pin!(all), pin!(ends.stopped())).await;
}

/// Reads all pending items of a stream. Returns `false` once its publisher has ended.
fn read(stream: &mut TapStream, take: &mut impl FnMut(&str, u64, u64, TapItem<'_>)) -> bool {
    let (publisher, epoch) = (stream.publisher().clone(), stream.epoch());
    loop {
        let sequence = stream.next();
        let item = stream.next_item();
        let is_message = matches!(item, TapItem::Message(..));
        match item {
            TapItem::Empty => return true,
            TapItem::Closed => {
                take(&publisher, epoch, sequence, item);
                return false;
            }
            TapItem::Gap(_) | TapItem::Message(..) => take(&publisher, epoch, sequence, item),
        }
        if is_message {
            stream.advance();
        }
        stream.release(stream.next());
    }
}

/// A transport that runs a function of the test.
struct By<F> {
    name: &'static str,
    keeps_order: bool,
    carry: F,
}

fn by<F: Carry>(carry: F) -> By<F> {
    By { name: "pipe", keeps_order: false, carry }
}

type Carried = std::result::Result<SendFuture<()>, String>;

trait Carry: FnOnce(Ends) -> Carried + Send + 'static {}

impl<F: FnOnce(Ends) -> Carried + Send + 'static> Carry for F {}

impl<F: Carry> Transport for By<F> {
    fn name(&self) -> &str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { keeps_order: self.keeps_order, ..Capabilities::NONE }
    }

    fn carry(self: Box<Self>, ends: Ends) -> Carried {
        (self.carry)(ends)
    }
}

/// Returns a transport `pipe` that runs a function with its taps, which have this policy.
fn tapping<F: Future<Output = ()> + Send + 'static>(
    policy: Policy,
    act: impl FnOnce(Ends, Vec<Tap>) -> F + Send + 'static,
) -> By<impl Carry> {
    by(move |ends| {
        let taps = ends.sends().iter().map(|topic| ends.tap(topic, "pipe", policy));
        let taps =
            taps.collect::<std::result::Result<_, _>>().map_err(|error| error.to_string())?;
        Ok(Box::pin(act(ends, taps)))
    })
}

fn counting(count: Count) -> impl Transport {
    let counting = tapping(Policy::DropOldest, async move |ends, taps| {
        let take = |_: &str, _, _, item: TapItem<'_>| match item {
            TapItem::Message(..) => drop(count.messages.fetch_add(1, Ordering::Relaxed)),
            TapItem::Gap(missed) => drop(count.missed.fetch_add(missed, Ordering::Relaxed)),
            TapItem::Empty | TapItem::Closed => {}
        };
        take_all(&ends, taps, take).await;
    });
    By { name: "count", ..counting }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transport_that_only_counts_gets_or_misses_each_message() {
    let count = Count::default();
    run(clock(TICKS).transport(counting(count.clone()), &["ticks"], &[])).await;
    count.has_all();
}

/// A packet of the pipe: a message or the end of a publisher, with its sequence.
struct Packet {
    publisher: String,
    epoch: u64,
    sequence: u64,
    message: Option<Vec<u8>>,
}

/// Returns the sending end of a pipe, which loses one message in seven.
fn sending(packets: mpsc::UnboundedSender<Packet>) -> impl Transport {
    let sending = tapping(Policy::DropOldest, async move |ends, taps| {
        let send = |publisher: &str, epoch, sequence, item: TapItem<'_>| {
            let message = match item {
                TapItem::Message(..) if sequence % 7 == 0 => return,
                TapItem::Message(bytes, _) => Some(bytes.to_vec()),
                TapItem::Closed => None,
                // The next sequence tells the receiver of the gap.
                TapItem::Gap(_) | TapItem::Empty => return,
            };
            let packet = Packet { publisher: publisher.to_owned(), epoch, sequence, message };
            // The receiving node may have ended.
            let _ = packets.send(packet);
        };
        take_all(&ends, taps, send).await;
    });
    By { keeps_order: true, ..sending }
}

/// Returns the receiving end of the pipe.
fn receiving(mut packets: mpsc::UnboundedReceiver<Packet>) -> impl Transport {
    let receiving = by(move |ends| {
        Ok(Box::pin(async move {
            let mut feed: Option<Feed> = None;
            let receiving = async {
                while let Some(Packet { publisher, epoch, sequence, message }) =
                    packets.recv().await
                {
                    let joined = || ends.receives()[0].feed(&publisher, epoch, 0).unwrap();
                    let feed = feed.get_or_insert_with(joined);
                    // The pipe keeps the order, so the packets in between are lost.
                    let missed = sequence - feed.next();
                    if missed > 0 {
                        feed.skip(missed, GapReason::Disconnected);
                    }
                    match message {
                        Some(bytes) => feed.push(&bytes, false).unwrap(),
                        None => feed.end(),
                    }
                    feed.flush();
                }
            };
            select(pin!(receiving), pin!(ends.draining())).await;
        }))
    });
    By { keeps_order: true, ..receiving }
}

/// A service that counts messages and gaps.
struct Reader(Count);

#[service(reads(Tick))]
impl Reader {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while let Some(delivery) = ticks.recv().await {
            match delivery {
                Delivery::Msg(tick) => {
                    assert_ne!(tick.number % 7, 0, "the pipe has lost it");
                    self.0.messages.fetch_add(1, Ordering::Relaxed);
                }
                Delivery::Gap(gap) => drop(self.0.missed.fetch_add(gap.count, Ordering::Relaxed)),
            }
        }
        Ok(())
    }
}

fn reading(
    count: &Count,
    policy: Policy,
    packets: mpsc::UnboundedReceiver<Packet>,
) -> std::result::Result<Node, BuildError> {
    let count = count.clone();
    let node = Node::builder("there").service(move || Reader(count.clone()));
    node.subscription("Reader", "ticks", policy)
        .transport(receiving(packets), &[], &["ticks"])
        .build()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transport_loses_is_a_gap_of_its_reader() {
    let (sender, receiver) = mpsc::unbounded_channel();
    let count = Count::default();
    let there = reading(&count, Policy::DropOldest, receiver).unwrap();
    let there = there.start(Tokio::current().unwrap()).unwrap();
    run(clock(TICKS).transport(sending(sender), &["ticks"], &[])).await;
    there.join().await.unwrap();
    count.has_all();
    assert!(count.missed.load(Ordering::Relaxed) >= TICKS / 7);
}

#[tokio::test]
async fn a_transport_that_receives_nothing_ends_at_a_shutdown() {
    let (_sender, receiver) = mpsc::unbounded_channel();
    let node = reading(&Count::default(), Policy::Latest, receiver).unwrap();
    end(node.start(Tokio::current().unwrap()).unwrap()).await;
}

/// Returns a transport that takes nothing, and ends when it has to stop, unless it `stays`. The
/// receiver ends together with the transport.
fn idle(policy: Policy, stays: bool) -> (impl Transport, oneshot::Receiver<()>) {
    let (alive, ended) = oneshot::channel();
    let idle = tapping(policy, async move |ends, taps| {
        let _alive: (oneshot::Sender<()>, _) = (alive, taps);
        ends.stopped().await;
        if stays {
            pending::<()>().await;
        }
    });
    (idle, ended)
}

#[tokio::test]
async fn a_transport_that_cannot_start_is_an_error_of_the_start_and_the_others_end() {
    let (first, ended) = idle(Policy::DropOldest, false);
    let refuses = by(|_| Err("the other end is not there".to_owned()));
    let node = clock(TICKS).transport(first, &["ticks"], &[]);
    let node = node.transport(refuses, &["ticks"], &[]).build().unwrap();
    let error = node.start(Tokio::current().unwrap()).unwrap_err();
    let text = "transport `pipe` of node `main` failed: the other end is not there [M0023]";
    error.says(text);
    ended.await.unwrap_err();
}

#[tokio::test]
async fn a_transport_that_panics_ends_the_node_with_an_error() {
    let panics = by(|ends| {
        Ok(Box::pin(async move {
            let _ends = ends;
            panic!("the wire is cut");
        }))
    });
    let node = clock(u64::MAX).transport(panics, &["ticks"], &[]);
    let error = node.build().unwrap().run(Tokio::current().unwrap()).await.unwrap_err();
    let text =
        "transport `pipe` of node `main` failed: panic: the wire is cut (at tests/it/seam.rs:";
    error.begins(text);
}

/// Runs a node that emits three messages, and gives its transport little time to end.
async fn run_three(transport: impl Transport) -> std::result::Result<(), StartError> {
    let text = "[node.main]\nshutdown = \"10ms\"\n";
    let node = main_with(text).service(|| Clock(3)).transport(transport, &["ticks"], &[]);
    node.build().unwrap().run(Tokio::current().unwrap()).await.map(drop)
}

#[tokio::test]
async fn a_transport_that_does_not_end_is_dropped() {
    let (stays, ended) = idle(Policy::DropOldest, true);
    run_three(stays).await.unwrap();
    ended.await.unwrap_err();
}

/// Returns a transport that calls `act` with its gating tap when the services have ended, and ends.
fn at_the_drain(act: impl FnOnce(Tap) + Send + 'static) -> impl Transport {
    tapping(Policy::Block, async move |ends: Ends, mut taps| {
        ends.draining().await;
        act(taps.remove(0));
    })
}

/// Returns a transport that reads its tap to the end and releases nothing.
fn reads_without_releases() -> impl Transport {
    tapping(Policy::Block, async |_ends, mut taps| {
        let read = poll_fn(|context| {
            taps[0].park(context.waker());
            let Some(stream) = taps[0].streams().first_mut() else { return Poll::Pending };
            loop {
                match stream.next_item() {
                    TapItem::Message(..) | TapItem::Gap(_) => stream.advance(),
                    TapItem::Empty => return Poll::Pending,
                    TapItem::Closed => return Poll::Ready(()),
                }
            }
        });
        read.await;
    })
}

#[tokio::test]
async fn what_a_transport_holds_up_publishers_for_and_leaves_is_an_error_of_the_node() {
    let [ends, stays] = [false, true].map(|stays| idle(Policy::Block, stays).0);
    for ran in [
        run_three(ends).await,
        run_three(stays).await,
        run_three(reads_without_releases()).await,
        run_three(at_the_drain(|mut tap| tap.streams().clear())).await,
        run_three(at_the_drain(std::mem::forget)).await,
        run_three(at_the_drain(|mut tap| {
            tap.streams();
            std::mem::forget(tap);
        }))
        .await,
        run_three(at_the_drain(|mut tap| std::mem::forget(std::mem::take(tap.streams())))).await,
    ] {
        ran.unwrap_err().begins("not delivered within 10ms: 3 messages of `ticks` to `pipe`");
    }
}

#[tokio::test]
async fn a_reader_of_a_transport_may_leave_before_the_publishers_end() {
    let leaves = tapping(Policy::Block, async |ends, mut taps| {
        let got_some = poll_fn(|context| {
            taps[0].park(context.waker());
            if taps[0].depth() > 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        got_some.await;
        drop((taps, ends));
    });
    run(clock(TICKS).transport(leaves, &["ticks"], &[])).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_waits_while_a_transport_confirms() {
    let slow = tapping(Policy::Block, async |ends, mut taps| {
        let confirms = async {
            for confirmed in 1..=3 {
                tokio::time::sleep(Duration::from_millis(8)).await;
                let stream = &mut taps[0].streams()[0];
                assert!(matches!(stream.next_item(), TapItem::Message(..)));
                stream.advance();
                stream.release(confirmed);
            }
        };
        ends.draining().await;
        select(pin!(confirms), pin!(ends.stopped())).await;
    });
    run_three(slow).await.unwrap();
}

#[test]
fn a_policy_that_a_transport_cannot_keep_is_refused() {
    let (_sender, receiver) = mpsc::unbounded_channel();
    let error = reading(&Count::default(), Policy::Block, receiver).unwrap_err();
    error.says(
        "topic `ticks` over transport `pipe` (`Builder::transport`): it cannot hold up publishers \
         for slow readers, which the policy `block` of `Reader.ticks` needs: let that subscription \
         drop messages (`policy = \"drop-oldest\"` or `\"latest\"` in \
         `[subscription.\"Reader.ticks\"]`), or join the nodes by a link [M0023]",
    );
    let node = clock(TICKS).transport(counting(Count::default()), &["tick"], &[]);
    node.build().unwrap_err().says(
        "topic `tick` over transport `count` (`Builder::transport`): no service of this node emits \
         it: did you mean `ticks`? (expected one of: ticks) [M0023]",
    );
}
