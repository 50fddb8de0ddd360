//! Transports of a program's own, at the seam: one that only counts, and one between two nodes of
//! this process that confirms nothing.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use futures_util::future::select;
use mycelium::error::BuildError;
use mycelium::subscribe::GapReason;
use mycelium::transport::{Capabilities, Ends, Feed as Incoming, Tap, TapItem, Transport};
use mycelium::{Context, Delivery, Node, Policy, Result, message, service};
use mycelium_executor::SendFuture;
use mycelium_tokio::Tokio;
use tokio::sync::mpsc;

#[message(topic = "ticks", id = 1)]
#[derive(Debug, PartialEq)]
struct Tick {
    number: u64,
}

const TICKS: u64 = 100_000;

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..TICKS {
            ctx.emit(Tick { number }).await?;
        }
        Ok(())
    }
}

/// Counts what it gets, and is told of what it misses.
#[derive(Clone, Default)]
struct Count {
    messages: Arc<AtomicU64>,
    missed: Arc<AtomicU64>,
}

/// Looks at all streams of a tap. The closure gets each item with its publisher, epoch and
/// sequence. True once all publishers have ended.
fn visit(tap: &mut Tap, mut take: impl FnMut(&str, u64, u64, TapItem<'_>)) -> bool {
    tap.streams().retain_mut(|stream| {
        let (publisher, epoch) = (stream.publisher().clone(), stream.epoch());
        loop {
            let sequence = stream.next();
            let item = stream.next_item();
            match item {
                TapItem::Empty => return true,
                TapItem::Closed => {
                    take(&publisher, epoch, sequence, item);
                    return false;
                }
                TapItem::Gap(_) => take(&publisher, epoch, sequence, item),
                TapItem::Message(..) => {
                    take(&publisher, epoch, sequence, item);
                    stream.advance();
                }
            }
            stream.release(stream.next());
        }
    });
    tap.is_over()
}

type Carried = std::result::Result<SendFuture<()>, String>;

impl Transport for Count {
    fn name(&self) -> &str {
        "count"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
    }

    fn carry(self: Box<Self>, ends: Ends) -> Carried {
        let taps = ends.sends().iter().map(|topic| topic.tap("count", Policy::DropOldest));
        let taps: std::result::Result<Vec<Tap>, _> = taps.collect();
        let mut taps = taps.map_err(|error| error.to_string())?;
        Ok(Box::pin(async move {
            let counting = poll_fn(|context| {
                let mut count = |_: &str, _, _, item: TapItem<'_>| match item {
                    TapItem::Message(..) => drop(self.messages.fetch_add(1, Ordering::Relaxed)),
                    TapItem::Gap(missed) => drop(self.missed.fetch_add(missed, Ordering::Relaxed)),
                    TapItem::Empty | TapItem::Closed => {}
                };
                taps.iter().for_each(|tap| tap.park(context.waker()));
                taps.retain_mut(|tap| !visit(tap, &mut count));
                if taps.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            });
            select(pin!(counting), pin!(ends.stopped())).await;
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transport_that_only_counts_gets_or_misses_each_message() {
    let count = Count::default();
    let node = Node::builder("main").service(|| Feed).transport(count.clone(), &["ticks"], &[]);
    let running = node.build().unwrap().start(Tokio::current().unwrap()).unwrap();
    running.join().await.unwrap();
    let [messages, missed] = [&count.messages, &count.missed].map(|it| it.load(Ordering::Relaxed));
    assert_eq!(messages + missed, TICKS, "{messages} messages, {missed} missed");
    assert!(messages > 0);
}

/// What is sent from one node to the other: the message, or the end, with this sequence.
struct Packet {
    publisher: String,
    epoch: u64,
    sequence: u64,
    message: Option<Vec<u8>>,
}

/// The sending end of a pipe that loses one message in seven.
struct Out(mpsc::UnboundedSender<Packet>);

/// Its receiving end.
struct In(mpsc::UnboundedReceiver<Packet>);

impl Transport for Out {
    fn name(&self) -> &str {
        "pipe"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { keeps_order: true, ..Capabilities::NONE }
    }

    fn carry(self: Box<Self>, ends: Ends) -> Carried {
        let mut tap: Tap = ends.sends()[0].tap("pipe", Policy::DropOldest).unwrap();
        Ok(Box::pin(async move {
            let mut send = |publisher: &str, epoch, sequence, item: TapItem<'_>| {
                let message = match item {
                    TapItem::Message(..) if sequence % 7 == 0 => return,
                    TapItem::Message(bytes, _) => Some(bytes.to_vec()),
                    TapItem::Closed => None,
                    // The next sequence says it.
                    TapItem::Gap(_) | TapItem::Empty => return,
                };
                let packet = Packet { publisher: publisher.to_owned(), epoch, sequence, message };
                self.0.send(packet).ok().unwrap();
            };
            let sending = poll_fn(|context| {
                tap.park(context.waker());
                if visit(&mut tap, &mut send) { Poll::Ready(()) } else { Poll::Pending }
            });
            select(pin!(sending), pin!(ends.stopped())).await;
        }))
    }
}

impl Transport for In {
    fn name(&self) -> &str {
        "pipe"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { keeps_order: true, ..Capabilities::NONE }
    }

    fn carry(mut self: Box<Self>, ends: Ends) -> Carried {
        Ok(Box::pin(async move {
            let mut feed: Option<Incoming> = None;
            while let Some(Packet { publisher, epoch, sequence, message }) = self.0.recv().await {
                let joined = || ends.receives()[0].feed(&publisher, epoch, 0).unwrap();
                let feed = feed.get_or_insert_with(joined);
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
        }))
    }
}

/// Counts messages and gaps.
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

fn reading(count: &Count, policy: Policy, pipe: In) -> std::result::Result<Node, BuildError> {
    let count = count.clone();
    let node = Node::builder("there").service(move || Reader(count.clone()));
    node.subscription("Reader", "ticks", policy).transport(pipe, &[], &["ticks"]).build()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transport_loses_is_a_gap_of_its_reader() {
    let (sender, receiver) = mpsc::unbounded_channel();
    let count = Count::default();
    let here = Node::builder("here").service(|| Feed).transport(Out(sender), &["ticks"], &[]);
    let there = reading(&count, Policy::DropOldest, In(receiver)).unwrap();
    let there = there.start(Tokio::current().unwrap()).unwrap();
    let here = here.build().unwrap().start(Tokio::current().unwrap()).unwrap();
    here.join().await.unwrap();
    there.join().await.unwrap();
    let [messages, missed] = [&count.messages, &count.missed].map(|it| it.load(Ordering::Relaxed));
    assert_eq!(messages + missed, TICKS, "{messages} messages, {missed} missed");
    assert!(missed >= TICKS / 7);
}

#[test]
fn a_policy_that_a_transport_cannot_keep_is_refused() {
    let (_sender, receiver) = mpsc::unbounded_channel();
    let error = reading(&Count::default(), Policy::Block, In(receiver)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "topic `ticks` over transport `pipe` (`Builder::transport`): it cannot hold up publishers \
         for slow readers, which the policy `block` of `Reader.ticks` needs: let that subscription \
         drop messages (`policy = \"drop-oldest\"` or `\"latest\"` in \
         `[subscription.\"Reader.ticks\"]`), or join the nodes by a link [M0023]"
    );
    let node = Node::builder("main").service(|| Feed).transport(Count::default(), &["tick"], &[]);
    assert_eq!(
        node.build().unwrap_err().to_string(),
        "topic `tick` over transport `count` (`Builder::transport`): no service of this node emits \
         it: did you mean `ticks`? (expected one of: ticks) [M0023]"
    );
}
