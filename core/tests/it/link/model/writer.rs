//! The side that publishes: the messages it sends, and the answers to them.

use mycelium_core::link::{Confirms, RejectReason, SendError, StreamStart};
use mycelium_core::{Digest, Envelope};

use super::{Direction, message};
use crate::pair::conversation::{ITEMS, fragment, name};
use crate::pair::{Pair, Received};

/// One start of the publisher, with the state of its ring.
#[derive(Debug, Default)]
pub(super) struct PublisherState {
    pub(super) epoch: u64,
    /// The next message, and the first one that is not confirmed.
    pub(super) emitted: u64,
    pub(super) kept: u64,
    pub(super) ended: bool,
    /// Where its stream has moved to memory, and how far it is read there.
    pub(super) moved: Option<u64>,
    pub(super) read: u64,
}

impl PublisherState {
    /// Whether the reader has confirmed all messages, over the link or in memory.
    pub(super) fn is_confirmed(&self) -> bool {
        match self.moved {
            Some(first) => self.kept == first && self.read == self.emitted,
            None => self.kept == self.emitted,
        }
    }
}

impl Direction {
    pub(super) fn writer_receives(&mut self, received: Received) {
        match received {
            Received::Subscribe { export, resumes, .. } => {
                self.forget_export();
                (self.export, self.awaited) = (Some(export), resumes);
            }
            Received::Resume { export, epoch, next } => {
                assert_eq!(Some(export), self.export);
                self.awaited -= 1;
                assert!(next <= self.publishers[epoch as usize - 1].emitted);
                self.resumes.push((epoch, next));
            }
            Received::Unsubscribe(export) => {
                if Some(export) == self.export {
                    self.forget_export();
                }
            }
            Received::Window { stream, confirmed } => {
                let mut streams = self.outgoing.iter().chain(&self.ended);
                let Some((epoch, _)) = streams.find(|(_, id)| *id == stream) else { return };
                let publisher = &mut self.publishers[*epoch as usize - 1];
                assert!(confirmed >= publisher.kept && confirmed <= publisher.emitted);
                assert!(publisher.moved.is_none_or(|first| confirmed <= first), "not in memory");
                publisher.kept = confirmed;
                let reading = self.reading.iter().find(|reading| reading.epoch == *epoch);
                if let Some(reading) = reading.filter(|_| self.confirms == Confirms::ByCaller) {
                    assert!(confirmed <= reading.done, "confirmed before the reader does so");
                }
            }
            other => panic!("{other:?} on the writer's side"),
        }
    }

    /// There is no subscription to send to.
    pub(super) fn forget_export(&mut self) {
        (self.export, self.awaited) = (None, 0);
        self.resumes.clear();
        self.outgoing.clear();
        self.ended.clear();
    }

    /// Sends messages of the writer's ring, as many as the link accepts.
    pub(super) fn publish(&mut self, pair: &mut Pair) {
        let Some(export) = self.export.filter(|_| self.awaited == 0) else { return };
        let now = pair.now;
        let link = &mut pair.sides[self.writer].link;
        while let Some((epoch, next)) = self.resumes.pop() {
            let publisher = &mut self.publishers[epoch as usize - 1];
            // The region has not arrived.
            publisher.moved = publisher.moved.filter(|first| *first == next);
            let done = if publisher.ended && publisher.is_confirmed() {
                link.refuse_resume(now, export, epoch)
            } else {
                // The reader may have more than it confirmed, and less than was dropped since.
                let first = next.max(publisher.kept);
                link.open_stream(now, export, name("feed"), StreamStart::new(epoch, first, 1024))
                    .map(|id| {
                        link.unconfirmed_from(id, publisher.kept).unwrap();
                        self.outgoing.push((epoch, id));
                    })
            };
            if done.is_err() {
                self.resumes.push((epoch, next));
                return;
            }
        }
        for publisher in &mut self.publishers {
            let epoch = publisher.epoch;
            if !self.outgoing.iter().any(|(known, _)| *known == epoch) && !publisher.ended {
                let first = publisher.emitted;
                let opened = link.open_stream(
                    now,
                    export,
                    name("feed"),
                    StreamStart::new(epoch, first, 1024),
                );
                let Ok(id) = opened else { continue };
                (publisher.kept, publisher.moved) = (publisher.emitted, None);
                self.outgoing.push((epoch, id));
            }
        }
        for (epoch, id) in std::mem::take(&mut self.outgoing) {
            let publisher = &self.publishers[epoch as usize - 1];
            let mut result = Ok(());
            if let Some(first) = publisher.moved
                && !self.moved.contains(&id)
            {
                // On an earlier connection.
                result = link.move_stream(now, id, epoch as u32).map(|again| {
                    assert_eq!(again, first);
                    self.moved.insert(id);
                });
            }
            while publisher.moved.is_none()
                && let Ok(next) = link.sequence(id)
                && next < publisher.emitted
                && result.is_ok()
            {
                let sent = self.sent.entry(id).or_default();
                // Consecutive messages of one length.
                let alike = (publisher.emitted - next).min(8 - next % 8) as usize;
                if *sent == 0 && next % 8 != 0 && alike > 1 {
                    match link.send_run(now, id, ITEMS, alike) {
                        Ok(0) => {}
                        Ok(_) => continue,
                        Err(error) => {
                            result = Err(error);
                            continue;
                        }
                    }
                }
                let message = message(next);
                let (fragment, rest) = (fragment(&message, *sent), &message[*sent..]);
                let plain = Envelope::default();
                let lent = match (*sent + next as usize).is_multiple_of(3) {
                    true => link.lend_fragment(now, id, &plain, fragment),
                    false => Ok(0),
                };
                let part = match lent {
                    Ok(0) => link.send_fragment(now, id, &plain, fragment, rest),
                    lent => lent,
                };
                result = part.map(|count| *sent = (*sent + count) % message.len());
            }
            if result.is_ok() && publisher.ended {
                result = match publisher.moved {
                    Some(_) => link.end_moved_stream(now, id, publisher.emitted),
                    None => link.end_stream(now, id),
                };
                if result.is_ok() {
                    self.ended.push((epoch, id));
                    continue;
                }
            }
            match result {
                Ok(())
                | Err(SendError::Credit | SendError::Room { .. } | SendError::Fragments { .. }) => {
                    self.outgoing.push((epoch, id));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(super) fn reject(&mut self, pair: &mut Pair) {
        if let Some(export) = self.export {
            let (link, none) = (&mut pair.sides[self.writer].link, Digest([0; 16]));
            link.reject(export, RejectReason::Unknown, none).unwrap();
            self.forget_export();
            self.rejected = true;
        }
    }

    pub(super) fn skip(&mut self, pair: &mut Pair, count: u64) {
        let Some(&(epoch, id)) = self.outgoing.last() else { return };
        let publisher = &mut self.publishers[epoch as usize - 1];
        let (now, link) = (pair.now, &mut pair.sides[self.writer].link);
        // As if a publisher had overwritten messages.
        let Ok(next) = link.sequence(id) else { return };
        if link.skip(now, id, count, 1).is_ok() {
            self.sent.remove(&id);
            publisher.emitted = publisher.emitted.max(next + count);
        }
    }

    /// Moves the newest stream.
    pub(super) fn move_stream(&mut self, pair: &mut Pair) {
        let Some(&(epoch, id)) = self.outgoing.last() else { return };
        let publisher = &mut self.publishers[epoch as usize - 1];
        let (now, link) = (pair.now, &mut pair.sides[self.writer].link);
        let next = link.sequence(id);
        match link.move_stream(now, id, epoch as u32) {
            Ok(first) => {
                assert_eq!(Ok(first), next);
                assert!(publisher.moved.is_none_or(|before| before == first));
                (publisher.moved, publisher.read) = (Some(first), publisher.read.max(first));
                self.moved.insert(id);
            }
            Err(SendError::Moved) => assert!(self.moved.contains(&id)),
            Err(SendError::Open | SendError::Run | SendError::Room { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
