//! Compares received messages with sent ones and with reported gaps.
//!
//! For each start of a publisher and each start of a reader: messages stay in order, none is
//! received twice, and each missing number is in a gap, with the exact count if the gap is exact. A
//! gating reader gets no gap. Across the starts of a reader, however they ended, no number is
//! missing. Redelivered messages are marked, were not confirmed, and are at most as many as a ring
//! holds. With delivery at most once nothing is redelivered: a gap at the start of the next process
//! reports the messages. If both processes ran from their start to an orderly end, all emitted
//! messages were received.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use super::records::Record;

/// When a start of a member began, got SIGTERM, and ended, as numbers of events, and whether it was
/// killed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) began: usize,
    pub(crate) asked: usize,
    pub(crate) ended: usize,
    pub(crate) killed: bool,
}

/// What one start of a publisher has sent on one topic.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) topic: &'static str,
    pub(crate) life: u64,
    pub(crate) span: Life,
    pub(crate) epoch: u64,
    /// The number of emits that are known to be completed. A killed process may have completed one
    /// more.
    pub(crate) count: u64,
    /// How many messages the publisher knows to be confirmed.
    pub(crate) confirmed: u64,
}

/// What a reader is promised if its process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// The reader is gating. Nothing is missing, and redelivered messages are marked.
    AtLeastOnce,
    /// The reader is gating. Messages in flight are not redelivered; a gap reports their number.
    AtMostOnce,
    /// The reader is observing. Gaps report the messages that it misses, except the ones that an
    /// orderly end has counted as left.
    Told,
}

/// What one start of a reader has received on one topic.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) topic: &'static str,
    pub(crate) reader: &'static str,
    pub(crate) life: u64,
    pub(crate) span: Life,
    pub(crate) promise: Promise,
    /// Whether its subscription has ended.
    pub(crate) done: bool,
    pub(crate) records: Vec<Record>,
    /// For a kill: the start of each publisher, and the number below which its messages were known
    /// to be confirmed at that time.
    pub(crate) confirmed: Vec<(u64, u64)>,
}

/// The numbers of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Received messages.
    pub(crate) received: u64,
    /// Messages that gaps have reported.
    pub(crate) told: u64,
    /// Messages that a later start of their reader received again.
    pub(crate) repeated: u64,
    /// Messages with the mark of a redelivery.
    pub(crate) marked: u64,
    /// Messages that observing readers have counted as left.
    pub(crate) left: u64,
    /// The largest number of messages that were redelivered after one death.
    pub(crate) most_repeated: u64,
    /// Streams whose publisher and reader ran from their start to an orderly end.
    pub(crate) whole: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.received += other.received;
        self.told += other.told;
        self.repeated += other.repeated;
        self.marked += other.marked;
        self.left += other.left;
        self.most_repeated = self.most_repeated.max(other.most_repeated);
        self.whole += other.whole;
    }
}

/// How far a start of a reader got with a start of a publisher.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The number of its first message, or of the first message in a gap.
    first: Option<u64>,
    first_message: u64,
    next: u64,
    told: u64,
    /// Whether a gap has reported that more may be missing, because a process was killed.
    vague: bool,
    received: u64,
    /// The number of its first message without a mark, and the number after its last message with
    /// one.
    first_fresh: Option<u64>,
    marked_before: u64,
    marked: u64,
}

/// Checks all records. At most `slots` messages of a publisher may be in flight to a reader.
pub(crate) fn check(sent: &[Sent], read: &[Read], slots: u64) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for sent in sent {
        // The starts of a reader are in order.
        let readers = read.iter().filter(|read| read.topic == sent.topic);
        let names: BTreeSet<_> = readers.map(|read| read.reader).collect();
        for name in names {
            let starts = read.iter().filter(|read| (read.topic, read.reader) == (sent.topic, name));
            pair(sent, &starts.collect::<Vec<_>>(), slots, &mut tally)?;
        }
    }
    for read in read {
        let known: BTreeMap<_, _> = sent
            .iter()
            .filter(|sent| sent.topic == read.topic)
            .map(|sent| (sent.life, sent.epoch))
            .collect();
        for record in &read.records {
            let is_known = match record {
                Record::Got { life, .. } => known.contains_key(life),
                Record::Gap { epoch, .. } => known.values().any(|known| known == epoch),
                Record::Epoch(_) | Record::Sent(_) => false,
                Record::End => true,
            };
            if !is_known {
                return Err(format!("{} of nobody: {record:?}", about(read)));
            }
        }
    }
    Ok(tally)
}

/// Checks one start of a publisher against all starts of one reader.
fn pair(sent: &Sent, starts: &[&Read], slots: u64, tally: &mut Tally) -> Result<(), String> {
    // The number after the last message that an earlier start of this reader has seen, and the
    // number below which all messages are confirmed.
    let (mut next, mut confirmed) = (0, 0);
    // The messages in gaps of starts that received no message to show their numbers. The first such
    // gap begins at `next`, or before it with messages that were seen and not confirmed; a gap that
    // was not handled is reported again. So this is an upper bound of the reported messages.
    let mut told = 0;
    // An orderly end of a subscription counts its untaken messages as left, even if the process is
    // killed later.
    let mut has_left = false;
    for read in starts {
        let (began, ended) = (read.span.began, read.span.ended);
        if ended < sent.span.began || began > sent.span.ended {
            continue;
        }
        let about = format!("{} of start {} of its publisher", about(read), sent.life);
        let place = follow(sent, read).map_err(|error| format!("{about}: {error}"))?;
        let limit = sent.count + u64::from(sent.span.killed);
        if place.next > limit {
            return Err(format!("{about}: {} were seen, {} sent", place.next, sent.count));
        }
        if let Some(first) = place.first {
            let lost = first.saturating_sub(next + told);
            if lost > 0 && !place.vague {
                if read.promise != Promise::Told || !has_left {
                    return Err(format!("{about}: {lost} lost before {first}"));
                }
                tally.left += lost;
            }
            if first < confirmed && read.promise != Promise::Told {
                return Err(format!("{about}: {first} again, {confirmed} were confirmed"));
            }
            check_repeats(read.promise, &place, next, slots)
                .map_err(|error| format!("{about}: {error}"))?;
            let again =
                if place.received > 0 { next.saturating_sub(place.first_message) } else { 0 };
            tally.repeated += again;
            tally.most_repeated = tally.most_repeated.max(again);
            next = next.max(place.next);
            (told, has_left) = (0, false);
        } else {
            told += place.told;
        }
        has_left |= !read.span.killed || read.done;
        tally.received += place.received;
        tally.told += place.told;
        tally.marked += place.marked;
        let known = read.confirmed.iter().filter(|(life, _)| *life == sent.life);
        confirmed = known.map(|(_, before)| *before).chain([confirmed]).max().unwrap_or(0);
        // A reader that got SIGTERM before its publisher ended may miss the publisher's later
        // messages.
        let lived_on = !sent.span.killed && !read.span.killed && read.span.asked >= sent.span.ended;
        if lived_on && read.done {
            if place.first.is_some() && place.next != sent.count {
                return Err(format!("{about}: {} of {} came, to the end", place.next, sent.count));
            }
            let from_the_beginning = began < sent.span.began;
            if from_the_beginning && place.first.is_none() && place.told != sent.count {
                return Err(format!("{about}: none of {} came", sent.count));
            }
            tally.whole += u64::from(from_the_beginning);
        }
        check_told(sent, read, &place).map_err(|error| format!("{about}: {error}"))?;
    }
    let waits = starts.iter().all(|read| read.promise == Promise::AtLeastOnce);
    if waits && !starts.is_empty() && next < sent.confirmed {
        let confirmed = sent.confirmed;
        return Err(format!("{}: {confirmed} confirmed, {next} seen", about(starts[0])));
    }
    Ok(())
}

/// Checks the redelivered messages: those that a start of a reader received although earlier starts
/// have seen all numbers below `next`.
fn check_repeats(promise: Promise, place: &Place, next: u64, slots: u64) -> Result<(), String> {
    let again = place.marked_before.saturating_sub(place.first_message);
    if again > 0 && promise != Promise::AtLeastOnce {
        return Err(format!("{} marked as redelivered", place.marked));
    }
    if again > slots {
        return Err(format!("{again} redelivered, a ring holds {slots}"));
    }
    match place.first_fresh {
        Some(fresh) if fresh < next => {
            Err(format!("{fresh} again without a mark, the start before had {next}"))
        }
        _ => Ok(()),
    }
}

/// If a publisher was killed and has started again, a reader gets a gap before its own end, because
/// more may have been sent. A publisher that got SIGTERM may have reported its end before the kill.
fn check_told(sent: &Sent, read: &Read, place: &Place) -> Result<(), String> {
    let later = |record: &Record| matches!(record, Record::Got { life, .. } if *life > sent.life);
    let may_have_ended = sent.span.asked < sent.span.ended && place.next == sent.count;
    let was_there = place.received > 0 && sent.span.killed && read.done && !may_have_ended;
    if was_there && !place.vague && read.records.iter().any(later) {
        return Err("got no gap for the end of its publisher".to_owned());
    }
    Ok(())
}

/// Checks one stream: one start of a publisher and one start of a reader.
fn follow(sent: &Sent, read: &Read) -> Result<Place, String> {
    let mut place = Place::default();
    // Messages in gaps before the first message, whose number then shows the position.
    let mut before = 0;
    for record in &read.records {
        match *record {
            Record::Gap { epoch, count, exact } if epoch == sent.epoch => {
                // A publisher that ends in order while disconnected has nothing left to send, but
                // cannot report that.
                if !exact && !sent.span.killed && count > 0 {
                    return Err(format!("{count} missing, not exactly, and nobody was killed"));
                }
                let is_at_start = place.first.is_none();
                let may = match read.promise {
                    Promise::AtLeastOnce => false,
                    Promise::AtMostOnce => is_at_start,
                    Promise::Told => true,
                };
                if !may && exact && count > 0 {
                    return Err(format!("{count} missing, though its publisher waits for it"));
                }
                place.vague |= !exact && sent.span.killed;
                place.told += count;
                match place.first {
                    Some(_) => place.next += count,
                    None => before += count,
                }
            }
            Record::Got { life, number, sequence, whole, again } if life == sent.life => {
                if !whole || number != sequence {
                    return Err(format!("{number} came as {sequence}, whole: {whole}"));
                }
                if place.first.is_none() {
                    let first = number.checked_sub(before);
                    place.first = Some(first.ok_or(format!("{before} missing before {number}"))?);
                    (place.first_message, place.next) = (number, number);
                }
                if again {
                    if place.first_fresh.is_some() {
                        return Err(format!("{number} marked behind one that is not"));
                    }
                    (place.marked, place.marked_before) = (place.marked + 1, number + 1);
                } else {
                    place.first_fresh.get_or_insert(number);
                }
                if number < place.next || number > place.next && !place.vague {
                    return Err(format!("{number} came, {} should have", place.next));
                }
                place.next = number + 1;
                place.received += 1;
            }
            _ => {}
        }
    }
    Ok(place)
}

fn about(read: &Read) -> String {
    format!("{} {} (start {})", read.reader, read.topic, read.life)
}
