//! A service that answers requests, and a service that makes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use futures_util::future::join_all;
use mycelium::requests::{Asked, RequestError};
use mycelium::{Context, Result, message, service};

#[message(topic = "doubles", id = 40, reply = Double)]
#[derive(Debug, PartialEq)]
pub(crate) struct Ask {
    pub(crate) value: u64,
    /// A small field, so that the call of a request has padding.
    small: u8,
    _pad: [u8; 7],
}

#[message(topic = "doubled", id = 41)]
#[derive(Debug, PartialEq)]
pub(crate) struct Double {
    pub(crate) value: u64,
    kind: Sort,
    _pad: [u8; 7],
}

/// An enum without a variant of zero, so a reply of zeros would be invalid.
#[message]
#[derive(Debug, PartialEq)]
#[repr(u8)]
pub(crate) enum Sort {
    Even = 1,
    Odd = 2,
}

pub(crate) fn ask(value: u64) -> Ask {
    Ask { value, small: 7, _pad: [0; 7] }
}

pub(crate) fn double(value: u64) -> Double {
    let kind = if value.is_multiple_of(2) { Sort::Even } else { Sort::Odd };
    Double { value: 2 * value, kind, _pad: [0; 7] }
}

/// Values for which an `Answerer` fails, keeps the request, or answers in another way.
pub(crate) const FAIL: u64 = 1 << 32;
pub(crate) const KEEP: u64 = FAIL + 1;
pub(crate) const END: u64 = FAIL + 2;
pub(crate) const PANIC: u64 = FAIL + 3;
pub(crate) const DROP: u64 = FAIL + 4;

/// Answers each request at once, unless its value says otherwise.
pub(crate) struct Answerer(pub(crate) Arc<AtomicU64>);

#[service(answers(Ask))]
impl Answerer {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut requests = ctx.requests::<Ask>();
        let mut kept = Vec::<Asked<Ask>>::new();
        while let Some(asked) = requests.recv().await {
            self.0.fetch_add(1, Ordering::Relaxed);
            assert_eq!(asked.small, 7);
            match asked.value {
                FAIL => return Err(std::io::Error::other("told to fail").into()),
                KEEP => kept.push(asked),
                END => return Ok(()),
                PANIC => panic!("told to panic"),
                DROP => drop(asked),
                value => _ = asked.reply(double(value)),
            }
        }
        Ok(())
    }
}

/// Requests all values, at most `open` at a time, and sends the outcomes to the test.
pub(crate) struct Caller {
    pub(crate) values: Vec<u64>,
    pub(crate) open: usize,
    pub(crate) within: Duration,
    pub(crate) sent: Sender<(u64, Result<Double, RequestError<Ask>>)>,
}

#[service(requests(Ask))]
impl Caller {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for values in self.values.chunks(self.open) {
            let requests = values.iter().map(|value| ctx.request(ask(*value)).within(self.within));
            let replies = join_all(requests.collect::<Vec<_>>()).await;
            for outcome in values.iter().copied().zip(replies) {
                self.sent.send(outcome)?;
            }
        }
        Ok(())
    }
}
