//! What the publishers of a topic of the peer retain: it arrives beside their streams, for the
//! subscriptions that wait for it ([`Joiners`](crate::local::state::Joiners)).
//!
//! The peer sends it with each new stream. For subscriptions that join later, this side requests it,
//! for one publisher of the topic after the other.

use std::task::Waker;
use std::time::Duration;

use mycelium_core::link::CloseReason;

use super::incoming_stream::{IncomingStream, StreamJoiners};
use crate::link::config::MAX_MESSAGE;
use crate::link::growth::Growth;
use crate::local::Topic;
use crate::local::retained::{Value, Values};
use crate::local::state::Joiner;
use crate::stream::NodeLink;

/// The retained messages of a topic that arrive, and the subscriptions that wait for them.
#[derive(Default)]
pub(super) struct Recalls {
    arriving: Option<Arriving>,
    /// What was requested: the epoch of the publisher, and for whom.
    asked: Option<(u64, Vec<Joiner>)>,
}

struct Arriving {
    epoch: u64,
    values: Values,
    /// The sequence and the length of the next message, and its bytes that have arrived.
    open: Option<(u64, u32, Vec<u8>)>,
}

impl Recalls {
    /// Takes a part of a retained message. Returns the number of messages that were refused, because
    /// they are too long or have another layout.
    ///
    /// # Errors
    /// If the part does not continue the message before it, or begins another one before its end.
    pub(super) fn part(
        &mut self,
        (topic, growth): (&Topic, Option<&Growth>),
        (epoch, sequence): (u64, u64),
        (offset, total): (u32, u32),
        bytes: &[u8],
    ) -> Result<u64, CloseReason> {
        let (Some(most), schema) = (topic.retained_most(), topic.schema()) else { return Ok(0) };
        let limit = if growth.is_some() { MAX_MESSAGE as usize } else { schema.longest };
        if total as usize > limit {
            return Ok(u64::from(offset == 0));
        }
        self.arriving.take_if(|arriving| arriving.epoch != epoch);
        let new = || Arriving { epoch, values: Values::default(), open: None };
        let Arriving { values, open, .. } = self.arriving.get_or_insert_with(new);
        let mut message = match (offset, open.take()) {
            (0, None) => Vec::new(),
            (_, Some((of, all, message)))
                if (of, all, message.len()) == (sequence, total, offset as usize) =>
            {
                message
            }
            _ => return Err(CloseReason::Protocol),
        };
        message.extend_from_slice(bytes);
        if message.len() < total as usize {
            *open = Some((sequence, total, message));
            return Ok(0);
        }
        let message = match growth {
            Some(growth) => growth.convert(&message),
            None => Some(message),
        };
        let fits =
            |length| if schema.is_fixed { length == schema.size } else { length <= schema.longest };
        let Some(message) = message.filter(|it| fits(it.len())) else { return Ok(1) };
        values.0.push_back(Value::new(sequence, &message));
        if values.0.len() > most {
            values.0.pop_front();
        }
        Ok(0)
    }

    /// Gives the subscriptions what the publisher with this epoch retains, because all of it has
    /// arrived.
    pub(super) fn end(&mut self, topic: &Topic, epoch: u64, stream: Option<&mut IncomingStream>) {
        let arrived = self.arriving.take().filter(|arriving| arriving.epoch == epoch);
        let values = arrived.map(|arriving| arriving.values).unwrap_or_default();
        let stream = stream.and_then(|stream| stream.joiners.as_mut());
        let joiners = if let Some(stream) = stream
            && std::mem::take(&mut stream.is_new)
        {
            let mut joiners = stream.joiners.take();
            // The peer has sent what was there before the first message of the stream, also if that
            // one is missing.
            joiners.iter_mut().for_each(|joiner| joiner.before = u64::MAX);
            joiners
        } else {
            let asked = self.asked.take_if(|(asked, _)| *asked == epoch);
            asked.map(|(_, joiners)| joiners).unwrap_or_default()
        };
        joiners.into_iter().for_each(|joiner| joiner.release(topic.schema(), &values));
    }

    /// Requests what the publisher of a stream retains, if subscriptions wait for it. Returns
    /// whether some wait, or the request is not answered.
    pub(super) fn update(
        &mut self,
        now: Duration,
        link: &mut NodeLink<'_>,
        stream: &IncomingStream,
        waker: &Waker,
    ) -> bool {
        let Some(StreamJoiners { joiners: waiting, is_new, .. }) = &stream.joiners else {
            return false;
        };
        if *is_new || self.asked.is_some() {
            let is_asked = self.asked.as_ref().is_some_and(|(epoch, _)| *epoch == stream.epoch());
            return *is_new || is_asked || !waiting.is_empty();
        }
        waiting.park(waker);
        let joiners = waiting.take();
        let Some(before) = joiners.iter().map(|joiner| joiner.before).max() else { return false };
        match link.recall(now, stream.interest, stream.epoch(), before) {
            Ok(()) => self.asked = Some((stream.epoch(), joiners)),
            Err(_) => waiting.put_back(joiners),
        }
        true
    }

    /// Handles the end of the connection: what was requested, or was to come with a new stream, is
    /// requested on the next one, if its stream is left then.
    pub(super) fn disconnected<'s>(
        &mut self,
        topic: &Topic,
        streams: impl Iterator<Item = &'s mut IncomingStream>,
    ) {
        self.arriving = None;
        let mut asked = self.asked.take();
        for stream in streams {
            let epoch = stream.epoch();
            let Some(StreamJoiners { joiners, is_new, .. }) = &mut stream.joiners else { continue };
            *is_new = false;
            if let Some((_, asked)) = asked.take_if(|(asked, _)| *asked == epoch) {
                joiners.put_back(asked);
            }
        }
        let asked = asked.into_iter().flat_map(|(_, joiners)| joiners);
        asked.for_each(|joiner| joiner.release(topic.schema(), &Values::default()));
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::conformance::Probe;
    use crate::counters::Region;
    use crate::local::{Retain, Schema};

    /// A peer may send anything.
    #[test]
    fn only_whole_messages_are_taken_and_at_most_as_many_as_are_retained() {
        let topic = Topic::new("probes", Schema::of::<Probe>(), 8, Region::new(1)).unwrap();
        topic.retain(Retain::Last(NonZeroU32::new(2).unwrap())).unwrap();
        let sequences = |parts: &[(u64, [u32; 2], usize)]| {
            let mut recalls = Recalls::default();
            let mut refused = 0;
            for (sequence, [offset, total], length) in parts {
                let (name, place) = ((7, *sequence), (*offset, *total));
                refused += recalls.part((&topic, None), name, place, &vec![0; *length])?;
            }
            let values = recalls.arriving.map(|arriving| arriving.values.0).unwrap_or_default();
            Ok((values.iter().map(|value| value.sequence).collect::<Vec<_>>(), refused))
        };
        let whole = |sequence| (sequence, [0, 16], 16);
        let halves = [(3, [0, 16], 8), (3, [8, 16], 8)];
        assert_eq!(sequences(&[halves[0], halves[1], whole(4), whole(5)]), Ok((vec![4, 5], 0)));
        // Other sizes than that of a fixed message.
        let others = [(1, [0, 8], 8), (2, [0, u32::MAX], 8), (2, [8, u32::MAX], 8), whole(3)];
        assert_eq!(sequences(&others), Ok((vec![3], 2)));
        for second in [(4, [8, 16], 8), (3, [0, 16], 16), (3, [4, 16], 8), (3, [8, 12], 4)] {
            assert_eq!(sequences(&[halves[0], second]), Err(CloseReason::Protocol), "{second:?}");
        }
    }
}
