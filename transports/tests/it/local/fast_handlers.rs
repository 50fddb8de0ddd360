//! Fast handlers: they run once for each message, in its publisher, before any reader sees it.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use mycelium_core::Fixed;
use mycelium_transports::conformance::Probe;
use mycelium_transports::local::{
    Delivery, EmitError, HandlerFailure, HandlerMark, HandlerWatch, Policy, Publisher, Recorded,
    Refusal, Topic, TryRecv,
};
use proptest::prelude::*;

use super::{LocalTopic, epoch, probe, take};

/// The numbers of the messages for which a handler has run.
type Ran = Arc<Mutex<Vec<u64>>>;

/// Adds a handler that accepts and records all messages.
fn watch(topic: &Topic) -> Ran {
    let ran = Ran::default();
    let record = ran.clone();
    let handler = move |probe: &Probe| {
        record.lock().unwrap().push(probe.number);
        Ok(())
    };
    topic.add_fast_handler("watch", handler).unwrap();
    ran
}

/// What the handler `judge` does with a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Judged {
    Accepted,
    Refused,
    Panicked,
}

fn judge(number: u64) -> Judged {
    match (number % 5, number % 7) {
        (3, _) => Judged::Refused,
        (_, 5) => Judged::Panicked,
        _ => Judged::Accepted,
    }
}

fn add_judge(topic: &Topic) {
    let handler = |probe: &Probe| match judge(probe.number) {
        Judged::Accepted => Ok(()),
        Judged::Refused => Err(format!("{} is a number too many", probe.number).into()),
        // Does not run the panic hook, so nothing is printed.
        Judged::Panicked => resume_unwind(Box::new("it knows no such number")),
    };
    topic.add_fast_handler("judge", handler).unwrap();
}

#[test]
fn a_handler_that_emits_to_its_own_topic_is_refused() {
    let [first, second] = [LocalTopic::open(8), LocalTopic::open(8)];
    let inner: [Arc<Mutex<Option<Publisher<Probe>>>>; 2] = Default::default();
    // The handler of each topic emits to the other topic.
    for (topic, to) in [(&first, inner[1].clone()), (&second, inner[0].clone())] {
        let echo = move |probe: &Probe| {
            let mut to = to.try_lock().map_err(|_| "the publisher is in use")?;
            let Some(to) = to.as_mut() else { return Ok(()) };
            Ok(to.try_emit(*probe)?)
        };
        topic.topic.add_fast_handler("echo", echo).unwrap();
    }
    let mut readers = [&first, &second].map(|topic| topic.subscribe("reader", Policy::Block));
    *inner[1].lock().unwrap() = Some(second.publisher("inner"));
    let mut publisher = first.publisher("outer");
    publisher.try_emit(probe(1)).unwrap();
    assert_eq!(readers.each_mut().map(take), [Some(1), Some(1)], "another topic closes no circle");
    *inner[0].lock().unwrap() = Some(first.publisher("circle"));
    let error = publisher.try_emit(probe(2)).unwrap_err();
    let Refusal::FastHandler { failure: HandlerFailure::Error(cause), .. } = &error.refusal else {
        panic!("{error}");
    };
    let cause = cause.downcast_ref::<EmitError<Probe>>().expect("the refusal of the second topic");
    let Refusal::FastHandler { failure: HandlerFailure::Error(cause), .. } = &cause.refusal else {
        panic!("{cause}");
    };
    let cause = cause.downcast_ref::<EmitError<Probe>>().expect("the refusal of the circle");
    let failure = HandlerFailure::Reentered;
    assert_eq!(cause.refusal, Refusal::FastHandler { handler: "echo".into(), failure });
    assert_eq!(
        cause.to_string(),
        "fast handler `echo` of topic `conformance` emits to its own topic: let a service do that [M0226]"
    );
    assert_eq!(readers.each_mut().map(take), [None, None]);
    // Publishers keep their topics, and the handlers of these topics keep publishers: this ends the
    // cycle.
    inner.iter().for_each(|publisher| *publisher.lock().unwrap() = None);
    // The thread is no longer in a handler.
    drop(publisher);
    let later = LocalTopic::open(8);
    later.topic.add_fast_handler("accept", |_: &Probe| Ok(())).unwrap();
    later.publisher("later").try_emit(probe(3)).unwrap();
}

/// The handlers have run in the process that published the messages.
#[test]
fn messages_of_other_processes_run_none() {
    let local = LocalTopic::open(8);
    let ran = watch(&local.topic);
    let mut reader = local.subscribe("reader", Policy::DropNewest);
    let mut remote = local.topic.feed("far", epoch(), 0).unwrap();
    remote.push(probe(1).encoded(), false).unwrap();
    local.publisher("near").try_emit(probe(2)).unwrap();
    let mut numbers: Vec<_> = std::iter::from_fn(|| take(&mut reader)).collect();
    numbers.sort_unstable();
    assert_eq!((numbers, &**ran.lock().unwrap()), (vec![1, 2], &[2][..]));
}

/// Records which handler runs.
struct Watch(Arc<Mutex<Vec<String>>>);

struct Mark(Arc<Mutex<Vec<String>>>, String, Vec<Arc<str>>);

impl HandlerWatch for Watch {
    fn mark(&self, topic: &str, publisher: &str, handlers: &[Arc<str>]) -> Box<dyn HandlerMark> {
        Box::new(Mark(self.0.clone(), format!("{topic}.{publisher}"), handlers.to_vec()))
    }
}

impl HandlerMark for Mark {
    fn begins(&self, handler: usize) {
        self.0.lock().unwrap().push(format!("{}.{}", self.1, self.2[handler]));
    }

    fn ends(&self) {
        self.0.lock().unwrap().push("end".to_owned());
    }
}

#[test]
fn a_watch_sees_which_handler_runs_also_if_it_panics() {
    let local = LocalTopic::open(8);
    local.topic.add_fast_handler("first", |_: &Probe| Ok(())).unwrap();
    add_judge(&local.topic);
    let mut publisher = local.publisher("publisher");
    let seen = Arc::default();
    // The watch also applies to publishers that are older.
    local.topic.watch_fast_handlers(Arc::new(Watch(Arc::clone(&seen))));
    publisher.try_emit(probe(5)).unwrap_err();
    let expected = ["conformance.publisher.first", "end", "conformance.publisher.judge", "end"];
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// Returns a topic with the handlers `watch` and `judge`, with or without trace areas.
fn judged(with_areas: bool, capacity: usize) -> (LocalTopic, Ran) {
    let recorded = Recorded { tracer: None, latency_sample: with_areas.then_some(1.0) };
    let local = LocalTopic::recording(capacity, recorded);
    let ran = watch(&local.topic);
    add_judge(&local.topic);
    (local, ran)
}

proptest! {
    /// Compares emits of all kinds, dropped and completed, with a plain queue. Each message for
    /// which there is room runs the handlers once. Accepted messages arrive in order, without a gap
    /// in their sequences. All other messages are returned, and no reader sees any part of them.
    #[test]
    fn aborted_claims_leave_no_gap_and_lose_nothing(
        with_areas in any::<bool>(),
        operations in prop::collection::vec((0..5u8, 1..8usize), 1..120),
    ) {
        const CAPACITY: usize = 4;
        let (local, ran) = judged(with_areas, CAPACITY);
        let mut observer = local.subscribe("observer", Policy::DropOldest);
        let (_local, mut reader, mut publisher) = local.join(Policy::Block);
        let mut context = Context::from_waker(Waker::noop());
        let (mut queue, mut accepted, mut expected) = (VecDeque::new(), Vec::new(), Vec::new());
        let mut next = 0;
        for (operation, count) in operations {
            if operation == 0 {
                for _ in 0..count {
                    prop_assert_eq!(take(&mut reader), queue.pop_front());
                }
                reader.done();
                continue;
            }
            // The messages that this operation attempts, up to the first one that is not sent.
            let most = if operation <= 2 { 1 } else { count };
            let mut sent = 0;
            let mut outcome = None;
            for number in next..next + most as u64 {
                if queue.len() == CAPACITY {
                    outcome = Some(None);
                    break;
                }
                expected.push(number);
                if judge(number) != Judged::Accepted {
                    outcome = Some(Some(judge(number)));
                    break;
                }
                queue.push_back(number);
                accepted.push(number);
                sent += 1;
            }
            let batch: Vec<Probe> = (next..next + most as u64).map(probe).collect();
            // `None` if the emit is dropped while it waits.
            let (found, refusal) = match operation {
                1 => match publisher.try_emit(batch[0]) {
                    Ok(()) => (1, None),
                    Err(error) => {
                        prop_assert_eq!(error.message, batch[0]);
                        (0, Some(Some(error.refusal)))
                    }
                },
                2 => match pin!(publisher.emit(batch[0])).poll(&mut context) {
                    Poll::Ready(Ok(())) => (1, None),
                    Poll::Ready(Err(error)) => (0, Some(Some(error.refusal))),
                    Poll::Pending => (0, Some(None)),
                },
                3 => match publisher.try_emit_batch(&batch) {
                    Ok(()) => (batch.len(), None),
                    Err(error) => (error.sent, Some(Some(error.refusal))),
                },
                _ => {
                    let mut sent = 0;
                    match publisher.poll_emit_batch(&context, &batch, &mut sent) {
                        Poll::Ready(Ok(())) => (sent, None),
                        Poll::Ready(Err(error)) => (error.sent, Some(Some(error.refusal))),
                        Poll::Pending => (sent, Some(None)),
                    }
                }
            };
            prop_assert_eq!(found, sent);
            match (&outcome, &refusal) {
                (None, None) => {}
                (Some(None), Some(None | Some(Refusal::Full { .. }))) => {}
                (Some(Some(judged)), Some(Some(Refusal::FastHandler { handler, failure }))) => {
                    prop_assert_eq!(&**handler, "judge");
                    let has_panicked = matches!(failure, HandlerFailure::Panic(_));
                    prop_assert_eq!(*judged == Judged::Panicked, has_panicked);
                }
                different => prop_assert!(false, "{:?}", different),
            }
            // A message without room is tried again, a refused message is not.
            next += sent as u64 + u64::from(matches!(outcome, Some(Some(_))));
            prop_assert_eq!(&*ran.lock().unwrap(), &expected);
            prop_assert_eq!(publisher.sent(), accepted.len() as u64);
        }
        let mut sequence = 0;
        while let TryRecv::Delivery(delivery) = observer.try_recv() {
            match delivery {
                Delivery::Gap(gap) => sequence += gap.count,
                Delivery::Msg(probe) => {
                    prop_assert_eq!(probe.sequence(), sequence);
                    prop_assert_eq!(probe.number, accepted[sequence as usize]);
                    sequence += 1;
                }
            }
        }
        prop_assert_eq!(sequence, accepted.len() as u64);
        prop_assert_eq!(std::iter::from_fn(|| take(&mut reader)).collect::<VecDeque<_>>(), queue);
    }
}

/// An observer that is a whole ring behind keeps the oldest message if the claim for the next
/// message is aborted.
#[test]
fn an_aborted_claim_overwrites_nothing() {
    let (_local, mut observer, mut publisher) = judged(false, 2).0.join(Policy::DropOldest);
    (0..2).for_each(|number| publisher.try_emit(probe(number)).unwrap());
    publisher.try_emit(probe(3)).unwrap_err();
    assert_eq!(std::iter::from_fn(|| take(&mut observer)).collect::<Vec<_>>(), [0, 1]);
}
