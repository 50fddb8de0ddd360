//! Messages in an arena that a hostile process writes to: a reader gets a message of any bytes, an
//! empty one or a gap, and from an honest writer what was sent.

use mycelium_core::ring::broadcast::{
    ArenaWriter, Broadcast, BroadcastHandle, CONTENT, Consumer, Layout, Peek, Storage,
};
use mycelium_core::ring::region::ForeignCursors;

use crate::region::{IDENTITY, Pages, READERS, proxy};
use crate::shapes::Steps;

const WORD: usize = size_of::<usize>();
const LAYOUTS: [Layout; 4] = [layout(2, 16), layout(4, 64), layout(8, 32), layout(8, 128)];
/// The words of the longest message: half of the largest arena.
const LONGEST: usize = 64;
/// The number of words of a header, in which the writer may lie before readers attach.
const HEADER: usize = 15;

/// Returns the layout of a ring of this capacity, with an arena of this number of words.
const fn layout(capacity: usize, words: usize) -> Layout {
    Layout::exact(capacity, CONTENT * WORD).with_arena(words * WORD)
}

/// The memory of one side.
type Memory = Pages<512>;

/// Reads any bytes as the steps of a writer, which may lie in its header and in every other word,
/// and of the readers of another process.
pub fn arena(data: &[u8]) {
    accepts(data);
}

/// Does the same. Returns whether the header is accepted.
fn accepts(data: &[u8]) -> bool {
    let Some((game, data)) = data.split_first() else { return false };
    let (mut steps, layout) = (Steps(data), LAYOUTS[usize::from(game % 4)]);
    let (data, own) = (Memory::new(), Memory::new());
    let theirs = data.data(layout);
    let proxy = proxy(&theirs);
    let mut writer = Broadcast::producer(&theirs).expect("the only writer");
    let mut arena = ArenaWriter::new(&writer).expect("the ring has an arena");
    let lies = game / 64;
    (0..lies).for_each(|_| steps.spoil(&data.words()[..HEADER], 0));
    let Some(ours) = data.foreign(&own, proxy.claim()) else { return false };
    let mut readers = Readers {
        gating: Broadcast::gating(&ours).expect("the entry is free"),
        observing: Broadcast::observing(&ours),
        sent: (lies == 0).then(Vec::new),
    };
    let cursors = ForeignCursors::attach(own.words(), ours.layout(), READERS, IDENTITY);
    let cursors = cursors.expect("just made");
    let mut is_writing = true;
    while let Some(step) = steps.next() {
        let observes = step & 8 != 0;
        match step % 8 {
            0 | 1 if is_writing => {
                let words = usize::from(step / 16) * 4 % (layout.arena_words() / 2 + 1);
                let length = (words * WORD).saturating_sub(usize::from(step & 1));
                let message = message(writer.sequence(), words);
                if let Ok(sequence) = arena.try_push(&mut writer, &message[..words], length, &[])
                    && let Some(sent) = &mut readers.sent
                {
                    assert_eq!(sequence, sent.len());
                    sent.push(length);
                }
            }
            2 => {
                (readers.sent, is_writing) = (None, false);
                steps.spoil(data.words(), 0);
            }
            3 => {
                readers.sent = None;
                let slots = theirs.storage().slots();
                let cursor = readers.cursor(observes);
                steps.spoil(slots, if step & 16 == 0 { 0 } else { cursor });
            }
            4 => {
                readers.sent = None;
                steps.spoil(theirs.storage().arena(), 0);
            }
            5 => proxy.import(|| cursors.position(observes)),
            6 => {
                let (ahead, mut found) = (usize::from(step / 16), [0; LONGEST]);
                let length = readers.gating.peek_body_ahead(ahead, &mut found);
                assert!(length.is_none_or(|length| length <= size_of_val(&found)));
                if let (Some(length), Some(sent)) = (length, &readers.sent) {
                    let sequence = readers.gating.cursor() + ahead;
                    assert_eq!(length, sent[sequence], "another length than was sent");
                    assert_eq!(found, message(sequence, length.div_ceil(WORD)), "a mixture");
                }
            }
            _ if step & 16 == 0 => readers.read(observes),
            _ => {
                let mut late = Broadcast::observing_from(&ours, steps.number());
                for _ in 0..4 {
                    look(&mut late);
                    late.advance();
                }
            }
        }
    }
    true
}

/// Returns the words of a message: each has its number, so that a mixture of two is noticed.
fn message(sequence: usize, words: usize) -> [usize; LONGEST] {
    let mut message = [0; LONGEST];
    message[..words].fill(sequence.wrapping_mul(31) + 1);
    message
}

/// Reads the next message.
fn look<H: BroadcastHandle>(reader: &mut Consumer<H>) -> (Peek, [usize; LONGEST]) {
    let (before, mut message) = (reader.cursor(), [0; LONGEST]);
    let found = reader.peek_body(&mut [0; CONTENT], &mut message);
    match found {
        Peek::Message { sequence, length } => {
            assert_eq!(sequence, before);
            assert!(length <= size_of_val(&message));
        }
        Peek::Gap { missed } => {
            assert!(missed > 0, "a gap of nothing");
            assert_eq!(reader.cursor(), before.wrapping_add(missed));
        }
        Peek::Empty | Peek::Closed | Peek::Evicted => {}
    }
    (found, message)
}

/// The readers of the other process.
struct Readers<H: BroadcastHandle> {
    gating: Consumer<H>,
    observing: Consumer<H>,
    /// The lengths of all messages, until the writer lies.
    sent: Option<Vec<usize>>,
}

impl<H: BroadcastHandle> Readers<H> {
    fn cursor(&self, observes: bool) -> usize {
        if observes { self.observing.cursor() } else { self.gating.cursor() }
    }

    /// Reads the next message of one reader.
    fn read(&mut self, observes: bool) {
        let reader = if observes { &mut self.observing } else { &mut self.gating };
        let (found, words) = look(reader);
        if let Some(sent) = &self.sent {
            match found {
                Peek::Message { sequence, length } => {
                    let whole = message(sequence, length.div_ceil(WORD));
                    assert_eq!((length, words), (sent[sequence], whole));
                }
                Peek::Gap { .. } => assert!(observes && reader.cursor() < sent.len()),
                found => assert_eq!((found, reader.cursor()), (Peek::Empty, sent.len())),
            }
        }
        reader.advance();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If the header of most seeds were refused, the corpus would test only its checks.
    #[test]
    fn a_tenth_of_the_seeds_has_an_accepted_header() {
        crate::seeds::a_tenth_is_accepted("arena", accepts);
    }
}
