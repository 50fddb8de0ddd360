//! Serves one reader on one connection: admits the reader, answers its subscriptions, and sends it
//! messages.
//!
//! [`ExportSession`] is the traffic of the connection's link.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use event_listener::EventListener;
use mycelium_core::descriptor::Digest;
use mycelium_core::link::{
    CloseReason, Event, LentBytes, LinkError, ReaderMode, ReaderStart, RejectReason,
};

use super::Exports;
use super::admission::AdmissionTicket;
use super::outgoing_memory::OutgoingMemory;
use super::redelivery::Redelivery;
use super::served_topic::{ServedTopic, TopicTap};
use crate::counters::{Line, LinkValue, plain};
use crate::link::channel::{LostMemory, QuietTimer};
use crate::link::config::MemoryUse;
use crate::link::describing::LayoutAnswer;
use crate::link::layout::LayoutMismatch;
use crate::link::notice::Notice;
use crate::local::{MemoryFault, Policy, Start, SubscribeOptions};
use crate::seam::Phase;
use crate::stream::{DriveError, Moved, NodeLink, STREAMS, TOPICS, Traffic};

pub(super) struct ExportSession {
    exports: Arc<Exports>,
    ticket: Arc<AdmissionTicket>,
    /// The peer, once it is admitted.
    peer: Option<ConnectedPeer>,
    topics: Vec<ServedTopic>,
    /// The topic that sends first in the next round.
    turn: usize,
    listener: Option<EventListener>,
    answer: LayoutAnswer,
    /// The topics that the peer has asked for with another layout, and not with this one since: it
    /// perhaps compares the layouts, and converts the messages.
    differs: Vec<(String, LayoutMismatch)>,
    /// The number of rejections whose layout the peer has not got yet. A node that ends waits until
    /// the peer has it.
    uncompared: usize,
    /// The time since the last of these rejections, or the last request for a piece of a layout.
    comparing: QuietTimer,
    /// The shared memory in which the peer can read streams.
    memory: Option<OutgoingMemory>,
    lost_memory: LostMemory,
    /// The time for which observers on the link have taken nothing. A node that ends waits for them
    /// only for a limited time.
    observer_grace: QuietTimer,
}

struct ConnectedPeer {
    node: String,
    line: Line<LinkValue>,
    /// The messages of topics to which the peer has not subscribed yet.
    parked: Vec<TopicTap>,
    /// The number of changes of name bindings at the last check of the peer's name.
    bindings: usize,
}

const NO_DIGEST: Digest = Digest([0; 16]);

impl ExportSession {
    pub(super) fn new(exports: Arc<Exports>, ticket: Arc<AdmissionTicket>) -> ExportSession {
        ExportSession {
            exports,
            ticket,
            peer: None,
            topics: Vec::new(),
            turn: 0,
            listener: None,
            answer: LayoutAnswer::default(),
            differs: Vec::new(),
            uncompared: 0,
            comparing: QuietTimer::default(),
            memory: None,
            lost_memory: LostMemory::default(),
            observer_grace: QuietTimer::default(),
        }
    }

    /// Returns the name of the peer; empty until it is admitted.
    pub(super) fn node(&self) -> &str {
        self.peer.as_ref().map_or("", |peer| &peer.node)
    }

    /// Handles the end of the connection. Nothing waits for a peer that has closed the link, unless
    /// the peer may restart.
    pub(super) fn ended(&mut self, error: &DriveError) {
        let Some(peer) = &mut self.peer else { return };
        for (topic, mismatch) in &self.differs {
            let peer = &*peer.node;
            (self.exports.observer)(Notice::ReaderLayoutDiffers { peer, topic, mismatch });
        }
        if let DriveError::Link(LinkError::PeerClosed(
            CloseReason::Shutdown | CloseReason::Away | CloseReason::Aborted,
        )) = error
        {
            self.exports.reader(&peer.node, |reader| reader.has_left = true);
        }
        match error {
            DriveError::Link(LinkError::PeerClosed(CloseReason::Shutdown)) => {
                peer.parked.clear();
                self.topics.clear();
                self.exports.expect_no_more(&peer.node);
            }
            DriveError::Link(LinkError::PeerClosed(CloseReason::Away)) => {
                let parked = peer.parked.iter_mut().map(|tap| (tap, false));
                let served = self.topics.iter_mut().map(|served| (&mut served.tap, true));
                for (tap, is_asked) in parked.chain(served) {
                    let redelivery = self.exports.redelivery(&peer.node, tap.topic());
                    tap.reader_left(redelivery, is_asked);
                }
            }
            DriveError::Link(LinkError::PeerClosed(_)) => {}
            DriveError::Link(LinkError::LocallyClosed(reason))
                if *reason != CloseReason::Protocol => {}
            _ => peer.line.add(LinkValue::Errors, 1),
        }
    }

    /// Admits the peer after it has sent its name, or closes the link.
    fn admit(&mut self, now: Duration, link: &mut NodeLink<'_>, node: &str, boot: u64) {
        let bindings = self.exports.control.bindings();
        match self.exports.admit(&self.ticket, node, boot) {
            Ok(parked) => {
                let label = format!("link={} role=publisher", plain(node));
                let line = self.exports.counters.line(&label);
                line.add(LinkValue::Connections, 1);
                let config = self.exports.link_with(node);
                link.set_batching(config.batching);
                // Cannot fail, because `Exports::link` has checked these settings.
                _ = link.set_times(config.keep_alive, config.silence);
                self.memory = self.exports.memory_for(node, &self.ticket.peer);
                self.peer = Some(ConnectedPeer { node: node.to_owned(), line, parked, bindings });
            }
            Err(reason) => link.close(now, reason),
        }
    }

    /// Whether the peer may still have its name: the name may have been bound to another process
    /// since.
    fn keeps_its_name(&mut self) -> bool {
        let bindings = self.exports.control.bindings();
        let Some(peer) = self.peer.as_mut().filter(|peer| peer.bindings != bindings) else {
            return true;
        };
        peer.bindings = bindings;
        self.exports.check_name(&self.ticket, &peer.node).is_ok()
    }

    /// Returns the tap of a topic for the peer, or the reason why the peer does not get its
    /// messages.
    fn tap(
        &mut self,
        topic: &str,
        type_id: u16,
        digest: Digest,
        mode: ReaderMode,
        start: ReaderStart,
    ) -> Result<TopicTap, (RejectReason, Digest)> {
        let rejected = |reason| Err((reason, NO_DIGEST));
        let Some(peer) = &mut self.peer else { return rejected(RejectReason::Forbidden) };
        let Some(exported) = self.exports.exported.get(topic) else {
            return rejected(RejectReason::Unknown);
        };
        // Comes first, so that peers that may not read the topic learn nothing of it.
        if !self.exports.admits(exported, &peer.node, &self.ticket) {
            return rejected(RejectReason::Forbidden);
        }
        let schema = *exported.topic.schema();
        if (schema.id, schema.digest) != (type_id, digest) {
            self.differs.retain(|(known, _)| known != topic);
            self.differs.push((topic.to_owned(), LayoutMismatch::new(&schema, digest, None)));
            (self.uncompared, self.comparing) = (self.uncompared + 1, QuietTimer::default());
            return Err((RejectReason::Digest, schema.digest));
        }
        self.differs.retain(|(known, _)| known != topic);
        let policy = match mode {
            ReaderMode::Gating => Policy::Block,
            ReaderMode::Rejecting => Policy::Reject,
            ReaderMode::Observing => Policy::DropOldest,
        };
        // Only readers that the topology names can make publishers wait. An announced reader gets
        // the policy of its announcement, by which its messages were kept. If it asks for a
        // stricter policy, the topologies of the two nodes differ, and it is refused.
        let grants = |exported| self.exports.grants(exported, &peer.node, &self.ticket);
        let policy = match self.exports.announced(&peer.node, topic) {
            Some(announced) if policy.is_gating() && !announced.is_gating() => {
                return rejected(RejectReason::Forbidden);
            }
            Some(policy) => policy,
            // The recorder is announced for all topics that this node publishes.
            None if policy.is_gating() && self.exports.is_recorder(&peer.node) => {
                return rejected(RejectReason::Ended);
            }
            None if policy.is_gating() && !grants(exported) => {
                return rejected(RejectReason::Forbidden);
            }
            None => policy,
        };
        if self.topics.iter().any(|served| served.tap.topic() == topic) {
            return rejected(RejectReason::Duplicate);
        }
        if let Some(index) = peer.parked.iter().position(|tap| tap.topic() == topic) {
            return Ok(peer.parked.swap_remove(index));
        }
        // Whether an earlier process of the reader may have read from this process.
        let is_later = self.exports.reader(&peer.node, |reader| reader.is_later) == Some(true);
        let redelivery = self.exports.redelivery(&peer.node, topic);
        let start = match start {
            ReaderStart::Oldest if !(is_later && redelivery == Redelivery::AtMostOnce) => {
                Start::Oldest
            }
            ReaderStart::Oldest | ReaderStart::Next => Start::Next,
        };
        let options = SubscribeOptions::new(policy, start);
        let Ok(mut tap) = TopicTap::new(&exported.topic, &peer.node, options) else {
            return rejected(RejectReason::TooMany);
        };
        if is_later {
            tap.begin_again();
        }
        // Answers with the end again if it was sent before: the connection may have been lost
        // before the peer received it.
        let has_ended = self.exports.reader(&peer.node, |reader| reader.ended.contains(topic));
        if has_ended == Some(true) && tap.reader.streams().is_empty() {
            return rejected(RejectReason::Ended);
        }
        Ok(tap)
    }

    /// Takes the packets that have arrived over the control connection.
    fn update_memory(&mut self, now: Duration, link: &mut NodeLink<'_>, context: &mut Context<'_>) {
        let memory = self.memory.as_mut().filter(|_| link.peer_accepts_memory());
        let Some(memory) = memory else { return };
        let gone = memory.update(now, link, context);
        let problems = memory.channel.take_problems();
        if let Some(reason) = gone {
            self.memory = None;
            self.lost_memory.ended(&reason);
        }
        self.report_on_socket(&problems);
    }

    /// Reports why streams stay on the link instead of using shared memory.
    fn report_on_socket(&self, reasons: &[String]) {
        let peer = self.node();
        let needs_memory = self.exports.link_with(peer).memory == MemoryUse::Required;
        for reason in reasons {
            (self.exports.observer)(Notice::stays_on_socket(peer, reason, needs_memory));
        }
    }

    /// Drops the peer and its messages, because it has broken the protocol in the shared memory of
    /// a topic.
    fn let_go(&mut self, now: Duration, link: &mut NodeLink<'_>, fault: MemoryFault, topic: &str) {
        let Some(peer) = &mut self.peer else { return };
        let mut taps = std::mem::take(&mut peer.parked);
        taps.extend(self.topics.drain(..).map(|served| served.tap));
        (self.exports.observer)(Notice::InvalidMemory { peer: &peer.node, topic, fault });
        self.exports.let_go(&peer.node, taps);
        link.close(now, CloseReason::Protocol);
    }

    /// Closes the link once everything was sent, if the peer has subscribed to all topics that are
    /// kept for it.
    fn close_when_done(&mut self, now: Duration, link: &mut NodeLink<'_>) {
        let exports = &self.exports;
        let keeps = |peer: &mut ConnectedPeer| exports.keeps_any(&peer.node, &mut peer.parked);
        if self.topics.is_empty()
            && !self.peer.as_mut().is_some_and(keeps)
            && link.poll_transmit(now).is_none()
        {
            link.close(now, CloseReason::Shutdown);
        }
    }
}

impl Traffic<TOPICS, STREAMS> for ExportSession {
    fn lent_bytes(&self, lent: &LentBytes) -> Option<[&[u8]; 2]> {
        self.topics.iter().find_map(|served| served.lent_bytes(lent))
    }

    fn moved(&mut self, moved: Moved) {
        // Does not count the bytes of a peer that has not sent its name.
        if let Some(peer) = &self.peer {
            moved.count(&peer.line);
        }
    }

    fn on_event(&mut self, now: Duration, link: &mut NodeLink<'_>, event: Event<'_>) {
        self.lost_memory.read();
        match event {
            Event::Up { node, boot, .. } => self.admit(now, link, node, boot),
            Event::Subscribe { export, topic, type_id, digest, mode, start, resumes } => {
                // Records this even if the subscription is refused later: the announced reader has
                // asked for the topic.
                self.exports.subscribed(self.node(), topic);
                match self.tap(topic, type_id, digest, mode, start) {
                    Ok(tap) => {
                        // Fails only if the peer has unsubscribed; then nothing is left to do.
                        _ = link.accept(export);
                        let on_socket = self.exports.on_socket.contains(topic);
                        let redelivery = self.exports.redelivery(self.node(), topic);
                        let served = ServedTopic::new(export, tap, resumes, on_socket, redelivery);
                        self.topics.push(served);
                    }
                    Err((reason, digest)) => {
                        if let Some(peer) = &self.peer {
                            peer.line.add(LinkValue::Refused, 1);
                        }
                        _ = link.reject(export, reason, digest);
                    }
                }
            }
            Event::Resume { export, epoch, next, has_moved } => {
                let served = self.topics.iter_mut().find(|served| served.export == export);
                if let Some(served) = served {
                    served.resume(epoch, next, has_moved);
                }
            }
            Event::Unsubscribe { export } => self.topics.retain(|served| served.export != export),
            Event::Demand { stream } => {
                self.topics.iter_mut().for_each(|served| served.demanded(stream));
            }
            Event::Recall { export, epoch, before } => {
                let topics = self.topics.iter_mut().filter(|served| served.export == export);
                topics.for_each(|served| served.recalled(epoch, before));
            }
            Event::Window { stream, confirmed } => {
                let mut topics = self.topics.iter_mut();
                let count = topics.find_map(|served| served.confirmed(stream, confirmed));
                self.exports.add_confirmed(count.unwrap_or(0));
            }
            Event::Describe { topic: "", offset } => {
                let Some(peer) = &self.peer else { return };
                let topics = || self.exports.catalogue(&peer.node, &self.ticket);
                self.answer.answer_catalogue(now, link, topics, offset);
            }
            Event::Describe { topic, offset } => {
                self.comparing = QuietTimer::default();
                let exported = self.peer.as_ref().and_then(|peer| {
                    let exported = self.exports.exported.get(topic)?;
                    self.exports.admits(exported, &peer.node, &self.ticket).then_some(exported)
                });
                let descriptor = exported.map(|exported| exported.topic.schema().descriptor);
                let is_whole = self.answer.answer(now, link, descriptor, offset);
                self.uncompared = self.uncompared.saturating_sub(usize::from(is_whole));
            }
            // Other events are for the readers' side.
            _ => {}
        }
    }

    fn send(&mut self, now: Duration, link: &mut NodeLink<'_>, context: &mut Context<'_>) {
        let phase = self.exports.control.watch(context, &mut self.listener);
        if phase >= Phase::Stop {
            return link.close(now, CloseReason::Shutdown);
        }
        if self.ticket.is_evicted() {
            return link.close(now, CloseReason::Busy);
        }
        if !self.keeps_its_name() {
            return link.close(now, CloseReason::NotAllowed);
        }
        let is_whole = self.answer.retry(now, link);
        self.uncompared = self.uncompared.saturating_sub(usize::from(is_whole));
        self.update_memory(now, link, context);
        // Counts only streams of this connection, because streams of an earlier one have their own
        // control connection.
        if self.topics.iter().any(ServedTopic::has_lost_memory) {
            let silence = self.exports.link_with(self.node()).silence;
            self.lost_memory.notice(now, silence, link);
        }
        self.lost_memory.check(now, link, &*self.exports.executor, context);
        let Some(peer) = &self.peer else { return };
        let count = self.topics.len();
        let (mut sent, mut confirmed) = (0, 0);
        for step in 0..count {
            let served = &mut self.topics[(self.turn + step) % count];
            let memory = self.memory.as_mut();
            let done = served.send(now, self.turn, link, memory, context.waker());
            sent += done.messages;
            confirmed += done.confirmed;
            if served.take_at_stream_limit() {
                let (peer, topic, limit) = (&*peer.node, served.tap.topic(), STREAMS);
                (self.exports.observer)(Notice::StreamLimit { peer, topic, limit });
            }
        }
        peer.line.add(LinkValue::Sent, sent);
        self.exports.add_confirmed(confirmed);
        let fault =
            |served: &ServedTopic| Some((served.memory_fault()?, served.tap.topic().to_owned()));
        if let Some((fault, topic)) = self.topics.iter().find_map(fault) {
            return self.let_go(now, link, fault, &topic);
        }
        self.turn = self.turn.wrapping_add(1);
        let compares = self.uncompared > 0
            && !self.comparing.is_over(false, GRACE, &*self.exports.executor, context);
        let draining = phase == Phase::Drain;
        // At a requested shutdown topics do not end for good, because readers wait until this node
        // runs again.
        let for_good = !self.exports.control.may_come_back();
        self.topics.retain_mut(|served| {
            let over = served.is_over(draining);
            if over && for_good {
                self.exports.sent_end(&peer.node, served.tap.topic());
                _ = link.reject(served.export, RejectReason::Ended, NO_DIGEST);
            }
            !(over && (for_good || draining))
        });
        if draining && !compares {
            let has_taken = sent + confirmed > 0;
            let executor = &*self.exports.executor;
            // Waits for gating readers as long as the node may take to end.
            let gates = |served: &ServedTopic| served.tap.reader.policy().is_gating();
            if !self.topics.iter().any(gates)
                && self.exports.reader(&peer.node, |it| it.is_announced()) != Some(true)
                && self.observer_grace.is_over(has_taken, GRACE, executor, context)
            {
                return link.close(now, CloseReason::Shutdown);
            }
            self.close_when_done(now, link);
        }
    }
}

impl Drop for ExportSession {
    fn drop(&mut self) {
        let Some(ConnectedPeer { node, parked: mut taps, .. }) = self.peer.take() else { return };
        taps.extend(self.topics.drain(..).map(|served| served.tap));
        self.exports.disconnected(&node, taps);
    }
}

/// The time for which an observer may take nothing, or a peer that compares layouts may ask for
/// nothing, while the node ends.
const GRACE: Duration = Duration::from_secs(1);
