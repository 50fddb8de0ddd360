//! `Network` makes frames of the states of entities, and serves the page and the clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State, WebSocketUpgrade};
use axum::http::{StatusCode, header::CONNECTION};
use axum::response::{Html, IntoResponse, Response};
use axum::{Router, routing::get};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use mycelium::{Context, Delivery, Publisher, Result, service, subscribe::GapReason};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client;
use crate::messages::{Command, Entity, PLAYERS, Tick};

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

/// What has happened, by its name, and how often. Clients get it each second.
#[derive(Default)]
pub struct Figures(Mutex<BTreeMap<&'static str, u64>>);

impl Figures {
    pub fn add(&self, name: &'static str, count: u64) {
        *lock(&self.0).entry(name).or_default() += count;
    }

    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.0).clone()
    }
}

/// Locks, also after a panic: all values here are valid at any time.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The newest states of all entities.
#[derive(Default)]
pub struct Frame {
    /// Begins with 1.
    pub number: u32,
    pub entities: Vec<Entity>,
}

/// What the connections share.
pub struct Server {
    pub figures: Arc<Figures>,
    /// The newest frame, which is all that waits for a client. Closed when the service ends.
    pub frames: watch::Receiver<Arc<Frame>>,
    /// `None` when the service has ended.
    commands: Mutex<Option<Publisher<Command>>>,
    seats: Arc<Semaphore>,
}

impl Server {
    /// Sends a command to `World`. If the ring is full, because `World` is away or too slow, the
    /// command is dropped and counted. No client waits for another one.
    pub fn command(&self, command: Command) {
        let sent = lock(&self.commands).as_mut().is_some_and(|to| to.try_emit(command).is_ok());
        self.figures.add(if sent { "commands" } else { "commands refused: busy" }, 1);
    }
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
                            Delivery::Gap(gap) if gap.reason == GapReason::Skipped => {
                                figures.add("states replaced by newer ones", gap.count);
                            }
                            Delivery::Gap(gap) => figures.add("states overwritten or lost", gap.count),
                        }
                    }
                    states.retain(|_, (_, since)| number - *since < STALE);
                    let entities = states.values().map(|(entity, _)| *entity).collect();
                    sender.send_replace(Arc::new(Frame { number, entities }));
                }
                Ok(()) = second.tick() => {
                    let mut figures = lock(&figures.0);
                    figures.insert("players", states.range(..PLAYERS).count() as u64);
                    figures.insert("ticks per second", std::mem::take(&mut seen));
                }
            }
        }
        // `World` gets no more commands. The end of the frames ends the clients.
        lock(&server.commands).take();
        entities.unsubscribe();
        ticks.unsubscribe();
        Ok(())
    }
}

/// Serves connections, for ever.
async fn serve(listener: TcpListener, server: &Arc<Server>) {
    let page = get(async || ([(CONNECTION, "close")], Html(include_str!("page.html"))));
    let router = Router::new().route("/", page).route("/play/{session}", get(upgrade));
    let router = TowerToHyperService::new(router.with_state(server.clone()));
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) if requests.len() < REQUESTS => {
                    // Otherwise a frame waits until the one before it has arrived.
                    let _ = socket.set_nodelay(true);
                    let http = http1::Builder::new();
                    let request = http.serve_connection(TokioIo::new(socket), router.clone());
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
) -> Response {
    let Ok(seat) = server.seats.clone().try_acquire_owned() else {
        server.figures.add("connections refused: too many clients", 1);
        return (StatusCode::SERVICE_UNAVAILABLE, "the server is full\n").into_response();
    };
    let upgrade = upgrade.read_buffer_size(4096).max_frame_size(LONGEST).max_message_size(LONGEST);
    upgrade.on_upgrade(async move |socket| {
        client::serve(socket, server, session.get()).await;
        drop(seat);
    })
}
