//! The memory of a node's rings, on the heap and in shared memory. It includes the tables of
//! `latest` subscriptions by key, and the rings of `drop-newest` subscriptions.
//!
//! If another node reads a topic through shared memory, the rings of its publishers are in shared
//! memory. The streams that this node reads from others begin on a socket. So for each publisher in
//! another node, this node has a ring on the heap, and a region in shared memory for its positions
//! in the publisher's ring.

use std::collections::BTreeMap;
use std::sync::Arc;

use mycelium_transports::local::{PageSize, Policy, cursor_bytes};

use super::carriers::Carriers;
use super::peer_topics::PeerTopics;
use super::ports::BoundPorts;
use super::settings::AllTopicSettings;
use super::topics::PlannedTopic;
use crate::observe::report::RingMemory;

/// Returns the memory of the rings of all planned publishers, with the entries of their readers. On
/// the heap only the readers in the topology count: a ring adds entries for others when they join.
pub(super) fn ring_memory(
    topics: &BTreeMap<Arc<str>, PlannedTopic>,
    services: &[(String, BoundPorts)],
    peer_topics: &PeerTopics,
    carriers: &Carriers,
    settings: &AllTopicSettings,
    pages: PageSize,
) -> RingMemory {
    let mut memory = RingMemory::default();
    for planned in topics.values() {
        let PlannedTopic { schema, capacity, gating, remote_publishers, area, .. } = *planned;
        let own = planned.publishers - remote_publishers;
        let on_heap = if planned.is_shared { remote_publishers } else { planned.publishers };
        add(&mut memory.heap, schema.heap_bytes(capacity, gating.expected, area), on_heap);
        if !schema.is_fixed {
            // Each publisher encodes a message, each subscription and each stream from another node
            // copies one.
            add(&mut memory.heap, Some(schema.longest), planned.readers + planned.publishers);
        }
        if let Some(retain) = planned.retain {
            add(&mut memory.heap, retain.bytes(&schema), own);
        }
        let of_own = planned.drop_newest.saturating_mul(planned.publishers);
        add(&mut memory.heap, schema.heap_bytes(capacity, 1, area), of_own);
        if planned.is_shared {
            let ring = schema.shared_bytes(capacity, gating.most, area, pages);
            add(&mut memory.shared, ring, own);
            if pages == PageSize::Huge {
                add(&mut memory.huge_pages, ring.map(|ring| ring / pages.bytes()), own);
            }
        }
    }
    for port in services.iter().flat_map(|(_, ports)| &ports.reads) {
        if let Policy::LatestByKey(by_key) = port.options.policy
            && let Some(planned) = topics.get(&port.topic)
        {
            add(&mut memory.heap, by_key.table_bytes(&planned.schema), 1);
        }
    }
    let peers = peer_topics.publishers.iter().filter(|(peer, _)| carriers.in_memory(peer));
    let read = peers.flat_map(|(_, topics)| topics);
    for (topic, _) in read.filter(|(topic, _)| !settings.of(topic).stays_on_socket()) {
        // One more position than readers: it makes the publisher wait until subscriptions have
        // joined.
        let positions = topics.get(topic).and_then(|planned| cursor_bytes(planned.gating.most + 1));
        add(&mut memory.shared, positions, 1);
    }
    memory
}

/// Returns the memory of the mailboxes of requests, by topic. Each slot of a mailbox has a stamp
/// and a pointer.
pub(super) fn mailbox_memory<'s>(
    settings: &AllTopicSettings,
    services: &'s [(String, BoundPorts)],
) -> BTreeMap<&'s str, usize> {
    let requests =
        services.iter().flat_map(|(_, ports)| ports.requests.iter().chain(&ports.answers));
    let bytes = |topic: &str| settings.of(topic).capacity.saturating_mul(size_of::<[usize; 2]>());
    requests.map(|port| (&*port.topic, bytes(&port.topic))).collect()
}

fn add(sum: &mut usize, each: Option<usize>, count: usize) {
    *sum = sum.saturating_add(each.unwrap_or(usize::MAX).saturating_mul(count));
}
