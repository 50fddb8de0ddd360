//! Requests and replies between two tasks on one thread: one at a time, or many open at once.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use mycelium::{Context, Node, Result};
use mycelium_core::message;

use super::host::Runtime;
use super::services::{FITS, Task};
use crate::harness::{Column, Round};
use crate::sample::{Item, Tally};

#[message(topic = "questions", id = 13, reply = Reply)]
struct Question {
    number: u64,
}

#[message(topic = "replies", id = 14)]
struct Reply {
    number: u64,
}

/// Requests each number, and stores the outcome.
struct Asker {
    task: Arc<Task>,
    open: usize,
}

#[mycelium::service(requests(Question))]
impl Asker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (count, start) = (self.task.operations, Instant::now());
        let mut tally = Tally::default();
        for first in (0..count as u64).step_by(self.open) {
            let numbers = first..(first + self.open as u64).min(count as u64);
            if self.open == 1 {
                ctx.request(Question { number: first }).await?.number.add(&mut tally);
                continue;
            }
            let replies = numbers.map(|number| ctx.request(Question { number }));
            for reply in join_all(replies).await {
                reply?.number.add(&mut tally);
            }
        }
        let took = start.elapsed();
        self.task.note(|found| (found.tally, found.took) = (tally, took));
        Ok(())
    }
}

struct Answerer;

#[mycelium::service(answers(Question))]
impl Answerer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut questions = ctx.requests::<Question>();
        while let Some(question) = questions.recv().await {
            question.reply_with(|question| Reply { number: question.number });
        }
        Ok(())
    }
}

/// Creates a column of two services of a node: one requests, the other one replies.
pub(crate) fn services(name: &'static str, on: Runtime, open: usize) -> Column {
    Column::new(name, move |count| {
        let task = Task::of(count);
        let asker = task.clone();
        let node = Node::builder("bench")
            .service(|| Answerer)
            .service(move || Asker { task: asker.clone(), open })
            .build()
            .expect(FITS);
        on.run_node(name, node)?;
        task.checked(name).map(|found| Round::Total(found.took))
    })
}
