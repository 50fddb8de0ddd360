//! Messages of any shape: a publisher and a subscription of one thread, beside encoding and
//! decoding alone; and of two threads, beside tokio's broadcast.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use ::tokio::sync::broadcast::{Receiver, Sender};
#[cfg(feature = "rivals")]
use bytes::Bytes;
use crossbeam_utils::CachePadded;
use mycelium_core::wait::WaitStrategy;
use mycelium_core::{FixedVec, Message, message};
use mycelium_transports::local::{Delivery, Publisher, Subscription, TryRecv};
use serde::{Deserialize, Serialize};

use crate::ends::{CAPACITY, Ends, Pop, Push, Task};
use crate::goals::Pair;
use crate::harness::{Column, Contest, Mismatch, Round, Sweep};
use crate::loops::one_way::one_way;
use crate::machine::affinity::Cores;
use crate::options::Options;
use crate::ours::topic;
use crate::rivals::tokio;

/// An order of about 120 bytes.
#[message(topic = "orders")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    venue: String,
    note: Option<String>,
    legs: Vec<Leg>,
    kind: Kind,
}

#[message]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Leg {
    price: i64,
    size: u64,
}

#[message]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Market,
    Limit { cents: i64 },
    Iceberg(u32, i64),
}

fn order() -> Order {
    Order {
        id: 7,
        venue: "Uniswap".to_owned(),
        note: Some("a note".to_owned()),
        legs: vec![Leg { price: 1, size: 2 }, Leg { price: 3, size: 4 }],
        kind: Kind::Limit { cents: 9 },
    }
}

/// 200 bytes in a list of any length.
#[message(topic = "blobs")]
#[derive(Debug, PartialEq)]
struct Blob {
    bytes: Vec<u8>,
}

/// 200 bytes in a list of exactly as many.
#[message(topic = "blobs", pad)]
#[derive(PartialEq)]
struct FixedBlob {
    bytes: FixedVec<u8, 200>,
}

/// How many messages are sent, and received, in a poll.
const BATCH: usize = 128;

const VIEW: &str = "emit_ref, recv_view";
const OWNED: &str = "emit_ref, recv";
const POSTCARD: &str = "postcard, to a buffer and back";
const LIST: &str = "Vec<u8> of 200";
const FIXED: &str = "FixedVec<u8, 200>";

const IN_PLACE: &str = "reserve, recv_view";
const ONCE: &str = "written once";
const IN_BYTES: &str = "postcard, tokio broadcast";
const IN_ARC: &str = "Arc, tokio broadcast";

pub(super) fn contests(options: &Options, cores: &Cores) -> [Sweep; 4] {
    let contest = |row, title: &str, columns, pairs| Contest {
        timed: "128 sends, 128 receives, and the ends of the polls",
        operations: options.operations(16 * BATCH, BATCH).next_multiple_of(BATCH),
        columns,
        pairs,
        ..Contest::new("shapes", row, title)
    };
    let orders = vec![
        sends(VIEW, order(), |orders, sent| viewed(orders, sent) == Some(sent.id)),
        sends(OWNED, order(), received),
        #[cfg(feature = "rivals")]
        in_postcard(),
    ];
    let pairs = vec![Pair::new(VIEW, POSTCARD).within(1.0), Pair::new(OWNED, POSTCARD)];
    let blob = Blob { bytes: vec![7; 200] };
    let fixed = FixedBlob::new(FixedVec::from_slice(&blob.bytes).expect("there is room"));
    let blobs = vec![sends(LIST, blob, viewed_blob), sends(FIXED, fixed, received)];
    let order = contest("an order with texts and a list", "one thread, 112 bytes", orders, pairs);
    let pairs = vec![Pair::new(LIST, FIXED).within(1.2)];
    let list = contest("a list of 200 bytes", "one thread, 200 bytes", blobs, pairs);
    let pairs = vec![Pair::new(IN_PLACE, ONCE).within(1.05)];
    let columns = vec![in_place(), written_once()];
    let long = Contest {
        timed: "each message, from its first byte on",
        operations: options.operations(500, 20),
        ..contest("a list of 1 MiB, in place", "one thread, 1 MiB", columns, pairs)
    };
    [
        order.at("order").into(),
        list.at("list").into(),
        long.at("in-place").into(),
        to_another_core(options, cores),
    ]
}

/// 1 MiB.
const LONG: usize = 1 << 20;

#[message(topic = "images", max = "1025 KiB")]
struct Image {
    pixels: Vec<u8>,
}

/// Copies a list into its place in the ring, and looks at its ends there.
fn in_place() -> Column {
    let (mut sender, mut receiver) = topic::of::<Image>();
    let mut source = vec![7; LONG];
    Column::new(IN_PLACE, move |operations| {
        let start = Instant::now();
        let mut equal = 0;
        for number in 0..operations {
            source[0] = number as u8;
            sender.poll(|images| {
                let image = Image { pixels: Vec::new() };
                let mut image = images.try_reserve(image, LONG).expect("the ring has room");
                image.bytes_mut().copy_from_slice(black_box(&source));
                image.send().expect("there are no fast handlers");
            });
            receiver.poll(|images| {
                let Poll::Ready(next) = images.poll_next(&Context::from_waker(Waker::noop()))
                else {
                    return;
                };
                let Some(Delivery::Msg(image)) = images.view(next) else { return };
                let pixels = black_box(image.pixels());
                equal += usize::from([pixels[0], pixels[LONG - 1]] == [number as u8, 7]);
            });
        }
        all_are_equal(IN_PLACE, (equal, operations), start)
    })
}

/// Copies the list into one of as many buffers as the ring has room for.
fn written_once() -> Column {
    let (mut source, mut buffers) = (vec![7; LONG], vec![vec![0; LONG]; 8]);
    Column::new(ONCE, move |operations| {
        let start = Instant::now();
        let mut equal = 0;
        for number in 0..operations {
            source[0] = number as u8;
            let buffer = &mut buffers[number % 8];
            buffer.copy_from_slice(black_box(&source));
            let pixels = black_box(&*buffer);
            equal += usize::from([pixels[0], pixels[LONG - 1]] == [number as u8, 7]);
        }
        all_are_equal(ONCE, (equal, operations), start)
    })
}

fn all_are_equal(
    name: &'static str,
    (equal, operations): (usize, usize),
    start: Instant,
) -> Result<Round, Mismatch> {
    let took = start.elapsed();
    if equal == operations {
        return Ok(Round::Total(took));
    }
    Err(Mismatch::new(name, format!("{equal} of {operations} are equal")))
}

/// Emits a message, and receives it with `receive`, which returns whether it is that message.
fn sends<M: Message>(
    name: &'static str,
    message: M,
    receive: fn(&mut Subscription<M>, &M) -> bool,
) -> Column {
    let (mut sender, mut receiver) = topic::of::<M>();
    Column::new(name, move |operations| {
        let (mut sent, mut arrived) = (0, 0);
        let start = Instant::now();
        for _ in 0..operations / BATCH {
            sent += sender.poll(|publisher| send_batch(publisher, &message));
            arrived += receiver.poll(|subscription| {
                (0..BATCH).filter(|_| receive(subscription, &message)).count()
            });
        }
        let took = start.elapsed();
        if (sent, arrived) != (operations, operations) {
            let what = format!("{sent} of {operations} messages were sent, {arrived} arrived");
            return Err(Mismatch::new(name, what));
        }
        Ok(Round::Total(took))
    })
}

#[inline(never)]
fn send_batch<M: Message>(publisher: &mut Publisher<M>, message: &M) -> usize {
    (0..BATCH).filter(|_| publisher.try_emit_ref(black_box(message)).is_ok()).count()
}

/// Returns the number of the next order, if the rest of it is that of `sent`.
fn viewed(orders: &mut Subscription<Order>, sent: &Order) -> Option<u64> {
    let Poll::Ready(next) = orders.poll_next(&Context::from_waker(Waker::noop())) else {
        return None;
    };
    let Some(Delivery::Msg(order)) = orders.view(next) else { return None };
    let is_equal = order.venue() == sent.venue
        && order.note() == sent.note.as_deref()
        && order.legs() == sent.legs
        && matches!(order.kind(), KindView::Limit { cents: 9 });
    is_equal.then(|| order.id())
}

fn viewed_blob(blobs: &mut Subscription<Blob>, sent: &Blob) -> bool {
    let Poll::Ready(next) = blobs.poll_next(&Context::from_waker(Waker::noop())) else {
        return false;
    };
    let Some(Delivery::Msg(blob)) = blobs.view(next) else { return false };
    blob.bytes() == sent.bytes
}

fn received<M: Message + PartialEq>(messages: &mut Subscription<M>, sent: &M) -> bool {
    match messages.try_recv() {
        TryRecv::Delivery(Delivery::Msg(message)) => *message == *sent,
        _ => false,
    }
}

/// An end whose items are the numbers of orders. The function sends the order, or receives one, and
/// returns its number if the rest of it is that of the order.
struct Orders<E, F>(E, Order, F);

impl<E: Send, F: FnMut(&mut E, &Order) -> bool + Send> Push for Orders<E, F> {
    type Item = u64;

    #[inline]
    fn push(&mut self, number: &u64) -> bool {
        self.1.id = *number;
        (self.2)(&mut self.0, &self.1)
    }
}

impl<E: Send, F: FnMut(&mut E, &Order) -> Option<u64> + Send> Pop for Orders<E, F> {
    type Item = u64;

    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&u64) -> R) -> Option<R> {
        (self.2)(&mut self.0, &self.1).map(|number| read(&number))
    }
}

fn to_another_core(options: &Options, cores: &Cores) -> Sweep {
    let pairs = vec![
        Pair::new(VIEW, IN_BYTES).within(0.5),
        Pair::new(OWNED, IN_BYTES).within(0.7),
        Pair::new(VIEW, IN_ARC),
        Pair::new(OWNED, IN_ARC),
    ];
    Sweep::over(cores.sweep(), pairs, |idle| {
        let ours = |name, receive: fn(&mut Subscription<Order>, &Order) -> Option<u64>| {
            let (sender, receiver) = topic::of();
            let sender = sender.map(|end| Orders(end, order(), emitted));
            let receiver = receiver.map(|mut end| {
                // Otherwise it parks at an empty ring. So it checks up to 1,000 times in a poll.
                end.set_wait_strategy(WaitStrategy::Spin);
                Orders(end, order(), receive)
            });
            one_way::<1, _, _>(Ends::new(name, (sender, receiver)), idle, cores)
        };
        let title = format!("two threads one way, 112 bytes, waiting: {idle}");
        Contest {
            timed: "from the first send to the last receive, with comparisons",
            operations: options.operations(40_000, 4_000),
            columns: vec![
                ours(VIEW, viewed),
                ours(OWNED, |orders, sent| match orders.try_recv() {
                    TryRecv::Delivery(Delivery::Msg(order)) => number(&order, sent),
                    _ => None,
                }),
                #[cfg(feature = "rivals")]
                one_way::<1, _, _>(in_bytes(), idle, cores),
                one_way::<1, _, _>(in_arcs(), idle, cores),
            ],
            ..Contest::new("shapes", "an order to another core", title).at(idle.slug())
        }
    })
}

fn emitted(orders: &mut Publisher<Order>, order: &Order) -> bool {
    orders.try_emit_ref(order).is_ok()
}

/// Returns the number of an order, if the rest of it is that of `sent`.
fn number(order: &Order, sent: &Order) -> Option<u64> {
    let is_equal = order.venue == sent.venue
        && order.note == sent.note
        && order.legs == sent.legs
        && order.kind == sent.kind;
    is_equal.then_some(order.id)
}

/// Both ends of a broadcast of what `encode` makes of an order. The receiver shows its position
/// eight times a lap, so that the sender overwrites nothing that was not received.
fn broadcast<T: Clone + Send>(
    name: &'static str,
    encode: impl Fn(&Order) -> T + Send,
    decode: impl Fn(T, &Order) -> Option<u64> + Send,
) -> Ends<impl Task<End: Push<Item = u64>>, impl Task<End: Pop<Item = u64>>> {
    let (sender, mut receivers) = tokio::many(1);
    let taken = Arc::new(CachePadded::new(AtomicUsize::new(0)));
    let (shown, mut sent, mut room_to, mut received) = (taken.clone(), 0, CAPACITY, 0);
    let send = move |end: &mut Sender<T>, order: &Order| {
        if sent == room_to {
            room_to = taken.load(Ordering::Acquire) + CAPACITY;
        }
        let is_sent = sent < room_to && end.send(encode(order)).is_ok();
        sent += usize::from(is_sent);
        is_sent
    };
    let receive = move |end: &mut Receiver<T>, sent: &Order| {
        let value = end.try_recv().ok()?;
        received += 1;
        if received % (CAPACITY / 8) == 0 {
            shown.store(received, Ordering::Release);
        }
        decode(value, sent)
    };
    let receiver = Orders(receivers.remove(0), order(), receive);
    Ends::new(name, (Orders(sender, order(), send), receiver)).bare()
}

fn in_arcs() -> Ends<impl Task<End: Push<Item = u64>>, impl Task<End: Pop<Item = u64>>> {
    broadcast(IN_ARC, |order| Arc::new(order.clone()), |order, sent| number(&order, sent))
}

/// Allocates as many bytes as it takes: longer blocks, which the other core frees, cost more.
#[cfg(feature = "rivals")]
fn in_bytes() -> Ends<impl Task<End: Push<Item = u64>>, impl Task<End: Pop<Item = u64>>> {
    let encode = |order: &Order| {
        let bytes =
            postcard::to_slice(order, &mut [0; 256]).map(|bytes| Bytes::copy_from_slice(bytes));
        bytes.expect("an order is shorter")
    };
    broadcast(IN_BYTES, encode, |bytes, sent| number(&postcard::from_bytes(&bytes).ok()?, sent))
}

/// Encodes into a buffer that is used again, and decodes the order, without any queue.
#[cfg(feature = "rivals")]
fn in_postcard() -> Column {
    let (order, mut buffer) = (order(), [0; 256]);
    Column::new(POSTCARD, move |operations| {
        let start = Instant::now();
        let equal = (0..operations).filter(|_| {
            let bytes = postcard::to_slice(black_box(&order), &mut buffer);
            let bytes = bytes.map(|bytes| &*bytes).unwrap_or_default();
            postcard::from_bytes::<Order>(bytes).is_ok_and(|decoded| decoded == order)
        });
        all_are_equal(POSTCARD, (equal.count(), operations), start)
    })
}
