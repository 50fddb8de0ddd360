//! Clients that play by themselves: most of them collect coins, some misbehave.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, coding::Data, coding::OpCode};
use tokio_tungstenite::tungstenite::{Error, Message, protocol::WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::messages::{PLAYERS, Steer, View};
use crate::network::{HANDSHAKE, lock};
use crate::physics::way;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What all bots have seen since it was taken last.
#[derive(Default)]
pub struct Seen {
    pub frames: u64,
    /// Frames that the server has skipped, as it has told the bot.
    pub skipped: u64,
    /// Other frames that are missing. There must be none.
    pub lost: u64,
    /// The times from a command until a frame in which it was obeyed, in microseconds.
    pub trips: Vec<u32>,
    /// The newest figures of the server.
    pub figures: Value,
}

/// Starts bots, the last `bad` of which misbehave: they flood the server, never read, or cheat.
/// They connect again when they are disconnected, until the set is dropped.
pub fn start(address: SocketAddr, bots: usize, bad: usize, seen: &Arc<Mutex<Seen>>) -> JoinSet<()> {
    let manners = |number| (number + bad >= bots).then_some(number % 3);
    (0..bots).map(|number| run(address, manners(number), seen.clone())).collect()
}

async fn run(address: SocketAddr, bad: Option<usize>, seen: Arc<Mutex<Seen>>) {
    let url = format!("ws://{address}/play/{}", fastrand::u64(1..));
    let config = WebSocketConfig::default().read_buffer_size(4096);
    // It goes on counting its commands when it connects again.
    let mut number = 0;
    loop {
        let connecting = connect_async_with_config(&url, Some(config), true);
        if let Ok(Ok((mut socket, _))) = timeout(HANDSHAKE, connecting).await {
            let _ = match bad {
                None => play(&mut socket, &mut number, &seen).await,
                // 10,000 commands a second, or one.
                Some(0) => talk(&mut socket, 100, Duration::from_millis(10)).await,
                Some(1) => talk(&mut socket, 1, Duration::from_secs(1)).await,
                Some(_) => cheat(&mut socket).await,
            };
        }
        sleep(Duration::from_millis(500)).await;
    }
}

async fn play(socket: &mut Socket, number: &mut u32, seen: &Mutex<Seen>) -> Result<(), Error> {
    let mut steer = interval(Duration::from_millis(100));
    let (mut wanted, mut last) = ([1.0, 0.0], None);
    // A command that it has not seen to be obeyed, and when it was sent.
    let mut asked: Option<(u32, Instant)> = None;
    loop {
        tokio::select! {
            message = socket.next() => {
                let message = message.ok_or(Error::ConnectionClosed)??;
                let Message::Text(text) = message else { continue };
                let Ok(view) = serde_json::from_str::<View>(&text) else {
                    lock(seen).figures = serde_json::from_str(&text).unwrap_or_default();
                    continue;
                };
                let mut seen = lock(seen);
                seen.frames += 1;
                if let Some((frame, skipped)) = last.replace((view.frame, view.skipped)) {
                    let told = view.skipped - skipped;
                    seen.skipped += u64::from(told);
                    seen.lost += u64::from((view.frame - frame - 1).abs_diff(told));
                }
                if let Some((_, sent)) = asked.take_if(|(number, _)| view.steered >= *number) {
                    seen.trips.push(sent.elapsed().as_micros() as u32);
                }
                wanted = choose(&view).unwrap_or(wanted);
            }
            _ = steer.tick() => {
                *number += 1;
                asked.get_or_insert((*number, Instant::now()));
                socket.send(steering(*number, wanted)).await?;
            }
        }
    }
}

/// Returns the way to the next coin; `None` if there is none in sight.
fn choose(view: &View) -> Option<[f32; 2]> {
    let place = |entity: &(u16, u16, u16, u16)| [entity.1.into(), entity.2.into()];
    let me = place(view.entities.iter().find(|entity| Some(entity.0) == view.id)?);
    let coins = view.entities.iter().filter(|entity| entity.0 >= PLAYERS);
    let ways = coins.map(|coin| way(&me, &place(coin)));
    Some(ways.min_by(|(_, one), (_, other)| one.total_cmp(other))?.0)
}

fn steering(number: u32, way: [f32; 2]) -> Message {
    let steer: Steer = (number, way);
    Message::Text(serde_json::to_string(&steer).unwrap_or_default().into())
}

/// Sends this many commands with each tick, and never reads.
async fn talk(socket: &mut Socket, commands: u32, tick: Duration) -> Result<(), Error> {
    let mut tick = interval(tick);
    loop {
        tick.tick().await;
        for number in 0..commands {
            socket.feed(steering(number, [1.0, 0.0])).await?;
        }
        socket.flush().await?;
    }
}

/// Sends an impossible speed, nonsense, a message that is too long, or text that is not UTF-8.
async fn cheat(socket: &mut Socket) -> Result<(), Error> {
    let text = OpCode::Data(Data::Text);
    let message = match fastrand::u8(..5) {
        0 => steering(1, [1e9, 0.0]),
        1 => Message::Text("[1,[1e999,0]]".into()),
        2 => Message::Binary((0..40).map(|_| fastrand::u8(..)).collect()),
        3 => Message::Text("9".repeat(1 << 20).into()),
        _ => Message::Frame(Frame::message(&b"\xff\xfe"[..], text, true)),
    };
    socket.send(message).await?;
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    Ok(())
}
