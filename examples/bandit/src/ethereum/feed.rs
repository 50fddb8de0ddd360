//! A recorded day, served like an Ethereum node. All connections share one position: the number of
//! logs that the chain has so far. It advances only while a client is subscribed, by one log at a
//! time, and a log exists once the position has passed it: `eth_getLogs` returns logs before the
//! position, `eth_blockNumber` the block of the last of them, and a subscription sends each log
//! from its position on.
//!
//! So a client cannot miss a log. It subscribes, waits for the answer, and then calls
//! `eth_getLogs` from the block of its last log, inclusive. The answer has every log that the
//! position had passed by then; the subscription sends every later one (and some of the earlier
//! ones again), and begins with them after this answer. A log written to a broken connection is
//! before the position, and so in the next backfill. A connection is closed once it was sent every
//! log. Its input is untrusted: at worst it ends this connection.

use std::{
    future::pending,
    num::NonZeroUsize,
    pin::pin,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_tungstenite::{
    WebSocketStream, accept_async_with_config,
    tungstenite::{
        Message, Result,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use clap::Args;
use futures_util::{
    SinkExt, StreamExt,
    future::{Either, select},
};
use mycelium::execution::Clock;
use mycelium_executor::Stream;

use crate::{
    ethereum::day::{Line, recorded},
    ethereum::pairs,
    ethereum::rpc::{Call, Filter, Range, Request, answer, notification},
    ethereum::session::END_OF_RECORDING,
};

/// The number of logs before the end of a dropped connection that are never sent to it.
const LOST_AT_DROP: usize = 3;
/// The logs of a fork.
const FORK: usize = 8;
/// The limit of a request.
const LARGEST_REQUEST: usize = 64 << 10;

/// Returns the recorded day, with or without the logs of [`pairs`].
pub fn day(with_pairs: bool) -> Vec<Line> {
    let day = recorded();
    if with_pairs { pairs::made_from(day) } else { day }
}

/// The settings of a feed. Without a speed it is as fast as possible. It drops the connection
/// abruptly at each multiple of a position, as networks do: the last logs before it are never sent
/// to the connection, and only a backfill has them.
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// Replay at the recorded speed times this factor; with 1440 a day takes a minute.
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    pub speed: Option<f64>,
    /// Drop the connection each time after this number of logs.
    #[arg(long, value_name = "LOGS")]
    pub drop_every: Option<NonZeroUsize>,
    /// Reorganise the chain each time after this number of logs: first it has some other logs.
    #[arg(long, value_name = "LOGS")]
    pub fork_every: Option<NonZeroUsize>,
}

fn factor(text: &str) -> std::result::Result<f64, String> {
    // A slower day would not end.
    let factor = text.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor >= 1e-3);
    factor.ok_or_else(|| "expected a number above 0.001".to_owned())
}

impl Settings {
    /// Whether the connection that moved the position here is dropped.
    fn drops_at(&self, position: usize) -> bool {
        self.drop_every.is_some_and(|every| position.is_multiple_of(every.get()))
    }

    /// Whether the chain first has other logs than those from this position on.
    fn forks_at(&self, position: usize) -> bool {
        position > 0 && self.fork_every.is_some_and(|every| position.is_multiple_of(every.get()))
    }

    /// Whether the log at this position is lost by a drop soon after.
    fn loses(&self, position: usize) -> bool {
        (position..position + LOST_AT_DROP).any(|position| self.drops_at(position))
    }
}

/// The node, shared by all connections.
#[derive(Debug)]
pub struct Feed {
    day: Vec<Line>,
    settings: Settings,
    position: AtomicUsize,
    /// The position of the last reorganisation.
    forked: AtomicUsize,
    /// When the first log was due.
    begin: OnceLock<Duration>,
}

impl Feed {
    /// A feed at the start of its day, with or without the logs of pairs.
    pub fn new(settings: Settings, with_pairs: bool) -> Self {
        let (position, forked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { day: day(with_pairs), settings, position, forked, begin: OnceLock::new() }
    }

    /// The logs that the chain has so far.
    fn chain(&self) -> &[Line] {
        &self.day[..self.position.load(Ordering::Acquire)]
    }

    /// The number of the newest block.
    fn block_number(&self) -> u64 {
        match self.chain().last() {
            Some(line) => line.log.block_number.to(),
            None => self.day[0].log.block_number.to::<u64>() - 1,
        }
    }

    /// When a log of the day is due.
    fn due(&self, index: usize, now: Duration) -> Option<Duration> {
        let time = |index: usize| self.day[index].log.block_timestamp.to::<u64>();
        let recorded = Duration::from_secs(time(index) - time(0));
        let begin = self.begin.get_or_init(|| now);
        self.settings.speed.map(|speed| *begin + recorded.div_f64(speed))
    }

    /// Serves one connection to its end.
    ///
    /// # Errors
    /// If the client or the network ends it.
    pub async fn serve(&self, stream: Stream, clock: Clock) -> Result<()> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(LARGEST_REQUEST))
            .max_frame_size(Some(LARGEST_REQUEST));
        let socket = accept_async_with_config(stream, Some(config)).await?;
        let mut connection = Connection { feed: self, socket, subscription: None, is_live: false };
        connection.run(&clock).await
    }
}

struct Connection<'a> {
    feed: &'a Feed,
    socket: WebSocketStream<Stream>,
    /// The filter of the subscription, and the index of the next log to send.
    subscription: Option<(Filter, usize)>,
    /// Whether a backfill was answered since the subscription began.
    is_live: bool,
}

impl Connection<'_> {
    /// Answers requests and sends logs.
    async fn run(&mut self, clock: &Clock) -> Result<()> {
        loop {
            let next = self.subscription.as_ref().filter(|_| self.is_live).map(|(_, next)| *next);
            if next == Some(self.feed.day.len()) {
                return self.close().await;
            }
            let due = async {
                let Some(next) = next else { return pending().await };
                let now = clock.now();
                match self.feed.due(next, now) {
                    // Ignores an error: at a shutdown this task is dropped.
                    Some(due) if due > now => _ = clock.sleep(due - now).await,
                    _ => {}
                }
            };
            // Looks for a request between any two logs.
            match select(self.socket.next(), pin!(due)).await {
                Either::Left((Some(message), _)) => self.take(message?).await?,
                Either::Left((None, _)) => return Ok(()),
                Either::Right(_) => {
                    if self.send_next().await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Sends the next log, and moves the position if no other connection has. Returns whether the
    /// connection is to be dropped.
    async fn send_next(&mut self) -> Result<bool> {
        let Feed { day, settings, position, forked, .. } = self.feed;
        let Some((filter, next)) = &mut self.subscription else { return Ok(false) };
        if settings.forks_at(*next) && forked.fetch_max(*next, Ordering::AcqRel) < *next {
            for removed in [false, true] {
                let lines = day[*next..].iter().take(FORK);
                for line in lines.filter(|line| filter.address.contains(&line.log.address)) {
                    let log = line.of_fork(removed);
                    self.socket.feed(Message::text(notification("0x1", &log))).await?;
                }
                self.socket.flush().await?;
                // The node may also reorganise while the client is away.
                if settings.drop_every.is_some() {
                    return Ok(true);
                }
            }
        }
        let line = &day[*next];
        *next += 1;
        // A log must be in the chain before it is sent.
        let is_first = position.fetch_max(*next, Ordering::AcqRel) < *next;
        if filter.address.contains(&line.log.address) {
            self.socket.feed(Message::text(notification("0x1", &line.json))).await?;
            if !(is_first && settings.loses(*next)) {
                self.socket.flush().await?;
            }
        }
        Ok(is_first && settings.drops_at(*next))
    }

    async fn take(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Text(text) => {
                let answer = match serde_json::from_str(&text) {
                    Ok(Request { id, call, .. }) => answer(id, &self.result(call)),
                    Err(_) => {
                        let error =
                            r#"{"code":-32600,"message":"not a request that is known here"}"#;
                        format!(r#"{{"jsonrpc":"2.0","id":null,"error":{error}}}"#)
                    }
                };
                self.socket.send(Message::text(answer)).await
            }
            _ => self.socket.flush().await,
        }
    }

    /// The result of a call, as JSON.
    fn result(&mut self, call: Call) -> String {
        match call {
            Call::BlockNumber([]) => format!("\"{:#x}\"", self.feed.block_number()),
            Call::Subscribe(_, filter) => {
                self.subscription = Some((filter, self.feed.chain().len()));
                self.is_live = false;
                "\"0x1\"".to_owned()
            }
            Call::Logs([Range { from_block, filter }]) => {
                self.is_live = self.subscription.is_some();
                let found = self.feed.chain().iter().filter(|Line { log, .. }| {
                    log.block_number >= from_block && filter.address.contains(&log.address)
                });
                let found: Vec<_> = found.map(|line| line.json.as_str()).collect();
                format!("[{}]", found.join(","))
            }
        }
    }

    /// Closes the connection, and reads until the client closes it, too: a reset would lose sent
    /// logs.
    async fn close(&mut self) -> Result<()> {
        let frame = CloseFrame { code: CloseCode::Normal, reason: END_OF_RECORDING.into() };
        self.socket.close(Some(frame)).await?;
        while let Some(Ok(_)) = self.socket.next().await {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_takes_a_minute_at_1440() {
        let feed = Feed::new(Settings { speed: Some(1440.0), ..Settings::default() }, false);
        let begin = Duration::from_secs(7);
        assert_eq!(feed.due(0, begin), Some(begin));
        let end = feed.due(feed.day.len() - 1, Duration::ZERO).unwrap() - begin;
        assert_eq!(end.as_millis(), 59_983);
    }
}
