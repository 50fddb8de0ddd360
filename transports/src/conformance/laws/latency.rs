//! Law of latencies: a measured message shows the time from its emit to its receive.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use mycelium_executor::{Executor, PausedTime};

use crate::conformance::{NoTasks, Pair, Publish, Subscribe, TestTransport, number, probe};
use crate::local::Policy;

/// Each measured message shows its latency: the time from its emit to its receive, by a calendar
/// that both sides share. This holds after a disturbance, too.
pub async fn a_measured_message_shows_how_long_it_took<T: TestTransport>(pair: Pair) {
    const MS: Duration = Duration::from_millis(1);
    let count = 16;
    // The executors of both sides use the calendar of this law.
    let start = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let time = PausedTime::starting_at(NoTasks, start);
    let clock: Arc<dyn Executor> = Arc::new(time.clone());
    let pair = Pair { latency_sample: Some(1.0), clock: Some(clock), ..pair };
    let (transport, mut subscription, mut handle) = T::joined(&pair, 64, Policy::Block).await;
    let publisher = pair.publish(async move {
        for number in 0..count {
            handle.emit(probe(0, number)).await.expect("no reader rejects");
            time.advance(MS);
        }
        handle
    });
    // The publisher stays until the end, so that its node keeps running.
    let _handle = pair.join("the publisher has sent", publisher).await;
    for expected in 0..count {
        if expected == count / 2 {
            transport.disturb();
        }
        let delivery = pair.within("a message", subscription.recv()).await;
        assert_eq!(number(delivery), expected, "in order");
    }
    if !cfg!(feature = "metrics") {
        // Without the feature nothing is counted, so there is nothing to check.
        return;
    }
    let [latency] = &transport.latencies()[..] else {
        panic!("expected one reader: {:?}", transport.latencies())
    };
    assert_eq!((&*latency.topic, &*latency.reader), ("conformance", "reader"));
    let (found, ms) = (&latency.nanoseconds, MS.as_nanos() as u64);
    assert_eq!(found.count(), count, "each message is measured once");
    assert_eq!((found.least(), found.most()), (Some(ms), Some(count * ms)), "latencies");
    assert_eq!(found.sum(), (1..=count).sum::<u64>() * ms, "the sum of the latencies");
    assert_eq!(latency.ahead, 0);
}
