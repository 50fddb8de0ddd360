//! A session on a byte stream: the WebSocket between [`Session`] and whatever carries it. Nothing
//! here decides anything; it moves texts, and its one future may be dropped at any time without
//! losing any.

use std::{
    fmt,
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

/// A whole day's backfill is six megabytes; nothing honest comes near this.
const LARGEST_MESSAGE: usize = 64 << 20;

/// Where a node is, read from its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name or address to connect to, an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// Reads `ws://host[:port][/path]`.
    ///
    /// # Errors
    /// When it is no such URL; encrypted connections (`wss`) are not made here.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let fail = |reason| EndpointError { url: url.into(), reason };
        let uri: Uri = url.parse().map_err(|_| fail("it cannot be read"))?;
        match uri.scheme_str() {
            Some("ws") => {}
            Some("wss") => return Err(fail("encrypted connections are not supported")),
            _ => return Err(fail("it does not begin with ws://")),
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(fail("it names no host"));
        }
        // A port that is out of range reads as none.
        let named = uri
            .authority()
            .is_some_and(|authority| !authority.as_str().ends_with(uri.host().unwrap_or_default()));
        match uri.port_u16() {
            Some(port) => Ok(Self { host: host.into(), port }),
            None if named => Err(fail("its port is none")),
            None => Ok(Self { host: host.into(), port: 80 }),
        }
    }
}

impl Endpoint {
    /// `host:port`, as one connects to it.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The URL of a node is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointError {
    url: String,
    reason: &'static str,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the node's URL {:?} is of no use: {}", self.url, self.reason)
    }
}

impl std::error::Error for EndpointError {}

/// What a connection yields.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The session has an event.
    Event(Event),
    /// The connection is over.
    Ended(Ended),
}

/// A client's WebSocket.
#[derive(Debug)]
pub struct Connection<S> {
    socket: WebSocketStream<S>,
    unflushed: bool,
    over: Option<Ended>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Shakes hands over `stream`, a connection to the host of `url` (`ws://host:port/path`).
    ///
    /// It waits as long as the node does: put a deadline around it.
    ///
    /// # Errors
    /// When the URL is none or the other side is no WebSocket server.
    pub async fn open(stream: S, url: &str) -> Result<Self, SocketError> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(LARGEST_MESSAGE))
            .max_frame_size(Some(LARGEST_MESSAGE));
        let (socket, _) = client_async_with_config(url, stream, Some(config))
            .await
            .map_err(|source| SocketError::Handshake(source.into()))?;
        Ok(Self { socket, unflushed: false, over: None })
    }

    /// The session's next step; call [`Session::connected`] before the first.
    ///
    /// After an end or an error drop the connection. May be dropped while pending.
    ///
    /// # Errors
    /// When the connection breaks or leads nowhere; the session is told so.
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
            // Events come before requests: whoever keeps the beginning durably has done so before
            // the subscription lets the chain go on.
            if let Some(event) = session.poll_event() {
                return Poll::Ready(Ok(Step::Event(event)));
            }
            // A socket that takes nothing now, or nothing more, must not keep us from reading: logs
            // and a farewell may still lie there.
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
                    session.handle_text(&text).map_err(SocketError::Session)?;
                }
                Some(Ok(Message::Close(frame))) => {
                    let close = frame.as_ref().map(|frame| (frame.code.into(), &*frame.reason));
                    self.over = Some(session.handle_end(close));
                }
                Some(Ok(Message::Binary(bytes))) => {
                    let text = String::from_utf8_lossy(&bytes);
                    session.handle_text(&text).map_err(SocketError::Session)?;
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

    /// Sends what the session wants to send, as far as the socket takes it.
    fn poll_send(
        &mut self,
        session: &mut Session,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SocketError>> {
        let broken = |source: tungstenite::Error| SocketError::Broken(source.into());
        if self.over.is_some() {
            // Only the farewell is left, and whether it arrives is no matter.
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

/// Why a connection broke.
#[derive(Debug)]
pub enum SocketError {
    /// There was no WebSocket to be had.
    Handshake(Box<tungstenite::Error>),
    /// The stream failed or the other side broke the protocol.
    Broken(Box<tungstenite::Error>),
    /// The conversation leads nowhere.
    Session(SessionError),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(source) => write!(f, "no WebSocket there: {source}"),
            Self::Broken(source) => write!(f, "the connection broke: {source}"),
            Self::Session(source) => source.fmt(f),
        }
    }
}

impl std::error::Error for SocketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Handshake(source) | Self::Broken(source) => Some(source),
            Self::Session(source) => Some(source),
        }
    }
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
            ("", "cannot be read"),
            ("ws://", "cannot be read"),
            ("ws://a b/", "cannot be read"),
            ("127.0.0.1:8545", "begin with ws://"),
            ("http://x/", "begin with ws://"),
            ("wss://x/", "encrypted"),
            ("ws://x:99999/", "port"),
            ("ws://:80/", "no host"),
        ] {
            let error = Endpoint::parse(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
