//! A web server as a service: it serves the latest prices as JSON and as server-sent events, and
//! orders that it accepts become messages.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt};
use mycelium::{Context, Delivery, Result, service};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::WatchStream;

use crate::{Order, Price};

/// How many orders wait for the service. Further ones get the status 503.
const WAITING: usize = 64;
/// How many bytes an order has, at most.
const LONGEST: usize = 1024;
/// How long open connections may take to end.
const LAST: Duration = Duration::from_secs(1);

/// Serves prices, and takes orders.
pub struct Web {
    listener: Arc<TcpListener>,
}

impl Web {
    /// Creates the service for a bound socket. If the service is restarted, clients that connect
    /// meanwhile wait.
    #[must_use]
    pub fn new(listener: &Arc<TcpListener>) -> Web {
        Web { listener: listener.clone() }
    }
}

#[service(reads(Price), emits(Order))]
impl Web {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut prices = ctx.subscribe::<Price>()?;
        let latest = watch::Sender::new(Prices::new());
        let (orders, mut taken) = mpsc::channel(WAITING);
        let routes = Router::new()
            .route("/prices", get(list))
            .route("/events", get(follow))
            .route("/orders", post(order).layer(DefaultBodyLimit::max(LONGEST)))
            .with_state(Shared { latest: latest.subscribe(), orders });
        self.listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(self.listener.try_clone()?)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serve =
            axum::serve(listener, routes).with_graceful_shutdown(async { _ = stopped.await });
        let served = ctx.spawn(serve.into_future());
        loop {
            tokio::select! {
                delivery = prices.recv() => match delivery {
                    Some(Delivery::Msg(price)) => {
                        let Price { pair, cents } = price.into_inner();
                        latest.send_modify(|latest| _ = latest.insert(pair, cents));
                    }
                    // Newer prices have replaced older ones.
                    Some(Delivery::Gap(_)) => {}
                    None => break,
                },
                Some((order, accepted)) = taken.recv() => {
                    // Does not wait for room: clients of prices would wait, too.
                    if ctx.try_emit(order).is_ok() {
                        // The client may be gone; its order counts.
                        let _: Result<(), ()> = accepted.send(());
                    }
                }
            }
        }
        // Idle connections end, and those of events with their stream. A client that does not read
        // what it gets is not waited for any longer.
        drop((latest, taken, stop));
        let _ended = tokio::time::timeout(LAST, served).await;
        Ok(())
    }
}

type Prices = BTreeMap<String, u64>;

/// What the service shares with its connections.
#[derive(Clone)]
struct Shared {
    latest: watch::Receiver<Prices>,
    /// An order, and how the service says that it was emitted.
    orders: mpsc::Sender<(Order, oneshot::Sender<()>)>,
}

/// Returns the latest prices; the status 503 if the service that knows them has ended.
async fn list(State(shared): State<Shared>) -> std::result::Result<Json<Prices>, StatusCode> {
    match shared.latest.has_changed() {
        Ok(_) => Ok(Json(shared.latest.borrow().clone())),
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Sends the latest prices at once, and after each change. A client that reads slowly gets fewer of
/// them.
async fn follow(
    State(shared): State<Shared>,
) -> Sse<impl Stream<Item = std::result::Result<Event, Infallible>>> {
    let prices = WatchStream::new(shared.latest);
    let events = prices.map(|prices| {
        Ok(Event::default().json_data(prices).expect("a map of numbers is valid JSON"))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// Emits an order, and answers when it is emitted; with the status 503 if there was no room.
async fn order(State(shared): State<Shared>, Json(order): Json<Order>) -> StatusCode {
    let (accepted, is_accepted) = oneshot::channel();
    if shared.orders.try_send((order, accepted)).is_err() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    is_accepted.await.map_or(StatusCode::SERVICE_UNAVAILABLE, |()| StatusCode::ACCEPTED)
}
