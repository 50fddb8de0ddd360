//! Any sequence of entries is read as it was written, and sums agree with a plain model.

use mycelium_record::{End, Reader, RecordError, Recorded, Recording, Stream, StreamId};
use mycelium_transports::local::GapReason;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::{Order, Tick, order, read, received, stream_of, tick, trace, type_of};

#[derive(Clone, Debug)]
enum Step {
    Begin {
        has_bodies: bool,
        first: u64,
    },
    Message {
        stream: usize,
        number: u64,
        late: u64,
        sent: bool,
        traced: bool,
    },
    Retained {
        stream: usize,
        sequence: u64,
    },
    Gap {
        stream: usize,
        missed: u64,
        reason: usize,
    },
    End {
        stream: usize,
        is_lost: bool,
    },
    Disconnected,
    Close,
    Take,
    /// Refused: the sequence is not the next one.
    Wrong {
        stream: usize,
        off: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..4_usize;
    prop_oneof![
        2 => (any::<bool>(), prop_oneof![Just(0), any::<u64>()])
            .prop_map(|(has_bodies, first)| Step::Begin { has_bodies, first }),
        12 => (stream.clone(), 0..1000_u64, 0..5_u64, any::<bool>(), any::<bool>()).prop_map(
            |(stream, number, late, sent, traced)| {
                Step::Message { stream, number, late, sent, traced }
            }
        ),
        1 => (stream.clone(), any::<u64>())
            .prop_map(|(stream, sequence)| Step::Retained { stream, sequence }),
        2 => (stream.clone(), 0..100_u64, 0..7_usize)
            .prop_map(|(stream, missed, reason)| Step::Gap { stream, missed, reason }),
        1 => (stream.clone(), any::<bool>())
            .prop_map(|(stream, is_lost)| Step::End { stream, is_lost }),
        1 => Just(Step::Disconnected),
        1 => Just(Step::Close),
        1 => Just(Step::Take),
        1 => (stream, 1..9_u64).prop_map(|(stream, off)| Step::Wrong { stream, off }),
    ]
}

const REASONS: [GapReason; 7] = [
    GapReason::Overwritten,
    GapReason::Skipped,
    GapReason::Dropped,
    GapReason::Undecodable,
    GapReason::Disconnected,
    GapReason::Evicted,
    GapReason::DeadLettered,
];

/// What the model knows of a stream.
struct Known {
    id: StreamId,
    has_bodies: bool,
    first: u64,
    next: u64,
    recorded: u64,
    gaps: u64,
    missed: u64,
    has_ended: bool,
}

fn run(steps: &[Step], has_json: bool) -> Result<(), TestCaseError> {
    let mut recording = if has_json { Recording::with_json() } else { Recording::new() };
    let (mut streams, mut expected): (Vec<Known>, Vec<String>) = (Vec::new(), Vec::new());
    let (mut file, mut disconnections) = (Vec::new(), 0);
    for (at, step) in steps.iter().enumerate() {
        let at = at as u64;
        let known = match step {
            Step::Message { stream, .. }
            | Step::Retained { stream, .. }
            | Step::Gap { stream, .. }
            | Step::End { stream, .. }
            | Step::Wrong { stream, .. } => streams.get_mut(*stream),
            _ => None,
        };
        match (step, known) {
            (Step::Begin { has_bodies, first }, _) => {
                let (first, epoch) = (*first, streams.len() as u64 % 2);
                let stream = match has_bodies {
                    true => stream_of::<Order>("Desk", epoch),
                    false => stream_of::<Tick>("Feed", epoch),
                };
                let digest = stream.message.digest();
                let text = format!(
                    "{} began feed {} {} {epoch} {digest} {first} at {at}",
                    streams.len(),
                    stream.topic,
                    stream.publisher
                );
                let id = recording.begin(stream, first, at).unwrap();
                streams.push(Known {
                    id,
                    has_bodies: *has_bodies,
                    first,
                    next: first,
                    recorded: 0,
                    gaps: 0,
                    missed: 0,
                    has_ended: false,
                });
                expected.push(text);
            }
            (Step::Message { number, late, sent, traced, .. }, Some(known)) => {
                let bytes = if known.has_bodies { order(*number) } else { tick(*number) };
                let message = Recorded {
                    sequence: known.next,
                    received_at: (1000 + at).saturating_sub(*late),
                    sent_at: sent.then_some(at),
                    trace: traced.then(|| trace(at as u8)),
                    retained: false,
                    bytes: &bytes,
                };
                let result = recording.message(known.id, &message);
                if known.has_ended || known.next == u64::MAX {
                    prop_assert!(result.is_err());
                    continue;
                }
                result.unwrap();
                (known.next, known.recorded) = (known.next + 1, known.recorded + 1);
                expected.push(format!("{} {message:?}", known.id.index()));
            }
            (Step::Retained { sequence, .. }, Some(known)) => {
                let bytes = if known.has_bodies { order(*sequence % 99) } else { tick(*sequence) };
                let message = Recorded {
                    sequence: *sequence,
                    received_at: at,
                    sent_at: None,
                    trace: None,
                    retained: true,
                    bytes: &bytes,
                };
                let result = recording.message(known.id, &message);
                prop_assert_eq!(result.is_ok(), !known.has_ended);
                if result.is_ok() {
                    expected.push(format!("{} {message:?}", known.id.index()));
                }
            }
            (Step::Gap { missed, reason, .. }, Some(known)) => {
                let (next, reason) = (known.next.wrapping_add(*missed), REASONS[*reason]);
                let result = recording.gap(known.id, next, *missed, reason, at);
                if known.has_ended || next < known.next {
                    prop_assert!(result.is_err());
                    continue;
                }
                result.unwrap();
                (known.next, known.missed) = (next, known.missed + missed);
                known.gaps += 1;
                let id = known.id.index();
                expected.push(format!("{id} gap {next} {missed} {reason:?} at {at}"));
            }
            (Step::End { is_lost, .. }, Some(known)) => {
                let (end, word) =
                    if *is_lost { (End::Lost, "lost") } else { (End::Ended, "ended") };
                let result = recording.end(known.id, end, known.next, at);
                prop_assert_eq!(result.is_ok(), !known.has_ended);
                if result.is_ok() {
                    known.has_ended = true;
                    expected.push(format!("{} {word} {} at {at}", known.id.index(), known.next));
                }
            }
            (Step::Wrong { off, .. }, Some(known)) => {
                let bytes = if known.has_bodies { order(1) } else { tick(1) };
                let sequence = known.next.wrapping_add(*off);
                let message = Recorded {
                    sequence,
                    received_at: at,
                    sent_at: None,
                    trace: None,
                    retained: false,
                    bytes: &bytes,
                };
                let refused = recording.message(known.id, &message).unwrap_err();
                let is_typed = match refused {
                    RecordError::Sequence { expected, found, .. } => {
                        (expected, found) == (known.next, sequence)
                    }
                    RecordError::Ended { .. } => known.has_ended,
                    _ => false,
                };
                prop_assert!(is_typed);
                let message = Recorded { sequence: known.next, bytes: &bytes[1..], ..message };
                prop_assert!(recording.message(known.id, &message).is_err(), "a byte is missing");
                prop_assert!(recording.gap(known.id, sequence, off + 1, REASONS[0], at).is_err());
                prop_assert!(recording.end(known.id, End::Lost, sequence, at).is_err());
            }
            (Step::Disconnected, _) => {
                recording.disconnected("feed", "ticks", "it \"ended\"", at);
                disconnections += 1;
                expected.push(format!("disconnected feed ticks it \"ended\" at {at}"));
            }
            (Step::Close, _) => recording.close_chunk(),
            (Step::Take, _) => {
                file.extend(recording.take());
                prop_assert!(recording.written() >= file.len() as u64);
                let cut = read(&file);
                prop_assert!(cut.error.is_none(), "{:?}", cut.error);
                prop_assert_eq!(cut.offset, file.len() as u64, "only whole chunks are taken");
                prop_assert_eq!(&cut.entries[..], &expected[..cut.entries.len()]);
            }
            (_, None) => {}
        }
    }
    let (rest, totals) = recording.finish();
    file.extend(rest);
    let whole = read(&file);
    prop_assert!(whole.error.is_none(), "{:?}", whole.error);
    prop_assert!(whole.is_whole);
    prop_assert_eq!(whole.entries, expected);

    let mut reader = Reader::new(&file[..]).unwrap();
    while reader.next().unwrap().is_some() {}
    prop_assert_eq!(reader.totals(), &totals);
    prop_assert_eq!(totals.disconnections, disconnections);
    for (known, totals) in streams.iter().zip(&totals.streams) {
        prop_assert_eq!(
            totals.first.checked_add(totals.recorded + totals.missed),
            Some(totals.next)
        );
        let found = (totals.first, totals.recorded, totals.gaps, totals.missed);
        prop_assert_eq!(found, (known.first, known.recorded, known.gaps, known.missed));
        prop_assert_eq!(totals.end.is_some(), known.has_ended);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(steps in vec(step(), 0..120), has_json: bool) {
        run(&steps, has_json)?;
    }
}

#[test]
fn a_recording_without_entries_is_whole() {
    let (file, totals) = Recording::new().finish();
    let contents = read(&file);
    assert!(contents.is_whole && contents.entries.is_empty() && totals.streams.is_empty());
}

#[test]
fn chunks_are_closed_at_a_mebibyte() {
    let mut recording = Recording::new();
    let id = recording.begin(stream_of::<Tick>("Feed", 1), 0, 0).unwrap();
    let mut file = Vec::new();
    for number in 0..100_000 {
        recording.message(id, &received(number, &tick(number))).unwrap();
        let taken = recording.take();
        assert!(taken.len() < 2 << 20);
        file.extend(taken);
    }
    assert!(file.len() > 5 << 20);
    let cut = read(&file);
    assert_eq!((cut.error.is_none(), cut.is_whole), (true, false));
    assert!(cut.entries.len() > 85_000, "{}", cut.entries.len());
    file.extend(recording.finish().0);
    let whole = read(&file);
    assert!(whole.is_whole);
    assert_eq!(whole.entries.len(), 100_001);
}

/// A node that is started again may have another version of the message.
#[test]
fn a_topic_may_change_its_type() {
    let mut recording = Recording::new();
    let mut file = Vec::new();
    for epoch in 0..4 {
        let message = if epoch % 2 == 0 { type_of::<Tick>() } else { type_of::<Order>() };
        let stream = Stream { message, ..stream_of::<Tick>("Feed", epoch) };
        let id = recording.begin(stream, 0, epoch).unwrap();
        let bytes = if epoch % 2 == 0 { tick(epoch) } else { order(epoch) };
        recording.message(id, &received(0, &bytes)).unwrap();
        recording.end(id, End::Lost, 1, epoch).unwrap();
        recording.close_chunk();
        file.extend(recording.take());
    }
    let (rest, totals) = recording.finish();
    file.extend(rest);
    let contents = read(&file);
    assert!(contents.is_whole && contents.error.is_none(), "{contents:?}");
    assert_eq!((contents.entries.len(), totals.topics(), totals.lost()), (12, 1, 4));
    let schemas = mcap::Summary::read(&file).unwrap().unwrap().schemas;
    assert_eq!(schemas.len(), 2, "a schema for each type");
}

#[test]
fn a_stream_may_begin_again() {
    let mut recording = Recording::new();
    for first in [0, 7] {
        let id = recording.begin(stream_of::<Tick>("Feed", 1), first, 0).unwrap();
        recording.message(id, &received(first, &tick(first))).unwrap();
    }
    let (file, totals) = recording.finish();
    let contents = read(&file);
    assert!(contents.is_whole && contents.error.is_none(), "{contents:?}");
    assert_eq!((contents.entries.len(), totals.streams.len()), (4, 2));
    let channels = mcap::Summary::read(&file).unwrap().unwrap().channels;
    let begin = |number: u16| channels[&number].metadata.get("begin").cloned();
    assert_eq!((begin(1), begin(2)), (None, Some("1".to_owned())));
}
