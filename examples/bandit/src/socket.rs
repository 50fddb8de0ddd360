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

use crate::session::{Ended, Event, Session, SessionError};

/// The limit of a message. The backfill of a whole day has six megabytes.
const LARGEST_MESSAGE: usize = 64 << 20;

/// The address of a node, parsed from its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name or address of the host; an IPv6 address has no brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// Parses `ws://host[:port][/path]`.
    ///
    /// # Errors
    /// If the URL is invalid. Encrypted connections (`wss`) are not supported.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let fail = |reason| EndpointError { url: url.into(), reason };
        let uri: Uri = url.parse().map_err(|_| fail("it cannot be parsed"))?;
        match uri.scheme_str() {
            Some("ws") => {}
            Some("wss") => return Err(fail("encrypted connections are not supported")),
            _ => return Err(fail("it does not start with ws://")),
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(fail("the host is missing"));
        }
        // A port that is out of range parses as no port.
        let has_port = uri
            .authority()
            .is_some_and(|authority| !authority.as_str().ends_with(uri.host().unwrap_or_default()));
        match uri.port_u16() {
            Some(port) => Ok(Self { host: host.into(), port }),
            None if has_port => Err(fail("the port is invalid")),
            None => Ok(Self { host: host.into(), port: 80 }),
        }
    }

    /// The address to connect to, `host:port`.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The URL of a node is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid URL of the node {url:?}: {reason}")]
pub struct EndpointError {
    url: String,
    reason: &'static str,
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
    over: Option<Ended>,
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
        let (socket, _) = client_async_with_config(url, stream, Some(config))
            .await
            .map_err(|source| SocketError::Handshake(source.into()))?;
        Ok(Self { socket, unflushed: false, over: None })
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
            if let Some(ended) = self.over {
                return Poll::Ready(Ok(Step::Ended(ended)));
            }
            let message = match (Pin::new(&mut self.socket).poll_next(cx), sent) {
                (Poll::Ready(message), _) => message,
                (Poll::Pending, Poll::Ready(Err(error))) => return Poll::Ready(Err(error)),
                (Poll::Pending, _) => return Poll::Pending,
            };
            match message {
                Some(Ok(Message::Text(text))) => {
                    session.handle_text(&text)?;
                }
                Some(Ok(Message::Close(frame))) => {
                    let close = frame.as_ref().map(|frame| (frame.code.into(), &*frame.reason));
                    self.over = Some(session.handle_end(close));
                }
                Some(Ok(Message::Binary(bytes))) => {
                    let text = String::from_utf8_lossy(&bytes);
                    session.handle_text(&text)?;
                }
                // A ping: its answer is queued already.
                Some(Ok(_)) => self.unflushed = true,
                Some(Err(source)) => {
                    return Poll::Ready(Err(SocketError::Broken(source.into())));
                }
                None => self.over = Some(session.handle_end(None)),
            }
        }
    }

    /// Sends the requests of the session, as far as the socket accepts them.
    fn poll_send(
        &mut self,
        session: &mut Session,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SocketError>> {
        let broken = |source: tungstenite::Error| SocketError::Broken(source.into());
        if self.over.is_some() {
            // Only the close frame is left. It does not matter whether it arrives.
            let _ = Pin::new(&mut self.socket).poll_flush(cx);
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(broken)?;
            let Some(text) = session.poll_transmit() else { break };
            Pin::new(&mut self.socket).start_send(Message::text(text)).map_err(broken)?;
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(cx)).map_err(broken)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// A connection failed.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The other side is not a WebSocket server.
    #[error("the WebSocket handshake failed: {0}")]
    Handshake(#[source] Box<tungstenite::Error>),
    /// The stream failed or the other side broke the protocol.
    #[error("the connection failed: {0}")]
    Broken(#[source] Box<tungstenite::Error>),
    /// The session cannot continue.
    #[error(transparent)]
    Session(#[from] SessionError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused_with_a_reason() {
        for (url, host, port) in [
            ("ws://127.0.0.1:8545", "127.0.0.1", 8545),
            ("ws://node.example/v3/key?x=1", "node.example", 80),
            ("ws://[::1]:8546/", "::1", 8546),
            ("ws://[::1]/", "::1", 80),
        ] {
            assert_eq!(Endpoint::parse(url), Ok(Endpoint { host: host.into(), port }), "{url}");
        }
        for (url, reason) in [
            ("", "cannot be parsed"),
            ("ws://", "cannot be parsed"),
            ("ws://a b/", "cannot be parsed"),
            ("127.0.0.1:8545", "start with ws://"),
            ("http://x/", "start with ws://"),
            ("wss://x/", "encrypted"),
            ("ws://x:99999/", "port"),
            ("ws://:80/", "host is missing"),
        ] {
            let error = Endpoint::parse(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
