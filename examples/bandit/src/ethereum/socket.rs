//! The WebSocket between a [`Session`] and a byte stream. It only moves texts; all decisions are
//! the session's. Its future can be dropped at any time without losing a text.

use std::{future::poll_fn, ops::ControlFlow};

use async_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{FutureExt, SinkExt, StreamExt};

use super::session::{Ended, Event, Session, SessionError};

/// The limit of a message. The backfill of a whole day has six megabytes.
const LARGEST_MESSAGE: usize = 64 << 20;

/// A step of a connection: an event of the session, or the end.
pub type Step = ControlFlow<Ended, Event>;

/// The calls of [`Connection::watch`] in which a request has to be answered. The answer may be
/// large, and the connection slow.
const ANSWER_WITHIN: u32 = 30;

/// The WebSocket of a client.
#[derive(Debug)]
pub struct Connection<S> {
    socket: WebSocketStream<S>,
    watch: Watch,
}

/// What was seen since the last call of [`Connection::watch`].
#[derive(Debug, Default)]
struct Watch {
    /// Whether anything arrived, or was there already.
    is_heard: bool,
    /// Whether a ping was sent, and nothing arrived before.
    is_asked: bool,
    /// The request that is not answered, and the calls since.
    unanswered: Option<(u64, u32)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Does the handshake over `stream`, a connection to the host of `url`.
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
        Ok(Self { socket, watch: Watch::default() })
    }

    /// The next step; call [`Session::connected`] before the first.
    ///
    /// Drop the connection after an end or an error. The future can be dropped while pending.
    ///
    /// # Errors
    /// If the connection fails; the session is notified.
    pub async fn next(&mut self, session: &mut Session) -> Result<Step, SocketError> {
        let step = self.step(session).await;
        if step.is_err() {
            session.handle_end(None);
        }
        step
    }

    /// Notices a node that is gone without a word. Call it in equal times: it sends a ping if
    /// nothing has arrived since the last call. Does not wait.
    ///
    /// # Errors
    /// If nothing has arrived after a ping while no answer is due, or a request is not answered in
    /// thirty calls.
    pub fn watch(&mut self, session: &Session) -> Result<(), SocketError> {
        let Watch { is_heard, is_asked, unanswered } = std::mem::take(&mut self.watch);
        if is_asked && !is_heard && session.unanswered().is_none() {
            return Err(SocketError::Silent);
        }
        let waits = |request| match unanswered {
            Some((last, calls)) if last == request => (request, calls + 1),
            _ => (request, 1),
        };
        self.watch.unanswered = session.unanswered().map(waits);
        if self.watch.unanswered.is_some_and(|(_, calls)| calls >= ANSWER_WITHIN) {
            return Err(SocketError::NoAnswer);
        }
        if !is_heard {
            self.watch.is_asked = true;
            // Without room for it the node does not read, which the next call notices.
            let _ = self.socket.feed(Message::Ping(Default::default())).now_or_never();
        }
        Ok(())
    }

    async fn step(&mut self, session: &mut Session) -> Result<Step, SocketError> {
        loop {
            // Events before requests: the caller can save the start block before the subscription
            // lets the chain advance.
            if let Some(event) = session.poll_event() {
                self.watch.is_heard = true;
                return Ok(Step::Continue(event));
            }
            loop {
                // A request is taken when there is room for it: a dropped future loses none.
                poll_fn(|cx| self.socket.poll_ready_unpin(cx)).await?;
                let Some(text) = session.poll_transmit() else { break };
                self.socket.start_send_unpin(Message::text(text))?;
            }
            // This also sends the answer to a ping.
            self.socket.flush().await?;
            let message = self.socket.next().await.transpose()?;
            self.watch.is_heard = true;
            let ended = match message {
                Some(Message::Text(text)) => {
                    session.handle_text(&text)?;
                    continue;
                }
                Some(Message::Close(frame)) => {
                    // The answer is queued. It does not matter whether it arrives.
                    let _ = self.socket.flush().now_or_never();
                    let close = frame.as_ref().map(|frame| (frame.code.into(), &*frame.reason));
                    session.handle_end(close)
                }
                Some(_) => continue,
                None => session.handle_end(None),
            };
            return Ok(Step::Break(ended));
        }
    }
}

/// A connection failed.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The stream failed, or the other side is not a WebSocket server.
    #[error("the connection failed: {0}")]
    Broken(Box<tungstenite::Error>),
    /// Nothing has arrived, not even the answer to a ping.
    #[error("the node is silent")]
    Silent,
    /// The node has not answered a request.
    #[error("the node does not answer a request")]
    NoAnswer,
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
    use std::{
        io,
        pin::Pin,
        task::{Context, Poll},
    };

    use async_tungstenite::tungstenite::protocol::Role;

    use super::*;

    /// A node that answers no request, and pings or not even these.
    struct Node {
        answers_pings: bool,
        is_asked: bool,
    }

    impl AsyncRead for Node {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            if !(std::mem::take(&mut self.is_asked) && self.answers_pings) {
                return Poll::Pending;
            }
            // A frame: an empty pong.
            into[..2].copy_from_slice(&[0x8a, 0]);
            Poll::Ready(Ok(2))
        }
    }

    impl AsyncWrite for Node {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            from: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.is_asked = true;
            Poll::Ready(Ok(from.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Watches a node until there is an error, and returns it with the number of calls.
    fn watched(answers_pings: bool, mut session: Session) -> (SocketError, u32) {
        let node = Node { answers_pings, is_asked: false };
        let socket = WebSocketStream::from_raw_socket(node, Role::Client, None);
        let mut connection =
            Connection { socket: socket.now_or_never().unwrap(), watch: Watch::default() };
        for call in 1..100 {
            assert!(connection.next(&mut session).now_or_never().is_none());
            if let Err(error) = connection.watch(&session) {
                return (error, call);
            }
        }
        panic!("no error")
    }

    #[test]
    fn a_node_that_is_gone_or_answers_nothing_is_noticed() {
        let (error, calls) = watched(false, Session::default());
        assert!(matches!(error, SocketError::Silent) && calls == 2, "{error} {calls}");
        let mut asking = Session::default();
        asking.connected();
        // Whether it answers pings or not: the pong would be behind the answer.
        let mut again = Session::default();
        let node = Node { answers_pings: true, is_asked: false };
        let socket = WebSocketStream::from_raw_socket(node, Role::Client, None);
        let mut connection =
            Connection { socket: socket.now_or_never().unwrap(), watch: Watch::default() };
        for _ in 0..2 * ANSWER_WITHIN {
            // A request after the other, each answered in time.
            again.connected();
            connection.watch(&again).unwrap();
        }
        let (error, calls) = watched(false, asking);
        assert!(matches!(error, SocketError::NoAnswer) && calls == 30, "{error} {calls}");
    }
}
