//! Receivers as streams, senders as sinks.

use std::pin::pin;
use std::task::Poll;

use futures_util::{FutureExt, SinkExt, StreamExt, stream};
use mycelium_core::channel::{SendError, mpmc, spsc};

use crate::channel::wakers::now;

#[test]
fn items_of_a_sink_come_out_of_the_stream() {
    let (sender, receiver) = mpmc::bounded(2).unwrap();
    let mut sink = sender.into_sink();
    let sends = async move {
        sink.send_all(&mut stream::iter((0..100).map(Ok))).await.unwrap();
        sink.close().await.unwrap();
    };
    let mut both = pin!(futures_util::future::join(sends, receiver.collect::<Vec<u32>>()));
    let polled = (0..1_000).find_map(|_| both.as_mut().now_or_never());
    assert_eq!(polled.unwrap().1, Vec::from_iter(0..100));
}

#[test]
fn a_flush_sends_the_held_item() {
    let (sender, mut receiver) = spsc::bounded(2).unwrap();
    let mut sink = sender.into_sink();
    for item in 0..3 {
        assert_eq!(now(sink.feed(item)), Poll::Ready(Ok(())), "one is held beside two slots");
    }
    assert!(now(sink.feed(3)).is_pending());
    assert!(now(sink.flush()).is_pending());
    assert_eq!(receiver.try_recv(), Ok(0));
    assert_eq!(now(sink.flush()), Poll::Ready(Ok(())));
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Ok(2)));
}

#[test]
fn a_sink_without_receivers_gives_the_item_back() {
    let (sender, receiver) = spsc::bounded(2).unwrap();
    let mut sink = sender.into_sink();
    drop(receiver);
    assert_eq!(now(sink.send(7)), Poll::Ready(Err(SendError(7))));
}
