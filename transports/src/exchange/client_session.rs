//! What this process reads of one other, whether it is connected or not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use event_listener::EventListener;
use mycelium_core::FrameView;
use mycelium_core::descriptor::Digest;
use mycelium_core::link::{
    CloseReason, Event, IncomingId, Interest, InterestId, Link, Name, ReaderMode, RejectReason,
    SendError,
};

use super::client::TopicInterest;
use super::control::LinkPhase;
use super::incoming_stream::IncomingStream;
use super::layout::LONGEST_FORM;
use super::{Control, LayoutMismatch, Notice, Observer, reason};
use crate::counters::{Line, LinkValue};
use crate::local::{GapReason, KeepOpen, Policy, Topic};
use crate::stream::Traffic;

pub(super) struct ClientSession {
    /// Whom it reads from.
    peer: String,
    wants: Vec<ReadTopic>,
    /// By the place of their ids.
    flows: Vec<Option<IncomingStream>>,
    control: Arc<Control>,
    observer: Observer,
    line: Line<LinkValue>,
    listener: Option<EventListener>,
    /// The peer has answered since this was last asked: it has let this side in.
    was_let_in: bool,
    /// Topics with another layout at the peer, which is asked in what it differs: of the first one at a time.
    differing: VecDeque<Differing>,
    /// The peer has asked for a layout, from this byte on, and was not answered.
    described: Option<u32>,
}

/// A topic that has another layout at the peer.
struct Differing {
    topic: Arc<Topic>,
    peer_digest: Digest,
    /// What the peer has told of its layout.
    form: Vec<u8>,
    /// Until when it may tell more; set when it is asked first.
    until: Option<Duration>,
    /// It was asked, and has not answered.
    is_asked: bool,
}

impl Differing {
    fn new(topic: Arc<Topic>, peer_digest: Digest) -> Differing {
        Differing { topic, peer_digest, form: Vec::new(), until: None, is_asked: false }
    }
}

/// A peer has so long to tell its layout, once it is asked.
const DESCRIBE_WITHIN: Duration = Duration::from_secs(5);

/// A topic that is read.
struct ReadTopic {
    id: InterestId,
    topic: Arc<Topic>,
    /// Until the peer says that nothing more will come.
    hold: Option<KeepOpen>,
    /// The peer has never answered.
    is_new: bool,
}

impl ClientSession {
    /// Asks for what is wanted, now and on every connection.
    pub(super) fn new<const T: usize, const S: usize>(
        peer: &str,
        wants: &[TopicInterest],
        link: &mut Link<'_, T, S>,
        control: Arc<Control>,
        observer: Observer,
        line: Line<LinkValue>,
    ) -> Result<ClientSession, SendError> {
        let wanted = wants.iter().map(|TopicInterest { topic, policy }| {
            let schema = topic.schema();
            let id = link.subscribe(Interest {
                topic: Name::try_from(topic.name()).unwrap_or_default(),
                type_id: schema.id,
                digest: schema.digest,
                mode: match policy {
                    Policy::Block => ReaderMode::Gating,
                    Policy::Reject => ReaderMode::Rejecting,
                    Policy::DropOldest | Policy::Latest => ReaderMode::Observing,
                },
                window: u32::try_from(topic.capacity()).unwrap_or(u32::MAX),
            })?;
            Ok(ReadTopic { id, topic: topic.clone(), hold: Some(topic.keep_open()), is_new: true })
        });
        Ok(ClientSession {
            peer: peer.to_owned(),
            wants: wanted.collect::<Result<_, SendError>>()?,
            flows: Vec::new(),
            control,
            observer,
            line,
            listener: None,
            was_let_in: false,
            differing: VecDeque::new(),
            described: None,
        })
    }

    /// Whether the peer has let this side in since the last call.
    pub(super) fn take_was_let_in(&mut self) -> bool {
        std::mem::take(&mut self.was_let_in)
    }

    /// Whether nothing more will come of anything that is wanted.
    pub(super) fn is_over(&self) -> bool {
        self.wants.iter().all(|wanted| wanted.hold.is_none())
    }

    /// The peer will not come again. Dropping this loses its streams that are open, and ends the subscriptions.
    pub(super) fn give_up(self) {
        self.wants.iter().filter(|wanted| wanted.is_new).for_each(|_| self.control.found());
    }

    fn answered(&mut self, want: InterestId) -> Option<&mut ReadTopic> {
        self.was_let_in = true;
        let wanted = self.wants.iter_mut().find(|wanted| wanted.id == want)?;
        if std::mem::take(&mut wanted.is_new) {
            self.control.found();
        }
        Some(wanted)
    }

    fn refused(&mut self, want: InterestId, reason: RejectReason, digest: Digest) {
        let Some(wanted) = self.answered(want) else { return };
        if reason == RejectReason::Ended {
            wanted.hold = None;
        } else {
            let topic = wanted.topic.clone();
            self.line.add(LinkValue::Refused, 1);
            (self.observer)(Notice::TopicRefused { peer: &self.peer, topic: topic.name(), reason });
            // The peer may refuse a topic again while it is still being asked: once is enough.
            let is_new = self.differing.iter().all(|known| known.topic.name() != topic.name());
            if reason == RejectReason::Digest && is_new {
                self.differing.push_back(Differing::new(topic, digest));
            }
        }
        for flow in self.flows.iter_mut() {
            let flow = flow.take_if(|flow| flow.want == want);
            // A topic ends when all of its messages are confirmed: nothing is lost with its streams.
            if let Some(flow) = flow.filter(|_| reason != RejectReason::Ended) {
                flow.lose();
            }
        }
    }

    /// Asks the peer for layouts that differ from those here, as far as it tells them.
    fn ask_for_layouts<const T: usize, const S: usize>(
        &mut self,
        now: Duration,
        link: &mut Link<'_, T, S>,
    ) {
        while let Some(differing) = self.differing.front_mut() {
            let until = *differing.until.get_or_insert(now.saturating_add(DESCRIBE_WITHIN));
            if now < until && differing.is_asked {
                return;
            }
            let topic = Name::try_from(differing.topic.name()).unwrap_or_default();
            // At most `LONGEST_FORM`.
            let offset = differing.form.len() as u32;
            match link.describe(now, topic, offset) {
                Ok(()) if now < until => differing.is_asked = true,
                Err(SendError::Room { .. }) if now < until => return,
                _ => self.tell_mismatch(false),
            }
        }
    }

    /// The peer has told a piece of the first of these layouts.
    fn described(&mut self, offset: u32, total: u32, bytes: &[u8]) {
        let Some(differing) = self.differing.front_mut().filter(|first| first.is_asked) else {
            return;
        };
        let total = total as usize;
        let is_next = offset as usize == differing.form.len() && !bytes.is_empty();
        if !is_next || total > LONGEST_FORM {
            return self.tell_mismatch(false);
        }
        differing.is_asked = false;
        differing.form.extend_from_slice(bytes);
        if differing.form.len() >= total {
            self.tell_mismatch(true);
        }
    }

    /// Says of the first of these topics in what its layouts differ: in which field, too, if the peer has told all of it.
    fn tell_mismatch(&mut self, is_whole: bool) {
        let Some(Differing { topic, peer_digest, form, .. }) = self.differing.pop_front() else {
            return;
        };
        let form = is_whole.then_some(&*form);
        let mismatch = &LayoutMismatch::new(topic.schema(), peer_digest, form);
        let (peer, topic) = (&*self.peer, topic.name());
        (self.observer)(Notice::TopicLayoutDiffers { peer, topic, mismatch });
    }

    /// The connection has ended. Whoever was asked answers no more.
    pub(super) fn disconnected(&mut self) {
        while !self.differing.is_empty() {
            self.tell_mismatch(false);
        }
    }

    /// A stream begins, or goes on. False if there is no room for it here.
    fn begin(
        &mut self,
        id: IncomingId,
        want: InterestId,
        publisher: &str,
        epoch: u64,
        first: u64,
        resumed: Option<u64>,
    ) -> bool {
        // As long as the highest place so far: at most as many as the link has streams.
        if self.flows.len() <= id.place() {
            self.flows.resize_with(id.place() + 1, || None);
        }
        let Some(place) = self.flows.get_mut(id.place()) else { return false };
        if let Some(flow) = place.as_mut().filter(|flow| flow.id == id) {
            flow.has_asked = false;
            flow.skip(resumed.unwrap_or(0), GapReason::Disconnected);
            self.line.add(LinkValue::Missed, resumed.unwrap_or(0));
            return true;
        }
        let Some(wanted) = self.wants.iter().find(|wanted| wanted.id == want) else { return false };
        let Ok(relay) = wanted.topic.remote_publisher(publisher, epoch, first) else {
            return false;
        };
        // What it was granted at first is its whole ring.
        *place = Some(IncomingStream::new(id, want, relay, wanted.topic.capacity(), first));
        true
    }

    /// The peer reads no topic here, so it is not to know any layout.
    fn answer<const T: usize, const S: usize>(
        &mut self,
        now: Duration,
        link: &mut Link<'_, T, S>,
        offset: u32,
    ) {
        if let Err(SendError::Room { .. }) = link.answer(now, None, offset) {
            self.described = Some(offset);
        }
    }

    fn flow(&mut self, id: IncomingId) -> Option<&mut IncomingStream> {
        self.flows.get_mut(id.place())?.as_mut().filter(|flow| flow.id == id)
    }

    fn end(&mut self, id: IncomingId) -> Option<IncomingStream> {
        self.flows.get_mut(id.place())?.take_if(|flow| flow.id == id)
    }
}

impl<const T: usize, const S: usize> Traffic<T, S> for ClientSession {
    #[inline]
    fn message(&mut self, stream: IncomingId, frame: FrameView<'_>) -> Result<(), CloseReason> {
        let Some(flow) = self.flow(stream) else { return Ok(()) };
        flow.push(frame.payload(), frame.is_redelivered())?;
        self.line.add(LinkValue::Received, 1);
        Ok(())
    }

    fn on_event(&mut self, now: Duration, link: &mut Link<'_, T, S>, event: Event<'_>) {
        match event {
            Event::Fragment { stream, fragment, frame } => {
                let taken = self.flow(stream).map(|flow| flow.part(fragment, &frame));
                self.line.add(LinkValue::Received, u64::from(taken == Some(Ok(true))));
                if let Some(Err(_)) = taken {
                    link.close(now, CloseReason::Protocol);
                }
            }
            Event::Run { stream, shape, bytes, .. } => {
                let taken = self.flow(stream).map(|flow| flow.run(shape, bytes));
                if let Some(Err(reason)) = taken {
                    link.close(now, reason);
                }
                let count = bytes.len() / shape.stride.max(1) as usize;
                self.line.add(LinkValue::Received, count as u64);
            }
            Event::Up { node, .. } if node != self.peer => {
                let (cause, reason) =
                    (CloseReason::NotAllowed, format!("`{}` should be there", self.peer));
                let (peer, reason) = (node, &*reason);
                self.line.add(LinkValue::TurnedAway, 1);
                (self.observer)(Notice::PeerRejected { peer, from: None, cause, reason });
                link.close(now, CloseReason::NotAllowed);
            }
            Event::Up { .. } => {
                self.line.add(LinkValue::Connections, 1);
                (self.observer)(Notice::Connected { peer: &self.peer });
            }
            Event::Accepted { interest: want } => _ = self.answered(want),
            Event::Rejected { interest: want, reason, digest } => {
                self.refused(want, reason, digest)
            }
            Event::Described { offset, total, bytes } => self.described(offset, total, bytes),
            Event::Stream { stream, interest: want, publisher, epoch, first, resumed } => {
                let begun = self.begin(stream, want, publisher, epoch, first, resumed);
                if !begun {
                    link.close(now, CloseReason::Busy);
                }
            }
            Event::Gap { stream, missed, reason } => {
                if let Some(flow) = self.flow(stream) {
                    flow.skip(missed, reason::of(reason));
                    self.line.add(LinkValue::Missed, missed);
                }
            }
            Event::End { stream } => {
                if let Some(flow) = self.flow(stream) {
                    flow.end();
                }
            }
            Event::Gone { stream } => {
                if let Some(flow) = self.end(stream) {
                    flow.lose();
                }
            }
            Event::Describe { offset, .. } => self.answer(now, link, offset),
            // Nobody reads here.
            Event::Subscribe { export: serve, .. } => {
                let none = Digest([0; 16]);
                _ = link.reject(serve, RejectReason::Unknown, none);
            }
            _ => {}
        }
    }

    fn send(&mut self, now: Duration, link: &mut Link<'_, T, S>, context: &mut Context<'_>) {
        let phase = self.control.watch(context, &mut self.listener);
        // What subscriptions have not taken when they leave is for the next process, if this one ends.
        let control = &self.control;
        let at_shutdown = || phase > LinkPhase::Run || control.is_leaving();
        for place in &mut self.flows {
            let Some(flow) = place else { continue };
            flow.tend(now, link, context.waker(), &at_shutdown);
            if flow.is_over() {
                *place = None;
            }
        }
        self.ask_for_layouts(now, link);
        if let Some(offset) = self.described.take() {
            self.answer(now, link, offset);
        }
        if phase > LinkPhase::Run || self.is_over() {
            // Who was asked to end may be started again: its publishers keep what it has not taken.
            let is_away = !self.is_over() && self.control.may_come_back();
            let in_hand = || self.flows.iter().flatten().any(|flow| flow.is_in_flight());
            let reason = match is_away {
                true if in_hand() => CloseReason::Aborted,
                true => CloseReason::Away,
                false => CloseReason::Shutdown,
            };
            link.close(now, reason);
        }
    }
}

impl Drop for ClientSession {
    fn drop(&mut self) {
        // Nobody brings any more of what had not come to its end.
        self.flows.drain(..).flatten().for_each(IncomingStream::lose);
    }
}
