//! The two ends of each column that moves messages: ours and the rivals', behind one pair of traits.
//!
//! The loops are generic over the traits, so each column gets its own copy of the same loop with its ends inlined.

use std::hint::black_box;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use mycelium_core::Message;
use mycelium_core::message::{Words, from_words, to_words};
use mycelium_core::ring::broadcast::{
    Broadcast, Consumer, Look, Producer, ReaderWords, Storage, Word, WriterWords, slot_words,
};
use mycelium_transports::counters::Region;
use mycelium_transports::local::{
    Delivery, Flusher, Policy, Publisher, Pulse, Schema, Subscription, Topic, TryRecv, poll_with,
};
use tokio::sync::broadcast;

use crate::sample::Sample;

/// How many messages the buffer of each column holds.
pub(crate) const CAPACITY: usize = 1024;

/// The sending end of a column.
pub(crate) trait Push: Send {
    /// Sends a message, unless there is no room.
    fn push(&mut self, sample: &Sample) -> bool;
}

/// The receiving end of a column.
pub(crate) trait Pop: Send {
    /// Takes the next message, if there is one, and shows it to `read`.
    fn pop<R>(&mut self, read: impl FnOnce(&Sample) -> R) -> Option<R>;
}

/// An end within the task that uses it.
pub(crate) trait Task: Send {
    type End;

    /// Polls the task once: `work`, and then whatever the end of a poll takes.
    fn poll<R>(&mut self, work: impl FnOnce(&mut Self::End) -> R) -> R;
}

/// Nothing is done at the end of a poll.
pub(crate) struct Bare<E>(E);

impl<E: Send> Task for Bare<E> {
    type End = E;

    #[inline]
    fn poll<R>(&mut self, work: impl FnOnce(&mut E) -> R) -> R {
        work(&mut self.0)
    }
}

/// Our task: what its ends did counts in its pulse, and the other sides are told at the end of a poll.
pub(crate) struct Pulsed<E> {
    end: E,
    pulse: Arc<Pulse>,
    flushers: [Flusher; 1],
}

impl<E: Send> Task for Pulsed<E> {
    type End = E;

    #[inline]
    fn poll<R>(&mut self, work: impl FnOnce(&mut E) -> R) -> R {
        poll_with(&self.pulse, &mut self.flushers, || work(&mut self.end))
    }
}

/// Both ends of a column.
pub(crate) struct Ends<P, Q> {
    pub(crate) name: &'static str,
    pub(crate) sender: P,
    pub(crate) receiver: Q,
}

/// Every column, wrapped: `every!(emit_in_one_task, ends => wrapper)`.
macro_rules! every {
    ($ours:ident, $ends:ident => $wrapper:expr) => {
        vec![
            {
                let $ends = $crate::ends::$ours();
                Box::new($wrapper)
            },
            {
                let $ends = $crate::ends::ring();
                Box::new($wrapper)
            },
            {
                let $ends = $crate::ends::rtrb_slot();
                Box::new($wrapper)
            },
            {
                let $ends = $crate::ends::rtrb_message();
                Box::new($wrapper)
            },
            {
                let $ends = $crate::ends::tokio_broadcast();
                Box::new($wrapper)
            },
            {
                let $ends = $crate::ends::crossbeam();
                Box::new($wrapper)
            },
        ]
    };
}

pub(crate) use every;

// The names of the columns.
pub(crate) const EMIT: &str = "emit";
pub(crate) const RING: &str = "our ring alone";
pub(crate) const RTRB_SLOT: &str = "rtrb 72 B";
pub(crate) const RTRB_MESSAGE: &str = "rtrb 56 B";
pub(crate) const TOKIO: &str = "tokio broadcast";
pub(crate) const CROSSBEAM: &str = "crossbeam-channel";
pub(crate) const RIVALS: [&str; 5] = [RING, RTRB_SLOT, RTRB_MESSAGE, TOKIO, CROSSBEAM];

/// Nothing but the loop: what the harness itself costs.
pub(crate) struct Nothing;

pub(crate) fn nothing() -> Bare<Nothing> {
    Bare(Nothing)
}

impl Push for Nothing {
    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        black_box(sample);
        true
    }
}

impl Push for Publisher<Sample> {
    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        self.try_emit(*sample).is_ok()
    }
}

impl Pop for Subscription<Sample> {
    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&Sample) -> R) -> Option<R> {
        match self.try_recv() {
            TryRecv::Delivery(Delivery::Msg(sample)) => Some(read(&sample)),
            _ => None,
        }
    }
}

/// A publisher in the task of `pulse`, and one gating subscription in the task of each of `readers`.
pub(crate) fn ours(
    pulse: Arc<Pulse>,
    readers: impl IntoIterator<Item = Arc<Pulse>>,
) -> (Pulsed<Publisher<Sample>>, Vec<Pulsed<Subscription<Sample>>>) {
    let counters = Region::new(256);
    let topic = Topic::new(Sample::TOPIC, Schema::of::<Sample>(), CAPACITY, counters)
        .expect("the capacity is a power of two");
    let receivers = readers.into_iter().map(|pulse| {
        let mut end = topic.subscribe("reader", Policy::Block).expect("the topic carries samples");
        let flushers = [end.attach(&pulse)];
        Pulsed { end, pulse, flushers }
    });
    let receivers = receivers.collect();
    let mut end = topic.publisher("writer", 1).expect("there is an entry for each reader");
    let flushers = [end.attach(&pulse)];
    (Pulsed { end, pulse, flushers }, receivers)
}

/// Both of our ends in one task.
pub(crate) fn emit_in_one_task() -> Ends<Pulsed<Publisher<Sample>>, Pulsed<Subscription<Sample>>> {
    let pulse = Pulse::new();
    let (sender, mut receivers) = ours(pulse.clone(), [pulse]);
    Ends { name: EMIT, sender, receiver: receivers.remove(0) }
}

/// Each of our ends in a task of its own.
pub(crate) fn emit_in_two_tasks() -> Ends<Pulsed<Publisher<Sample>>, Pulsed<Subscription<Sample>>> {
    let (sender, mut receivers) = ours(Pulse::new(), [Pulse::new()]);
    Ends { name: EMIT, sender, receiver: receivers.remove(0) }
}

/// The memory of a bare ring.
pub(crate) struct Heap {
    slots: Box<[Word]>,
    writer: WriterWords,
    readers: [ReaderWords; 1],
}

impl Storage for Heap {
    #[inline]
    fn slots(&self) -> &[Word] {
        &self.slots
    }

    #[inline]
    fn writer(&self) -> &WriterWords {
        &self.writer
    }

    #[inline]
    fn readers(&self) -> &[ReaderWords] {
        &self.readers
    }
}

/// A bare ring as its ends hold it.
#[derive(Clone)]
pub(crate) struct Ring(Arc<Broadcast<Heap>>);

impl Deref for Ring {
    type Target = Broadcast<Heap>;

    #[inline]
    fn deref(&self) -> &Broadcast<Heap> {
        &self.0
    }
}

impl Push for Producer<Ring> {
    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        self.try_push(to_words(sample).as_ref(), size_of::<Sample>()).is_ok()
    }
}

impl Pop for Consumer<Ring> {
    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&Sample) -> R) -> Option<R> {
        let mut words = <Sample as Message>::Words::ZERO;
        let Look::Message { .. } = self.look(words.as_mut()) else { return None };
        let sample = from_words::<Sample>(&words).ok()?;
        let result = read(&sample);
        self.advance();
        Some(result)
    }
}

pub(crate) fn ring() -> Ends<Bare<Producer<Ring>>, Bare<Consumer<Ring>>> {
    let words = CAPACITY * slot_words(size_of::<Sample>());
    let storage = Heap {
        slots: (0..words).map(|_| Word::new()).collect(),
        writer: WriterWords::new(),
        readers: [ReaderWords::new()],
    };
    let ring = Broadcast::new(storage, CAPACITY, size_of::<Sample>());
    let ring = Ring(Arc::new(ring.expect("the storage has the right size")));
    let receiver = Broadcast::gating(ring.clone()).expect("there is one entry");
    let sender = Broadcast::producer(ring).expect("nobody else writes");
    Ends { name: RING, sender: Bare(sender), receiver: Bare(receiver) }
}

/// The same bytes as a slot of our ring: a sequence, a length, the message.
pub(crate) struct Slot {
    sequence: u64,
    length: u64,
    sample: Sample,
}

const _: () = assert!(size_of::<Slot>() == slot_words(size_of::<Sample>()) * size_of::<u64>());

pub(crate) struct RtrbSlots {
    producer: rtrb::Producer<Slot>,
    sequence: u64,
}

impl Push for RtrbSlots {
    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        let sequence = self.sequence;
        let slot = Slot { sequence, length: size_of::<Sample>() as u64, sample: *sample };
        let pushed = self.producer.push(slot).is_ok();
        self.sequence += u64::from(pushed);
        pushed
    }
}

impl Pop for rtrb::Consumer<Slot> {
    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&Sample) -> R) -> Option<R> {
        let slot = rtrb::Consumer::pop(self).ok()?;
        black_box((slot.sequence, slot.length));
        Some(read(&slot.sample))
    }
}

pub(crate) fn rtrb_slot() -> Ends<Bare<RtrbSlots>, Bare<rtrb::Consumer<Slot>>> {
    let (producer, receiver) = rtrb::RingBuffer::new(CAPACITY);
    let sender = RtrbSlots { producer, sequence: 0 };
    Ends { name: RTRB_SLOT, sender: Bare(sender), receiver: Bare(receiver) }
}

impl Push for rtrb::Producer<Sample> {
    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        rtrb::Producer::push(self, *sample).is_ok()
    }
}

impl Pop for rtrb::Consumer<Sample> {
    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&Sample) -> R) -> Option<R> {
        rtrb::Consumer::pop(self).ok().map(|sample| read(&sample))
    }
}

pub(crate) fn rtrb_message() -> Ends<Bare<rtrb::Producer<Sample>>, Bare<rtrb::Consumer<Sample>>> {
    let (sender, receiver) = rtrb::RingBuffer::new(CAPACITY);
    Ends { name: RTRB_MESSAGE, sender: Bare(sender), receiver: Bare(receiver) }
}

/// A sender that waits for one of its receivers: by itself, tokio's overwrites what a receiver has not taken.
pub(crate) struct TokioSender {
    sender: broadcast::Sender<Sample>,
    sent: u64,
    /// It has seen room before this number.
    limit: u64,
    taken: Arc<CachePadded<AtomicU64>>,
}

impl Push for TokioSender {
    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        if self.sent == self.limit {
            // Acquire, with the receiver's Release; once a lap, as our ring does it.
            self.limit = self.taken.load(Ordering::Acquire) + CAPACITY as u64;
            if self.sent == self.limit {
                return false;
            }
        }
        self.sent += 1;
        self.sender.send(*sample).is_ok()
    }
}

pub(crate) struct TokioReceiver {
    receiver: broadcast::Receiver<Sample>,
    count: u64,
    taken: Arc<CachePadded<AtomicU64>>,
}

impl Pop for TokioReceiver {
    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&Sample) -> R) -> Option<R> {
        let sample = self.receiver.try_recv().ok()?;
        self.count += 1;
        self.taken.store(self.count, Ordering::Release);
        Some(read(&sample))
    }
}

/// tokio's broadcast with `readers` receivers; the first one holds the sender, where that matters.
pub(crate) fn tokio(readers: usize) -> (Bare<TokioSender>, Vec<Bare<TokioReceiver>>) {
    let (sender, _) = broadcast::channel(CAPACITY);
    let taken = Arc::new(CachePadded::new(AtomicU64::new(0)));
    let receivers = (0..readers).map(|number| {
        let taken = if number == 0 { taken.clone() } else { Arc::default() };
        Bare(TokioReceiver { receiver: sender.subscribe(), count: 0, taken })
    });
    let receivers = receivers.collect();
    (Bare(TokioSender { sender, sent: 0, limit: CAPACITY as u64, taken }), receivers)
}

pub(crate) fn tokio_broadcast() -> Ends<Bare<TokioSender>, Bare<TokioReceiver>> {
    let (sender, mut receivers) = tokio(1);
    Ends { name: TOKIO, sender, receiver: receivers.remove(0) }
}

impl Push for crossbeam_channel::Sender<Sample> {
    #[inline]
    fn push(&mut self, sample: &Sample) -> bool {
        self.try_send(*sample).is_ok()
    }
}

impl Pop for crossbeam_channel::Receiver<Sample> {
    #[inline]
    fn pop<R>(&mut self, read: impl FnOnce(&Sample) -> R) -> Option<R> {
        self.try_recv().ok().map(|sample| read(&sample))
    }
}

pub(crate) fn crossbeam()
-> Ends<Bare<crossbeam_channel::Sender<Sample>>, Bare<crossbeam_channel::Receiver<Sample>>> {
    let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
    Ends { name: CROSSBEAM, sender: Bare(sender), receiver: Bare(receiver) }
}
