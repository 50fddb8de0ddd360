//! Links over sockets, and the sockets without links.

pub(crate) mod one_way;
mod socket;
mod tls;
pub(crate) mod trip;

use std::sync::Arc;
use std::time::Instant;

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use mycelium_core::link::{Batching, Config, Interest, Link, Name};
use mycelium_executor::{Executor, Stream};
use mycelium_transports::stream::{Driver, Traffic};

use crate::harness::{Column, Mismatch, Round};
use crate::loops::executor::host::Runtime;
use crate::machine::affinity::Cores;
use crate::machine::threads;
use crate::sample::Tally;

pub(crate) use socket::SocketKind;
pub(crate) use tls::write_certificates;

/// The bytes of a frame beside its message.
const HEADER: usize = 24;
/// The bytes of one write or read without a link, and of half a link's buffer.
const PIECE: usize = 64 << 10;

/// An executor on each of two threads, and a new connection between them for each round.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) sockets: SocketKind,
    pub(crate) runtime: Runtime,
    pub(crate) cores: Cores,
}

impl Wire {
    /// Runs both sides, each with a stream and its executor.
    fn run<S: 'static, R: Send + 'static>(
        &self,
        send: impl AsyncFnOnce(Stream, Arc<dyn Executor>) -> S + 'static,
        receive: impl AsyncFnOnce(Stream, Arc<dyn Executor>) -> R + Send + 'static,
    ) -> (S, R) {
        let (left, right) = self.sockets.pair();
        let runtime = self.runtime;
        threads::both(
            &self.cores,
            || runtime.run(async |executor| send(left.open(&*executor).await, executor).await),
            || runtime.run(async |executor| receive(right.open(&*executor).await, executor).await),
        )
    }
}

/// The settings of one side of a link.
#[derive(Clone, Copy)]
struct Side {
    batching: Batching,
    /// How many bytes may wait to be written.
    buffer: usize,
    wants: Option<Interest>,
}

impl Side {
    /// Drives a link until it ends.
    async fn drive<const TOPICS: usize, const STREAMS: usize>(
        self,
        stream: Stream,
        executor: Arc<dyn Executor>,
        traffic: &mut impl Traffic<TOPICS, STREAMS>,
    ) {
        let Side { batching, buffer, wants } = self;
        let mut buffer = vec![0; buffer];
        let config = Config { batching, ..Config::new(Name::truncated("bench"), 1) };
        let mut link = Link::new(config, &mut buffer).expect("the buffer is large enough");
        if let Some(interest) = wants {
            link.subscribe(interest).expect("the only one");
        }
        Driver::new(&mut link, stream, executor).run(traffic).await;
    }
}

/// Measures messages one way without a link, as bytes in large writes and reads; `size` is the size
/// of a message on the wire.
pub(crate) fn raw(name: &'static str, size: usize, wire: Wire) -> Column {
    Column::new(name, move |operations| {
        let bytes = operations * size;
        let (start, (end, count)) = wire.run(
            async move |mut stream, _| {
                let piece = vec![7; PIECE];
                let start = Instant::now();
                let mut left = bytes;
                while left > 0 {
                    let count = left.min(PIECE);
                    stream.write_all(&piece[..count]).await.expect("the reader reads");
                    left -= count;
                }
                stream.close().await.expect("the reader reads");
                start
            },
            async |mut stream, _| {
                let (mut piece, mut all) = (vec![0; PIECE], 0);
                while let Ok(count) = stream.read(&mut piece).await
                    && count > 0
                {
                    all += count;
                }
                (Instant::now(), all)
            },
        );
        let tally = |count| Tally { count: count as u64, sum: 0 };
        Mismatch::check(name, tally(bytes), tally(count))?;
        Ok(Round::Total(end.saturating_duration_since(start)))
    })
}
