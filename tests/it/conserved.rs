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
