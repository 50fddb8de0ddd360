//! The pump: gives a `drop-newest` subscription its own ring, so that its oldest messages stay
//! while the publisher continues.
//!
//! A [`Pump`] reads the publisher's ring as a gating reader and appends to the subscription's ring,
//! which has the same capacity. The publisher runs the pump when the pump blocks the publisher's
//! ring, and the subscription runs the pump when the subscription's ring is empty. Messages that
//! find no room are dropped and counted. So the publisher never waits for the subscription, no task
//! is needed, and the lock is taken once for many messages.
//!
//! The subscription reads its ring like the ring of a publisher in another process: a [`Numbering`]
//! has the sequences and the positions of dropped messages.

use std::sync::{Arc, Mutex};

use mycelium_core::ring::broadcast::{
    ArenaWriter, Broadcast, CONTENT, Consumer, Layout, Peek, Producer,
};

use super::{Edge, Origin, PublisherState, Pump, PumpEnds, PumpEntry};
use crate::counters::{EdgeValue, Line};
use crate::local::ring;
use crate::local::ring::numbering::{KnownNumbering, Numbering};
use crate::local::ring::shared::Ring;
use crate::local::values::GapReason;
use crate::sync::lock;

impl PublisherState {
    /// Runs the pump that has this entry in the ring, if there is one. Returns whether it has made
    /// room.
    pub(crate) fn pump(&self, entry: usize) -> bool {
        let pumps = self.pumps.lock();
        let pump = pumps.iter().find(|pump| pump.entry == entry);
        let pump = pump.and_then(|pump| pump.pump.upgrade());
        drop(pumps);
        pump.is_some_and(|pump| pump.run())
    }

    /// Stops the pump of this ring while the guard lives, so that it moves and counts no messages.
    /// A subscription holds the guard while it counts messages that its pump counts, too.
    pub(crate) fn stop_pump(&self) -> Option<impl Drop> {
        self.origin.pump().map(|pump| lock(&pump.ends))
    }

    /// Returns how many messages the slowest gating subscription is behind.
    pub(crate) fn depth(&self) -> usize {
        let pumps = self.pumps.lock();
        match pumps.as_slice() {
            [] => self.ring.depth(),
            pumps => self.ring.depth_of(|entry| pumps.iter().all(|pump| pump.entry != entry)),
        }
    }

    /// Adds a pump that reads this publisher at an end of its ring. Returns the publisher that
    /// stands for this one at the subscription. Returns `None` if memory cannot hold another ring.
    pub(super) fn add_pump(
        self: &Arc<PublisherState>,
        end: Consumer<Ring>,
        line: Arc<Line<EdgeValue>>,
    ) -> Option<Arc<PublisherState>> {
        let entry = end.entry()?;
        let (pump, ring) = Pump::new(self, end, line)?;
        self.pumps.lock().push(PumpEntry { entry, pump: Arc::downgrade(&pump) });
        let (file, origin) = (Err(OF_PUMP.to_owned()), Origin::Pumped(pump));
        let (topic, name) = (&self.topic, &self.name);
        Some(PublisherState::over(topic, ring, self.area, file, name, self.epoch, origin))
    }
}

/// The reason why the ring of a subscription has no descriptor.
const OF_PUMP: &str = "the ring is that of a `drop-newest` subscription";

impl Edge {
    /// Moves the messages of the publisher to the ring of a `drop-newest` subscription. Returns
    /// whether anything changed.
    pub(crate) fn pump(&self) -> bool {
        let Some(pump) = self.publisher.origin.pump() else { return false };
        let has_changed = pump.run();
        if has_changed {
            // The feed's ring has room now, so its writer is woken.
            pump.source.wake();
        }
        has_changed
    }

    /// Returns how many messages have not been moved to the ring.
    pub(crate) fn unmoved(&self) -> usize {
        self.publisher.origin.pump().map_or(0, |pump| pump.depth())
    }
}

impl Pump {
    /// Creates a pump between this end of the publisher's ring and a new ring. Returns `None` if
    /// memory cannot hold the ring.
    fn new(
        source: &Arc<PublisherState>,
        end: Consumer<Ring>,
        line: Arc<Line<EdgeValue>>,
    ) -> Option<(Arc<Pump>, Ring)> {
        let layout = source.ring.layout();
        let arena_words = layout.arena_words();
        let layout = Layout::exact(layout.capacity(), layout.message_bytes());
        let layout = match arena_words {
            0 => layout,
            words => layout.with_arena(words * size_of::<usize>()),
        };
        let target = ring::private(layout)?;
        let producer = Broadcast::producer(target.clone());
        let arena = producer.as_ref().and_then(ArenaWriter::new);
        let place = end.cursor();
        let known = source.origin.numbering().map(|numbering| numbering.join(place));
        let first = known.as_ref().map_or(place as u64, |known| known.sequence(place));
        let ends = PumpEnds {
            source: Some(end),
            known,
            // The longest message takes half of an arena.
            body: vec![0; arena_words / 2].into(),
            arena,
            target: producer,
            words: vec![0; layout.message_bytes().div_ceil(size_of::<usize>())].into(),
            redelivered: false,
        };
        let pump = Pump {
            source: source.clone(),
            numbering: Numbering::new(first, layout.capacity()),
            line,
            ends: Mutex::new(ends),
        };
        Some((Arc::new(pump), target))
    }

    /// Moves the messages in the publisher's ring. Returns whether anything changed.
    #[cold]
    fn run(&self) -> bool {
        let mut ends = lock(&self.ends);
        let PumpEnds { source: Some(source), known, target: end, arena, words, body, redelivered } =
            &mut *ends
        else {
            return false;
        };
        let Some(target) = end else { return false };
        // Limits the loop to the present room and depth. Room that the subscription makes
        // meanwhile, and later messages, are for the next run, because the publisher may be as fast
        // as this loop.
        let (mut room, mut dropped) = (target.room(), 0);
        let (mut has_changed, mut is_over) = (false, false);
        for _ in 0..=source.depth() {
            // Copies the body only of a message that there may be room for.
            let peek = match arena {
                Some(_) if room > 0 => source.peek_body(words, body),
                _ => source.peek(words),
            };
            if !matches!(peek, Peek::Gap { .. })
                && let Some((missed, reason)) = self.missed(known, source.cursor())
            {
                self.skip(target, std::mem::take(&mut dropped), GapReason::Dropped);
                self.skip(target, missed, reason);
                has_changed = true;
            }
            match peek {
                Peek::Message { .. } if room == 0 => dropped += 1,
                Peek::Message { length, .. } => {
                    self.skip(target, std::mem::take(&mut dropped), GapReason::Dropped);
                    let is_again = known.as_ref().is_some_and(|known| known.redelivered);
                    if std::mem::replace(redelivered, is_again) != is_again {
                        self.numbering.mark(target.sequence(), is_again);
                    }
                    let pushed = match arena {
                        Some(arena) => {
                            let body = &body[..length.div_ceil(size_of::<usize>())];
                            let area = &words[CONTENT..];
                            arena.try_push(target, body, length, area).is_ok()
                        }
                        None => target.try_push(words, length).is_ok(),
                    };
                    room -= usize::from(pushed);
                    dropped += u64::from(!pushed);
                }
                Peek::Gap { missed } => {
                    self.skip(target, std::mem::take(&mut dropped), GapReason::Dropped);
                    self.skip(target, missed as u64, GapReason::Overwritten);
                }
                Peek::Empty => break,
                Peek::Closed | Peek::Evicted => {
                    is_over = true;
                    break;
                }
            }
            source.advance();
            has_changed = true;
        }
        self.skip(target, dropped, GapReason::Dropped);
        if is_over && let Some(target) = end.take() {
            target.close();
            has_changed = true;
        }
        source.flush();
        has_changed
    }

    /// Records that messages are missing before the next one.
    fn skip(&self, target: &Producer<Ring>, missed: u64, reason: GapReason) {
        if missed == 0 {
            return;
        }
        self.numbering.skip(target.sequence(), missed, reason);
        // Counts here, because the numbering has one reason for all messages missing at a position.
        self.line.add(reason.value(), missed);
    }

    /// Returns how many messages were not moved.
    fn depth(&self) -> usize {
        lock(&self.ends).source.as_ref().map_or(0, Consumer::depth)
    }

    /// Returns how many messages were not moved when the subscription is about to leave.
    pub(super) fn leave_unmoved(&self) -> u64 {
        let ends = lock(&self.ends);
        let Some(end) = &ends.source else { return 0 };
        match (self.source.origin.numbering(), &ends.known) {
            (Some(numbering), Some(known)) => {
                numbering.leave(known.sequence(end.cursor()), self.source.ring.tail())
            }
            (None, _) | (_, None) => end.depth() as u64,
        }
    }

    /// Stops reading the publisher's ring, because the subscription leaves.
    pub(super) fn leave(&self) {
        let end = lock(&self.ends).source.take();
        let entry = end.as_ref().and_then(Consumer::entry);
        self.source.pumps.lock().retain(|pump| Some(pump.entry) != entry);
        drop(end);
        self.source.wake();
    }

    fn missed(&self, known: &mut Option<KnownNumbering>, place: usize) -> Option<(u64, GapReason)> {
        self.source.origin.numbering()?.missed(known.as_mut()?, place)
    }
}
