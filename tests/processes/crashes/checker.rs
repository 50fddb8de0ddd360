//! Compares received messages with sent ones and with the reported gaps.
//!
//! For each start of a publisher and each start of a reader: the order is kept, no message is
//! doubled, and each missing number is reported by a gap, with the exact count if the gap is exact.
//! If the publisher waits for this reader, there is no gap. Across the starts of a reader, however
//! they ended: no number is missing. Redelivered messages are marked, were not confirmed, and are
//! at most as many as a ring holds. A topic with delivery at most once redelivers nothing; a gap at
//! the start of the next process reports the missing messages. If both processes ran from start to
//! an orderly end, all emitted messages were received.

use std::collections::BTreeMap;
use std::ops::AddAssign;

/// When a start of a member began, got SIGTERM, and ended, as numbers of events; and whether it was
/// killed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) began: usize,
    pub(crate) asked: usize,
    pub(crate) ended: usize,
    pub(crate) killed: bool,
}

/// One start of a publisher, and one topic.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) topic: &'static str,
    pub(crate) life: u64,
    pub(crate) span: Life,
    pub(crate) epoch: u64,
    /// The number of emits that are known to have completed. A killed process may have completed
    /// one more.
    pub(crate) count: u64,
    /// How many of them it knows to be confirmed.
    pub(crate) confirmed: u64,
}

/// The promise to a reader whose process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Its publisher waits for it. Nothing is missing, and redelivered messages are marked.
    AtLeastOnce,
    /// Its publisher waits for it. Messages in flight are not redelivered: a gap reports their
    /// number.
    AtMostOnce,
    /// No publisher waits for it. Gaps report the messages that it misses, except those that an
    /// orderly end counted as left.
    Told,
}

/// One start of a reader, and one topic.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) topic: &'static str,
    pub(crate) reader: &'static str,
    pub(crate) life: u64,
    pub(crate) span: Life,
    pub(crate) promise: Promise,
    /// Its subscription has ended.
    pub(crate) done: bool,
    pub(crate) seen: Vec<Seen>,
    /// At the time of its kill: the numbers below which messages of each start of its publisher
    /// were known to be confirmed.
    pub(crate) confirmed: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    Got { life: u64, number: u64, sequence: u64, whole: bool, again: bool },
    Gap { epoch: u64, count: u64, exact: bool },
}

/// The result of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Messages that were received.
    pub(crate) received: u64,
    /// Messages that gaps reported as missing.
    pub(crate) told: u64,
    /// Messages that a second start of their reader received again.
    pub(crate) repeated: u64,
    /// Messages that were marked as redelivered.
    pub(crate) marked: u64,
    /// Messages that an observing reader counted as left.
    pub(crate) left: u64,
    /// The most messages that were redelivered after one death.
    pub(crate) most_repeated: u64,
    /// Streams with two ends that ran from start to an orderly end.
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

/// How far a reader got with one start of a publisher.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The number of its first message, or of the first one that a gap reported.
    first: Option<u64>,
    first_message: u64,
    next: u64,
    told: u64,
    /// A gap reported that more may be missing, because a process was killed.
    vague: bool,
    received: u64,
    /// The number of its first message that is not marked, and the number after its last one that
    /// is.
    first_fresh: Option<u64>,
    marked_before: u64,
    marked: u64,
}

/// Checks all records. `slots` is the most messages of a publisher that may be in flight to a
/// reader.
pub(crate) fn check(sent: &[Sent], read: &[Read], slots: u64) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for sent in sent {
        // In the order of their starts.
        let readers = read.iter().filter(|read| read.topic == sent.topic);
        let mut names: Vec<_> = readers.map(|read| read.reader).collect();
        names.sort_unstable();
        names.dedup();
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
        for seen in &read.seen {
            let is_known = match seen {
                Seen::Got { life, .. } => known.contains_key(life),
                Seen::Gap { epoch, .. } => known.values().any(|known| known == epoch),
            };
            if !is_known {
                return Err(format!("{} of nobody: {seen:?}", about(read)));
            }
        }
    }
    Ok(tally)
}

/// One start of a publisher, and all starts of one reader.
fn pair(sent: &Sent, starts: &[&Read], slots: u64, tally: &mut Tally) -> Result<(), String> {
    // The number after the last one that an earlier start of this reader has seen, and the number
    // below which all messages are confirmed.
    let (mut next, mut confirmed) = (0, 0);
    // The gaps of the starts since then that got no message, which would show their numbers. The
    // first gap began at `next`, or before it with messages that were seen and not confirmed; one
    // that was not handled is reported again. So this is the most that is not lost.
    let mut told = 0;
    // A subscription with an orderly end has counted its untaken messages as left, also if its
    // process was killed after that.
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
        // A reader that got SIGTERM leaves its publishers, and may miss their later messages.
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

/// Compares the messages that a start of a reader received from a publisher with those that earlier
/// starts have seen: all below `next`.
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

/// If a publisher was killed and another start of it has begun, a reader gets a gap before its own
/// end: more may have been sent. A publisher that got SIGTERM may have reported its end before the
/// kill.
fn check_told(sent: &Sent, read: &Read, place: &Place) -> Result<(), String> {
    let later = |seen: &Seen| matches!(seen, Seen::Got { life, .. } if *life > sent.life);
    let may_have_ended = sent.span.asked < sent.span.ended && place.next == sent.count;
    let was_there = place.received > 0 && sent.span.killed && read.done && !may_have_ended;
    if was_there && !place.vague && read.seen.iter().any(later) {
        return Err("got no gap for the end of its publisher".to_owned());
    }
    Ok(())
}

/// Checks one stream, from one start of a publisher to one start of a reader.
fn follow(sent: &Sent, read: &Read) -> Result<Place, String> {
    let mut place = Place::default();
    // Reported before the first message, whose number shows the position.
    let mut before = 0;
    for seen in &read.seen {
        match *seen {
            Seen::Gap { epoch, count, exact } if epoch == sent.epoch => {
                // A publisher that ends in order while it is disconnected had nothing left, but
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
            Seen::Got { life, number, sequence, whole, again } if life == sent.life => {
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
