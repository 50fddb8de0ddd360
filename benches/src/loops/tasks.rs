//! Two tasks on one thread, both asleep until the other one sends: a number there and back.

use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::ends::{Ends, Receive, Transmit};
use crate::harness::{Column, Mismatch};
use crate::item::Item;
use crate::sample::Tally;

/// A column with a way there and one back, and a runtime of its own.
pub(crate) struct Parked<P, Q> {
    name: &'static str,
    runtime: Runtime,
    /// What each of the two tasks holds; the tasks of a round take them and give them back.
    tasks: Option<[(P, Q); 2]>,
}

impl<P: Transmit, Q: Receive> Parked<P, Q> {
    pub(crate) fn new(ends: impl Fn() -> Ends<P, Q>) -> Parked<P, Q> {
        let (there, back) = (ends(), ends());
        let runtime = Builder::new_current_thread().build().expect("it needs no system resource");
        Parked {
            name: there.name,
            runtime,
            tasks: Some([(there.sender, back.receiver), (back.sender, there.receiver)]),
        }
    }
}

async fn ask<P: Transmit, Q: Receive>(
    mut sender: P,
    mut receiver: Q,
    trips: usize,
) -> ((P, Q), Tally, Duration) {
    let mut tally = Tally::default();
    let start = Instant::now();
    for number in 0..trips as u64 {
        if !sender.transmit(number).await {
            break;
        }
        let Some(answer) = receiver.receive().await else { break };
        answer.add(&mut tally);
    }
    ((sender, receiver), tally, start.elapsed())
}

async fn answer<P: Transmit, Q: Receive>(mut sender: P, mut receiver: Q, trips: usize) -> (P, Q) {
    for _ in 0..trips {
        let Some(number) = receiver.receive().await else { break };
        if !sender.transmit(number).await {
            break;
        }
    }
    (sender, receiver)
}

impl<P: Transmit, Q: Receive> Column for Parked<P, Q> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn round(&mut self, operations: usize) -> Result<Duration, Mismatch> {
        let [(there, back), (answers, questions)] =
            self.tasks.take().expect("the round before gave them back");
        let joined = self.runtime.block_on(async {
            // The one that answers first, so that it sleeps when the other one begins.
            let answering = tokio::spawn(answer(answers, questions, operations));
            let asking = tokio::spawn(ask(there, back, operations));
            (asking.await, answering.await)
        });
        let (Ok((asking, tally, took)), Ok(answering)) = joined else {
            return Err(Mismatch::new(self.name, "a task panicked"));
        };
        self.tasks = Some([asking, answering]);
        Mismatch::check(self.name, u64::expected(operations), tally)?;
        Ok(took)
    }
}
