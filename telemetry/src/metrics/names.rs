//! The names of all values of the counters: a table for each kind of lines, in the order of its
//! values. A test covers all kinds.

use mycelium_transports::counters::Kind;

use super::family::FamilyKind;

/// How a value of a line becomes a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The family; the name of a counter is without `_total`. Empty for the metrics of services,
    /// which have their own names, for latencies, whose families are made from several lines, and
    /// for values that other families show (`DERIVED`).
    pub family: &'static str,
    /// The meaning of the family.
    pub help: &'static str,
    /// The kind of the family's values. For lines with the same labels, counters are added up, and
    /// the largest gauge is used.
    pub kind: FamilyKind,
    /// The label that distinguishes the value from others of its family.
    pub fixed: Option<(&'static str, &'static str)>,
}

/// A value without a family.
const NONE: Name = counter("", "");

const fn counter(family: &'static str, help: &'static str) -> Name {
    Name { family, help, kind: FamilyKind::Counter, fixed: None }
}

const fn gauge(family: &'static str, help: &'static str) -> Name {
    Name { family, help, kind: FamilyKind::Gauge, fixed: None }
}

impl Name {
    /// Returns the name of a value that has this label within the family.
    const fn by(self, key: &'static str, value: &'static str) -> Name {
        Name { fixed: Some((key, value)), ..self }
    }
}

const PUBLISHER: &[Name] = &[
    counter("mycelium_messages_sent", "Messages that the publisher has sent."),
    counter(
        "mycelium_messages_without_subscribers",
        "Messages that were sent while the topic had no subscription.",
    ),
    counter("mycelium_emits_waited", "Emits that waited for room in the ring."),
    counter("mycelium_emits_rejected", "Emits that failed because a reader had no room."),
    counter(
        "mycelium_emits_refused_by_handlers",
        "Messages that a fast handler did not accept, or with more keys than are retained.",
    ),
    // `mycelium_ring_capacity` and `mycelium_ring_high_water` show these, for rings that exist.
    NONE,
    NONE,
    gauge(
        "mycelium_ring_remote",
        "1 if the publisher is in another node, and the ring has copies of its messages.",
    ),
    // The same for `mycelium_ring_arena_bytes` and `mycelium_ring_arena_high_water_bytes`.
    NONE,
    NONE,
];

const DROPPED: Name =
    counter("mycelium_messages_dropped", "Messages that the reader did not take, by reason.");

const EDGE: &[Name] = &[
    gauge(
        "mycelium_subscription_first_sequence",
        "The sequence of the publisher's message at which the reader joined last.",
    ),
    counter("mycelium_messages_received", "Messages that the reader has taken."),
    DROPPED.by("reason", "overwritten"),
    DROPPED.by("reason", "skipped"),
    DROPPED.by("reason", "newest"),
    DROPPED.by("reason", "not-in-sample"),
    DROPPED.by("reason", "dead-letter"),
    counter("mycelium_messages_redelivered", "Messages that were delivered a second time."),
    DROPPED.by("reason", "left"),
    DROPPED.by("reason", "unknown"),
    counter("mycelium_messages_sent_again", "Messages that a link has sent a second time."),
    counter(
        "mycelium_subscription_evictions",
        "How often the publisher stopped waiting for the reader.",
    ),
    counter("mycelium_subscription_gaps", "Gaps that were reported to the reader."),
    counter("mycelium_messages_retained", "Retained messages that the reader got when it joined."),
    // How the counts above are made.
    NONE,
];

const FAILURES: Name =
    counter("mycelium_service_failures", "Runs of the service that failed, by how they did.");

const SERVICE: &[Name] = &[
    counter("mycelium_service_starts", "Starts of the service, with its restarts."),
    FAILURES.by("kind", "error"),
    FAILURES.by("kind", "panic"),
    counter("mycelium_service_dead_letters", "Messages of the service that became dead letters."),
    counter(
        "mycelium_service_stalls",
        "Waits of the service for slow readers: one for each second that one lasts.",
    ),
    gauge(
        "mycelium_service_spins",
        "Checks of the service for a message before it parks: 0 parks at once, -1 never parks.",
    ),
];

const LINK: &[Name] = &[
    counter("mycelium_link_connections", "Connections with the other node."),
    counter("mycelium_link_messages_sent", "Messages that were sent to the other node."),
    counter("mycelium_link_messages_received", "Messages that came from the other node."),
    counter("mycelium_link_messages_missed", "Messages that the other node reported as missing."),
    counter("mycelium_link_errors", "Connections that ended with an error."),
    counter("mycelium_link_topics_refused", "Topics that a node refused to the other one."),
    counter("mycelium_link_peers_rejected", "Connections that were rejected."),
    counter("mycelium_link_evictions", "Connections that were closed to make room for others."),
    counter("mycelium_link_traces_invalid", "Traces of messages with invalid ids: ignored."),
    counter("mycelium_link_sent_bytes", "Bytes that were written to the connection."),
    counter("mycelium_link_received_bytes", "Bytes that were read from the connection."),
    counter("mycelium_link_batches_sent", "Writes to the connection, with many frames each."),
];

const WATCHDOG: &[Name] = &[counter(
    "mycelium_service_long_polls",
    "Polls of the service that lasted longer than the limit of the watchdog.",
)];

const ENDED: Name =
    counter("mycelium_requests_ended", "Requests that have ended, by how they did.");

const REQUESTER: &[Name] = &[
    counter("mycelium_requests", "Requests of the requester."),
    ENDED.by("outcome", "replied"),
    ENDED.by("outcome", "gone"),
    ENDED.by("outcome", "refused"),
    ENDED.by("outcome", "deadline"),
    ENDED.by("outcome", "handler-failed"),
    ENDED.by("outcome", "unreachable"),
    ENDED.by("outcome", "shutting-down"),
    ENDED.by("outcome", "cancelled"),
    counter(
        "mycelium_requests_late_replies",
        "Replies that came after the requester had stopped to wait.",
    ),
];

const ANSWERED: Name =
    counter("mycelium_requests_answered", "Requests that the service is done with, by how it is.");

const RESPONDER: &[Name] = &[
    counter("mycelium_requests_taken", "Requests that the service has taken."),
    ANSWERED.by("outcome", "replied"),
    ANSWERED.by("outcome", "failed"),
    ANSWERED.by("outcome", "cancelled"),
    counter(
        "mycelium_requests_answered_late",
        "Replies of the service for which the requester no longer waited.",
    ),
];

const LEGACY: &[Name] = &[
    counter("mycelium_legacy_connections", "Clients of the original system that connected."),
    counter("mycelium_legacy_rejected", "Clients that were rejected."),
    counter("mycelium_legacy_errors", "Connections of clients that ended with an error."),
    counter("mycelium_legacy_messages_received", "Messages of clients that were published."),
    counter("mycelium_legacy_frames_unknown", "Frames of clients with a type without a topic."),
    counter("mycelium_legacy_frames_invalid", "Frames of clients that could not be decoded."),
    counter("mycelium_legacy_messages_refused", "Messages of clients that the topic refused."),
    counter("mycelium_legacy_frames_sent", "Frames that were written to clients."),
    counter("mycelium_legacy_frames_dropped", "Frames that a client did not get."),
    counter("mycelium_legacy_messages_missed", "Messages that no client could get."),
    counter("mycelium_legacy_evicted", "Clients without a whole frame that gave way to others."),
];

const SPANS_DROPPED: Name = counter(
    "mycelium_spans_dropped",
    "Spans that no collector has, because the queue was full, the collector \
    could not be reached in time, or it refused them.",
);

const EXPORTER: &[Name] = &[
    counter("mycelium_spans_exported", "Spans that the collector took."),
    SPANS_DROPPED.by("reason", "full"),
    SPANS_DROPPED.by("reason", "failed"),
    SPANS_DROPPED.by("reason", "refused"),
    counter("mycelium_span_batches", "Batches of spans that the collector took."),
    counter("mycelium_span_errors", "Requests with spans that failed."),
];

const PUSHES: Name =
    counter("mycelium_metric_pushes", "Pushes of metrics to the collector, by how they ended.");
const POINTS: Name =
    counter("mycelium_metric_points", "Data points that the collector took or refused.");

const PUSHER: &[Name] = &[
    PUSHES.by("outcome", "taken"),
    PUSHES.by("outcome", "failed"),
    PUSHES.by("outcome", "refused"),
    POINTS.by("outcome", "taken"),
    POINTS.by("outcome", "refused"),
];

const ACTOR_RUNS: Name =
    counter("mycelium_actor_failures", "Runs of actors that ended early, by what ended them.");

const ACTOR: &[Name] = &[
    counter("mycelium_actors_spawned", "Actors that were spawned."),
    counter("mycelium_actors_ended", "Actors that have ended."),
    counter("mycelium_actor_messages_handled", "Messages that were given to a handler."),
    counter("mycelium_actor_dead_letters", "Messages that no handler got: their actor had ended."),
    counter("mycelium_actor_messages_unseen", "Messages that were sent while their actor ended."),
    counter("mycelium_actor_messages_refused", "Messages for which a mailbox had no room."),
    ACTOR_RUNS.by("cause", "error"),
    ACTOR_RUNS.by("cause", "panic"),
    counter("mycelium_actor_restarts", "Restarts of actors."),
    counter("mycelium_actors_failed", "Actors that ended because they failed too often."),
];

const NODE: &[Name] = &[
    gauge("mycelium_node_pid", "The number of the node's process, as that process knows it."),
    gauge("mycelium_node_start_time_seconds", "The time of the node's start since 1970."),
    // `mycelium_health` shows this value.
    NONE,
];

/// Returns the names of a kind's values, in the order of [`Kind::values`].
pub fn names(kind: Kind) -> &'static [Name] {
    match kind {
        Kind::Publisher => PUBLISHER,
        Kind::Edge => EDGE,
        Kind::Service => SERVICE,
        Kind::Link => LINK,
        Kind::Watchdog => WATCHDOG,
        Kind::Requester => REQUESTER,
        Kind::Responder => RESPONDER,
        Kind::Legacy => LEGACY,
        Kind::Exporter => EXPORTER,
        Kind::Pusher => PUSHER,
        Kind::Actor => ACTOR,
        Kind::Node => NODE,
        // Services name these values, or families of `DERIVED` show them.
        Kind::Counter | Kind::Gauge => &[NONE; 1],
        Kind::Histogram => &[NONE; 4],
        Kind::Latency => &[NONE; 5],
        Kind::Buckets => &[NONE; 16],
        // A kind unknown to this version of the package.
        _ => &[],
    }
}

/// Returns the labels of a kind: the key in a line's label, and the key in the metrics.
pub(super) fn labels(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Publisher => &[("topic", "topic"), ("publisher", "publisher")],
        Kind::Edge => &[("topic", "topic"), ("publisher", "publisher"), ("reader", "reader")],
        Kind::Service | Kind::Watchdog => &[("service", "service")],
        Kind::Link => &[("link", "peer"), ("role", "role")],
        Kind::Requester => &[("topic", "topic"), ("requester", "requester")],
        Kind::Responder => &[("topic", "topic"), ("responder", "responder")],
        Kind::Legacy => &[("legacy", "listener")],
        Kind::Exporter | Kind::Pusher => &[("exporter", "exporter")],
        Kind::Actor => &[("actor", "actor")],
        // A node needs no labels, because all metrics have the label `node`.
        Kind::Node => &[],
        // Other kinds have no labels here, because they come from services, or several lines make a
        // family.
        _ => &[],
    }
}

// Families that are not made from one value of a line.
pub(super) const RESTARTS: Name =
    counter("mycelium_service_restarts", "Starts of the service after the first one.");
pub(super) const RECONNECTS: Name =
    counter("mycelium_link_reconnects", "Connections with the other node after the first.");
pub(super) const LATENCY: Name = Name {
    kind: FamilyKind::Histogram,
    ..counter(
        "mycelium_message_latency_seconds",
        "How long measured messages took from their emit to their receive.",
    )
};
pub(super) const LATENCY_NEGATIVE: Name = counter(
    "mycelium_message_latency_negative",
    "Measured messages that were sent later than they were received, by the two clocks: their \
         latency is 0.",
);
pub(super) const RING_DEPTH: Name =
    gauge("mycelium_ring_depth", "Messages that the slowest gating reader still needs.");
pub(super) const RING_HIGH_WATER: Name = gauge(
    "mycelium_ring_high_water",
    "The greatest depth that the publisher has seen: it checks once a lap, and when the ring is full.",
);
pub(super) const RING_CAPACITY: Name = gauge("mycelium_ring_capacity", "Slots of the ring.");
pub(super) const ARENA_BYTES: Name = gauge(
    "mycelium_ring_arena_bytes",
    "The size of the ring's arena, if the topic's messages differ in size.",
);
pub(super) const ARENA_HIGH_WATER: Name = gauge(
    "mycelium_ring_arena_high_water_bytes",
    "The most bytes of the arena that readers still needed, as far as the publisher has seen.",
);
pub(super) const SUBSCRIPTION_DEPTH: Name = gauge(
    "mycelium_subscription_depth",
    "Messages of the publisher that the reader has not taken.",
);
pub(super) const HEALTH: Name =
    gauge("mycelium_health", "1 for the state of the node, 0 for all others.");
pub(super) const SERVICE_HEALTH: Name =
    gauge("mycelium_service_health", "1 for the state of the service, 0 for all others.");
pub(super) const SUPERVISOR_HEALTH: Name = gauge(
    "mycelium_supervisor_health",
    "1 for the state of the supervisor, 0 for all others: the state that its services have together.",
);
pub(super) const UNSEEN: Name =
    counter("mycelium_counters_unseen", "Lines of counters without a place in memory.");
pub(super) const OVER_LIMIT: Name = gauge(
    "mycelium_label_sets_over_limit",
    "Sets of label values that are not shown on their own, but as `other`.",
);
pub(super) const LEFT_OUT: Name = gauge(
    "mycelium_metrics_left_out",
    "Metrics of services whose names collide with those of others.",
);

/// The families that are not made from one value of a line, with the keys of their labels.
pub(super) const DERIVED: [(Name, &[&str]); 16] = [
    (RESTARTS, &["service"]),
    (RECONNECTS, &["peer", "role"]),
    (LATENCY, &["topic", "reader"]),
    (LATENCY_NEGATIVE, &["topic", "reader"]),
    (RING_DEPTH, &["topic", "publisher"]),
    (RING_HIGH_WATER, &["topic", "publisher"]),
    (RING_CAPACITY, &["topic", "publisher"]),
    (ARENA_BYTES, &["topic", "publisher"]),
    (ARENA_HIGH_WATER, &["topic", "publisher"]),
    (SUBSCRIPTION_DEPTH, &["topic", "publisher", "reader"]),
    (HEALTH, &["state"]),
    (SERVICE_HEALTH, &["service", "state"]),
    (SUPERVISOR_HEALTH, &["supervisor", "state"]),
    (UNSEEN, &[]),
    (OVER_LIMIT, &["group"]),
    (LEFT_OUT, &[]),
];
