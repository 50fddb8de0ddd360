//! Services that stall, and whose topic evicts them: in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mycelium::counters::Kind;
use mycelium::{
    BuildError, Context, Delivery, Event, GapReason, Node, OnStall, Result, Topology, message,
    service,
};

use super::services::{conserved, run};

#[message(topic = "tones", id = 33)]
#[derive(Debug, PartialEq)]
struct Tone {
    number: u64,
}

const TONES: u64 = 100;

/// Emits the first half as fast as it can, and then one message a second.
struct Organ;

#[service(emits(Tone))]
impl Organ {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let tones = |numbers: std::ops::Range<u64>| numbers.map(|number| Tone { number });
        for tone in tones(0..20) {
            // Shorter than the time of an eviction: it ends by several deadlines.
            while ctx.emit(tone).within(Duration::from_secs(2)).await.is_err() {}
        }
        ctx.emit_batch(&tones(20..40).collect::<Vec<_>>()).await?;
        for tone in tones(40..TONES) {
            if tone.number >= TONES / 2 {
                ctx.sleep(Duration::from_secs(1)).await?;
            }
            ctx.emit(tone).await?;
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

#[service(reads(Tone))]
impl Stalls {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut tones = ctx.subscribe::<Tone>()?;
        while let Some(delivery) = tones.recv().await {
            match delivery {
                Delivery::Msg(tone) => {
                    if tone.number == 0 {
                        ctx.sleep(Duration::from_millis(30_500)).await?;
                    }
                    self.0.lock().unwrap().numbers.push(tone.number);
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
    let text = "[topic.tones]\ncapacity = 16\non_stall = { evict_after = \"5s\" }";
    let readers = got.clone();
    let builder = Node::builder("main")
        .topology(Topology::parse("test.toml", text).unwrap())
        // The file takes precedence.
        .on_stall("tones", OnStall::Block)
        .service(|| Organ)
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
    let expected: Vec<u64> = std::iter::once(0).chain(59..TONES).collect();
    assert_eq!(got.numbers, expected);
    assert_eq!(*events.lock().unwrap(), ["Organ tones Stalls 5s"]);
    conserved(&report.counters);
    let line = report.counters.iter().find(|line| line.kind == Kind::Edge).unwrap();
    assert_eq!((line.value("evicted"), line.value("overwritten")), (1, 58));
}

#[test]
fn rules_of_the_program_are_checked() {
    let problem = |topic: &str, seconds| {
        let rule = OnStall::EvictAfter(Duration::from_secs(seconds));
        match Node::builder("main").service(|| Organ).on_stall(topic, rule).build() {
            Err(error @ BuildError::OnStall { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        problem("tone", 5),
        "`Builder::on_stall` of topic `tone`: unknown topic: did you mean `tones`? \
         (expected one of: tones) [M0013]"
    );
    assert_eq!(
        problem("tones", 0),
        "`Builder::on_stall` of topic `tones`: invalid time: expected more than 0 s [M0013]"
    );
}
