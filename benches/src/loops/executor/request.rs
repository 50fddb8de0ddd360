//! Requests and replies between two tasks on one thread: one at a time, or many open at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mycelium::{Context, Node, Result};
use mycelium_core::message;

use super::handler::checked;
use super::host::Runtime;
use super::services::FITS;
use crate::harness::Column;
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
    count: usize,
    open: usize,
    outcome: Arc<Mutex<Option<(Tally, Duration)>>>,
}

#[mycelium::service(requests(Question))]
impl Asker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut tally, start) = (Tally::default(), Instant::now());
        if self.open == 1 {
            for number in 0..self.count as u64 {
                ctx.request(Question { number }).await?.number.add(&mut tally);
            }
        } else {
            for first in (0..self.count as u64).step_by(self.open) {
                let numbers = first..(first + self.open as u64).min(self.count as u64);
                let replies = numbers.map(|number| ctx.request(Question { number }));
                for reply in join_all(replies).await {
                    reply?.number.add(&mut tally);
                }
            }
        }
        let outcome = (tally, start.elapsed());
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
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

/// Two services of a node.
pub(crate) fn services(name: &'static str, on: Runtime, open: usize) -> Column {
    Column::new(name, move |count| {
        let outcome = Arc::new(Mutex::new(None));
        let asker = outcome.clone();
        let node = Node::builder("bench")
            .service(|| Answerer)
            .service(move || Asker { count, open, outcome: asker.clone() })
            .build()
            .expect(FITS);
        on.run_node(name, node)?;
        let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        checked(name, count, outcome)
    })
}
