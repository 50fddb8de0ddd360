//! One connection of a feed: the handshake, the answers, the notifications and the close. Its input
//! is untrusted: at worst it ends this connection, with an [`Outcome`].

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::atomic::Ordering,
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

/// The limit of a request.
const LARGEST_REQUEST: usize = 64 << 10;
const MOST_SUBSCRIPTIONS: usize = 16;
/// Logs sent before other tasks get their turn.
const STRIDE: usize = 64;

impl Feed {
    /// Serves one connection to its end, counts the outcome and returns it.
    ///
    /// `sleep` makes a timer of the executor. Dropping the stream closes it. The future is
    /// `Send` if the stream, the timer and `sleep` are and `sleep` is `Sync`.
    pub async fn serve<S, F, T>(&self, stream: S, sleep: F) -> Outcome
    where
        S: AsyncRead + AsyncWrite + Unpin,
        F: Fn(Duration) -> T,
        T: Future<Output = ()>,
    {
        let outcome = serve(self, stream, sleep).await;
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
        outcome
    }
}

async fn serve<S, F, T>(feed: &Feed, stream: S, sleep: F) -> Outcome
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Duration) -> T,
    T: Future<Output = ()>,
{
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST_REQUEST))
        .max_frame_size(Some(LARGEST_REQUEST));
    let timeout = sleep(feed.settings.timeout);
    let handshake = accept_async_with_config(stream, Some(config));
    let socket = match select(pin!(handshake), pin!(timeout)).await {
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
        Outcome::Garbage => Some((CloseCode::Protocol, "not a WebSocket message")),
        _ => None,
    };
    if let Some((code, reason)) = farewell {
        let timeout = sleep(feed.settings.timeout);
        select(pin!(connection.close(code, reason)), pin!(timeout)).await;
    }
    outcome
}

struct Connection<'a, S> {
    feed: &'a Feed,
    socket: WebSocketStream<S>,
    subscriptions: Vec<(String, Filter)>,
    /// The index of the next log to send, from the first subscription on.
    next: usize,
    /// Whether an `eth_getLogs` was answered since the first subscription.
    backfilled: bool,
    /// Whether the client has requested its backfill, or had the time to. Otherwise an unpaced day
    /// would be over, and the connection dropped again, before its first request.
    is_ready: bool,
    /// The index of the log whose time has come.
    gap_over: Option<usize>,
}

/// The result of a wait.
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
            // A client may disconnect without a close frame.
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Outcome::Left,
            Err(Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_)) => Outcome::Garbage,
            Err(_) => Outcome::Broken,
        }
    }

    /// Handles requests, sends logs, and waits, in this order.
    async fn converse<F, T>(&mut self, sleep: &F) -> Result<Outcome, Error>
    where
        F: Fn(Duration) -> T,
        T: Future<Output = ()>,
    {
        // The timer of the gap before the next log, or of the grace period at the end.
        let mut timer: Option<Pin<Box<T>>> = None;
        let mut sent: usize = 0;
        loop {
            if self.may_send() {
                timer = None;
                if self.send_next().await? {
                    return Ok(Outcome::Dropped);
                }
                sent += 1;
                if sent.is_multiple_of(STRIDE) {
                    yield_now().await;
                }
                // Poll for a request between any two notifications.
                let polled = poll_fn(|cx| Poll::Ready(self.poll_message(cx))).await;
                if let Poll::Ready(message) = polled
                    && let Some(outcome) = self.take(message).await?
                {
                    return Ok(outcome);
                }
                continue;
            }
            if self.all_sent() && self.backfilled {
                return Ok(Outcome::EndOfRecording);
            }
            let moved = self.feed.listen();
            if self.may_send() {
                // The position moved between the check and the listener.
                continue;
            }
            if !self.subscriptions.is_empty() && timer.is_none() {
                let grace = self.feed.settings.grace;
                let gap = self.feed.gap(self.next);
                let wait = if self.all_sent() || gap.is_zero() { grace } else { gap };
                timer = Some(Box::pin(sleep(wait)));
            }
            match self.wait(&mut timer, moved).await {
                Woken::Message(message) => {
                    if let Some(outcome) = self.take(message).await? {
                        return Ok(outcome);
                    }
                    // Restart the grace period, but not the gap: requests must not delay the day.
                    if self.all_sent() || self.subscriptions.is_empty() {
                        timer = None;
                    }
                }
                Woken::Timer if self.all_sent() => return Ok(Outcome::EndOfRecording),
                Woken::Timer => {
                    self.gap_over = Some(self.next);
                    self.is_ready = true;
                }
                Woken::Moved => {}
            }
        }
    }

    fn all_sent(&self) -> bool {
        !self.subscriptions.is_empty() && self.next == self.feed.total()
    }

    /// Whether the next log can be sent now: the position has passed it, or can pass it now.
    fn may_send(&self) -> bool {
        if self.subscriptions.is_empty() || self.next == self.feed.total() {
            return false;
        }
        self.next < self.feed.position()
            || self.gap_over == Some(self.next)
            || self.feed.gap(self.next).is_zero() && self.is_ready
    }

    /// Sends the next log to the subscriptions of this connection, and moves the position if no
    /// other connection has. Returns whether the connection is to be dropped.
    async fn send_next(&mut self) -> Result<bool, Error> {
        let index = self.next;
        let Some(log) = self.feed.log(index) else { return Ok(false) };
        // A log must be in the chain before it is sent.
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

    /// Answers a message. Returns an outcome if it was the last.
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
                // Nodes accept these like texts.
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
            // Without a subscription it waits for messages only.
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

    /// Closes, and reads until the client closes, so that a reset does not lose what was sent.
    async fn close(&mut self, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame { code, reason: reason.into() };
        if self.socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = poll_fn(|cx| self.poll_message(cx)).await {}
        }
    }
}
