//! One topic that a peer reads: its publishers' messages, how far they are sent, and how far the peer
//! has confirmed them.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use mycelium_core::Envelope;
use mycelium_core::frame::Fragment;
use mycelium_core::link::{ExportId, Link, Name, OutgoingId, RunBytes, SendError};

use super::control::BusyGuard;
use super::reason;
use super::redelivery::{AfterDeath, DeliveryHistory, Redelivery};
use crate::local::{
    EgressItem, EgressReader, EgressStream, Policy, Topic, TopicError, Undelivered,
};

/// The most messages of one publisher in a row while others have some, too.
const BURST: u64 = 4096;
/// Fewer messages than this go one by one, more than this in several runs. The link bounds the bytes of a run.
const SHORTEST_RUN: usize = 8;
const LONGEST_RUN: usize = BURST as usize;
/// The most publishers whose ends are kept, in case their reader has not been told of them.
const ENDS: usize = 64;

/// A tap with what outlives a connection of its reader's.
#[derive(Debug)]
pub(super) struct TopicEgress {
    tap: EgressReader<StreamState>,
    ended: VecDeque<Ended>,
    /// While its reader is not connected: the links have not ended before this has.
    pub(super) waits: Option<BusyGuard>,
}

/// A publisher that has ended, all of whose messages are confirmed. Its reader may not know that these were all.
#[derive(Clone, Debug)]
struct Ended {
    publisher: Arc<str>,
    epoch: u64,
    next: u64,
}

/// What is known of a source's way to the reader.
#[derive(Debug, Default)]
pub(super) struct StreamState {
    now: ConnectionProgress,
    past: DeliveryHistory,
}

/// How far a source has got on this connection.
#[derive(Debug, Default)]
struct ConnectionProgress {
    stream: Option<OutgoingId>,
    /// The sequence from which on the peer wants its stream to go on.
    from: Option<u64>,
    /// The peer's readers have asked for messages on this connection.
    is_asked: bool,
    /// The peer has said on this connection what it is done with.
    is_heard: bool,
    /// How many bytes of its next message were sent, if that goes in parts.
    offset: usize,
    /// Messages that the peer has to be told it does not get.
    missed: u64,
    ended: bool,
}

/// A topic that the peer wants.
pub(super) struct ServedTopic {
    serve: ExportId,
    tap: TopicEgress,
    /// How many streams the peer has announced to know and has not named yet.
    resumes: u16,
    /// What the peer has to be told of streams that it knows, and that are not there any more.
    answers: Vec<Answer>,
    /// A stream had no place at the peer.
    crowded: bool,
}

/// What is said to the peer of a stream that it knows from before.
enum Answer {
    /// It had ended, and the peer has all of it. It is begun again for that.
    Ended(Ended, Option<OutgoingId>),
    /// Nobody knows it.
    Gone(u64),
}

impl TopicEgress {
    pub(super) fn new(
        topic: &Arc<Topic>,
        reader: &str,
        policy: Policy,
    ) -> Result<TopicEgress, TopicError> {
        Ok(TopicEgress {
            tap: topic.egress_reader(reader, policy)?,
            ended: VecDeque::new(),
            waits: None,
        })
    }

    /// The reader's process has ended in order, and what it had not taken is for its next one. `asked`: it has asked for
    /// the topic on its last connection.
    pub(super) fn reader_left(&mut self, redelivery: Redelivery, asked: bool) {
        let waited_for = self.tap.policy().is_gating();
        for source in self.tap.streams() {
            if !waited_for {
                // An observer that ends in order counts itself what it has not taken.
                source.release(source.next());
            }
            let kept = source.kept();
            source.state.past.sent(source.next());
            if asked && source.state.now.says_what_is_done() {
                source.state.past.left();
            } else {
                source.state.past.left_unheard(kept, redelivery, waited_for);
            }
            source.rewind(kept);
        }
    }

    /// The reader's process has died: its next one is another. Returns the messages that are given up.
    pub(super) fn reader_died(&mut self, redelivery: Redelivery) -> Vec<Undelivered> {
        let waited_for = self.tap.policy().is_gating();
        let mut given_up = Vec::new();
        for source in self.tap.streams() {
            let (next, kept) = (source.next(), source.kept());
            source.state.past.sent(next);
            let verdict = source.state.past.died(kept, redelivery, waited_for);
            // Nothing was sent to the next one.
            source.rewind(kept);
            if verdict == AfterDeath::DeadLetter {
                given_up.extend(source.dead_letter());
            }
        }
        given_up
    }

    /// A publisher has ended, and all of its messages are confirmed.
    fn remove(&mut self, index: usize) {
        let source = self.streams().swap_remove(index);
        let (publisher, epoch) = (source.publisher().clone(), source.epoch());
        self.ended.push_back(Ended { publisher, epoch, next: source.next() });
        if self.ended.len() > ENDS {
            self.ended.pop_front();
        }
    }
}

impl Deref for TopicEgress {
    type Target = EgressReader<StreamState>;

    fn deref(&self) -> &EgressReader<StreamState> {
        &self.tap
    }
}

impl DerefMut for TopicEgress {
    fn deref_mut(&mut self) -> &mut EgressReader<StreamState> {
        &mut self.tap
    }
}

impl ServedTopic {
    /// Of a topic that is asked for on a new connection, where `resumes` streams are to go on.
    pub(super) fn new(serve: ExportId, mut tap: TopicEgress, resumes: u16) -> ServedTopic {
        tap.streams().iter_mut().for_each(|source| {
            source.state.past.sent(source.next());
            source.state.now = ConnectionProgress::default();
        });
        ServedTopic { serve, tap, resumes, answers: Vec::new(), crowded: false }
    }

    pub(super) fn serve(&self) -> ExportId {
        self.serve
    }

    pub(super) fn topic(&self) -> &str {
        self.tap.topic().name()
    }

    pub(super) fn tap(&mut self) -> &mut TopicEgress {
        &mut self.tap
    }

    pub(super) fn into_tap(self) -> TopicEgress {
        self.tap
    }

    /// Whether all publishers have ended and all of their messages are confirmed; or, at the end,
    /// whether there are no publishers.
    pub(super) fn is_over(&mut self, at_the_end: bool) -> bool {
        let said = self.resumes == 0 && self.answers.is_empty();
        said && (self.tap.is_over() || at_the_end && self.tap.streams().is_empty())
    }

    /// Whether the peer has had no place for a stream since the last call. It waits until another one ends.
    pub(super) fn is_crowded(&mut self) -> bool {
        std::mem::take(&mut self.crowded)
    }

    /// The peer has the messages of a stream before `next`, confirmed or not.
    pub(super) fn resume(&mut self, epoch: u64, next: u64) {
        self.resumes = self.resumes.saturating_sub(1);
        let known = self.tap.streams().iter_mut().find(|source| source.epoch() == epoch);
        if let Some(source) = known.filter(|source| source.state.past.knows(next)) {
            source.state.now.from = Some(next);
            return;
        }
        let ended = self.tap.ended.iter().find(|ended| (ended.epoch, ended.next) == (epoch, next));
        let ended = ended.map(|ended| Answer::Ended(ended.clone(), None));
        self.answers.push(ended.unwrap_or(Answer::Gone(epoch)));
    }

    /// The messages of a stream before `taken` are confirmed. Returns how many of them are newly
    /// confirmed, if the stream is one of this topic.
    pub(super) fn confirmed(&mut self, stream: OutgoingId, taken: u64) -> Option<u64> {
        let sources = self.tap.streams();
        let index = sources.iter().position(sends(stream))?;
        let source = &mut sources[index];
        source.state.now.is_heard = true;
        let confirmed = release(source, taken);
        if source.state.now.ended && source.kept() == source.next() {
            self.tap.remove(index);
        }
        Some(confirmed)
    }

    /// Bytes of a run that was sent, if it is of this topic.
    pub(super) fn run_bytes(&self, lent: &RunBytes) -> Option<[&[u8]; 2]> {
        let sources = self.tap.known_streams();
        let source = &sources[sources.iter().position(sends(lent.stream))?];
        let stride = lent.shape.stride as usize;
        // From the middle of a message on, if its first bytes are out.
        let (out, within) = (lent.offset / stride, lent.offset % stride);
        let count = (within + lent.length) / stride;
        let [one, other] = source.lend(lent.first + out as u64, count)?;
        Some([one.get(within..)?, other])
    }

    /// The peer's readers of a stream have asked for messages.
    pub(super) fn asked(&mut self, stream: OutgoingId) {
        let sources = self.tap.streams();
        if let Some(index) = sources.iter().position(sends(stream)) {
            sources[index].state.now.is_asked = true;
        }
    }

    /// Sends what there is, and has the waker called when there is more. Returns how many messages that were.
    pub(super) fn pump<const T: usize, const S: usize>(
        &mut self,
        now: Duration,
        link: &mut Link<'_, T, S>,
        waker: &Waker,
    ) -> u64 {
        if self.resumes > 0 {
            return 0;
        }
        let serve = self.serve;
        let no_room = |said| matches!(said, Err(SendError::Room { .. }));
        self.answers.retain_mut(|answer| no_room(answer.say(now, link, serve)));
        let sent = self.send(now, link);
        self.tap.park(waker);
        sent + self.send(now, link)
    }

    fn send<const T: usize, const S: usize>(
        &mut self,
        now: Duration,
        link: &mut Link<'_, T, S>,
    ) -> u64 {
        let (mut sent, mut index, mut full) = (0, 0, false);
        while let Some(source) = self.tap.streams().get_mut(index) {
            let ConnectionProgress { stream, from, .. } = source.state.now;
            if full && stream.is_none() && from.is_none() {
                // It would be told the same as the one before. One that is to go on has its place.
                index += 1;
                continue;
            }
            match send(now, link, self.serve, source) {
                Ok(count) => sent += count,
                Err(SendError::Streams { .. }) => (full, self.crowded) = (true, true),
                // It comes again when something has changed.
                Err(_) => {}
            }
            let ConnectionProgress { stream, ended, .. } = source.state.now;
            // The peer had confirmed all of it before it was told of the end.
            if ended && stream.is_none_or(|stream| link.unconfirmed(stream) == 0) {
                source.release(source.next());
                self.tap.remove(index);
            } else {
                index += 1;
            }
        }
        // The next time another one begins: a run leaves no room for others.
        if let [_, _, ..] = self.tap.streams().as_slice() {
            self.tap.streams().rotate_left(1);
        }
        sent
    }
}

impl Answer {
    fn say<const T: usize, const S: usize>(
        &mut self,
        now: Duration,
        link: &mut Link<'_, T, S>,
        serve: ExportId,
    ) -> Result<(), SendError> {
        match self {
            Answer::Gone(epoch) => link.refuse_resume(now, serve, *epoch),
            Answer::Ended(_, Some(stream)) => link.end_stream(now, *stream),
            Answer::Ended(Ended { publisher, epoch, next }, begun) => {
                let stream =
                    link.open_stream(now, serve, Name::truncated(publisher), *epoch, *next, 1)?;
                *begun = Some(stream);
                link.end_stream(now, stream)
            }
        }
    }
}

/// Whether a source is sent as this stream on the present connection.
fn sends(stream: OutgoingId) -> impl Fn(&EgressStream<StreamState>) -> bool {
    move |source| source.state.now.stream == Some(stream)
}

fn release(source: &mut EgressStream<StreamState>, before: u64) -> u64 {
    let kept = source.kept();
    source.release(before);
    source.kept().wrapping_sub(kept)
}

/// Sends what a source has, as far as the link takes it. Returns how many messages that were.
fn send<const T: usize, const S: usize>(
    now: Duration,
    link: &mut Link<'_, T, S>,
    serve: ExportId,
    source: &mut EgressStream<StreamState>,
) -> Result<u64, SendError> {
    let stream = match source.state.now.stream {
        Some(stream) => stream,
        None => begin(now, link, serve, source)?,
    };
    let mut flow = std::mem::take(&mut source.state.now);
    let mut sent = 0;
    while !flow.ended && sent < BURST && !link.is_due() {
        if flow.missed > 0 {
            if link.skip(now, stream, flow.missed, reason::OVERWRITTEN).is_err() {
                break;
            }
            flow.missed = 0;
        }
        let next = source.next();
        if let Some(skip) = source.state.past.skip(next) {
            if link.skip(now, stream, skip.before - next, skip.reason).is_err() {
                break;
            }
            source.pass(skip.before, skip.value);
            continue;
        }
        let waits_to_be_asked =
            source.state.past.is_suspect(next) && link.peer_signals_demand() && !flow.is_asked;
        if waits_to_be_asked || source.state.past.waits(next, source.kept()) {
            break;
        }
        match send_run(now, link, stream, source, flow.offset) {
            Ok(0) => {}
            Ok(count) => {
                sent += count as u64;
                continue;
            }
            // It comes again when something has changed.
            Err(_) => break,
        }
        let again = source.state.past.comes_again(next);
        match source.next_item() {
            EgressItem::Message(bytes) => {
                match flow.message(now, link, stream, bytes, again) {
                    Ok(true) => {
                        sent += 1;
                        source.count_sent_again(u64::from(again));
                    }
                    Err(SendError::TooLong { .. })
                        if link.skip(now, stream, 1, reason::TOO_LONG).is_ok() => {}
                    // Its rest follows when others have had their turn.
                    Ok(false) | Err(_) => break,
                }
                flow.offset = 0;
                source.advance();
            }
            EgressItem::Gap(missed) => (flow.missed, flow.offset) = (missed, 0),
            EgressItem::Empty => break,
            EgressItem::Closed => {
                flow.ended = link.end_stream(now, stream).is_ok();
                break;
            }
        }
    }
    source.state.now = flow;
    source.state.past.sent(source.next());
    Ok(sent)
}

/// Sends messages that lie one behind the other as a run, if there are enough of them. Returns how many; with 0 the next
/// one goes by itself. `offset`: how much of that one was sent in parts.
fn send_run<const T: usize, const S: usize>(
    now: Duration,
    link: &mut Link<'_, T, S>,
    stream: OutgoingId,
    source: &mut EgressStream<StreamState>,
    offset: usize,
) -> Result<usize, SendError> {
    // A run says nothing of its messages but what they are.
    let is_plain = offset == 0 && source.state.past.is_over(source.next());
    if !is_plain || !link.peer_takes_runs() {
        return Ok(0);
    }
    let ready = source.ready(LONGEST_RUN);
    let Some(shape) = source.shape().filter(|_| ready >= SHORTEST_RUN) else { return Ok(0) };
    let count = link.send_run(now, stream, shape, ready)?;
    source.pass_ready(count);
    Ok(count)
}

fn begin<const T: usize, const S: usize>(
    now: Duration,
    link: &mut Link<'_, T, S>,
    serve: ExportId,
    source: &mut EgressStream<StreamState>,
) -> Result<OutgoingId, SendError> {
    let keeps = u32::try_from(source.capacity()).unwrap_or(u32::MAX);
    // What the peer already has is not sent again, even if it is not confirmed.
    let kept = source.kept();
    source.rewind(source.state.now.from.unwrap_or(kept).max(kept));
    let (name, epoch, first) = (Name::truncated(source.publisher()), source.epoch(), source.next());
    let stream = link.open_stream(now, serve, name, epoch, first, keeps)?;
    link.unconfirmed_from(stream, kept)?;
    source.state.now.stream = Some(stream);
    Ok(stream)
}

impl ConnectionProgress {
    /// Whether all that the peer is done with was confirmed when it said goodbye: its stream has begun on this connection, or
    /// goes on and the peer has said how far it is.
    fn says_what_is_done(&self) -> bool {
        self.stream.is_some() && (self.from.is_none() || self.is_heard)
    }

    /// Sends a message, or a part of it. Says whether all of it is sent.
    #[inline]
    fn message<const T: usize, const S: usize>(
        &mut self,
        now: Duration,
        link: &mut Link<'_, T, S>,
        stream: OutgoingId,
        bytes: &[u8],
        again: bool,
    ) -> Result<bool, SendError> {
        let envelope = Envelope { redelivered: again, ..Envelope::default() };
        // All of a message is its fixed part.
        let fixed_len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        if self.offset == 0 {
            match link.send(now, stream, &envelope, fixed_len, bytes) {
                Err(SendError::TooLong { .. }) => {}
                sent => return sent.map(|()| true),
            }
        }
        let (offset, total) = (self.offset as u32, bytes.len() as u32);
        let fragment = Fragment { offset, total, fixed_len };
        let rest = bytes.get(self.offset..).unwrap_or_default();
        self.offset += link.send_fragment(now, stream, &envelope, fragment, rest)?;
        Ok(self.offset == bytes.len())
    }
}
