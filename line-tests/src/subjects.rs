//! The measured subjects: the ends of rings and of topics, as closures that push or take one
//! message.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use mycelium_core::channel;
use mycelium_core::ring::broadcast::{Broadcast, Layout, Peek};
use mycelium_core::ring::mpmc::{self, Mpmc};
use mycelium_core::ring::spsc::{self, Spsc};
use mycelium_core::ring::stamped;
use mycelium_core::ring::{Consumer, Producer};
use mycelium_core::{TraceContext, message};
use mycelium_transports_lines::counters::Region;
use mycelium_transports_lines::local::{
    Delivery, Policy, RingMemory, Schema, Span, SpanSink, TaskBudget, TaskTrace, Topic, Tracer,
    TryRecv, poll_with,
};

use crate::caches::LAP_LINES;
use crate::rtrb;

/// Runs work inside one poll of a task.
type Poll = Box<dyn FnMut(&mut dyn FnMut())>;

/// One end: pushes or takes one message at a time.
pub struct End {
    one: RefCell<Box<dyn FnMut() -> bool>>,
    poll: RefCell<Poll>,
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("End")
    }
}

impl End {
    fn new(one: impl FnMut() -> bool + 'static) -> Rc<End> {
        End::of_task(one, |work| work())
    }

    fn of_task(
        one: impl FnMut() -> bool + 'static,
        poll: impl FnMut(&mut dyn FnMut()) + 'static,
    ) -> Rc<End> {
        Rc::new(End { one: RefCell::new(Box::new(one)), poll: RefCell::new(Box::new(poll)) })
    }

    /// Pushes or takes one message. Returns false if that was impossible.
    pub fn one(&self) -> bool {
        (self.one.borrow_mut())()
    }

    /// Runs `work` inside one poll of this end's task.
    pub fn poll(&self, work: &mut dyn FnMut()) {
        (self.poll.borrow_mut())(work);
    }

    /// Pushes or takes up to `most` messages in one poll, until it cannot, and returns how many.
    pub fn poll_until(&self, most: usize) -> usize {
        let mut done = 0;
        self.poll(&mut || {
            while done < most && self.one() {
                done += 1;
            }
        });
        done
    }
}

/// A ring with its ends. Writers use the first cores, readers the next ones.
#[derive(Debug)]
pub struct Subject {
    /// How many messages it has slots for.
    pub capacity: usize,
    /// Ends that push.
    pub writers: Vec<Rc<End>>,
    /// Ends that take.
    pub readers: Vec<Rc<End>>,
}

impl Subject {
    /// Whether the readers find exactly `count` more messages.
    #[must_use]
    pub fn is_drained_by(&self, count: usize) -> bool {
        self.readers.iter().map(|reader| reader.poll_until(usize::MAX)).sum::<usize>() == count
    }
}

/// The measured subjects, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `emit` to a subscription, 56 bytes.
    Emit,
    /// The same, on a traced topic: no message is in the sample.
    EmitLeftOut,
    /// The same: each message has a trace.
    EmitTraced,
    /// `broadcast`, 56 bytes, one gating reader that peeks and advances.
    Broadcast,
    /// `broadcast`, 56 bytes, one gating reader that borrows all messages.
    BroadcastRuns,
    /// `spsc`, items of one word.
    SpscWord,
    /// `spsc`, 56 bytes.
    Spsc,
    /// `spsc`, 64 bytes.
    SpscLine,
    /// `stamped`, items of one word.
    StampedWord,
    /// `stamped`, 56 bytes.
    Stamped,
    /// `mpmc`, one writer and one reader, 56 bytes.
    Mpmc,
    /// `mpmc`, two writers and two readers, 56 bytes.
    MpmcTwo,
    /// A channel over `stamped`, 56 bytes.
    Channel,
    /// A channel over `mpmc`, one sender and one receiver, 56 bytes.
    ChannelMpmc,
    /// The algorithm of rtrb, items of one word.
    RtrbWord,
    /// The algorithm of rtrb, 56 bytes.
    Rtrb,
    /// The algorithm of rtrb, 64 bytes.
    RtrbLine,
}

impl Kind {
    /// All subjects, in the order of the table.
    pub const ALL: [Kind; 17] = [
        Kind::Emit,
        Kind::EmitLeftOut,
        Kind::EmitTraced,
        Kind::Broadcast,
        Kind::BroadcastRuns,
        Kind::Rtrb,
        Kind::RtrbLine,
        Kind::Spsc,
        Kind::SpscLine,
        Kind::Stamped,
        Kind::SpscWord,
        Kind::StampedWord,
        Kind::RtrbWord,
        Kind::Mpmc,
        Kind::MpmcTwo,
        Kind::Channel,
        Kind::ChannelMpmc,
    ];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Emit => "emit, 56 bytes",
            Kind::EmitLeftOut => "emit, 56 bytes, not in the sample",
            Kind::EmitTraced => "emit, 56 bytes, with a trace",
            Kind::Broadcast => "`broadcast`, 56 bytes",
            Kind::BroadcastRuns => "`broadcast`, 56 bytes, borrowed in runs",
            Kind::SpscWord => "`spsc`, 8 bytes",
            Kind::Spsc => "`spsc`, 56 bytes",
            Kind::SpscLine => "`spsc`, 64 bytes",
            Kind::StampedWord => "`stamped`, 8 bytes",
            Kind::Stamped => "`stamped`, 56 bytes",
            Kind::Mpmc => "`mpmc` 1→1, 56 bytes",
            Kind::MpmcTwo => "`mpmc` 2→2, 56 bytes",
            Kind::Channel => "channel over `stamped`, 56 bytes",
            Kind::ChannelMpmc => "channel over `mpmc` 1→1, 56 bytes",
            Kind::RtrbWord => "rtrb's algorithm, 8 bytes",
            Kind::Rtrb => "rtrb's algorithm, 56 bytes",
            Kind::RtrbLine => "rtrb's algorithm, 64 bytes",
        }
    }

    /// The bytes of a message.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Kind::SpscWord | Kind::StampedWord | Kind::RtrbWord => 8,
            Kind::SpscLine | Kind::RtrbLine => 64,
            _ => 56,
        }
    }

    /// Whether there are several writers and readers.
    #[must_use]
    pub fn is_for_many(self) -> bool {
        self == Kind::MpmcTwo
    }

    /// A new one. One lap takes [`LAP_LINES`] lines, or a few more.
    #[must_use]
    pub fn make(self) -> Subject {
        match self {
            Kind::Emit => emit(LAP_LINES, Traces::Off),
            // A slot takes two lines.
            Kind::EmitLeftOut => emit(LAP_LINES / 2, Traces::LeftOut),
            Kind::EmitTraced => emit(LAP_LINES / 2, Traces::PassedOn),
            Kind::Broadcast => broadcast(LAP_LINES),
            Kind::BroadcastRuns => broadcast_runs(LAP_LINES),
            Kind::SpscWord => with_index::<u64>(8 * LAP_LINES),
            Kind::Spsc => with_index::<[u64; 7]>(LAP_LINES),
            Kind::SpscLine => with_index::<[u64; 8]>(LAP_LINES),
            Kind::StampedWord => with_stamps::<u64>(4 * LAP_LINES),
            Kind::Stamped => with_stamps::<[u64; 7]>(LAP_LINES),
            Kind::Mpmc => many(LAP_LINES, 1),
            Kind::MpmcTwo => many(LAP_LINES, 2),
            Kind::Channel => channel(LAP_LINES),
            Kind::ChannelMpmc => channel_of_many(LAP_LINES),
            Kind::RtrbWord => rtrbs::<u64>(8 * LAP_LINES),
            Kind::Rtrb => rtrbs::<[u64; 7]>(LAP_LINES),
            Kind::RtrbLine => rtrbs::<[u64; 8]>(LAP_LINES),
        }
    }
}

fn pair(
    capacity: usize,
    push: impl FnMut() -> bool + 'static,
    take: impl FnMut() -> bool + 'static,
) -> Subject {
    Subject { capacity, writers: vec![End::new(push)], readers: vec![End::new(take)] }
}

/// Numbers for messages, so that a check can see that they arrive in order.
fn numbers() -> impl FnMut() -> u64 {
    let mut next = 0;
    move || {
        next += 1;
        next
    }
}

/// An item that carries a number.
trait Item: Copy + Default + Send + 'static {
    fn of(number: u64) -> Self;
    fn number(&self) -> u64;
}

impl Item for u64 {
    fn of(number: u64) -> u64 {
        number
    }

    fn number(&self) -> u64 {
        *self
    }
}

impl<const WORDS: usize> Item for [u64; WORDS]
where
    [u64; WORDS]: Default,
{
    fn of(number: u64) -> [u64; WORDS] {
        [number; WORDS]
    }

    fn number(&self) -> u64 {
        assert!(self.iter().all(|word| *word == self[0]), "a whole item");
        self[0]
    }
}

fn with_index<T: Item + 'static>(capacity: usize) -> Subject {
    let ring = Arc::new(spsc::Boxed::<T>::with_capacity(capacity).expect("a capacity"));
    let writer = Spsc::producer(ring.clone()).expect("the only one");
    one_to_one(capacity, writer, Spsc::consumer(ring).expect("the only one"))
}

fn with_stamps<T: Item + 'static>(capacity: usize) -> Subject {
    let ring = Arc::new(stamped::Boxed::<T>::with_capacity(capacity).expect("a capacity"));
    let writer = Spsc::producer(ring.clone()).expect("the only one");
    one_to_one(capacity, writer, Spsc::consumer(ring).expect("the only one"))
}

fn one_to_one<T: Item + 'static>(
    capacity: usize,
    mut writer: impl Producer<Item = T> + 'static,
    mut reader: impl Consumer<Item = T> + 'static,
) -> Subject {
    let (mut sent, mut taken) = (numbers(), numbers());
    let mut item = T::of(sent());
    let push = move || {
        let pushed = writer.try_push(item).is_ok();
        if pushed {
            item = T::of(sent());
        }
        pushed
    };
    let take = move || reader.try_pop().is_ok_and(|item| item.number() == taken());
    pair(capacity, push, take)
}

/// `ends` writers and as many readers.
fn many(capacity: usize, ends: usize) -> Subject {
    let ring = Arc::new(mpmc::Boxed::<[u64; 7]>::with_capacity(capacity).expect("a capacity"));
    let writer = || {
        let mut writer = Mpmc::producer(ring.clone());
        End::new(move || writer.try_push([7; 7]).is_ok())
    };
    let reader = || {
        let mut reader = Mpmc::consumer(ring.clone());
        End::new(move || reader.try_pop() == Ok([7; 7]))
    };
    Subject {
        capacity,
        writers: (0..ends).map(|_| writer()).collect(),
        readers: (0..ends).map(|_| reader()).collect(),
    }
}

fn channel(capacity: usize) -> Subject {
    let (mut sender, mut receiver) =
        channel::stamped::bounded::<[u64; 7]>(capacity).expect("a capacity");
    let send = move || sender.try_send([7; 7]).is_ok();
    pair(capacity, send, move || receiver.try_recv() == Ok([7; 7]))
}

fn channel_of_many(capacity: usize) -> Subject {
    let (mut sender, mut receiver) =
        channel::mpmc::bounded::<[u64; 7]>(capacity).expect("a capacity");
    let send = move || sender.try_send([7; 7]).is_ok();
    pair(capacity, send, move || receiver.try_recv() == Ok([7; 7]))
}

fn rtrbs<T: Default + 'static>(capacity: usize) -> Subject {
    let (mut writer, mut reader) = rtrb::ring::<T>(capacity);
    pair(capacity, move || writer.push(), move || reader.pop())
}

const WORDS: usize = 56 / size_of::<usize>();

fn broadcast(capacity: usize) -> Subject {
    let ring = Arc::new(Broadcast::boxed(Layout::exact(capacity, 56), 1).expect("a capacity"));
    let mut writer = Broadcast::producer(ring.clone()).expect("the only one");
    let mut reader = Broadcast::gating(ring).expect("one entry");
    let take = move || {
        let mut words = [0; WORDS];
        match reader.peek(&mut words) {
            Peek::Message { .. } => {
                assert_eq!(words, [7; WORDS]);
                reader.advance()
            }
            _ => false,
        }
    };
    pair(capacity, move || writer.try_push(&[7; WORDS], 56).is_ok(), take)
}

fn broadcast_runs(capacity: usize) -> Subject {
    let ring = Arc::new(Broadcast::boxed(Layout::exact(capacity, 56), 1).expect("a capacity"));
    let mut writer = Broadcast::producer(ring.clone()).expect("the only one");
    let reader = Rc::new(RefCell::new(Broadcast::gating(ring).expect("one entry")));
    // A run of up to 16, of which one at a time is counted.
    let mut left = 0;
    let take = move || {
        if left == 0 {
            let mut reader = reader.borrow_mut();
            let Some(messages) = reader.read(16) else {
                // The same call that a reader makes when it found nothing.
                assert_eq!(reader.peek(&mut [0; WORDS]), Peek::Empty);
                return false;
            };
            assert!(messages.iter().all(|bytes| bytes.len() == 56));
            left = messages.count();
            messages.release(left);
        }
        left -= 1;
        true
    };
    pair(capacity, move || writer.try_push(&[7; WORDS], 56).is_ok(), take)
}

#[message(topic = "wide", id = 1)]
#[derive(Debug, PartialEq)]
struct Wide {
    words: [u64; 7],
}

/// The traces of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traces {
    Off,
    /// Messages have none.
    LeftOut,
    /// Each message has that which its publisher's task handles.
    PassedOn,
}

impl Traces {
    /// The budgets of two tasks, and the topic between them.
    fn topic(self, capacity: usize) -> ([Arc<TaskBudget>; 2], Arc<Topic>) {
        // Without an executor it begins no traces.
        let tracer = (self != Traces::Off).then(|| Tracer::new(0.0, Arc::new(NoSpans)));
        let task = |service: &str| match &tracer {
            Some(tracer) => {
                let trace = TaskTrace::new(tracer.clone(), service.into());
                TaskBudget::with_trace(TaskBudget::DEFAULT, trace)
            }
            None => TaskBudget::new(),
        };
        let tasks = ["writer", "reader"].map(task);
        if self == Traces::PassedOn {
            let trace = TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 0 };
            // It stays so.
            let _ = tasks[0].trace().map(|task| task.replace(Some(trace)));
        }
        let (schema, memory, counters) = (Schema::of::<Wide>(), RingMemory::Heap, Region::new(16));
        let topic = Topic::with_recorded("wide", schema, capacity, 1, memory, tracer, counters);
        (tasks, topic.expect("fits"))
    }
}

#[derive(Debug)]
struct NoSpans;

impl SpanSink for NoSpans {
    fn record(&self, _: Span) {}
}

/// A publisher and a subscription, each in polls of its task like those of a node's driver.
fn emit(capacity: usize, traces: Traces) -> Subject {
    let ([there, here], topic) = traces.topic(capacity);
    let mut subscription = topic.subscribe::<Wide>("reader", Policy::Block).expect("the first");
    let mut publisher = topic.publisher::<Wide>("writer", 1).expect("the first");
    let mut of_publisher = [publisher.attach(&there)];
    let mut of_subscription = [subscription.attach(&here)];
    let (mut sent, mut taken) = (numbers(), numbers());
    let mut number = sent();
    let push = move || {
        let pushed = publisher.try_emit(Wide { words: [number; 7] }).is_ok();
        if pushed {
            number = sent();
        }
        pushed
    };
    let take = move || match subscription.try_recv() {
        TryRecv::Delivery(Delivery::Msg(wide)) => {
            assert_eq!(wide.words, [taken(); 7]);
            true
        }
        _ => false,
    };
    let writer = End::of_task(push, move |work| poll_with(&there, &mut of_publisher, work));
    let reader = End::of_task(take, move |work| poll_with(&here, &mut of_subscription, work));
    Subject { capacity, writers: vec![writer], readers: vec![reader] }
}
