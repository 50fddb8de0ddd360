//! Holds what was received against what was sent and what was told.
//!
//! For each start of a publisher and each start of a reader: order, no doubles, and no number that is missing without a
//! gap that says so, with the exact count if it claims to be exact; if the publisher waits for this reader, no gap at all. Across the starts of a reader: nothing twice, and
//! between two no more is missing than a process can have held when it was killed. Where both lived from the beginning
//! to an end in order: all that was emitted.

use std::collections::BTreeMap;
use std::ops::AddAssign;

/// When a start of a member began, was asked to end, and ended, in events; and whether it was killed.
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
    /// So many emits are known to have completed; of a process that was killed it may have been one more.
    pub(crate) count: u64,
}

/// One start of a reader, and one topic.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) topic: &'static str,
    pub(crate) reader: &'static str,
    pub(crate) life: u64,
    pub(crate) span: Life,
    pub(crate) gating: bool,
    /// Its subscription has come to its end.
    pub(crate) done: bool,
    pub(crate) seen: Vec<Seen>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    Got { life: u64, number: u64, sequence: u64, whole: bool },
    Gap { epoch: u64, count: u64, exact: bool },
}

/// What was there to be checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Messages that were received.
    pub(crate) received: u64,
    /// Messages that readers were told they miss.
    pub(crate) told: u64,
    /// Messages that were with a reader when it was killed.
    pub(crate) unknown: u64,
    /// Streams whose both ends lived from beginning to end.
    pub(crate) whole: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.received += other.received;
        self.told += other.told;
        self.unknown += other.unknown;
        self.whole += other.whole;
    }
}

/// How far a reader got with one start of a publisher.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The number of its first message, or of the first that it was told it misses.
    first: Option<u64>,
    next: u64,
    told: u64,
    /// It was told that more may be missing, of a process that was killed.
    vague: bool,
    received: u64,
}

/// Checks all; `capacity` is that of the rings.
pub(crate) fn check(sent: &[Sent], read: &[Read], capacity: u64) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for sent in sent {
        // In the order of their starts.
        let readers = read.iter().filter(|read| read.topic == sent.topic);
        let mut names: Vec<_> = readers.map(|read| read.reader).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let starts = read.iter().filter(|read| (read.topic, read.reader) == (sent.topic, name));
            pair(sent, &starts.collect::<Vec<_>>(), capacity, &mut tally)?;
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
fn pair(sent: &Sent, starts: &[&Read], capacity: u64, tally: &mut Tally) -> Result<(), String> {
    // The highest number that an earlier start of this reader has seen, and how much may be missing behind it.
    let (mut next, mut slack) = (0, Some(0));
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
            if first < next {
                return Err(format!("{about}: {first} again, the start before had {next}"));
            }
            let missing = first - next;
            if slack.is_some_and(|slack| missing > slack) {
                return Err(format!("{about}: {missing} lost before {first}, which nobody held"));
            }
            tally.unknown += missing;
            next = place.next;
            slack = Some(0);
        }
        // What it may have held when it was killed: its own ring, and what was sent and not confirmed. Who said
        // goodbye, or does not hold its publisher, may miss anything.
        let held = (read.gating && read.span.killed).then_some(2 * capacity + 1);
        slack = slack.zip(held).map(|(slack, held)| slack + held);
        tally.received += place.received;
        tally.told += place.told;
        // Who is asked to end leaves its publishers, and may miss what they still send.
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
    }
    Ok(())
}

/// Follows one stream from one start to one start.
fn follow(sent: &Sent, read: &Read) -> Result<Place, String> {
    let mut place = Place::default();
    // Told before the first message, which says where that was.
    let mut before = 0;
    for seen in &read.seen {
        match *seen {
            Seen::Gap { epoch, count, exact } if epoch == sent.epoch => {
                // Who ends in order while it cannot be reached had nothing left, and could not say so.
                if !exact && !sent.span.killed && count > 0 {
                    return Err(format!("{count} missing, not exactly, and nobody was killed"));
                }
                if read.gating && exact && count > 0 {
                    return Err(format!("{count} missing, though its publisher waits for it"));
                }
                place.vague |= !exact && sent.span.killed;
                place.told += count;
                match place.first {
                    Some(_) => place.next += count,
                    None => before += count,
                }
            }
            Seen::Got { life, number, sequence, whole } if life == sent.life => {
                if !whole || number != sequence {
                    return Err(format!("{number} came as {sequence}, whole: {whole}"));
                }
                if place.first.is_none() {
                    let first = number.checked_sub(before);
                    place.first = Some(first.ok_or(format!("{before} missing before {number}"))?);
                    place.next = number;
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
