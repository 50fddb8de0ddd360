//! Reads the records of all starts of all members into the form that the checker needs.

use std::path::Path;

use super::checker::{Read, Sent};
use super::launch::STREAMS;
use super::lives::Starts;
use super::marks::{self, Role};
use super::records::{Record, file, read};

/// Checks that each start of the processor has emitted one result for each order.
pub(crate) fn check_processors(place: &Path, starts: &Starts) {
    for (life, start) in (0..).zip(&starts["processor"]) {
        let of = |topic| read(&file(place, "processor", life, topic), 0).into_iter();
        let orders = of("orders").filter(|record| matches!(record, Record::Got { .. })).count();
        let results = of("results").filter(|record| matches!(record, Record::Sent(_))).count();
        let in_flight = usize::from(start.life.killed);
        assert!(
            (results..=results + in_flight).contains(&orders),
            "processor {life} made {results} results of {orders} orders"
        );
    }
}

/// Returns the records of all starts of all members.
pub(crate) fn of(place: &Path, starts: &Starts) -> (Vec<Sent>, Vec<Read>) {
    let (mut sent, mut received): (Vec<Sent>, Vec<Read>) = (Vec::new(), Vec::new());
    for (publisher, topic, reader, promise) in STREAMS {
        for (life, start) in (0..).zip(&starts[publisher]) {
            if sent.iter().any(|sent| (sent.topic, sent.life) == (topic, life)) {
                continue;
            }
            let records = read(&file(place, publisher, life, topic), 0);
            let done = records.last() == Some(&Record::End);
            assert!(done || start.life.killed, "{publisher} {life} has not ended well");
            // A process that was killed early has no records.
            let Some(Record::Epoch(epoch)) = records.first().copied() else { continue };
            let is_emit = |record: &&Record| matches!(record, Record::Sent(_));
            let count = records.iter().filter(is_emit).count() as u64;
            let path = marks::file(place, publisher, life, topic, Role::Publisher);
            let confirmed = marks::read(&path).confirmed;
            sent.push(Sent { topic, life, span: start.life, epoch, count, confirmed });
        }
        for (life, start) in (0..).zip(&starts[reader]) {
            let records = read(&file(place, reader, life, topic), 0);
            let done = records.contains(&Record::End);
            assert!(done || start.life.killed, "{reader} {life} has not read {topic} to its end");
            let confirmed = start.confirmed.iter().filter(|known| known.0 == topic);
            let confirmed = confirmed.map(|(_, life, before)| (*life, *before)).collect();
            let span = start.life;
            received.push(Read { topic, reader, life, span, promise, done, records, confirmed });
        }
    }
    (sent, received)
}
