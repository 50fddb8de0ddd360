//! The names of all values of the counters: a table for each kind of lines, in the order of its
//! values. A test covers all kinds.

use mycelium_transports::counters::Kind;

use super::family::FamilyKind;

/// How a value becomes a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The family. The name of a counter is without `_total`. It is empty for the metrics of
    /// services, which have names of their own, for latencies, whose families are made of several
    /// lines, and for values that the node knows better (`derived`).
    pub family: &'static str,
    /// The meaning of the family.
    pub help: &'static str,
    /// The kind of its values. If several lines have the same labels, their counters are added up,
    /// and the greatest of their gauges counts.
    pub kind: FamilyKind,
    /// The label that distinguishes the value from others of its family.
    pub fixed: Option<(&'static str, &'static str)>,
}

/// A value without a family.
const NONE: Name = counter("", "");

const fn counter(family: &'static str, help: &'static str) -> Name {
    Name { family, help, kind: FamilyKind::Counter, fixed: None }
}

const fn by(
    family: &'static str,
    help: &'static str,
    key: &'static str,
    value: &'static str,
) -> Name {
    Name { family, help, kind: FamilyKind::Counter, fixed: Some((key, value)) }
}

const fn gauge(family: &'static str, help: &'static str) -> Name {
    Name { family, help, kind: FamilyKind::Gauge, fixed: None }
}

const PUBLISHER: &[Name] = &[
    counter("mycelium_messages_sent", "Messages that the publisher has sent."),
    counter(
        "mycelium_messages_without_subscribers",
        "Messages that were sent while the topic had no subscription.",
    ),
    counter("mycelium_emits_waited", "Emits that waited for room in the ring."),
    counter("mycelium_emits_rejected", "Emits that failed because a reader had no room."),
    counter("mycelium_emits_refused_by_handlers", "Messages that a fast handler did not accept."),
    // `mycelium_ring_capacity` and `mycelium_ring_high_water` show these, for rings that exist.
    NONE,
    NONE,
    gauge(
        "mycelium_ring_remote",
        "1 if the publisher is in another node, and the ring has copies of its messages.",
    ),
];

const DROPPED: &str = "mycelium_messages_dropped";
const DROPPED_HELP: &str = "Messages that the reader did not take, by reason.";

const EDGE: &[Name] = &[
    gauge(
        "mycelium_subscription_first_sequence",
        "The sequence of the publisher's message at which the reader joined last.",
    ),
    counter("mycelium_messages_received", "Messages that the reader has taken."),
    by(DROPPED, DROPPED_HELP, "reason", "overwritten"),
    by(DROPPED, DROPPED_HELP, "reason", "skipped"),
    by(DROPPED, DROPPED_HELP, "reason", "newest"),
    by(DROPPED, DROPPED_HELP, "reason", "not-in-sample"),
    by(DROPPED, DROPPED_HELP, "reason", "dead-letter"),
    counter("mycelium_messages_redelivered", "Messages that were delivered a second time."),
    by(DROPPED, DROPPED_HELP, "reason", "left"),
    by(DROPPED, DROPPED_HELP, "reason", "unknown"),
    counter("mycelium_messages_sent_again", "Messages that a link has sent a second time."),
    counter(
        "mycelium_subscription_evictions",
        "How often the publisher stopped waiting for the reader.",
    ),
    counter("mycelium_subscription_gaps", "Gaps that were reported to the reader."),
];

const FAILURES: &str = "mycelium_service_failures";
const FAILURES_HELP: &str = "Runs of the service that failed, by how they did.";

const SERVICE: &[Name] = &[
    counter("mycelium_service_starts", "Starts of the service, with its restarts."),
    by(FAILURES, FAILURES_HELP, "kind", "error"),
    by(FAILURES, FAILURES_HELP, "kind", "panic"),
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

const ENDED: &str = "mycelium_requests_ended";
const ENDED_HELP: &str = "Requests that have ended, by how they did.";

const REQUESTER: &[Name] = &[
    counter("mycelium_requests", "Requests of the requester."),
    by(ENDED, ENDED_HELP, "outcome", "replied"),
    by(ENDED, ENDED_HELP, "outcome", "gone"),
    by(ENDED, ENDED_HELP, "outcome", "refused"),
    by(ENDED, ENDED_HELP, "outcome", "deadline"),
    by(ENDED, ENDED_HELP, "outcome", "handler-failed"),
    by(ENDED, ENDED_HELP, "outcome", "unreachable"),
    by(ENDED, ENDED_HELP, "outcome", "shutting-down"),
    by(ENDED, ENDED_HELP, "outcome", "cancelled"),
    counter(
        "mycelium_requests_late_replies",
        "Replies that came after the requester had stopped to wait.",
    ),
];

const ANSWERED: &str = "mycelium_requests_answered";
const ANSWERED_HELP: &str = "Requests that the service is done with, by how it is.";

const RESPONDER: &[Name] = &[
    counter("mycelium_requests_taken", "Requests that the service has taken."),
    by(ANSWERED, ANSWERED_HELP, "outcome", "replied"),
    by(ANSWERED, ANSWERED_HELP, "outcome", "failed"),
    by(ANSWERED, ANSWERED_HELP, "outcome", "cancelled"),
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

const EXPORTER: &[Name] = &[
    counter("mycelium_spans_exported", "Spans that the collector took."),
    by("mycelium_spans_dropped", SPANS_DROPPED, "reason", "full"),
    by("mycelium_spans_dropped", SPANS_DROPPED, "reason", "failed"),
    by("mycelium_spans_dropped", SPANS_DROPPED, "reason", "refused"),
    counter("mycelium_span_batches", "Batches of spans that the collector took."),
    counter("mycelium_span_errors", "Requests with spans that failed."),
];

const PUSHES: &str = "mycelium_metric_pushes";
const PUSHES_HELP: &str = "Pushes of metrics to the collector, by how they ended.";
const POINTS: &str = "mycelium_metric_points";
const POINTS_HELP: &str = "Data points that the collector took or refused.";

const PUSHER: &[Name] = &[
    by(PUSHES, PUSHES_HELP, "outcome", "taken"),
    by(PUSHES, PUSHES_HELP, "outcome", "failed"),
    by(PUSHES, PUSHES_HELP, "outcome", "refused"),
    by(POINTS, POINTS_HELP, "outcome", "taken"),
    by(POINTS, POINTS_HELP, "outcome", "refused"),
];

const ACTOR_RUNS: &str = "mycelium_actor_failures";
const ACTOR_RUNS_HELP: &str = "Runs of actors that ended early, by what ended them.";

const ACTOR: &[Name] = &[
    counter("mycelium_actors_spawned", "Actors that were spawned."),
    counter("mycelium_actors_ended", "Actors that have ended."),
    counter("mycelium_actor_messages_handled", "Messages that were given to a handler."),
    counter("mycelium_actor_dead_letters", "Messages that no handler got: their actor had ended."),
    counter("mycelium_actor_messages_unseen", "Messages that were sent while their actor ended."),
    counter("mycelium_actor_messages_refused", "Messages for which a mailbox had no room."),
    by(ACTOR_RUNS, ACTOR_RUNS_HELP, "cause", "error"),
    by(ACTOR_RUNS, ACTOR_RUNS_HELP, "cause", "panic"),
    counter("mycelium_actor_restarts", "Restarts of actors."),
    counter("mycelium_actors_failed", "Actors that ended because they failed too often."),
];

const NODE: &[Name] = &[
    gauge("mycelium_node_pid", "The number of the node's process, as that process knows it."),
    gauge("mycelium_node_start_time_seconds", "The time of the node's start since 1970."),
    // `mycelium_health` shows this.
    NONE,
];

const SPANS_DROPPED: &str = "Spans that no collector has, because the queue was full, the collector \
    could not be reached in time, or it refused them.";

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
        // Services name these values, or they are `derived`.
        Kind::Counter | Kind::Gauge => &[NONE; 1],
        Kind::Histogram => &[NONE; 4],
        Kind::Latency => &[NONE; 5],
        Kind::Buckets => &[NONE; 16],
        // A kind that this version of the package does not know.
        _ => &[],
    }
}

/// Returns the labels of a kind: each key in the label of a line, with the key in the metrics.
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
        // A node has no labels of its own, because all metrics have the label `node`.
        Kind::Node => &[],
        // Other kinds have no labels here, because services give them, or because several lines
        // make a family.
        _ => &[],
    }
}

/// Families that are not made of one value of a line: name, help and kind.
pub(super) mod derived {
    use super::FamilyKind::{self, Counter, Gauge, Histogram};

    /// A family that is made of more than one value.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::metrics) struct Derived {
        pub(in crate::metrics) name: &'static str,
        pub(in crate::metrics) labels: &'static [&'static str],
        pub(in crate::metrics) help: &'static str,
        pub(in crate::metrics) kind: FamilyKind,
    }

    const fn of(
        kind: FamilyKind,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Derived {
        Derived { name, labels, help, kind }
    }

    pub(in crate::metrics) const RESTARTS: Derived = of(
        Counter,
        "mycelium_service_restarts",
        &["service"],
        "Starts of the service after the first one.",
    );
    pub(in crate::metrics) const RECONNECTS: Derived = of(
        Counter,
        "mycelium_link_reconnects",
        &["peer", "role"],
        "Connections with the other node after the first.",
    );
    pub(in crate::metrics) const LATENCY: Derived = of(
        Histogram,
        "mycelium_message_latency_seconds",
        &["topic", "reader"],
        "How long measured messages took from their emit to their receive.",
    );
    pub(in crate::metrics) const LATENCY_NEGATIVE: Derived = of(
        Counter,
        "mycelium_message_latency_negative",
        &["topic", "reader"],
        "Measured messages that were sent later than they were received, by the two clocks: their \
         latency is 0.",
    );
    pub(in crate::metrics) const RING_DEPTH: Derived = of(
        Gauge,
        "mycelium_ring_depth",
        &["topic", "publisher"],
        "Messages that the slowest gating reader still needs.",
    );
    pub(in crate::metrics) const RING_HIGH_WATER: Derived = of(
        Gauge,
        "mycelium_ring_high_water",
        &["topic", "publisher"],
        "The greatest depth that the publisher has seen: it checks once a lap, and when the ring is full.",
    );
    pub(in crate::metrics) const RING_CAPACITY: Derived =
        of(Gauge, "mycelium_ring_capacity", &["topic", "publisher"], "Slots of the ring.");
    pub(in crate::metrics) const SUBSCRIPTION_DEPTH: Derived = of(
        Gauge,
        "mycelium_subscription_depth",
        &["topic", "publisher", "reader"],
        "Messages of the publisher that the reader has not taken.",
    );
    pub(in crate::metrics) const HEALTH: Derived =
        of(Gauge, "mycelium_health", &["state"], "1 for the state of the node, 0 for all others.");
    pub(in crate::metrics) const SERVICE_HEALTH: Derived = of(
        Gauge,
        "mycelium_service_health",
        &["service", "state"],
        "1 for the state of the service, 0 for all others.",
    );
    pub(in crate::metrics) const SUPERVISOR_HEALTH: Derived = of(
        Gauge,
        "mycelium_supervisor_health",
        &["supervisor", "state"],
        "1 for the state of the supervisor, 0 for all others: the state that its services have together.",
    );
    pub(in crate::metrics) const UNSEEN: Derived = of(
        Counter,
        "mycelium_counters_unseen",
        &[],
        "Lines of counters without a place in memory.",
    );
    pub(in crate::metrics) const OVER_LIMIT: Derived = of(
        Gauge,
        "mycelium_label_sets_over_limit",
        &["group"],
        "Sets of label values that are not shown on their own, but as `other`.",
    );
    pub(in crate::metrics) const LEFT_OUT: Derived = of(
        Gauge,
        "mycelium_metrics_left_out",
        &[],
        "Metrics of services whose names collide with those of others.",
    );

    /// All derived families.
    pub(in crate::metrics) const ALL: [Derived; 14] = [
        RESTARTS,
        RECONNECTS,
        LATENCY,
        LATENCY_NEGATIVE,
        RING_DEPTH,
        RING_HIGH_WATER,
        RING_CAPACITY,
        SUBSCRIPTION_DEPTH,
        HEALTH,
        SERVICE_HEALTH,
        SUPERVISOR_HEALTH,
        UNSEEN,
        OVER_LIMIT,
        LEFT_OUT,
    ];
}
