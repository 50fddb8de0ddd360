//! The connection of a client.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use serde::Serialize;
use tokio::time::{Instant, interval, timeout};
use tokio_tungstenite::tungstenite::{Error, error::ProtocolError};

use crate::messages::{Action, Command, Entity, SIZE, Steer, View};
use crate::network::{Frame, Server};

/// The most messages in a second, and how many more are refused before the client is let go.
const RATE: u32 = 60;
const PATIENCE: u32 = 600;
/// A client that has not answered a ping for this long gets no frames, so that no old ones wait for
/// it in buffers of the system.
const LAG: Duration = Duration::from_secs(1);
/// A client that has not answered for this long is let go.
const STALL: Duration = Duration::from_secs(10);
/// How far a client sees, to each side.
const SIGHT: f32 = 300.0;

// Why a connection has ended: as it is counted, and as the client is told.
const CHEAT: &str = "closed: an impossible command";
const STALLED: &str = "closed: the client does not read";
const LOST: &str = "closed: the connection was lost";

/// Serves a client until its connection ends, and tells it why.
pub async fn serve(mut socket: WebSocket, server: Arc<Server>, session: u64) {
    let Err(end) = play(&mut socket, &server, session).await;
    server.figures.add(end, 1);
    let close = CloseFrame { code: close_code::POLICY, reason: end.into() };
    // The client may read it before the connection is cut.
    let _ = timeout(LAG, async {
        let _ = socket.send(Message::Close(Some(close))).await;
        while let Some(Ok(_)) = socket.recv().await {}
    })
    .await;
}

async fn play(
    socket: &mut WebSocket,
    server: &Server,
    session: u64,
) -> Result<Infallible, &'static str> {
    let command = |action| server.command(Command { session, action });
    let mut frames = server.frames.clone();
    let (mut number, mut skipped) = (frames.borrow_and_update().number, 0);
    let (mut allowance, mut refused) = (RATE, 0);
    // The ping that the client has not answered, and when it was sent.
    let mut ping: Option<(Bytes, Instant)> = None;
    let mut second = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            changed = frames.changed() => {
                changed.map_err(|_| "closed: the server ends")?;
                let frame = frames.borrow_and_update().clone();
                let lags = ping.as_ref().is_some_and(|(_, sent)| sent.elapsed() > LAG);
                let missed = frame.number - number - u32::from(!lags);
                (number, skipped) = (frame.number, skipped + missed);
                server.figures.add("frames skipped", missed.into());
                if !lags {
                    server.figures.add("frames sent", 1);
                    send(socket, text(&view(&frame, session, skipped))).await?;
                }
            }
            message = socket.recv() => {
                let message = received(message)?;
                if allowance == 0 {
                    server.figures.add("messages refused: too many", 1);
                    refused += 1;
                    if refused > PATIENCE {
                        return Err("closed: too many messages");
                    }
                    continue;
                }
                allowance -= 1;
                match message {
                    Message::Text(text) => match serde_json::from_str::<Steer>(&text) {
                        Ok((number, way @ [x, y])) if x.hypot(y) <= 1.001 => {
                            command(Action::Steer { number, way });
                        }
                        _ => return Err(CHEAT),
                    },
                    Message::Binary(_) => return Err(CHEAT),
                    Message::Pong(pong) => drop(ping.take_if(|(ping, _)| *ping == pong)),
                    Message::Ping(_) => {}
                    Message::Close(_) => {
                        command(Action::Leave);
                        return Err("closed: the client has left");
                    }
                }
            }
            _ = second.tick() => {
                command(Action::Join);
                allowance = RATE;
                if ping.as_ref().is_some_and(|(_, sent)| sent.elapsed() > STALL) {
                    return Err(STALLED);
                } else if ping.is_none() {
                    let (payload, _) = ping.insert((number.to_string().into(), Instant::now()));
                    send(socket, Message::Ping(payload.clone())).await?;
                    send(socket, text(&server.figures.all())).await?;
                }
            }
        }
    }
}

/// Returns the part of a frame that a client sees: what is around its player, or around the middle.
fn view(frame: &Frame, session: u64, skipped: u32) -> View {
    let me = frame.entities.iter().find(|entity| entity.session == session);
    let [x, y] = me.map_or([SIZE / 2.0; 2], |me| me.place);
    let is_seen = |entity: &&Entity| {
        (entity.place[0] - x).abs() < SIGHT && (entity.place[1] - y).abs() < SIGHT
    };
    let seen = |entity: &Entity| {
        let [x, y] = entity.place.map(|place| place as u16);
        (entity.id, x, y, entity.score)
    };
    let entities = frame.entities.iter().filter(is_seen).map(seen).collect();
    let (steered, id) = (me.map_or(0, |me| me.steered), me.map(|me| me.id));
    View { frame: frame.number, skipped, steered, id, entities }
}

fn text(value: &impl Serialize) -> Message {
    Message::Text(serde_json::to_string(value).unwrap_or_default().into())
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), &'static str> {
    timeout(STALL, socket.send(message)).await.map_err(|_| STALLED)?.map_err(|_| LOST)
}

/// Returns the message, or why there is none.
fn received(message: Option<Result<Message, axum::Error>>) -> Result<Message, &'static str> {
    let error = match message {
        Some(Ok(message)) => return Ok(message),
        Some(Err(error)) => error.into_inner(),
        None => return Err(LOST),
    };
    match error.downcast_ref() {
        Some(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Err(LOST),
        Some(Error::Capacity(_) | Error::Utf8(_) | Error::Protocol(_)) => {
            Err("closed: not a message of this protocol")
        }
        _ => Err(LOST),
    }
}
