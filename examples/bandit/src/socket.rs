//! The WebSocket between a [`Session`] and a byte stream. It only moves texts; all decisions are
//! the session's. Its future can be dropped at any time without losing a text.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, Message, http::Uri, protocol::WebSocketConfig},
};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{Sink, Stream};
use mycelium::Error;

use crate::session::{Ended, Event, Session, SessionError};

/// The limit of a message. The backfill of a whole day has six megabytes.
const LARGEST_MESSAGE: usize = 64 << 20;

/// The address to connect to, `host:port`, of `ws://host[:port][/path]`.
///
/// # Errors
/// If the URL is invalid. Encrypted connections (`wss`) are not supported.
pub fn address_of(url: &str) -> mycelium::Result<String> {
    let uri: Option<Uri> = url.parse().ok();
    let authority = uri.as_ref().filter(|uri| uri.scheme_str() == Some("ws"));
    let authority = authority.and_then(Uri::authority).filter(|it| !it.host().is_empty());
    match authority {
        Some(authority) if authority.port().is_some() => Ok(authority.to_string()),
        Some(authority) if authority.host() == authority.as_str() => Ok(format!("{authority}:80")),
        _ => Err(Error::msg(format!(
            "invalid URL of the node `{url}`: expected `ws://<host>:<port>`"
        ))),
    }
}

/// A step of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The session has an event.
    Event(Event),
    /// The connection is over.
    Ended(Ended),
}

/// The WebSocket of a client.
#[derive(Debug)]
pub struct Connection<S> {
    socket: WebSocketStream<S>,
    unflushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Does the handshake over `stream`, a connection to the host of `url` (`ws://host:port/path`).
    ///
    /// It has no timeout: put a deadline around it.
    ///
    /// # Errors
    /// If the URL is invalid or the other side is not a WebSocket server.
    pub async fn open(stream: S, url: &str) -> Result<Self, SocketError> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(LARGEST_MESSAGE))
            .max_frame_size(Some(LARGEST_MESSAGE));
        let (socket, _) = client_async_with_config(url, stream, Some(config)).await?;
        Ok(Self { socket, unflushed: false })
    }

    /// The next step; call [`Session::connected`] before the first.
    ///
    /// Drop the connection after an end or an error. The future can be dropped while pending.
    ///
    /// # Errors
    /// If the connection fails; the session is notified.
    pub async fn next(&mut self, session: &mut Session) -> Result<Step, SocketError> {
        let step = poll_fn(|cx| self.poll_next(session, cx)).await;
        if step.is_err() {
            session.handle_end(None);
        }
        step
    }

    fn poll_next(
        &mut self,
        session: &mut Session,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Step, SocketError>> {
        loop {
            // Events before requests: the caller can save the start block before the subscription
            // lets the chain advance.
            if let Some(event) = session.poll_event() {
                return Poll::Ready(Ok(Step::Event(event)));
            }
            // Read even if the socket accepts no further writes: logs and a close frame may be
            // waiting.
            let sent = self.poll_send(session, cx);
            let message = match (Pin::new(&mut self.socket).poll_next(cx)?, sent) {
                (Poll::Ready(message), _) => message,
                (Poll::Pending, Poll::Ready(Err(error))) => return Poll::Ready(Err(error.into())),
                (Poll::Pending, _) => return Poll::Pending,
            };
            let ended = match message {
                Some(Message::Text(text)) => {
                    session.handle_text(&text)?;
                    continue;
                }
                Some(Message::Close(frame)) => {
                    // The answer is queued. It does not matter whether it arrives.
                    let _ = Pin::new(&mut self.socket).poll_flush(cx);
                    let close = frame.as_ref().map(|frame| (frame.code.into(), &*frame.reason));
                    session.handle_end(close)
                }
                // A ping: its answer is queued already.
                Some(_) => {
                    self.unflushed = true;
                    continue;
                }
                None => session.handle_end(None),
            };
            return Poll::Ready(Ok(Step::Ended(ended)));
        }
    }

    /// Sends the requests of the session, as far as the socket accepts them.
    fn poll_send(
        &mut self,
        session: &mut Session,
        cx: &mut Context<'_>,
    ) -> Poll<tungstenite::Result<()>> {
        loop {
            ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
            let Some(text) = session.poll_transmit() else { break };
            Pin::new(&mut self.socket).start_send(Message::text(text))?;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// A connection failed.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The stream failed, or the other side is not a WebSocket server.
    #[error("the connection failed: {0}")]
    Broken(Box<tungstenite::Error>),
    /// The session cannot continue.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<tungstenite::Error> for SocketError {
    fn from(source: tungstenite::Error) -> Self {
        Self::Broken(source.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused() {
        for (url, address) in [
            ("ws://127.0.0.1:8545", "127.0.0.1:8545"),
            ("ws://node.example/v3/key?x=1", "node.example:80"),
            ("ws://[::1]:8546/", "[::1]:8546"),
            ("ws://[::1]/", "[::1]:80"),
        ] {
            assert_eq!(address_of(url).unwrap(), address);
        }
        for url in
            ["", "ws://", "127.0.0.1:8545", "http://x/", "wss://x/", "ws://x:99999/", "ws://:80/"]
        {
            assert!(address_of(url).is_err(), "{url}");
        }
    }
}
