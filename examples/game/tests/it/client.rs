//! A client of the tests, and the server that they start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use game::messages::{Steer, View};
use game::network::Figures;
use mycelium::Running;
use mycelium_tokio::Tokio;
use serde_json::from_str;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long a condition may take.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub struct Server {
    pub address: SocketAddr,
    pub figures: Arc<Figures>,
    running: Running,
}

impl Server {
    /// Starts a server, at a free port if that of the address is 0.
    pub fn start(address: SocketAddr) -> Server {
        let (address, figures) = (game::free(address).unwrap(), Arc::default());
        let topology = game::topology("game.toml").unwrap();
        let node = game::node("main", topology, address, Arc::clone(&figures)).build().unwrap();
        Server { address, figures, running: node.start(Tokio::current().unwrap()).unwrap() }
    }

    pub async fn stop(self) {
        self.running.shutdown();
        self.running.join().await.unwrap();
    }

    /// Returns a figure; 0 if there is none with this name.
    pub fn figure(&self, name: &str) -> u64 {
        self.figures.all().get(name).copied().unwrap_or(0)
    }

    /// Waits until a figure is at least this number.
    pub async fn until(&self, figure: &str, least: u64) {
        let counted = async {
            while self.figure(figure) < least {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = timeout(DEADLINE, counted).await;
        in_time.unwrap_or_else(|_| panic!("{figure} < {least}: {:?}", self.figures.all()));
    }
}

pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The number of the last message that steers.
    pub number: u32,
}

impl Client {
    /// Connects, as often as it takes.
    pub async fn join(address: SocketAddr, session: u64) -> Client {
        let connected = timeout(DEADLINE, async {
            loop {
                let url = format!("ws://{address}/play/{session}");
                if let Ok((socket, _)) = connect_async(url).await {
                    return socket;
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
        Client { socket: connected.await.unwrap(), number: 0 }
    }

    pub async fn steer(&mut self, way: [f32; 2]) {
        self.number += 1;
        let steer: Steer = (self.number, way);
        // The server may have closed the connection.
        let _ = self.socket.send(Message::text(serde_json::to_string(&steer).unwrap())).await;
    }

    /// Returns the next frame, or why the connection has ended.
    pub async fn view(&mut self) -> Result<View, String> {
        loop {
            match timeout(DEADLINE, self.socket.next()).await.expect("no message within 30 s") {
                Some(Ok(Message::Text(text))) => match from_str(&text) {
                    Ok(view) => return Ok(view),
                    Err(_) => drop(from_str::<BTreeMap<String, u64>>(&text).unwrap()),
                },
                Some(Ok(Message::Close(Some(close)))) => return Err(close.reason.to_string()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("the end".to_owned()),
            }
        }
    }

    /// Waits until it has a player.
    pub async fn plays(&mut self) -> View {
        self.until("it plays", |view| view.id.is_some()).await
    }

    /// Waits until the connection has ended. Returns why.
    pub async fn end(&mut self) -> String {
        loop {
            if let Err(end) = self.view().await {
                return end;
            }
        }
    }

    /// Waits for a frame of which the condition holds. Each frame is the next one, or follows a gap
    /// of which the client was told.
    pub async fn until(&mut self, what: &str, holds: impl Fn(&View) -> bool) -> View {
        let mut last: Option<View> = None;
        let found = timeout(DEADLINE, async {
            loop {
                let view = self.view().await.unwrap_or_else(|end| panic!("{what}: {end}"));
                if let Some(last) = &last {
                    assert_eq!(view.frame - last.frame - 1, view.skipped - last.skipped);
                }
                if holds(&view) {
                    return view;
                }
                last = Some(view);
            }
        });
        let found = found.await;
        found.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}, last seen: {last:?}"))
    }
}

/// Returns the place of an entity, if it is in view.
pub fn place(view: &View, id: Option<u16>) -> Option<[u16; 2]> {
    let entity = view.entities.iter().find(|entity| Some(entity.0) == id)?;
    Some([entity.1, entity.2])
}
