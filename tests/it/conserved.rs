//! Checks of conservation: each message that was sent is counted once for each reader.

use mycelium::counters::{Kind, Reading};

/// Checks, for each publisher and subscription, that all messages since the subscription joined are
/// accounted for. This holds when the node has ended and all rings are empty.
pub(crate) fn conserved(counters: &[Reading]) {
    for feed in counters.iter().filter(|line| line.kind == Kind::Edge) {
        assert_eq!(sent_to(counters, feed), accounted(feed), "{}", feed.label);
    }
}

/// Returns how many messages the publisher of an edge has sent since the reader joined.
pub(crate) fn sent_to(counters: &[Reading], feed: &Reading) -> u64 {
    let mut publishers = counters.iter().filter(|line| line.kind == Kind::Publisher);
    let same = |line: &&Reading| {
        ["topic", "publisher", "epoch"].iter().all(|key| line.label(key) == feed.label(key))
    };
    publishers.find(same).unwrap().value("sent") - feed.value("joined_at")
}

/// Returns how many messages of an edge the reader has taken or lost.
pub(crate) fn accounted(feed: &Reading) -> u64 {
    ["taken", "overwritten", "skipped", "dropped", "sampled", "dead_lettered", "left"]
        .map(|value| feed.value(value))
        .iter()
        .sum()
}

/// Checks that each request has one outcome, and each taken request, too.
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
