//! The kinds of lines, and the values of each kind.

use std::fmt;

/// The number of words of a name in the table of kinds.
pub(super) const NAME: usize = 3;
/// The number of words of a line, and the limit on the values of a kind.
pub(super) const VALUES: usize = 16;

/// Returns the place of the second word of a value in a line of `words` words whose kind has
/// `values` values. Second words fill the line from its end; a value for which no word is left has
/// none. So a kind that has more than half as many values as words declares those first that
/// several threads count often.
pub(super) const fn second_word(value: usize, values: usize, words: usize) -> Option<usize> {
    match words.checked_sub(1 + value) {
        Some(second) if second >= values => Some(second),
        _ => None,
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal of $value:ident,)*) => {
        /// The kind of a line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All kinds.
            pub const ALL: [Kind; 17] = [$(Kind::$kind,)*];

            /// The name of the kind in the region.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)*
                }
            }

            /// The names of the line's values, in order.
            #[must_use]
            pub const fn values(self) -> &'static [&'static str] {
                match self {
                    $(Kind::$kind => $value::NAMES,)*
                }
            }

            #[cfg(feature = "metrics")]
            pub(super) fn from_word(word: u64) -> Option<Kind> {
                Kind::ALL.into_iter().find(|kind| *kind as u64 == word)
            }
        }
    };
}

kinds! {
    /// One publisher of one topic: [`PublisherValue`].
    Publisher = "publisher" of PublisherValue,
    /// One publisher's messages at one subscription, or for the readers of another process:
    /// [`EdgeValue`].
    Edge = "edge" of EdgeValue,
    /// One service: [`ServiceValue`].
    Service = "service" of ServiceValue,
    /// One side of the links with another process: [`LinkValue`].
    Link = "link" of LinkValue,
    /// One service, as measured by the node's watchdog: [`WatchdogValue`].
    Watchdog = "watchdog" of WatchdogValue,
    /// A counter that a service defines: [`CounterValue`].
    Counter = "counter" of CounterValue,
    /// A gauge that a service defines: [`GaugeValue`].
    Gauge = "gauge" of GaugeValue,
    /// A histogram that a service defines: [`HistogramValue`].
    Histogram = "histogram" of HistogramValue,
    /// Sixteen buckets of a histogram or latency. The `first` in the label is the number of the
    /// first one: [`BucketValue`].
    Buckets = "buckets" of BucketValue,
    /// One requester of one topic: [`RequesterValue`].
    Requester = "requester" of RequesterValue,
    /// One service that answers one topic: [`ResponderValue`].
    Responder = "responder" of ResponderValue,
    /// One listener for clients of the original system: [`LegacyValue`].
    Legacy = "legacy" of LegacyValue,
    /// An exporter of spans: [`ExporterValue`].
    Exporter = "exporter" of ExporterValue,
    /// The latencies of one topic's messages at one reader: [`LatencyValue`].
    Latency = "latency" of LatencyValue,
    /// A pusher of metrics: [`PusherValue`].
    Pusher = "pusher" of PusherValue,
    /// All actors of one type: [`ActorValue`].
    Actor = "actor" of ActorValue,
    /// The node whose counters these are: [`NodeValue`].
    Node = "node" of NodeValue,
}

/// A value of the lines of one kind.
pub trait Value: Copy + fmt::Debug {
    /// The kind.
    const KIND: Kind;

    /// Returns its position in [`Kind::values`].
    fn index(self) -> usize;
}

macro_rules! values {
    ($($(#[$meta:meta])* $name:ident of $kind:ident {
        $($(#[$doc:meta])* $variant:ident = $text:literal,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            pub(super) const NAMES: &[&str] = &[$($text),*];
        }

        impl Value for $name {
            const KIND: Kind = Kind::$kind;

            #[inline]
            fn index(self) -> usize {
                self as usize
            }
        }

        const _: () = {
            assert!($name::NAMES.len() <= VALUES, "a line cannot hold all values of a kind");
            let mut index = 0;
            while index < $name::NAMES.len() {
                assert!($name::NAMES[index].len() <= NAME * 8, "a name is too long");
                index += 1;
            }
        };
    )*};
}

values! {
    /// Values of a [`Kind::Publisher`]. `sent` and `high_water` are updated when the publisher
    /// wakes its readers: after each poll of its task, and at the latest after 64 messages.
    PublisherValue of Publisher {
        /// Sent messages, which is also the sequence of the next message.
        Sent = "sent",
        /// Messages that were sent without a subscription.
        NoSubscribers = "no_subscribers",
        /// Emits that waited for room.
        Waited = "waited",
        /// Emits that were rejected because the ring was full.
        Rejected = "rejected",
        /// Messages that a fast handler refused, or that have a key more than the topic retains.
        HandlerRefused = "handler_refused",
        /// The number of slots of the ring.
        Capacity = "capacity",
        /// The greatest number of messages that the slowest gating reader was behind. The publisher
        /// checks it once a lap, and whenever the ring is full.
        HighWater = "high_water",
        /// 1 if the publisher is in another node and the ring has copies of its messages; otherwise
        /// 0.
        Remote = "remote",
        /// The size of the arena in bytes; 0 if all messages have the same size.
        ArenaBytes = "arena_bytes",
        /// The greatest number of bytes of the arena that readers still needed. The publisher
        /// checks it when the ring may be under backpressure, and whenever it is full.
        ArenaHighWater = "arena_high_water",
    }

    /// Values of a [`Kind::Edge`].
    EdgeValue of Edge {
        /// The sequence at which the subscription joined.
        JoinedAt = "joined_at",
        /// Messages that the reader took.
        Taken = "taken",
        /// Messages that were overwritten before they were taken.
        Overwritten = "overwritten",
        /// Messages that were skipped on purpose, or lost with a connection.
        Skipped = "skipped",
        /// Messages that were dropped because the ring of a `drop-newest` subscription was full.
        Dropped = "dropped",
        /// Messages that the subscription skipped because they are not in its sample.
        Sampled = "sampled",
        /// Messages that became dead letters.
        DeadLettered = "dead_lettered",
        /// Messages that were delivered a second time.
        Redelivered = "redelivered",
        /// Messages that were unread when the subscription ended.
        Left = "left",
        /// Messages that may or may not have been taken.
        Unknown = "unknown",
        /// Messages that a link sent a second time.
        SentAgain = "sent_again",
        /// How often the publisher stopped waiting for the reader. The publisher counts it.
        Evicted = "evicted",
        /// Gaps that were reported to the reader.
        Gaps = "gaps",
        /// Retained messages that the subscription got when it joined. They count as none of the
        /// others.
        Retained = "retained",
        /// 1 while the readers are in another process and read the publisher's ring in shared
        /// memory; otherwise 0. Then this line counts what they take only now and then.
        InMemory = "in_memory",
    }

    /// Values of a [`Kind::Service`].
    ServiceValue of Service {
        /// Starts of the service.
        Starts = "starts",
        /// Runs that ended with an error.
        Errors = "errors",
        /// Runs that panicked.
        Panics = "panics",
        /// Messages that became dead letters.
        DeadLetters = "dead_letters",
        /// Seconds of waiting for slow readers: each wait counts once for each full second.
        Stalls = "stalls",
        /// The number of times that the service checks for a message before it parks: its wait
        /// strategy. 0 parks at once; the greatest number never parks.
        Spins = "spins",
    }

    /// Values of a [`Kind::Link`].
    LinkValue of Link {
        /// Connections with the peer.
        Connections = "connections",
        /// Messages that were sent.
        Sent = "sent",
        /// Messages that were received.
        Received = "received",
        /// Messages that the peer reported as missing.
        Missed = "missed",
        /// Connections that ended with an error.
        Errors = "errors",
        /// Topics that the peer refused.
        Refused = "refused",
        /// Connections that were rejected.
        RejectedPeers = "rejected_peers",
        /// Connections that were closed to make room for others.
        Evicted = "evicted",
        /// Traces that were ignored because their ids were invalid.
        InvalidTraces = "invalid_traces",
        /// Bytes that were written to the connection.
        BytesSent = "bytes_sent",
        /// Bytes that were read from the connection.
        BytesReceived = "bytes_received",
        /// Writes to the connection. Each write sends all frames that are ready.
        Batches = "batches",
    }

    /// Values of a [`Kind::Watchdog`].
    WatchdogValue of Watchdog {
        /// Polls that took longer than the limit.
        LongPolls = "long_polls",
    }

    /// Values of a [`Kind::Requester`]. Whenever no request is open, `requested` is the sum of all
    /// other values except `late`.
    RequesterValue of Requester {
        /// Requests.
        Requested = "requested",
        /// Requests with a reply.
        Replied = "replied",
        /// Requests that ended because no service answers them any more.
        Gone = "gone",
        /// Requests for which the mailbox had no room.
        Refused = "refused",
        /// Requests without a reply in time.
        Deadline = "deadline",
        /// Requests whose service failed.
        HandlerFailed = "handler_failed",
        /// Requests whose node was not connected.
        Unreachable = "unreachable",
        /// Requests that were refused because the node shuts down.
        ShuttingDown = "shutting_down",
        /// Requests that their requester no longer waited for.
        Cancelled = "cancelled",
        /// Replies that came after the requester had stopped waiting.
        Late = "late",
    }

    /// Values of a [`Kind::Responder`]. Whenever the service holds no request, `taken` is the sum
    /// of `replied` and `failed`.
    ResponderValue of Responder {
        /// Requests that the service took.
        Taken = "taken",
        /// Replies, including late ones.
        Replied = "replied",
        /// Requests that the service dropped without a reply.
        Failed = "failed",
        /// Requests that were cancelled before the service took them.
        Cancelled = "cancelled",
        /// Replies that came after the requester had stopped waiting.
        Late = "late",
    }

    /// Values of a [`Kind::Legacy`]. Whenever no message waits for a client, the sum of `sent` and
    /// `dropped` is the number of messages for clients, counted once for each client.
    LegacyValue of Legacy {
        /// Clients that connected.
        Connections = "connections",
        /// Clients that were rejected.
        Rejected = "rejected",
        /// Connections that ended with an error.
        Errors = "errors",
        /// Messages of clients that were published.
        Received = "received",
        /// Frames of clients whose type has no topic.
        Unknown = "unknown",
        /// Frames of clients whose payload could not be decoded.
        Invalid = "invalid",
        /// Messages of clients that the topic refused.
        Refused = "refused",
        /// Frames that were written to clients.
        Sent = "sent",
        /// Frames that a client did not get, because its queue was full, or it left first.
        Dropped = "dropped",
        /// Messages that could not be sent to any client: gaps, and payloads that are too long.
        Missed = "missed",
        /// Clients that were disconnected to make room for others, before they had sent a whole
        /// frame.
        Evicted = "evicted",
    }

    /// Values of a [`Kind::Exporter`]. When the exporter has ended, the sum of `exported` and all
    /// `dropped` values is the number of spans that were recorded until then.
    ExporterValue of Exporter {
        /// Spans that the collector took.
        Exported = "exported",
        /// Spans that were dropped because the queue was full.
        DroppedFull = "dropped_full",
        /// Spans that were dropped because the collector failed, or could not be reached in time.
        DroppedFailed = "dropped_failed",
        /// Spans that the collector refused.
        DroppedRefused = "dropped_refused",
        /// Batches of spans that the collector took.
        Batches = "batches",
        /// Requests that failed, or whose answer was an error.
        Errors = "errors",
    }

    /// Values of a [`Kind::Pusher`]. Each push is counted once, when it ends.
    PusherValue of Pusher {
        /// Pushes that the collector took.
        Taken = "taken",
        /// Pushes that ended early because the collector failed, or could not be reached in time.
        Failed = "failed",
        /// Pushes of which the collector refused a part.
        Refused = "refused",
        /// Data points that the collector took.
        Points = "points",
        /// Data points that the collector refused.
        PointsRefused = "points_refused",
    }

    /// Values of a [`Kind::Actor`]. The sum of `handled`, `dead_letters` and `unseen` is the number
    /// of messages that were sent to actors and are no longer in a mailbox.
    ActorValue of Actor {
        /// Actors that were spawned.
        Spawned = "spawned",
        /// Actors that have ended.
        Ended = "ended",
        /// Messages that were given to a handler.
        Handled = "handled",
        /// Messages that no handler got because their actor had ended.
        DeadLetters = "dead_letters",
        /// Messages that were lost without a report: the mailbox's only sender sent them while the
        /// actor ended.
        Unseen = "unseen",
        /// Messages that a full mailbox refused or dropped.
        Refused = "refused",
        /// Runs that ended with an error.
        Errors = "errors",
        /// Runs that panicked, and values that did when they were dropped.
        Panics = "panics",
        /// Restarts.
        Restarts = "restarts",
        /// Actors that ended because they failed too often.
        Failed = "failed",
    }

    /// Values of a [`Kind::Node`].
    NodeValue of Node {
        /// The number of the node's process, in the namespace of that process.
        Pid = "pid",
        /// The time of the node's start, in seconds since 1970 by the clock of its host.
        StartedSeconds = "started_seconds",
        /// The node's health: 0 starting, 1 ready, 2 degraded, 3 backing off, 4 stopped.
        State = "state",
    }

    /// Values of a [`Kind::Counter`].
    CounterValue of Counter {
        /// The number.
        Count = "count",
    }

    /// Values of a [`Kind::Gauge`].
    GaugeValue of Gauge {
        /// The value: an `i64` as its two's complement.
        Value = "value",
    }

    /// Values of a [`Kind::Histogram`], whose buckets have lines of their own.
    HistogramValue of Histogram {
        /// Recorded values.
        Count = "count",
        /// The sum of all recorded values. It wraps.
        Sum = "sum",
        /// The least recorded value; 0 if there is none.
        Least = "least",
        /// The greatest recorded value.
        Most = "most",
    }

    /// Values of a [`Kind::Latency`], in nanoseconds, whose buckets have lines of their own.
    LatencyValue of Latency {
        /// Measured messages.
        Count = "count",
        /// The sum of the latencies of all measured messages. It wraps.
        Sum = "sum",
        /// The least latency; 0 if there is none.
        Least = "least",
        /// The greatest latency.
        Most = "most",
        /// Messages whose send time is after their receive time, by the clocks of the two sides.
        Ahead = "ahead",
    }
}

/// A value of a [`Kind::Buckets`]: a bucket, counted from the first one of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketValue(u8);

impl BucketValue {
    pub(super) const NAMES: &[&str; VALUES] =
        &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];

    /// Returns the bucket with this number, modulo the buckets of a line.
    #[must_use]
    pub fn new(number: usize) -> BucketValue {
        BucketValue((number % VALUES) as u8)
    }
}

impl Value for BucketValue {
    const KIND: Kind = Kind::Buckets;

    #[inline]
    fn index(self) -> usize {
        self.0.into()
    }
}
