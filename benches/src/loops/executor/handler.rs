//! A message to a handler on the same thread. Busy: one message after the other while both sides
//! are awake. Parked: there and back, each side asleep until the other one sends.

use std::time::{Duration, Instant};

use super::host::{Runtime, both};
use super::services::{FITS, Task, stream, trips};
use crate::ends::{Ends, Receive, Transmit};
use crate::harness::{Column, Mismatch, Round};
use crate::sample::{Item, Tally};

/// Creates a column of the services of a node.
pub(crate) fn services(name: &'static str, on: Runtime, parked: bool) -> Column {
    Column::new(name, move |operations| {
        let task = Task::of(operations);
        let node = if parked { trips(false, &task).build().expect(FITS) } else { stream(&task) };
        on.run_node(name, node)?;
        task.checked(name).map(|found| Round::Total(found.took))
    })
}

/// Creates a column of a channel between two tasks.
pub(crate) fn channel<P: Transmit, Q: Receive>(
    ends: fn() -> Ends<P, Q>,
    on: Runtime,
    parked: bool,
) -> Column {
    let name = ends().name;
    Column::new(name, move |operations| {
        let (there, back) = (ends(), ends());
        let outcome = on.run(async move |executor| {
            if parked {
                let answers = answer(there.receiver, back.sender, operations);
                let asks = ask(there.sender, back.receiver, operations);
                both(&executor, answers, asks).await.map(|(_, asked)| asked)
            } else {
                let receives = receive(there.receiver, operations);
                let sent = both(&executor, receives, send(there.sender, operations)).await;
                sent.map(|((tally, end), start)| (tally, end - start))
            }
        });
        let (tally, took) = outcome.ok_or_else(|| Mismatch::new(name, "a task failed"))?;
        Mismatch::check(name, u64::expected(operations), tally)?;
        Ok(Round::Total(took))
    })
}

async fn send(mut sender: impl Transmit, count: usize) -> Instant {
    let start = Instant::now();
    for number in 0..count as u64 {
        if !sender.transmit(number).await {
            break;
        }
    }
    start
}

async fn receive(mut receiver: impl Receive, count: usize) -> (Tally, Instant) {
    let mut tally = Tally::default();
    while tally.count < count as u64
        && let Some(number) = receiver.receive().await
    {
        number.add(&mut tally);
    }
    (tally, Instant::now())
}

/// Sends each number after the previous one was returned.
async fn ask(
    mut sender: impl Transmit,
    mut receiver: impl Receive,
    trips: usize,
) -> (Tally, Duration) {
    let (mut tally, start) = (Tally::default(), Instant::now());
    for number in 0..trips as u64 {
        if !sender.transmit(number).await {
            break;
        }
        let Some(answer) = receiver.receive().await else { break };
        answer.add(&mut tally);
    }
    (tally, start.elapsed())
}

/// Returns this many numbers to their sender.
async fn answer(mut receiver: impl Receive, mut sender: impl Transmit, trips: usize) {
    for _ in 0..trips {
        let Some(number) = receiver.receive().await else { break };
        if !sender.transmit(number).await {
            break;
        }
    }
}
