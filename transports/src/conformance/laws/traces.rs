//! Law of traces: each message has its own trace.

use futures_util::FutureExt;

use crate::conformance::{Pair, Spans, Subscribe, TestTransport, emit_all, number, rounds};
use crate::local::Policy;

/// A message has the trace with which it was sent if the trace is in the sample, and no trace
/// otherwise. This holds after a disturbance, too, and for single messages and batches.
pub async fn messages_keep_their_traces<T: TestTransport>(pair: Pair) {
    let count = rounds(200);
    let (tracer, begun) = Spans::half();
    tracer.set_executor(pair.publishers.clone());
    let pair = Pair { tracer: Some(tracer), ..pair };
    let (transport, mut subscription, handle) = T::joined(&pair, 64, Policy::Block).await;
    let publisher = pair.publish(emit_all(handle, 0, 0..count).map(drop));
    let mut received = Vec::new();
    for expected in 0..count {
        if expected == count / 2 {
            transport.disturb();
        }
        let delivery = pair.within("a message", subscription.recv()).await;
        assert_eq!(number(delivery), expected, "in order");
        received.push(subscription.trace());
    }
    pair.join("the publisher ends", publisher).await;
    let begun = begun.take();
    for (number, trace) in received.into_iter().enumerate() {
        let sent = begun.iter().find(|span| span.sequence == number as u64);
        assert_eq!(trace, sent.map(|span| span.context), "the trace of message {number}");
    }
}
