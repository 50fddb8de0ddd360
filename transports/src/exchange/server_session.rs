//! One peer that reads from this process, as long as it is connected.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use event_listener::EventListener;
use mycelium_core::descriptor::Digest;
use mycelium_core::link::{
    CloseReason, Event, Link, LinkError, ReaderMode, RejectReason, RunBytes, SendError,
};

use super::admission::AdmissionTicket;
use super::control::LinkPhase;
use super::served_topic::{ServedTopic, TopicEgress};
use super::server::{ExportedTopic, TopicServer};
use super::{LayoutMismatch, Notice};
use crate::counters::{Line, LinkValue};
use crate::local::{Policy, Topic};
use crate::stream::{DriveError, Traffic};

pub(super) struct ServerSession {
    server: Arc<TopicServer>,
    ticket: Arc<AdmissionTicket>,
    /// Who it is, once it has said so and was let in.
    peer: Option<ConnectedPeer>,
    served: Vec<ServedTopic>,
    /// Whose turn it is to send first.
    turn: usize,
    listener: Option<EventListener>,
    /// What the peer asked of a layout and has not been told yet: the topic, and from which byte on.
    described: Option<(Arc<Topic>, u32)>,
}

struct ConnectedPeer {
    node: String,
    line: Line<LinkValue>,
    /// What was announced for it and it has not asked for yet.
    taps: Vec<TopicEgress>,
    /// How often bindings of names had changed when its own was last looked at.
    bindings: usize,
}

impl ServerSession {
    pub(super) fn new(server: Arc<TopicServer>, ticket: Arc<AdmissionTicket>) -> ServerSession {
        let served = Vec::new();
        ServerSession {
            server,
            ticket,
            peer: None,
            served,
            turn: 0,
            listener: None,
            described: None,
        }
    }

    pub(super) fn node(&self) -> &str {
        self.peer.as_ref().map_or("", |guest| &guest.node)
    }

    /// The connection has ended. A peer that said goodbye is not waited for any more, unless it may
    /// come back.
    pub(super) fn ended(&mut self, error: &DriveError) {
        let Some(guest) = &mut self.peer else { return };
        match error {
            DriveError::Link(LinkError::PeerClosed(CloseReason::Shutdown)) => {
                guest.taps.clear();
                self.served.clear();
                self.server.forgets(&guest.node);
            }
            DriveError::Link(LinkError::PeerClosed(CloseReason::Away)) => {
                let kept = guest.taps.iter_mut().map(|tap| (tap, false));
                let served = self.served.iter_mut().map(|served| (served.tap(), true));
                for (tap, is_asked) in kept.chain(served) {
                    let redelivery = self.server.redelivery(tap.topic().name());
                    tap.reader_left(redelivery, is_asked);
                }
            }
            DriveError::Link(LinkError::PeerClosed(_) | LinkError::LocallyClosed(_)) => {}
            _ => guest.line.add(LinkValue::Errors, 1),
        }
    }

    fn greet<const T: usize, const S: usize>(
        &mut self,
        now: Duration,
        link: &mut Link<'_, T, S>,
        node: &str,
        boot: u64,
    ) {
        let bindings = self.server.control().bindings();
        match self.server.admit(&self.ticket, node, boot) {
            Ok(taps) => {
                let line = self.server.line(node);
                line.add(LinkValue::Connections, 1);
                let config = self.server.link_with(node);
                link.set_batching(config.batching);
                // They were checked when they were given.
                _ = link.set_times(config.keep_alive, config.silence);
                self.peer = Some(ConnectedPeer { node: node.to_owned(), line, taps, bindings });
            }
            Err(reason) => link.close(now, reason),
        }
    }

    /// Whether the peer may still have its name: somebody may have bound it to another process meanwhile.
    fn keeps_its_name(&mut self) -> bool {
        let bindings = self.server.control().bindings();
        let Some(guest) = self.peer.as_mut().filter(|guest| guest.bindings != bindings) else {
            return true;
        };
        guest.bindings = bindings;
        self.server.may_have(&self.ticket, &guest.node).is_ok()
    }

    /// The tap for a topic that the peer wants, or why it does not get it.
    fn tap(
        &mut self,
        topic: &str,
        type_id: u16,
        digest: Digest,
        mode: ReaderMode,
    ) -> Result<TopicEgress, (RejectReason, Digest)> {
        let none = Digest([0; 16]);
        let Some(guest) = &mut self.peer else { return Err((RejectReason::Forbidden, none)) };
        let offer = self.server.offer(topic).ok_or((RejectReason::Unknown, none))?;
        let schema = *offer.topic.schema();
        if (schema.id, schema.digest) != (type_id, digest) {
            let mismatch = &LayoutMismatch::new(&schema, digest, None);
            let peer = &*guest.node;
            (self.server.observer)(Notice::ReaderLayoutDiffers { peer, topic, mismatch });
            return Err((RejectReason::Digest, schema.digest));
        }
        if !offer.admits(&guest.node) {
            return Err((RejectReason::Forbidden, none));
        }
        let policy = match mode {
            ReaderMode::Gating => Policy::Block,
            ReaderMode::Rejecting => Policy::Reject,
            ReaderMode::Observing => Policy::DropOldest,
        };
        // Only readers that the topology names hold publishers; one that was announced reads as that says.
        let policy = match self.server.announced(&guest.node, topic) {
            Some(policy) => policy,
            None if policy.is_gating() && !offer.names(&guest.node) => {
                return Err((RejectReason::Forbidden, none));
            }
            None => policy,
        };
        // A peer is one reader of a topic, however often it asks.
        if self.served.iter().any(|served| served.topic() == topic) {
            return Err((RejectReason::Duplicate, none));
        }
        // What was announced holds, whatever is asked for: it has kept messages by that policy.
        if let Some(index) = guest.taps.iter().position(|tap| tap.topic().name() == topic) {
            return Ok(guest.taps.swap_remove(index));
        }
        let mut tap = TopicEgress::new(&offer.topic, &guest.node, policy)
            .map_err(|_| (RejectReason::TooMany, none))?;
        // It may have lost its connection before it heard of it.
        if self.server.said_ended(&guest.node, topic) && tap.streams().is_empty() {
            return Err((RejectReason::Ended, none));
        }
        Ok(tap)
    }

    /// Tells the peer how messages of a topic are laid out here, if it may read that.
    fn describe<const T: usize, const S: usize>(
        &mut self,
        now: Duration,
        link: &mut Link<'_, T, S>,
        topic: &str,
        offset: u32,
    ) {
        let guest = self.peer.as_ref();
        let may = |offer: &&ExportedTopic| guest.is_some_and(|guest| offer.admits(&guest.node));
        match self.server.offer(topic).filter(may) {
            Some(offer) => self.answer(now, link, offer.topic.clone(), offset),
            // Without room this is not said: who waits for it gives up after a time.
            None => _ = link.answer(now, None, offset),
        }
    }

    fn answer<const T: usize, const S: usize>(
        &mut self,
        now: Duration,
        link: &mut Link<'_, T, S>,
        topic: Arc<Topic>,
        offset: u32,
    ) {
        let descriptor = topic.schema().descriptor;
        if let Err(SendError::Room { .. }) = link.answer(now, Some(descriptor), offset) {
            self.described = Some((topic, offset));
        }
    }

    /// Says goodbye when all that was to be said is out, to a peer that has asked for all that is kept for it.
    fn say_goodbye<const T: usize, const S: usize>(
        &mut self,
        now: Duration,
        link: &mut Link<'_, T, S>,
    ) {
        let server = &self.server;
        let kept = |guest: &mut ConnectedPeer| guest.taps.iter_mut().any(|tap| server.keeps(tap));
        if self.served.is_empty()
            && !self.peer.as_mut().is_some_and(kept)
            && link.poll_transmit(now).is_none()
        {
            link.close(now, CloseReason::Shutdown);
        }
    }
}

impl<const T: usize, const S: usize> Traffic<T, S> for ServerSession {
    fn run_bytes(&self, lent: &RunBytes) -> Option<[&[u8]; 2]> {
        self.served.iter().find_map(|served| served.run_bytes(lent))
    }

    fn on_event(&mut self, now: Duration, link: &mut Link<'_, T, S>, event: Event<'_>) {
        match event {
            Event::Up { node, boot, .. } => self.greet(now, link, node, boot),
            Event::Subscribe { export: serve, topic, type_id, digest, mode, resumes } => {
                // Whatever the answer is, it is what the announcement came to.
                self.server.wanted(self.node(), topic);
                match self.tap(topic, type_id, digest, mode) {
                    Ok(tap) => {
                        // A serve that is gone already is not told about.
                        _ = link.accept(serve);
                        self.served.push(ServedTopic::new(serve, tap, resumes));
                    }
                    Err((reason, digest)) => {
                        if let Some(guest) = &self.peer {
                            guest.line.add(LinkValue::Refused, 1);
                        }
                        _ = link.reject(serve, reason, digest);
                    }
                }
            }
            Event::Resume { export: serve, epoch, next } => {
                let served = self.served.iter_mut().find(|known| known.serve() == serve);
                if let Some(served) = served {
                    served.resume(epoch, next);
                }
            }
            Event::Unsubscribe { export: serve } => {
                self.served.retain(|served| served.serve() != serve)
            }
            Event::Demand { stream } => {
                self.served.iter_mut().for_each(|served| served.asked(stream));
            }
            Event::Window { stream, confirmed: taken } => {
                let mut served = self.served.iter_mut();
                let confirmed = served.find_map(|served| served.confirmed(stream, taken));
                self.server.add_confirmed(confirmed.unwrap_or(0));
            }
            Event::Describe { topic, offset } => self.describe(now, link, topic, offset),
            // It reads here, and nothing was asked of it.
            _ => {}
        }
    }

    fn send(&mut self, now: Duration, link: &mut Link<'_, T, S>, context: &mut Context<'_>) {
        let phase = self.server.control().watch(context, &mut self.listener);
        if phase == LinkPhase::Stop {
            return link.close(now, CloseReason::Shutdown);
        }
        if self.ticket.is_evicted() {
            return link.close(now, CloseReason::Busy);
        }
        if !self.keeps_its_name() {
            return link.close(now, CloseReason::NotAllowed);
        }
        if let Some((topic, offset)) = self.described.take() {
            self.answer(now, link, topic, offset);
        }
        let Some(guest) = &self.peer else { return };
        let count = self.served.len();
        let mut sent = 0;
        for step in 0..count {
            let served = &mut self.served[(self.turn + step) % count];
            sent += served.pump(now, link, context.waker());
            if served.is_crowded() {
                self.server.crowded(&guest.node, served.topic());
            }
        }
        guest.line.add(LinkValue::Sent, sent);
        self.turn = self.turn.wrapping_add(1);
        let draining = phase == LinkPhase::Drain;
        // At a shutdown the peer waits for this node's return.
        let for_good = !self.server.control().may_come_back();
        self.served.retain_mut(|served| {
            let over = served.is_over(draining);
            if over && for_good {
                self.server.says_ended(&guest.node, served.topic());
                _ = link.reject(served.serve(), RejectReason::Ended, Digest([0; 16]));
            }
            !(over && (for_good || draining))
        });
        if draining {
            self.say_goodbye(now, link);
        }
    }
}

impl Drop for ServerSession {
    fn drop(&mut self) {
        let Some(ConnectedPeer { node, mut taps, .. }) = self.peer.take() else { return };
        taps.extend(self.served.drain(..).map(ServedTopic::into_tap));
        self.server.left(&node, taps);
    }
}
