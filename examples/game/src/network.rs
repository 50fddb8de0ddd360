//! `Network` makes frames of the states of entities, and serves the page and the clients.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::extract::{Path, State, WebSocketUpgrade};
use axum::http::{StatusCode, header::CONNECTION};
use axum::response::{Html, IntoResponse, Response};
use axum::{Extension, Router, routing::get};
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use mycelium::{Context, Delivery, Publisher, Result, service};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::{Error, error::ProtocolError};
use tokio_util::io::InspectReader;

use crate::messages::{Action, Command, Entity, PLAYERS, SIZE, Steer, Tick, View};

/// Clients get a frame after each third tick: 20 times a second.
const TICKS_OF_A_FRAME: u64 = 3;
/// An entity that has had no new state for this many frames is gone.
const STALE: u32 = 20;
/// The most clients.
const CLIENTS: usize = 600;
/// The most connections that are not a WebSocket, or not yet.
const REQUESTS: usize = 512;
/// How long a request may take.
pub const HANDSHAKE: Duration = Duration::from_secs(5);
/// The longest message of a client, in bytes.
const LONGEST: usize = 256;
/// The most messages in a second, and how many more are refused before the client is let go.
const RATE: u32 = 60;
const PATIENCE: u32 = 600;
/// The most bytes of a connection in a second, however few messages they are.
const BYTES: usize = 1 << 16;
/// The seconds after which a client that has not answered a ping is let go. After one of them it
/// gets no frames, so that no old ones wait for it in buffers of the system.
const STALL: u32 = 10;
/// How far a client sees, to each side.
const SIGHT: f32 = 300.0;

// Why a connection has ended: as it is counted, and as the client is told.
const CHEAT: &str = "closed: an impossible command";
const STALLED: &str = "closed: the client does not read";
const BROKEN: &str = "closed: not a message of this protocol";
const LOST: &str = "closed: the connection was lost";

/// What has happened, by its name, and how often. Clients get it each second.
#[derive(Default)]
pub struct Figures(Mutex<BTreeMap<&'static str, u64>>);

impl Figures {
    pub fn add(&self, name: &'static str, count: u64) {
        *self.0.lock().entry(name).or_default() += count;
    }

    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().clone()
    }
}

/// The newest states of all entities.
#[derive(Default)]
struct Frame {
    /// Begins with 1.
    number: u32,
    entities: Vec<Entity>,
}

/// The bytes that a client has sent since they were counted last.
type Sent = Arc<AtomicUsize>;

/// What the connections share.
struct Server {
    figures: Arc<Figures>,
    /// The newest frame, which is all that waits for a client. Closed when the service ends.
    frames: watch::Receiver<Arc<Frame>>,
    /// `None` when the service has ended.
    commands: Mutex<Option<Publisher<Command>>>,
    seats: Arc<Semaphore>,
}

pub struct Network {
    pub address: SocketAddr,
    pub figures: Arc<Figures>,
}

#[service(reads(Entity, Tick), emits(Command))]
impl Network {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (mut entities, mut ticks) = (ctx.subscribe::<Entity>()?, ctx.subscribe::<Tick>()?);
        let listener = TcpListener::bind(self.address).await?;
        let (sender, frames) = watch::channel(Arc::<Frame>::default());
        let (figures, seats) = (self.figures.clone(), Arc::new(Semaphore::new(CLIENTS)));
        let commands = Mutex::new(Some(ctx.publisher()?));
        let server = Arc::new(Server { figures: figures.clone(), frames, commands, seats });
        let mut serving = pin!(serve(listener, &server));
        let mut end = pin!(ctx.shutdown_requested());
        let mut second = ctx.interval(Duration::from_secs(1))?;
        // The newest state of each entity, with the frame in which it was new.
        let (mut states, mut number) = (BTreeMap::new(), 0);
        let (mut newest, mut seen) = (0, 0);
        loop {
            tokio::select! {
                () = &mut end => break,
                () = &mut serving => break,
                Some(delivery) = ticks.recv() => {
                    let Delivery::Msg(tick) = delivery else { continue };
                    seen += 1;
                    if tick.number / TICKS_OF_A_FRAME == newest / TICKS_OF_A_FRAME {
                        continue;
                    }
                    newest = tick.number;
                    number += 1;
                    // A tick comes after its entities, so all of them are there.
                    while let Some(delivery) = entities.try_recv().delivery() {
                        match delivery {
                            Delivery::Msg(it) => _ = states.insert(it.id, (*it, number)),
                            Delivery::Gap(gap) => figures.add("states replaced or lost", gap.count),
                        }
                    }
                    states.retain(|_, (_, since)| number - *since < STALE);
                    let entities = states.values().map(|(entity, _)| *entity).collect();
                    sender.send_replace(Arc::new(Frame { number, entities }));
                }
                Ok(()) = second.tick() => {
                    let mut figures = figures.0.lock();
                    figures.insert("players", states.range(..PLAYERS).count() as u64);
                    figures.insert("ticks per second", std::mem::take(&mut seen));
                }
            }
        }
        // `World` gets no more commands. The end of the frames ends the clients.
        server.commands.lock().take();
        entities.unsubscribe();
        ticks.unsubscribe();
        Ok(())
    }
}

/// Serves connections, for ever.
async fn serve(listener: TcpListener, server: &Arc<Server>) {
    let page = get(async || ([(CONNECTION, "close")], Html(include_str!("page.html"))));
    let router = Router::new().route("/", page).route("/play/{session}", get(upgrade));
    let router = router.with_state(server.clone());
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) if requests.len() < REQUESTS => {
                    // Otherwise a frame waits until the one before it has arrived.
                    let _ = socket.set_nodelay(true);
                    let http = http1::Builder::new();
                    let (sent, router) = (Sent::default(), router.clone());
                    let router = TowerToHyperService::new(router.layer(Extension(sent.clone())));
                    let socket = InspectReader::new(socket, move |bytes: &[u8]| {
                        sent.fetch_add(bytes.len(), Ordering::Relaxed);
                    });
                    let request = http.serve_connection(TokioIo::new(socket), router);
                    requests.spawn(timeout(HANDSHAKE, request.with_upgrades()));
                }
                Ok(_) => server.figures.add("connections refused: too many requests", 1),
                // Too many open files: some may be closed soon.
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
            Some(done) = requests.join_next() => if let Ok(Err(_)) = done {
                server.figures.add("connections closed: no request in time", 1);
            }
        }
    }
}

async fn upgrade(
    upgrade: WebSocketUpgrade,
    Path(session): Path<NonZeroU64>,
    State(server): State<Arc<Server>>,
    Extension(sent): Extension<Sent>,
) -> Response {
    let Ok(seat) = server.seats.clone().try_acquire_owned() else {
        server.figures.add("connections refused: too many clients", 1);
        return (StatusCode::SERVICE_UNAVAILABLE, "the server is full\n").into_response();
    };
    let upgrade = upgrade.read_buffer_size(4096).max_frame_size(LONGEST).max_message_size(LONGEST);
    upgrade.on_upgrade(async move |mut socket| {
        let Err(end) = play(&mut socket, &server, session.get(), &sent).await;
        server.figures.add(end, 1);
        let close = CloseFrame { code: close_code::POLICY, reason: end.into() };
        // The client may read the reason before the connection is cut.
        let told = timeout(Duration::from_secs(1), async {
            let _ = socket.send(Message::Close(Some(close))).await;
            while let Some(Ok(_)) = socket.recv().await {}
        });
        let _ = told.await;
        drop(seat);
    })
}

/// Serves a client until its connection ends. Returns why.
async fn play(
    socket: &mut WebSocket,
    server: &Server,
    session: u64,
    sent: &Sent,
) -> Result<Infallible, &'static str> {
    // If the ring is full, because `World` is away or too slow, the command is dropped and counted.
    // No client waits for another one.
    let command = |action| {
        let command = Command { session, action };
        let sent = server.commands.lock().as_mut().is_some_and(|to| to.try_emit(command).is_ok());
        server.figures.add(if sent { "commands" } else { "commands refused: busy" }, 1);
    };
    let mut frames = server.frames.clone();
    let (mut number, mut skipped) = (frames.borrow_and_update().number, 0);
    let (mut allowance, mut refused) = (RATE, 0);
    // The ping that the client has not answered, and for how many seconds. Those in which this
    // process was stopped do not count.
    let mut ping: Option<(Bytes, u32)> = None;
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = frames.changed() => {
                changed.map_err(|_| "closed: the server ends")?;
                let frame = frames.borrow_and_update().clone();
                let lags = ping.as_ref().is_some_and(|(_, seconds)| *seconds > 0);
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
                match &message {
                    Message::Pong(pong) => drop(ping.take_if(|(ping, _)| ping == pong)),
                    Message::Close(_) => {
                        command(Action::Leave);
                        return Err("closed: the client has left");
                    }
                    _ => {}
                }
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
                    _ => {}
                }
            }
            _ = second.tick() => {
                if sent.swap(0, Ordering::Relaxed) > BYTES {
                    return Err("closed: too many bytes");
                }
                command(Action::Join);
                allowance = RATE;
                match &mut ping {
                    Some((_, STALL)) => return Err(STALLED),
                    Some((_, seconds)) => *seconds += 1,
                    None => {
                        let (payload, _) = ping.insert((number.to_string().into(), 0));
                        send(socket, Message::Ping(payload.clone())).await?;
                        send(socket, text(&server.figures.all())).await?;
                    }
                }
            }
        }
    }
}

/// Returns the part of a frame that a client sees: what is around its player, or around the middle.
fn view(frame: &Frame, session: u64, skipped: u32) -> View {
    let me = frame.entities.iter().find(|entity| entity.session == session);
    let middle = me.map_or([SIZE / 2.0; 2], |me| me.place);
    let is_near = |axis: usize, place: [f32; 2]| (place[axis] - middle[axis]).abs() < SIGHT;
    let is_seen = |entity: &&Entity| is_near(0, entity.place) && is_near(1, entity.place);
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
    timeout(Duration::from_secs(STALL.into()), socket.send(message))
        .await
        .map_err(|_| STALLED)?
        .map_err(|_| LOST)
}

/// Returns the message, or why there is none.
fn received(message: Option<Result<Message, axum::Error>>) -> Result<Message, &'static str> {
    let message = message.ok_or(LOST)?.map_err(axum::Error::into_inner);
    message.map_err(|error| match error.downcast_ref() {
        Some(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => LOST,
        Some(Error::Capacity(_) | Error::Utf8(_) | Error::Protocol(_)) => BROKEN,
        _ => LOST,
    })
}
