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

/// The WebSocket of a client.
#[derive(Debug)]
pub struct Connection<S> {
    socket: WebSocketStream<S>,
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
        Ok(Self { socket })
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

    async fn step(&mut self, session: &mut Session) -> Result<Step, SocketError> {
        loop {
            // Events before requests: the caller can save the start block before the subscription
            // lets the chain advance.
            if let Some(event) = session.poll_event() {
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
            let ended = match self.socket.next().await.transpose()? {
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
    /// The session cannot continue.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<tungstenite::Error> for SocketError {
    fn from(source: tungstenite::Error) -> Self {
        Self::Broken(source.into())
    }
}
