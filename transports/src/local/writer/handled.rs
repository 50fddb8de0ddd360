//! The writing end of a topic with fast handlers: they run when a message has a slot, before it is
//! pushed.

use std::sync::Arc;

use zerocopy::IntoBytes;

use super::{NotPushed, Writer, end_of};
use crate::counters::PublisherValue;
use crate::local::trace::Area;
use crate::local::values::Refusal;

impl Writer {
    /// As [`push_all`](Self::push_all), for a topic with fast handlers. Returns the number of
    /// messages, and why the next one was not pushed.
    pub(in crate::local) fn push_all_handled<W: AsRef<[usize]>>(
        &mut self,
        length: usize,
        messages: impl Iterator<Item = W>,
    ) -> (usize, Option<NotPushed>) {
        let (mut count, mut trace, mut not_pushed) = (0, None, None);
        for message in messages {
            if let Err(why) = self.push_handled(message.as_ref(), length, &mut trace) {
                not_pushed = Some(why);
                break;
            }
            count += 1;
        }
        if count > 0 {
            self.count_all(count);
        }
        (count, not_pushed)
    }

    /// Appends a message of a topic with fast handlers, or returns why not. The message is not
    /// counted.
    #[cold]
    #[inline(never)]
    pub(super) fn push_handled(
        &mut self,
        words: &[usize],
        length: usize,
        trace: &mut Option<Option<Area>>,
    ) -> Result<(), NotPushed> {
        self.run_fast_handlers(words, length)?;
        if self.area.is_present() {
            return self.push_with_area(words, length, trace).map_err(NotPushed::Full);
        }
        let Some(producer) = end_of(&mut self.producer, &mut self.handled) else { return Ok(()) };
        producer
            .try_push(words, length)
            .map(drop)
            .map_err(|full| NotPushed::Full(full.reader.entry))
    }

    /// Runs the fast handlers of the topic with a message, once it has a slot.
    fn run_fast_handlers(&mut self, words: &[usize], length: usize) -> Result<(), NotPushed> {
        let Writer { topic, state, handled, blocked_by, line, waits_at, .. } = self;
        let Some(handled) = handled else { return Ok(()) };
        let Some(producer) = &mut handled.producer else { return Ok(()) };
        while let Err(full) = producer.claim() {
            if !state.pump(full.reader.entry) {
                *blocked_by = Some(full.reader.entry);
                return Err(NotPushed::Full(full.reader.entry));
            }
        }
        let number = Arc::as_ptr(topic).addr();
        let bytes = words.as_bytes().get(..length).unwrap_or_default();
        let ran = handled.run(number, (&state.topic, &state.name), bytes);
        ran.map_err(|(handler, failure)| {
            line.add(PublisherValue::HandlerRefused, 1);
            // There is room now: the wait has ended.
            *waits_at = None;
            NotPushed::Refused(Refusal::FastHandler { handler, failure })
        })
    }
}
