//! The server in this process, with real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::SinkExt;
use game::messages::{SIZE, View};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, coding::Data, coding::OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{Client, DEADLINE, Server, place};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Steers to the middle of the world until it stands there. Returns its id.
async fn go_to_the_middle(client: &mut Client) -> u16 {
    let middle = (SIZE / 2.0) as i32;
    let mut stop = None;
    loop {
        let view = client.plays().await;
        if stop.is_some_and(|number| view.steered >= number) {
            return view.id.unwrap();
        }
        let [x, y] = place(&view, view.id).unwrap().map(|place| i32::from(place) - middle);
        let length = f32::hypot(x as f32, y as f32);
        if stop.is_some() || length < 50.0 {
            client.steer([0.0; 2]).await;
            stop.get_or_insert(client.number);
        } else {
            client.steer([-x as f32 / length, -y as f32 / length]).await;
        }
    }
}

/// Steers with each frame until the future is ready: the server may refuse a message, and lets a
/// client go that does not read.
async fn steer_during<T>(client: &mut Client, way: [f32; 2], future: impl Future<Output = T>) -> T {
    let steering = async {
        loop {
            client.plays().await;
            client.steer(way).await;
        }
    };
    tokio::select! {
        result = future => result,
        () = steering => unreachable!(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn players_join_move_and_are_seen_by_others() {
    let server = Server::start(ANY);
    let (mut one, mut other) =
        (Client::join(server.address, 1).await, Client::join(server.address, 2).await);
    let first = go_to_the_middle(&mut one).await;
    let second = steer_during(&mut one, [0.0; 2], go_to_the_middle(&mut other)).await;
    assert_ne!(first, second);
    let seen = other.until("sees the other", |view| place(view, Some(first)).is_some());
    let before = place(&steer_during(&mut one, [0.0; 2], seen).await, Some(first)).unwrap();
    // So slowly that it does not leave the view of the other while that one gets no frames.
    let moves = |view: &View| place(view, Some(first)).is_some_and(|[x, _]| x > before[0] + 40);
    steer_during(&mut one, [0.1, 0.0], other.until("the other moves", moves)).await;

    // One that closes its connection is gone.
    one.socket.close(None).await.unwrap();
    other.until("the other is gone", |view| place(view, Some(first)).is_none()).await;
    server.until("closed: the client has left", 1).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_misbehave_are_let_go_and_the_others_play_on() {
    let server = Server::start(ANY);
    let address = server.address;
    let mut good = Client::join(address, 1).await;
    good.plays().await;

    // It never reads, and answers pings that it has not seen.
    let mut stalled = Client::join(address, 2).await;
    let stall = tokio::spawn(async move {
        let mut pause = interval(Duration::from_millis(200));
        while stalled.socket.send(Message::Pong("1".into())).await.is_ok() {
            pause.tick().await;
        }
    });

    let mut flood = Client::join(address, 3).await;
    for _ in 0..1000 {
        flood.steer([1.0, 0.0]).await;
    }
    assert_eq!(flood.end().await, "closed: too many messages");
    assert!(server.figure("messages refused: too many") > 600);

    // A message in parts without an end, each empty.
    let mut parts = Client::join(address, 6).await;
    let before = server.figure("closed: too many bytes");
    let part = |kind| Message::Frame(Frame::message(&b""[..], OpCode::Data(kind), false));
    let _ = parts.socket.send(part(Data::Text)).await;
    let flooding = async { while parts.socket.send(part(Data::Continue)).await.is_ok() {} };
    timeout(DEADLINE, flooding).await.expect("it is cut off");
    server.until("closed: too many bytes", before + 1).await;

    let text = OpCode::Data(Data::Text);
    let cheat = "closed: an impossible command";
    let broken = "closed: not a message of this protocol";
    for (message, reason) in [
        (Message::text("[1,[2.0,0.0]]"), cheat),
        (Message::text("[1,[1e999,0.0]]"), cheat),
        (Message::text("[1,[null,0.0]]"), cheat),
        (Message::text("nonsense"), cheat),
        (Message::binary(&b"\x02\x00"[..]), cheat),
        (Message::text("9".repeat(1 << 20)), broken),
        (Message::Frame(Frame::message(&b"\xff\xfe"[..], text, true)), broken),
    ] {
        let before = server.figure(reason);
        let mut client = Client::join(address, 4).await;
        let _ = client.socket.send(message).await;
        client.end().await;
        server.until(reason, before + 1).await;
    }

    // One that does not finish its request, and one without a session.
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(b"GET /play/5 HTTP/1.1\r\nHost: ").await.unwrap();
    assert_eq!(silent.read(&mut [0; 64]).await.unwrap(), 0);
    server.until("connections closed: no request in time", 1).await;
    let refused = tokio_tungstenite::connect_async(format!("ws://{address}/play/0")).await;
    assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 400));

    server.until("closed: the client does not read", 1).await;
    timeout(DEADLINE, stall).await.expect("it is cut off").unwrap();
    assert!(server.figure("frames skipped") > 0);
    let before = good.plays().await;
    good.until("frames go on", |view| view.frame > before.frame + 10).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_back_after_a_restart_at_the_same_port() {
    let server = Server::start(ANY);
    let address = server.address;
    let mut client = Client::join(address, 1).await;
    client.plays().await;
    server.stop().await;
    assert_eq!(client.end().await, "closed: the server ends");
    let server = Server::start(address);
    let mut client = Client::join(address, 1).await;
    client.plays().await;
    server.stop().await;
}
