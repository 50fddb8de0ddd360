//! A client with invalid nodes, and with a caller that drops its futures.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    thread,
    time::Duration,
};

use crate::common::{End, block_on, pipe, sleep};
use async_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use bandit::{
    client::Cursor,
    feed::{Feed, Settings},
    recording::Recording,
    session::{Ended, Event, Session},
    socket::{Connection, SocketError, Step},
};
use futures_util::{AsyncReadExt, AsyncWriteExt};

const URL: &str = "ws://node/";

/// The result of a client whose node does this after the handshake.
fn against<F: Future<Output = ()>>(
    node: impl FnOnce(WebSocketStream<End>) -> F + Send + 'static,
) -> Result<Step, SocketError> {
    let (server, client) = pipe(1 << 20, false);
    let node = thread::spawn(move || {
        block_on(async { node(accept_async(server).await.unwrap()).await });
    });
    let mut session = Session::new(vec![[7; 20]], Cursor::starting_at(1));
    let step = block_on(async {
        let mut connection = Connection::open(client, URL).await?;
        session.connected();
        connection.next(&mut session).await
    });
    node.join().unwrap();
    step
}

#[test]
fn a_server_of_another_protocol_is_an_error() {
    let (mut server, client) = pipe(1 << 20, false);
    let node = thread::spawn(move || {
        block_on(async {
            let mut request = [0; 16];
            server.read_exact(&mut request).await.unwrap();
            server.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        });
    });
    let opened = block_on(Connection::open(client, URL));
    assert!(matches!(opened, Err(SocketError::Handshake(_))), "{opened:?}");
    node.join().unwrap();
}

#[test]
fn garbage_and_silence_break_the_connection() {
    let broken = against(|socket| async {
        socket.into_inner().write_all(b"\xff\xff\xff\xff").await.unwrap();
    });
    assert!(matches!(broken, Err(SocketError::Broken(_))), "{broken:?}");
    let left = against(|socket| async { drop(socket) });
    assert!(matches!(left, Err(SocketError::Broken(_))), "{left:?}");
}

#[test]
fn a_close_is_the_end_and_a_refusal_an_error() {
    let early = against(|mut socket| async move {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "end of recording".into() };
        socket.close(Some(frame)).await.unwrap();
    });
    assert!(matches!(early, Ok(Step::Ended(Ended::Reconnect))), "{early:?}");
    let refused = against(|mut socket| async move {
        let text = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method"}}"#;
        socket.send(Message::text(text)).await.unwrap();
    });
    let error = refused.unwrap_err().to_string();
    assert_eq!(error, "the node refused eth_subscribe: no such method (-32601)");
}

#[test]
fn a_dropped_future_loses_nothing() {
    let day = Recording::embedded().unwrap();
    let feed = Arc::new(Feed::new(day.clone(), Settings::default()));
    // So small that every write is split.
    let (server, client) = pipe(100, false);
    let node = {
        let feed = feed.clone();
        thread::spawn(move || block_on(feed.serve(server, sleep)))
    };
    let mut session = Session::new(Vec::new(), Cursor::HEAD);
    let mut connection = block_on(Connection::open(client, URL)).unwrap();
    session.connected();
    let mut logs = 0;
    while logs < 500 {
        // Poll each future once; the next one needs a wake.
        let step = block_on(poll_fn(|cx| pin!(connection.next(&mut session)).poll(cx)));
        if let Step::Event(Event::Log(log, _)) = step.unwrap() {
            assert_eq!(log.key(), day.logs()[logs].key);
            logs += 1;
        }
    }
    drop(connection);
    node.join().unwrap();
}

#[test]
fn the_futures_can_be_sent() {
    fn sendable<T: Send>(_: &T) {}
    let feed = Feed::new(Recording::embedded().unwrap(), Settings::default());
    let (server, client) = pipe(100, false);
    sendable(&feed.serve(server, |_: Duration| std::future::pending::<()>()));
    sendable(&async {
        let mut session = Session::new(Vec::new(), Cursor::HEAD);
        let mut connection = Connection::open(client, URL).await.unwrap();
        connection.next(&mut session).await.unwrap();
    });
}
