//! Services that fail: the message in flight is redelivered, and becomes a dead letter if it fails
//! each time. A service that fails too often ends the node.

use std::collections::BTreeSet;
use std::sync::mpsc::{Sender, channel};

use mycelium::subscribe::Received;
use mycelium::supervision::Kept;
use mycelium::{Context, Delivery, Error, Node, Result, Subscription, message, service};
use mycelium_core::decode;

use crate::node::services::{
    Number, Source, conserved, patient, pipeline, run, squares, undertaker,
};

#[tokio::test]
async fn after_errors_and_panics_the_message_in_flight_is_redelivered() {
    const POINTS: &[(u64, bool)] = &[(0, false), (7, true), (100, false), (499, true)];
    let faults: [fn() -> Result<()>; 2] = [|| Err(Error::msg("injected")), || panic!("injected")];
    for (fault, counter) in faults.into_iter().zip(["errors", "panics"]) {
        let (builder, received) = pipeline(500, at(POINTS, fault));
        let report = run(builder).await;
        let mut values: Vec<_> = received.iter().collect();
        assert_eq!(values.len(), 502, "a fault after the emit repeats it: at least once");
        values.dedup();
        assert_eq!(values, squares(500));
        let squarer = report.services.iter().find(|service| service.name == "Squarer").unwrap();
        let faults = if counter == "errors" { squarer.errors } else { squarer.panics };
        assert_eq!((squarer.starts, faults), (5, 4));
        conserved(&report.counters);
    }
}

/// Returns a function that fails once at each of these messages.
fn at(
    points: &'static [(u64, bool)],
    fail: fn() -> Result<()>,
) -> impl FnMut(&Received<Number>, bool) -> Result<()> + Send + Clone {
    let done = Kept::new(BTreeSet::new());
    move |number, after| {
        let point = (number.value, after);
        if !points.contains(&point) || !done.commit(|done| done.insert(point)) {
            return Ok(());
        }
        assert!(!number.redelivered() || after);
        fail()
    }
}

#[tokio::test]
async fn a_message_that_always_fails_becomes_a_dead_letter_and_the_rest_arrives() {
    let (sender, letters) = channel();
    let (builder, received) = pipeline(10, |number, _| match number.value {
        4 => Err(Error::msg("cannot square this")),
        _ => Ok(()),
    });
    let report = run(builder.service(move || undertaker(&sender))).await;
    let expected: Vec<_> = squares(10).into_iter().filter(|value| *value != 16).collect();
    assert_eq!(received.iter().collect::<Vec<_>>(), expected);
    let letter = letters.recv().unwrap();
    assert_eq!((letter.topic.as_str(), letter.sequence, letter.type_id), ("numbers", 4, 1));
    assert_eq!((letter.reader.as_str(), letter.publisher.as_str()), ("Squarer", "Source"));
    assert_eq!(letter.payload, 4u64.to_le_bytes());
    assert!(letters.try_recv().is_err(), "one letter");
    conserved(&report.counters);
}

#[message(topic = "notes", id = 77, max = "3 MiB")]
struct Note {
    text: String,
}

/// Emits a note of each of these lengths.
struct Author(&'static [usize]);

#[service(emits(Note))]
impl Author {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for length in self.0 {
            ctx.emit(Note { text: "t".repeat(*length) }).await?;
        }
        Ok(())
    }
}

/// Fails at each note.
struct Critic;

#[service(reads(Note))]
impl Critic {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut notes = ctx.subscribe::<Note>()?;
        match notes.recv().await {
            Some(Delivery::Msg(_)) => Err(Error::msg("no")),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_dead_letter_has_the_whole_message() {
    let (sender, letters) = channel();
    let builder = Node::builder("main")
        .topology(patient(&["Critic"]))
        .service(|| Author(&[3, 2_000, 1_000_000, 2_500_000]))
        .service(|| Critic)
        .service(move || undertaker(&sender));
    run(builder).await;
    let letters: Vec<_> = letters.iter().collect();
    let lengths: Vec<_> =
        letters.iter().map(|letter| (letter.length, letter.payload.len())).collect();
    // The body begins behind its place and its length; one that is too long is truncated.
    assert_eq!(lengths[..3], [11, 2_008, 1_000_008].map(|length| (length, length as usize)));
    assert_eq!(lengths[3], (2_500_008, (2 << 20) - 512));
    assert_eq!(decode::<Note>(&letters[2].payload).unwrap().text.len(), 1_000_000);
}

#[tokio::test]
async fn a_handle_that_outlives_its_run_loses_no_message_in_flight() {
    let all = [0, 1, 2, 3, 4, 5].map(|value| (value, value == 3));
    let without = all.iter().copied().filter(|(value, _)| *value != 3).collect::<Vec<_>>();
    for (failures, expected, dead) in [(1, &all[..], &[][..]), (2, &without[..], &[3][..])] {
        let ((sender, seen), (letters_to, letters)) = (channel(), channel());
        let builder = Node::builder("main")
            .topology(patient(&["Keeper"]))
            .service(|| Source::of(6))
            .service(move || Keeper { numbers: None, failures, seen: sender.clone() })
            .service(move || undertaker(&letters_to));
        let report = run(builder).await;
        assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
        assert_eq!(letters.iter().map(|letter| letter.sequence).collect::<Vec<_>>(), dead);
        conserved(&report.counters);
    }
}

/// Keeps its subscription across runs, and fails several times at one message.
struct Keeper {
    numbers: Option<Subscription<Number>>,
    failures: u32,
    seen: Sender<(u64, bool)>,
}

#[service(reads(Number))]
impl Keeper {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let numbers = match &mut self.numbers {
            Some(numbers) => numbers,
            none => none.insert(ctx.subscribe::<Number>()?),
        };
        while let Some(Delivery::Msg(number)) = numbers.recv().await {
            if number.value == 3 && self.failures > 0 {
                self.failures -= 1;
                return Err(Error::msg("with a message in flight"));
            }
            self.seen.send((number.value, number.redelivered()))?;
        }
        Ok(())
    }
}
