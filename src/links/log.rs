//! Log lines about links and other connections, limited for each cause and peer: the first
//! occurrence immediately, then a count per minute.
//!
//! A peer that reconnects repeatedly must not fill the log, but an absent peer must stay visible.
//! [`Limiter`] decides which lines are written, without a clock; [`Log`] writes them, and calls it
//! when counts are due.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::mem::discriminant;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_listener::Event;
use futures_util::future::{Either, select};
use mycelium_core::Code;
use mycelium_core::link::{CloseReason, LinkError};
use mycelium_executor::{Executor, Peer};
use mycelium_transports::link::Notice;
use mycelium_transports::seam::Control;
use mycelium_transports::stream::DriveError;

use crate::support::lock::lock;
use crate::support::log;

/// How long occurrences after the first are counted before a line with their number is written.
const WINDOW: Duration = Duration::from_secs(60);
/// The maximum number of keys (cause and peer) with their own counts; all others share one count.
const KEYS: usize = 256;
/// An unreachable peer is logged as a warning when the pause between two attempts is at least this
/// long.
const ABSENT: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// The log of a node's links.
pub(crate) struct Log {
    node: String,
    executor: Arc<dyn Executor>,
    limiter: Mutex<Limiter>,
    /// Notified when an occurrence is counted, so that `run` waits for the next due count.
    counts: Event,
}

impl Log {
    pub(crate) fn new(node: &str, executor: Arc<dyn Executor>) -> Arc<Log> {
        let (node, limiter) = (node.to_owned(), Mutex::default());
        Arc::new(Log { node, executor, limiter, counts: Event::new() })
    }

    /// Writes counts when they are due, until the links must stop; then writes all remaining
    /// counts.
    pub(crate) async fn run(self: Arc<Log>, control: Arc<Control>) {
        let mut stopped = pin!(control.stopped());
        loop {
            let counts = self.counts.listen();
            let due = lock(&self.limiter).due();
            let wake = async {
                match due {
                    Some(due) => self.executor.sleep_until(due).await,
                    None => counts.await,
                }
            };
            let over = matches!(select(pin!(wake), &mut stopped).await, Either::Right(_));
            let now = if over { Duration::MAX } else { self.executor.now() };
            lock(&self.limiter).tick(now, &mut |level, words| self.write(level, words));
            if over {
                return;
            }
        }
    }

    pub(super) fn note(&self, notice: &Notice<'_>) {
        let (level, key) = key(notice);
        let words = fmt::from_fn(|f| {
            write!(f, "{notice}")?;
            notice.code().map_or(Ok(()), |code| write!(f, " [{code}]"))
        });
        self.limited(level, key, &words);
    }

    /// Logs `words`, unless there was a line with this key within the last minute. An error code at
    /// the end of `words` becomes a field of the line.
    pub(crate) fn limited(
        &self,
        level: Level,
        key: (&'static str, String),
        words: &dyn fmt::Display,
    ) {
        let now = self.executor.now();
        let mut limiter = lock(&self.limiter);
        limiter.note(now, level, key, words, &mut |level, words| self.write(level, words));
        if limiter.due().is_some() {
            self.counts.notify(1);
        }
    }

    /// Writes all counts now.
    #[cfg(feature = "topology")]
    pub(crate) fn finish(&self) {
        lock(&self.limiter).tick(Duration::MAX, &mut |level, words| self.write(level, words));
    }

    fn write(&self, level: Level, words: &str) {
        let node = &*self.node;
        let (words, code) = Code::split(words);
        match (level, code) {
            (Level::Debug, _) => log::debug!(node, "{words}"),
            (Level::Info, _) => log::info!(node, "{words}"),
            (Level::Warn, None) => log::warn!(node, "{words}"),
            (Level::Warn, Some(code)) => log::warn!(node, %code, "{words}"),
            (Level::Error, None) => log::error!(node, "{words}"),
            (Level::Error, Some(code)) => log::error!(node, %code, "{words}"),
        }
    }
}

/// A cause, and its subject, such as a peer, a user or a topic.
type Key = (&'static str, String);

fn key(notice: &Notice<'_>) -> (Level, Key) {
    let of = |level, cause, who: &str| (level, (cause, who.to_owned()));
    match notice {
        Notice::Connected { peer, .. } => of(Level::Info, "up", peer),
        Notice::Disconnected { peer, error: DriveError::Link(error) } if error.is_goodbye() => {
            of(Level::Info, "goodbye", peer)
        }
        Notice::Disconnected { peer, error } => {
            of(Level::Warn, "down", &format!("{peer} {}", kind_of(error)))
        }
        // An error, because the node is not just started later: another user could send on behalf
        // of the node.
        Notice::Unreachable { peer, .. } if notice.code() != Some(Code::PEER_UNREACHABLE) => {
            of(Level::Error, "untrusted", peer)
        }
        // Not for a timeout: the attempt itself has then taken seconds, even if the pause is short.
        Notice::Unreachable { peer, pause, error }
            if *pause < ABSENT && error.kind() != ErrorKind::TimedOut =>
        {
            of(Level::Debug, "unreachable for a moment", peer)
        }
        Notice::Unreachable { peer, .. } => of(Level::Warn, "unreachable", peer),
        Notice::TopicRefused { peer, topic, .. } => {
            of(Level::Warn, "refused", &format!("{peer} {topic}"))
        }
        Notice::TopicLayoutDiffers { peer, topic, .. }
        | Notice::ReaderLayoutDiffers { peer, topic, .. } => {
            of(Level::Error, "layout", &format!("{peer} {topic}"))
        }
        Notice::StreamLimit { peer, topic, .. } => {
            of(Level::Warn, "crowded", &format!("{peer} {topic}"))
        }
        Notice::StartsAtNext { peer, topic } => of(Level::Warn, "next", &format!("{peer} {topic}")),
        Notice::PeerRejected { peer, from, cause, .. } => {
            let cause = match cause {
                CloseReason::NameTaken => "name taken",
                CloseReason::Busy => "no room",
                _ => "not welcome",
            };
            // A process may send any name, and many processes may connect, so these are counted by
            // user or by address.
            match from {
                Some(Peer::Unix(credentials)) => {
                    of(Level::Warn, cause, &format!("user {}", credentials.user))
                }
                Some(Peer::Tcp(address)) => of(Level::Warn, cause, &network(address.ip())),
                Some(_) => of(Level::Warn, cause, ""),
                None => of(Level::Warn, cause, peer),
            }
        }
        Notice::MovedToMemory { peer, topic, .. } => {
            of(Level::Info, "in memory", &format!("{peer} {topic}"))
        }
        Notice::StaysOnSocket { peer, is_required, .. } => {
            let level = if *is_required { Level::Error } else { Level::Warn };
            of(level, "on the socket", peer)
        }
        Notice::InvalidMemory { peer, topic, .. } => {
            of(Level::Error, "invalid memory", &format!("{peer} {topic}"))
        }
        Notice::PeerEnded { peer } => of(Level::Info, "past", peer),
        Notice::DeadLettered { undelivered } => of(
            Level::Warn,
            "dead letter",
            &format!("{} {} {}", undelivered.reader, undelivered.publisher, undelivered.sequence),
        ),
        Notice::AddressLost { endpoint, .. } => {
            of(Level::Warn, "address lost", &endpoint.to_string())
        }
        Notice::AddressRestored { endpoint } => {
            of(Level::Warn, "address restored", &endpoint.to_string())
        }
        Notice::AcceptFailed { .. } => of(Level::Warn, "deaf", ""),
        _ => of(Level::Warn, "other", ""),
    }
}

/// Returns the kind of an error, which is part of its key. There are few kinds, so errors cannot
/// use up the keys.
fn kind_of(error: &DriveError) -> String {
    match error {
        // A peer that closes the connection sends the reason, so each reason is a kind.
        DriveError::Link(error @ LinkError::PeerClosed(_)) => error.to_string(),
        DriveError::Link(error) => format!("{:?}", discriminant(error)),
        // An error of TLS, for example an alert: its text is the kind.
        DriveError::Io(error) if error.kind() == ErrorKind::InvalidData => error.to_string(),
        DriveError::Io(error) => error.kind().to_string(),
        other => format!("{:?}", discriminant(other)),
    }
}

/// Returns an IPv4 address, or the first half of an IPv6 address, which all addresses of one site
/// share.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}")
        }
    }
}

/// Decides which lines are written.
#[derive(Debug, Default)]
struct Limiter {
    entries: BTreeMap<Key, Entry>,
}

#[derive(Debug)]
struct Entry {
    level: Level,
    /// The text of the first occurrence.
    words: String,
    /// Occurrences before this time are only counted, not logged.
    until: Duration,
    count: u64,
}

impl Limiter {
    fn note(
        &mut self,
        now: Duration,
        level: Level,
        key: Key,
        words: &dyn fmt::Display,
        write: &mut dyn FnMut(Level, &str),
    ) {
        let mut key = key;
        if !self.entries.contains_key(&key) && self.entries.len() >= KEYS {
            self.tick(now, write);
            if self.entries.len() >= KEYS {
                key = ("others", String::new());
            }
        }
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.count += 1;
            if entry.until <= now {
                entry.write(now, write);
            }
            return;
        }
        let words = words.to_string();
        write(level, &words);
        let until = now.saturating_add(WINDOW);
        self.entries.insert(key, Entry { level, words, until, count: 0 });
    }

    /// Returns when the next count is due.
    fn due(&self) -> Option<Duration> {
        let counted = self.entries.values().filter(|entry| entry.count > 0);
        counted.map(|entry| entry.until).min()
    }

    /// Writes the counts that are due, and removes keys that have not occurred for a minute.
    fn tick(&mut self, now: Duration, write: &mut dyn FnMut(Level, &str)) {
        self.entries.retain(|_, entry| {
            let is_due = entry.until <= now;
            let has_occurred = entry.count > 0;
            if is_due && has_occurred {
                entry.write(now, write);
            }
            !is_due || has_occurred
        });
    }
}

impl Entry {
    fn write(&mut self, now: Duration, write: &mut dyn FnMut(Level, &str)) {
        let (words, code) = Code::split(&self.words);
        let code = code.map(|code| format!(" [{code}]")).unwrap_or_default();
        write(self.level, &format!("{words} ({} more within a minute){code}", self.count));
        (self.count, self.until) = (0, now.saturating_add(WINDOW));
    }
}

#[cfg(test)]
mod tests;
