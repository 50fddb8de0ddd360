//! The bytes of a peer, written from docs/wire-format.md without our code.

use std::sync::Arc;
use std::time::Duration;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use mycelium_core::Message;
use mycelium_executor::{Executor, Stream};
use mycelium_tokio::Tokio;
use tokio::time::timeout;

use super::{PATIENCE, Place, within};
use crate::frames::{frame, hello, name};

/// Returns a connection on which nothing was sent yet.
pub(crate) async fn connect(place: &Place) -> Stream {
    let end = tokio::time::Instant::now() + PATIENCE;
    let endpoint = place.endpoint();
    let executor: Arc<dyn Executor> = Arc::new(Tokio::current().unwrap());
    loop {
        match endpoint.connect(&executor).await {
            Ok(stream) => return stream,
            // The backlog of the listener is full.
            Err(error) => assert!(tokio::time::Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Returns a connection on which a hello with this name was sent.
pub(crate) async fn named(place: &Place, node: &str) -> Stream {
    connect_and_say(place, &hello(node, 1, 1)).await
}

/// Returns a connection on which these bytes were sent.
pub(crate) async fn connect_and_say(place: &Place, bytes: &[u8]) -> Stream {
    let mut stream = connect(place).await;
    say(&mut stream, bytes).await;
    stream
}

/// Returns type and payload, with its padding, of the next frame; `None` at the end of the
/// connection.
pub(crate) async fn next_frame(stream: &mut Stream) -> Option<(u16, Vec<u8>)> {
    let reading = async {
        let mut header = [0; 24];
        stream.read_exact(&mut header).await.ok()?;
        let id = u16::from_le_bytes([header[2], header[3]]);
        let length = u32::from_le_bytes(header[4..8].try_into().unwrap()) as usize;
        let mut payload = vec![0; length.next_multiple_of(8) - 24];
        stream.read_exact(&mut payload).await.ok()?;
        Some((id, payload))
    };
    within("a frame", reading).await
}

/// Reads until the server closes the connection, and panics if it does not close in time.
pub(crate) async fn hear(stream: &mut Stream) -> Vec<u8> {
    let mut heard = Vec::new();
    // A reset ends the connection, too.
    _ = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.expect("the server closes");
    heard
}

/// Sends bytes for as long as the server reads them.
pub(crate) async fn say(stream: &mut Stream, bytes: &[u8]) {
    let saying = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    _ = timeout(PATIENCE, saying).await.expect("the server reads or closes");
}

pub(crate) fn ping() -> Vec<u8> {
    frame(0, 0, 0, &[13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

/// Returns a frame that subscribes to the messages `M`. Mode 0 makes the publisher wait.
pub(crate) fn subscribe<M: Message>(mode: u8, window: u32) -> Vec<u8> {
    let mut payload = vec![3, 0];
    payload.extend(M::ID.to_le_bytes());
    payload.extend([7, 0, 0, 0]);
    payload.extend(M::DIGEST.0);
    payload.extend([mode, 0, 0, 0]);
    payload.extend(window.to_le_bytes());
    payload.extend(name(M::TOPIC));
    frame(0, 0, 0, &payload)
}

/// Returns a frame that requests the layout of a topic, from this byte on.
pub(crate) fn ask(topic: &str, offset: u32) -> Vec<u8> {
    let mut payload = [&[17, 0, 0, 0], &offset.to_le_bytes()[..]].concat();
    payload.extend((topic.len() as u16).to_le_bytes());
    payload.extend(topic.as_bytes());
    payload.resize(72, 0);
    frame(0, 0, 0, &payload)
}
