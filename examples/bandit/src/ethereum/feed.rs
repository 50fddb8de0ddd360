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
//!
//! With an [`Offer`] the chain has the swaps of the day alone, and has them again after its last
//! one, in later blocks. Pings limit the logs that are sent and not yet read, which otherwise fill
//! the buffers of the sockets, some megabytes: a client that is too slow is waited for.

use std::{
    borrow::Cow,
    future::pending,
    num::NonZeroUsize,
    pin::pin,
    sync::{
        Mutex, OnceLock, PoisonError,
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
    ethereum::chain,
    ethereum::day::{Line, recorded},
    ethereum::offer::Offer,
    ethereum::pairs,
    ethereum::rpc::{Call, Filter, Range, Request, answer, notification},
    ethereum::session::END_OF_RECORDING,
    messages::Key,
};

/// The number of logs before the end of a dropped connection that are never sent to it.
const LOST_AT_DROP: usize = 3;
/// The logs of a fork.
const FORK: usize = 8;
/// Of an offer, a ping is sent after this number of logs, and as many may follow before its answer.
const WINDOW: usize = 128;
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
    /// Send the swaps of the day by this schedule instead.
    #[arg(skip)]
    pub offer: Option<Offer>,
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
    /// When each log that was sent of an offer was due.
    sent: Mutex<Vec<Duration>>,
    /// The logs of an offer that were due in the warm-up, and that were not sent when it ended.
    skipped: OnceLock<usize>,
}

impl Feed {
    /// A feed at the start of its day, with or without the logs of pairs.
    pub fn new(settings: Settings, with_pairs: bool) -> Self {
        let mut day = day(with_pairs);
        if settings.offer.is_some() {
            day.retain(|line| matches!(chain::swap(&line.log), Ok(Some(_))));
        }
        let (position, forked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (begin, sent, skipped) = (OnceLock::new(), Mutex::default(), OnceLock::new());
        Self { day, settings, position, forked, begin, sent, skipped }
    }

    /// Returns when each log of an offer that was sent so far was due, in the time of the node.
    pub fn sent(&self) -> Vec<Duration> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of logs that the chain has so far.
    fn position(&self) -> usize {
        self.position.load(Ordering::Acquire)
    }

    /// A log of the chain, which may not have it yet.
    pub(crate) fn line(&self, index: usize) -> Cow<'_, Line> {
        let line = &self.day[index % self.day.len()];
        match (index / self.day.len()) as u64 {
            0 => Cow::Borrowed(line),
            rounds => Cow::Owned(line.later(rounds * self.blocks())),
        }
    }

    /// Returns the index of the log at this position; `None` if there is no such log.
    pub fn index_of(&self, key: Key) -> Option<usize> {
        let blocks = key.block.checked_sub(self.day[0].log.key().block)?;
        let rounds = blocks / self.blocks();
        let key = Key { block: key.block - rounds * self.blocks(), ..key };
        let index = self.day.binary_search_by_key(&key, |line| line.log.key()).ok()?;
        Some(rounds as usize * self.day.len() + index)
    }

    /// The number of blocks from the first one of the day to the last.
    fn blocks(&self) -> u64 {
        let [first, last] = [0, self.day.len() - 1].map(|index| self.day[index].log.key().block);
        last - first + 1
    }

    /// The number of the newest block.
    fn block_number(&self) -> u64 {
        match self.position().checked_sub(1) {
            Some(last) => self.line(last).log.block_number.to(),
            None => self.day[0].log.block_number.to::<u64>() - 1,
        }
    }

    /// When a log is due; `None` if it is due as soon as it can be sent.
    fn due(&self, index: usize, now: Duration) -> Option<Duration> {
        let begin = *self.begin.get_or_init(|| now);
        if let Some(offer) = &self.settings.offer {
            return Some(
                begin + offer.due(index + self.skipped(offer, now.saturating_sub(begin)))?,
            );
        }
        let time = |index: usize| self.day[index].log.block_timestamp.to::<u64>();
        let recorded = Duration::from_secs(time(index) - time(0));
        self.settings.speed.map(|speed| begin + recorded.div_f64(speed))
    }

    /// Whether no log is to be sent from this one on.
    fn ends_at(&self, index: usize, now: Duration) -> bool {
        match &self.settings.offer {
            None => index == self.day.len(),
            Some(offer) => {
                let time = now - *self.begin.get_or_init(|| now);
                offer.ends_at(index + self.skipped(offer, time), time)
            }
        }
    }

    /// The logs of an offer that are not sent, at this time after its begin: what the warm-up has
    /// left would take the measured time.
    fn skipped(&self, offer: &Offer, time: Duration) -> usize {
        if time < offer.warm_up {
            return 0;
        }
        let left = || offer.due_within(offer.warm_up).unwrap_or(0).saturating_sub(self.position());
        *self.skipped.get_or_init(left)
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
        let (subscription, is_live, is_asked) = (None, false, false);
        let mut connection = Connection { feed: self, socket, subscription, is_live, is_asked };
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
    /// Whether a ping is not answered.
    is_asked: bool,
}

impl Connection<'_> {
    /// Answers requests and sends logs.
    async fn run(&mut self, clock: &Clock) -> Result<()> {
        loop {
            let next = self.subscription.as_ref().filter(|_| self.is_live).map(|(_, next)| *next);
            let now = clock.now();
            if next.is_some_and(|next| self.feed.ends_at(next, now)) {
                return self.close().await;
            }
            let may_send = |next: &usize| !(self.is_asked && (next + 1).is_multiple_of(WINDOW));
            let next = next.filter(may_send);
            let due = async {
                let Some(next) = next else { return pending().await };
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
                    if self.send_next(clock.now()).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Sends the next log, and moves the position if no other connection has. Returns whether the
    /// connection is to be dropped.
    async fn send_next(&mut self, now: Duration) -> Result<bool> {
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
        let line = self.feed.line(*next);
        let due = self.feed.due(*next, now).unwrap_or(now);
        *next += 1;
        // A log must be in the chain before it is sent.
        let is_first = {
            let mut sent = self.feed.sent.lock().unwrap_or_else(PoisonError::into_inner);
            let is_first = position.fetch_max(*next, Ordering::AcqRel) < *next;
            if is_first && settings.offer.is_some() {
                sent.push(due);
            }
            is_first
        };
        if filter.address.contains(&line.log.address) {
            self.socket.feed(Message::text(notification("0x1", &line.json))).await?;
            if !(is_first && settings.loses(*next)) {
                self.socket.flush().await?;
            }
        }
        if settings.offer.is_some() && next.is_multiple_of(WINDOW) {
            self.is_asked = true;
            self.socket.send(Message::Ping(Default::default())).await?;
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
            Message::Pong(_) => {
                self.is_asked = false;
                Ok(())
            }
            _ => self.socket.flush().await,
        }
    }

    /// The result of a call, as JSON.
    fn result(&mut self, call: Call) -> String {
        match call {
            Call::BlockNumber([]) => format!("\"{:#x}\"", self.feed.block_number()),
            Call::Subscribe(_, filter) => {
                self.subscription = Some((filter, self.feed.position()));
                self.is_live = false;
                "\"0x1\"".to_owned()
            }
            Call::Logs([Range { from_block, filter }]) => {
                self.is_live = self.subscription.is_some();
                let newest = (0..self.feed.position()).rev().map(|index| self.feed.line(index));
                let found = newest.take_while(|line| line.log.block_number >= from_block);
                let found = found.filter(|line| filter.address.contains(&line.log.address));
                let mut found: Vec<_> = found.map(|line| line.json.clone()).collect();
                found.reverse();
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

    #[test]
    fn after_the_day_its_swaps_come_again_in_later_blocks() {
        let offer = Offer { rate: None, warm_up: Duration::ZERO, measured: Duration::ZERO };
        let feed = Feed::new(Settings { offer: Some(offer), ..Settings::default() }, false);
        assert_eq!(feed.day.len(), 6_313);
        let mut last = None;
        for index in 0..3 * feed.day.len() {
            let line = feed.line(index);
            assert_eq!(Line::of(line.json.clone()).log, line.log);
            assert_eq!(feed.index_of(line.log.key()), Some(index));
            assert!(last.replace(line.log.key()) < Some(line.log.key()));
        }
    }
}
