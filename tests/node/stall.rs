//! Services that stall, and whose topic lets go of them: in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mycelium::counters::Kind;
use mycelium::{
    BuildError, Context, Delivery, Event, GapReason, Node, OnStall, Result, Topology, message,
    service,
};

use super::services::{conserved, run};

#[message(topic = "beats", id = 33)]
#[derive(Debug, PartialEq)]
struct Beat {
    number: u64,
}

const BEATS: u64 = 100;

/// Emits the first half as fast as it can, and then one message a second.
struct Heart;

#[service(emits(Beat))]
impl Heart {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let beats = |numbers: std::ops::Range<u64>| numbers.map(|number| Beat { number });
        for beat in beats(0..20) {
            // Shorter than the time of an eviction: it ends by several deadlines.
            while ctx.emit(beat).within(Duration::from_secs(2)).await.is_err() {}
        }
        ctx.emit_batch(&beats(20..40).collect::<Vec<_>>()).await?;
        for beat in beats(40..BEATS) {
            if beat.number >= BEATS / 2 {
                ctx.sleep(Duration::from_secs(1)).await?;
            }
            ctx.emit(beat).await?;
        }
        Ok(())
    }
}

/// The numbers that a reader got, and how many it missed.
#[derive(Default)]
struct Got {
    numbers: Vec<u64>,
    missed: Vec<u64>,
}

/// Stalls with its first message in flight.
struct Stalls(Arc<Mutex<Got>>);

#[service(reads(Beat))]
impl Stalls {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut beats = ctx.subscribe::<Beat>()?;
        while let Some(delivery) = beats.recv().await {
            match delivery {
                Delivery::Msg(beat) => {
                    if beat.number == 0 {
                        ctx.sleep(Duration::from_millis(30_500)).await?;
                    }
                    self.0.lock().unwrap().numbers.push(beat.number);
                }
                Delivery::Gap(gap) => {
                    assert!(gap.exact && gap.reason == GapReason::Evicted, "{gap}");
                    self.0.lock().unwrap().missed.push(gap.count);
                }
            }
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stalls_is_evicted_and_recovers() {
    let (got, events) = (Arc::new(Mutex::new(Got::default())), Arc::default());
    let observed: Arc<Mutex<Vec<String>>> = Arc::clone(&events);
    let text = "[topic.beats]\ncapacity = 16\non_stall = { evict_after = \"5s\" }";
    let readers = got.clone();
    let builder = Node::builder("main")
        .topology(Topology::parse("test.toml", text).unwrap())
        // The file takes precedence.
        .on_stall("beats", OnStall::Block)
        .service(|| Heart)
        .service(move || Stalls(readers.clone()))
        .observe(move |event| {
            if let Event::ReaderEvicted { service, topic, reader, stalled } = event {
                let event = format!("{service} {topic} {reader} {stalled:?}");
                observed.lock().unwrap().push(event);
            }
        });
    let report = run(builder).await;
    let got = got.lock().unwrap();
    // After 30 s, the first half and 25 more were emitted; the ring has the last 16 of them.
    assert_eq!(got.missed, [75 - 16 - 1]);
    let expected: Vec<u64> = std::iter::once(0).chain(59..BEATS).collect();
    assert_eq!(got.numbers, expected);
    assert_eq!(*events.lock().unwrap(), ["Heart beats Stalls 5s"]);
    conserved(&report.counters);
    let line = report.counters.iter().find(|line| line.kind == Kind::Edge).unwrap();
    assert_eq!((line.value("evicted"), line.value("overwritten")), (1, 58));
}

/// Without `on_stall`, it is waited for.
#[tokio::test(start_paused = true)]
async fn a_service_that_stalls_is_waited_for_by_default() {
    let got = Arc::new(Mutex::new(Got::default()));
    let readers = got.clone();
    let text = "[topic.beats]\ncapacity = 16\non_stall = \"block\"";
    let builder = Node::builder("main")
        .topology(Topology::parse("test.toml", text).unwrap())
        .on_stall("beats", OnStall::EvictAfter(Duration::from_secs(1)))
        .service(|| Heart)
        .service(move || Stalls(readers.clone()));
    let report = run(builder).await;
    let got = got.lock().unwrap();
    assert_eq!((got.missed.len(), got.numbers.len() as u64), (0, BEATS));
    conserved(&report.counters);
}

#[test]
fn rules_of_the_program_are_checked() {
    let problem = |topic: &str, seconds| {
        let rule = OnStall::EvictAfter(Duration::from_secs(seconds));
        match Node::builder("main").service(|| Heart).on_stall(topic, rule).build() {
            Err(error @ BuildError::OnStall { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        problem("beat", 5),
        "`Builder::on_stall` of topic `beat`: unknown topic: did you mean `beats`? \
         (expected one of: beats)"
    );
    assert_eq!(
        problem("beats", 0),
        "`Builder::on_stall` of topic `beats`: invalid time: expected more than 0 s"
    );
}
