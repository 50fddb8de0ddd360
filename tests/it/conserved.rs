//! Conservation: each message that was sent is counted once at each reader.

use mycelium::counters::{Kind, Reading};

/// For each publisher and subscription: all messages that were sent since it joined were taken or
/// dropped. This holds when the node has ended and all rings are empty.
pub(crate) fn conserved(counters: &[Reading]) {
    let feeds = counters.iter().filter(|line| line.kind == Kind::Edge);
    for feed in feeds {
        let sent = counters
            .iter()
            .find(|line| {
                line.kind == Kind::Publisher
                    && line.label("publisher") == feed.label("publisher")
                    && line.label("epoch") == feed.label("epoch")
                    && line.label("topic") == feed.label("topic")
            })
            .unwrap()
            .value("sent");
        assert_eq!(sent - feed.value("joined_at"), accounted(feed), "{}", feed.label);
    }
}

/// How many messages a reader, at its line for a publisher, has taken or lost.
pub(crate) fn accounted(feed: &Reading) -> u64 {
    ["taken", "overwritten", "skipped", "dropped", "sampled", "dead_lettered", "left"]
        .map(|value| feed.value(value))
        .iter()
        .sum()
}

/// Each request has one outcome, and so has each that was taken.
#[cfg(feature = "signals")]
pub(crate) fn requests(counters: &[Reading]) {
    let outcomes = [
        "replied",
        "gone",
        "refused",
        "deadline",
        "handler_failed",
        "unreachable",
        "shutting_down",
        "cancelled",
    ];
    for line in counters.iter().filter(|line| line.kind == Kind::Requester) {
        let sum: u64 = outcomes.iter().map(|name| line.value(name)).sum();
        assert_eq!(line.value("requested"), sum, "{line:?}");
    }
    for line in counters.iter().filter(|line| line.kind == Kind::Responder) {
        assert_eq!(line.value("taken"), line.value("replied") + line.value("failed"), "{line:?}");
    }
}
