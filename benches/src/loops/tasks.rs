//! Tasks that await each other: the loops over awaited channels, and two tasks on one thread that
//! sleep until the other one sends.

use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use crate::ends::{Ends, Receive, Transmit};
use crate::harness::{Column, Mismatch, Round};
use crate::sample::{Item, Tally};

/// Sends each number after the previous one was returned.
pub(super) async fn ask<P: Transmit, Q: Receive>(
    sender: &mut P,
    receiver: &mut Q,
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
pub(super) async fn answer<P: Transmit, Q: Receive>(
    receiver: &mut Q,
    sender: &mut P,
    trips: usize,
) {
    for _ in 0..trips {
        let Some(number) = receiver.receive().await else { break };
        if !sender.transmit(number).await {
            break;
        }
    }
}

/// A column with a channel in each direction, and its own runtime.
pub(crate) fn parked<P: Transmit, Q: Receive>(ends: impl Fn() -> Ends<P, Q>) -> Column {
    let (there, back) = (ends(), ends());
    let name = there.name;
    let runtime = Builder::new_current_thread().build().expect("it needs no system resource");
    // The ends of the asking and of the answering task, which return them after each round.
    let mut tasks = Some([(there.sender, back.receiver), (back.sender, there.receiver)]);
    Column::new(name, move |operations| {
        let [mut asking, mut answering] = tasks.take().expect("the last round returned them");
        let joined = runtime.block_on(async {
            // The answering task is spawned first, so that it sleeps when the other one starts.
            let answers = tokio::spawn(async move {
                answer(&mut answering.1, &mut answering.0, operations).await;
                answering
            });
            let asks = tokio::spawn(async move {
                let asked = ask(&mut asking.0, &mut asking.1, operations).await;
                (asking, asked)
            });
            (asks.await, answers.await)
        });
        let (Ok((asking, (tally, took))), Ok(answering)) = joined else {
            return Err(Mismatch::new(name, "a task panicked"));
        };
        tasks = Some([asking, answering]);
        Mismatch::check(name, u64::expected(operations), tally)?;
        Ok(Round::Total(took))
    })
}
