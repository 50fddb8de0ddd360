//! The readers' side of shared memory: maps the rings of a peer's publishers.
//!
//! The peer sends a token over the link. This side presents it at the peer's control socket, where
//! the rings' descriptors arrive. Each ring is checked and mapped; the answer passes the descriptor
//! of this side's positions. The stream continues in shared memory when the link says so.
//!
//! This side trusts nothing that the peer passes. It refuses a ring that cannot be mapped or
//! belongs to another stream, and that stream stays on the link.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Context;

use mycelium_core::ring::broadcast::Claim;
use mycelium_core::ring::region::{ForeignData, RingIdentity};
use mycelium_executor::Executor;

use crate::descriptor::{AsFd, OwnedFd};
use crate::endpoint::Access;
use crate::link::channel::{Arrival, Channel, MemoryRefusal, SessionChannel, Tie};
use crate::local::{MappedRing, Topic, TraceArea};
use crate::memory::{
    ControlThread, Gone, Mapping, Packet, PacketKind, SendError, Token, cursor_region,
};

/// How the reader's side reaches the control socket of its peer.
#[derive(Clone, Debug)]
pub struct MemoryAccess {
    /// The control thread of this process.
    pub control: Arc<ControlThread>,
    /// The path of the peer's control socket.
    pub path: PathBuf,
    /// The user that must listen at the path.
    pub access: Access,
}

/// The shared memory beside one connection to a peer.
pub(super) struct IncomingMemory {
    pub(super) channel: SessionChannel,
    /// The passed rings whose streams are not known yet, the oldest first.
    passed: Vec<(Packet, OwnedFd)>,
    /// The mapped rings, by number.
    mapped: BTreeMap<u32, PassedRing>,
}

/// A mapped ring of the peer, with its connection.
pub(super) struct PassedRing {
    pub(super) epoch: u64,
    pub(super) ring: MappedRing,
    pub(super) tie: Arc<Tie>,
    pub(super) channel: Arc<Channel>,
}

/// The limit on rings that wait for their streams. Beyond it the oldest is refused.
const MOST_PASSED: usize = 128;
/// The limit on the words of a ring. There is none, because the ring is in the peer's memory.
const MOST_WORDS: usize = usize::MAX;

impl IncomingMemory {
    /// Connects to the peer's control socket with the token that the peer has sent. `executor` runs
    /// the session's task.
    pub(super) fn connect(
        access: &MemoryAccess,
        token: Token,
        executor: &Arc<dyn Executor>,
    ) -> std::io::Result<IncomingMemory> {
        let channel = Arc::new(Channel::default());
        access.control.connect(&access.path, &access.access, token, channel.clone())?;
        let channel = SessionChannel::new(channel, executor);
        Ok(IncomingMemory { channel, passed: Vec::new(), mapped: BTreeMap::new() })
    }

    /// Takes the packets that have arrived. Returns why the connection has ended, if it has.
    /// `topic` finds the topic of the stream with an epoch, and whether its messages are converted.
    pub(super) fn update<'t>(
        &mut self,
        topic: impl Fn(u64) -> Option<(&'t Topic, bool)>,
        context: &mut Context<'_>,
    ) -> Option<Gone> {
        while let Some(arrival) = self.channel.next(context.waker()) {
            match arrival {
                Arrival::Packet(packet, ring) if packet.kind == PacketKind::Region => {
                    self.was_passed(packet, ring);
                }
                // Other packets have no meaning on this side.
                Arrival::Packet(..) => {}
                Arrival::Gone(reason) => return Some(reason),
            }
        }
        // Drops the rings of streams that ended before they moved.
        self.mapped.retain(|_, ring| topic(ring.epoch).is_some());
        let tie = self.channel.tie()?.clone();
        for (packet, ring) in std::mem::take(&mut self.passed) {
            let [epoch, ..] = packet.args;
            match topic(epoch) {
                Some((_, true)) => self.refuse(packet, &MemoryRefusal::Layout),
                Some((topic, false)) => self.answer(packet, ring, topic, &tie),
                None => self.passed.push((packet, ring)),
            }
        }
        None
    }

    /// Removes and returns a mapped ring, to which its stream moves now.
    pub(super) fn take(&mut self, number: u32) -> Option<PassedRing> {
        self.mapped.remove(&number)
    }

    /// Keeps a passed ring until its stream is known.
    fn was_passed(&mut self, packet: Packet, ring: Option<OwnedFd>) {
        let Some(ring) = ring else { return self.refuse(packet, &MemoryRefusal::Descriptors) };
        if self.passed.len() == MOST_PASSED {
            let (oldest, _) = self.passed.remove(0);
            // The oldest of these rings belongs to no open stream. It is refused, and no stream
            // stays on the link because of that.
            self.send_refusal(oldest, &MemoryRefusal::TooMany);
        }
        self.passed.push((packet, ring));
    }

    fn refuse(&mut self, packet: Packet, refusal: &MemoryRefusal) {
        self.channel.problems.push(refusal.to_string());
        self.send_refusal(packet, refusal);
    }

    fn send_refusal(&self, packet: Packet, refusal: &MemoryRefusal) {
        if let Some(tie) = self.channel.tie() {
            let args = [refusal.code(), 0, 0, 0];
            let refused = Packet::new(PacketKind::Refused, packet.number, args);
            // Sending fails only if the connection has ended, which arrives as its own event.
            _ = tie.connection.send(refused, None);
        }
    }

    fn answer(&mut self, packet: Packet, ring: OwnedFd, topic: &Topic, tie: &Arc<Tie>) {
        let (number, ring, readers, descriptor) = match self.map(packet, ring, topic, tie) {
            Ok(mapped) => mapped,
            Err(refusal) => return self.refuse(packet, &refusal),
        };
        let cursors = Packet::new(PacketKind::Cursors, packet.number, [readers as u64, 0, 0, 0]);
        match tie.connection.send(cursors, Some(descriptor.as_fd())) {
            Ok(()) => {
                // At most one ring is kept for each stream.
                self.mapped.retain(|_, earlier| earlier.epoch != ring.epoch);
                self.mapped.insert(number, ring);
            }
            Err(SendError::Descriptors) => self.refuse(packet, &MemoryRefusal::Descriptors),
            // The connection has ended, which arrives as its own event.
            Err(_) => {}
        }
    }

    fn map(
        &self,
        packet: Packet,
        ring: OwnedFd,
        topic: &Topic,
        tie: &Arc<Tie>,
    ) -> Result<(u32, PassedRing, usize, OwnedFd), MemoryRefusal> {
        if !topic.may_be_mapped() {
            return Err(MemoryRefusal::DropNewest);
        }
        let [epoch, entry, generation, _] = packet.args;
        let number = u32::try_from(packet.number).map_err(|_| MemoryRefusal::Other)?;
        let mapping = Mapping::attach(ring, MOST_WORDS, true).map_err(MemoryRefusal::Memory)?;
        let schema = topic.schema();
        let identity = RingIdentity { epoch, digest: schema.digest.0 };
        let data = ForeignData::attach(mapping, identity).map_err(MemoryRefusal::Region)?;
        let layout = data.layout();
        // The publisher's node decides whether its messages have traces.
        let area = TraceArea::of(layout.message_bytes(), schema.size);
        let area = area.filter(|_| !layout.has_length()).ok_or(MemoryRefusal::Other)?;
        // Adds a place for the floor of the ring.
        let readers = topic.places() + 1;
        let (cursors, descriptor) = cursor_region(topic.name(), layout, readers, identity)
            .map_err(MemoryRefusal::Memory)?;
        let proxy = usize::try_from(entry).ok().filter(|_| entry != u64::MAX);
        let proxy = proxy.map(|entry| Claim { entry, generation: generation as usize });
        let (tie, channel) = (tie.clone(), self.channel.channel.clone());
        let ring =
            MappedRing::new(data, cursors, readers, area, proxy).ok_or(MemoryRefusal::Other)?;
        Ok((number, PassedRing { epoch, ring, tie, channel }, readers, descriptor))
    }
}
