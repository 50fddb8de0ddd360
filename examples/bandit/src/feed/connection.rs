//! One connection of a feed: the handshake, the answers, the notifications and the end. Its client
//! is a stranger: whatever it sends ends at worst this connection, with an [`Outcome`].

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use async_tungstenite::{
    WebSocketStream, accept_async_with_config,
    tungstenite::{
        Error, Message,
        error::CapacityError,
        error::ProtocolError,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use event_listener::EventListener;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{
    SinkExt, Stream,
    future::{Either, select},
};
use mycelium_executor::yield_now;

use super::{Feed, Outcome};
use crate::{
    rpc::{Call, Fault, Filter, answer, notification, parse_request, refusal},
    session::END_OF_RECORDING,
};

/// Requests are short; nothing honest comes near this.
const LARGEST_REQUEST: usize = 64 << 10;
const MOST_SUBSCRIPTIONS: usize = 16;
/// How many logs are told before others get their turn.
const STRIDE: usize = 64;

pub(super) async fn serve<S, F, T>(feed: &Feed, stream: S, sleep: F) -> Outcome
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Duration) -> T,
    T: Future<Output = ()>,
{
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST_REQUEST))
        .max_frame_size(Some(LARGEST_REQUEST));
    let patience = sleep(feed.settings.patience);
    let handshake = accept_async_with_config(stream, Some(config));
    let socket = match select(pin!(handshake), pin!(patience)).await {
        Either::Left((Ok(socket), _)) => socket,
        Either::Left((Err(_), _)) | Either::Right(_) => return Outcome::NoHandshake,
    };
    let mut connection = Connection {
        feed,
        socket,
        subscriptions: Vec::new(),
        next: 0,
        backfilled: false,
        is_ready: false,
        gap_over: None,
    };
    let outcome = connection.run(&sleep).await;
    let farewell = match outcome {
        Outcome::EndOfRecording => Some((CloseCode::Normal, END_OF_RECORDING)),
        Outcome::Oversized => Some((CloseCode::Size, "the message is too long")),
        Outcome::Garbage => Some((CloseCode::Protocol, "this is no WebSocket")),
        _ => None,
    };
    if let Some((code, reason)) = farewell {
        let patience = sleep(feed.settings.patience);
        select(pin!(connection.close(code, reason)), pin!(patience)).await;
    }
    outcome
}

struct Connection<'a, S> {
    feed: &'a Feed,
    socket: WebSocketStream<S>,
    subscriptions: Vec<(String, Filter)>,
    /// The index of the next log to send; counts from the first subscription on.
    next: usize,
    /// Whether an `eth_getLogs` was answered since the first subscription.
    backfilled: bool,
    /// Whether the client has asked for what it missed, or had the time to. Without a pace to wait
    /// for, a day would be over, and the connection dropped again, before the client was heard.
    is_ready: bool,
    /// The index of the log whose gap is over.
    gap_over: Option<usize>,
}

/// What a connection waited for.
enum Woken {
    Message(Option<Result<Message, Error>>),
    Timer,
    Moved,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    async fn run<F, T>(&mut self, sleep: &F) -> Outcome
    where
        F: Fn(Duration) -> T,
        T: Future<Output = ()>,
    {
        match self.converse(sleep).await {
            Ok(outcome) => outcome,
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => Outcome::Oversized,
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => Outcome::Left,
            // A client may go without a word.
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Outcome::Left,
            Err(Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_)) => Outcome::Garbage,
            Err(_) => Outcome::Broken,
        }
    }

    /// Requests first, then what is to be told, then waiting.
    async fn converse<F, T>(&mut self, sleep: &F) -> Result<Outcome, Error>
    where
        F: Fn(Duration) -> T,
        T: Future<Output = ()>,
    {
        // The timer of the gap before the next log, or of the grace at the end.
        let mut timer: Option<Pin<Box<T>>> = None;
        let mut told: usize = 0;
        loop {
            if self.may_tell() {
                timer = None;
                if self.tell().await? {
                    return Ok(Outcome::Dropped);
                }
                told += 1;
                if told.is_multiple_of(STRIDE) {
                    yield_now().await;
                }
                // Requests are heard between any two notifications.
                let heard = poll_fn(|cx| Poll::Ready(self.poll_message(cx))).await;
                if let Poll::Ready(message) = heard
                    && let Some(outcome) = self.take(message).await?
                {
                    return Ok(outcome);
                }
                continue;
            }
            if self.all_told() && self.backfilled {
                return Ok(Outcome::EndOfRecording);
            }
            let moved = self.feed.listen();
            if self.may_tell() {
                // The position moved between the look and the listening.
                continue;
            }
            if !self.subscriptions.is_empty() && timer.is_none() {
                let grace = self.feed.settings.grace;
                let gap = self.feed.gap(self.next);
                let wait = if self.all_told() || gap.is_zero() { grace } else { gap };
                timer = Some(Box::pin(sleep(wait)));
            }
            match self.wait(&mut timer, moved).await {
                Woken::Message(message) => {
                    if let Some(outcome) = self.take(message).await? {
                        return Ok(outcome);
                    }
                    // The grace begins anew; the gap goes on, or asking could hold up the day.
                    if self.all_told() || self.subscriptions.is_empty() {
                        timer = None;
                    }
                }
                Woken::Timer if self.all_told() => return Ok(Outcome::EndOfRecording),
                Woken::Timer => {
                    self.gap_over = Some(self.next);
                    self.is_ready = true;
                }
                Woken::Moved => {}
            }
        }
    }

    fn all_told(&self) -> bool {
        !self.subscriptions.is_empty() && self.next == self.feed.total()
    }

    /// Whether the next log may be told now: it has passed already, or nothing keeps it from
    /// passing now.
    fn may_tell(&self) -> bool {
        if self.subscriptions.is_empty() || self.next == self.feed.total() {
            return false;
        }
        self.next < self.feed.position()
            || self.gap_over == Some(self.next)
            || self.feed.gap(self.next).is_zero() && self.is_ready
    }

    /// Tells the next log to whoever subscribed to it here, and moves the position if it is first;
    /// says whether the connection is to be dropped.
    async fn tell(&mut self) -> Result<bool, Error> {
        let index = self.next;
        let Some(log) = self.feed.log(index) else { return Ok(false) };
        // A log must be in the chain before anyone hears of it.
        let first = self.feed.advance(index);
        self.next = index + 1;
        let mut sent = false;
        for (name, filter) in &self.subscriptions {
            if filter.matches(&log.address) {
                self.socket.feed(Message::text(notification(name, &log.json))).await?;
                sent = true;
            }
        }
        let drops = &self.feed.settings.drops;
        if sent && !(first && drops.loses(self.next)) {
            self.socket.flush().await?;
        }
        Ok(first && drops.due(self.next))
    }

    /// Answers a message; an outcome if it was the last.
    async fn take(
        &mut self,
        message: Option<Result<Message, Error>>,
    ) -> Result<Option<Outcome>, Error> {
        match message.transpose()? {
            None => Ok(Some(Outcome::Left)),
            Some(Message::Text(text)) => {
                let answer = self.answer(&text);
                self.socket.send(Message::text(answer)).await?;
                Ok(None)
            }
            Some(Message::Binary(bytes)) => {
                // Nodes read these as texts.
                let answer = self.answer(&String::from_utf8_lossy(&bytes));
                self.socket.send(Message::text(answer)).await?;
                Ok(None)
            }
            Some(Message::Close(_)) => {
                self.socket.flush().await?;
                Ok(Some(Outcome::Left))
            }
            Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                self.socket.flush().await?;
                Ok(None)
            }
        }
    }

    fn answer(&mut self, text: &str) -> String {
        let request = parse_request(text);
        let result = request.call.and_then(|call| self.result(call));
        match result {
            Ok(result) => answer(request.id, &result),
            Err(fault) => {
                self.feed.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                refusal(request.id, &fault)
            }
        }
    }

    fn result(&mut self, call: Call) -> Result<String, Fault> {
        match call {
            Call::BlockNumber => Ok(format!("\"{:#x}\"", self.feed.block_number())),
            Call::ChainId => Ok("\"0x1\"".into()),
            Call::Logs { from, to, filter } => {
                self.backfilled |= !self.subscriptions.is_empty();
                self.is_ready |= self.backfilled;
                Ok(self.feed.logs_between(from, to, &filter))
            }
            Call::Subscribe(_) if self.subscriptions.len() >= MOST_SUBSCRIPTIONS => {
                Err(Fault::new(Fault::LIMIT, "too many subscriptions"))
            }
            Call::Subscribe(filter) => {
                if self.subscriptions.is_empty() {
                    self.next = self.feed.position();
                    self.backfilled = false;
                }
                let name = self.feed.new_subscription();
                let result = format!("\"{name}\"");
                self.subscriptions.push((name, filter));
                Ok(result)
            }
            Call::Unsubscribe(name) => {
                let before = self.subscriptions.len();
                self.subscriptions.retain(|(own, _)| *own != name);
                Ok((self.subscriptions.len() < before).to_string())
            }
        }
    }

    async fn wait<T: Future<Output = ()>>(
        &mut self,
        timer: &mut Option<Pin<Box<T>>>,
        moved: EventListener,
    ) -> Woken {
        let mut moved = pin!(moved);
        poll_fn(|cx| {
            if let Poll::Ready(message) = self.poll_message(cx) {
                return Poll::Ready(Woken::Message(message));
            }
            // An unsubscribed connection has nothing else to wait for.
            if self.subscriptions.is_empty() {
                return Poll::Pending;
            }
            if let Some(timer) = timer
                && timer.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Woken::Timer);
            }
            moved.as_mut().poll(cx).map(|()| Woken::Moved)
        })
        .await
    }

    fn poll_message(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Message, Error>>> {
        Pin::new(&mut self.socket).poll_next(cx)
    }

    /// Closes and hears the client out, so that what was sent is not lost by a reset.
    async fn close(&mut self, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame { code, reason: reason.into() };
        if self.socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = poll_fn(|cx| self.poll_message(cx)).await {}
        }
    }
}
