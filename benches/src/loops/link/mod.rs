//! Links over Unix sockets, and what the sockets move without them.

pub(crate) mod clients;
pub(crate) mod exchange;
pub(crate) mod load;
pub(crate) mod one_way;
pub(crate) mod spent;
pub(crate) mod trip;

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use mycelium_core::link::{Batching, Config, Interest, Link, Name};
use mycelium_executor::{Executor, Stream};
use mycelium_tokio::Tokio;
use mycelium_transports::stream::{Driver, Traffic};

use crate::affinity::Cores;
use crate::allocations;
use crate::threads;

pub(crate) use spent::Meter;

/// What a frame takes beside its message.
pub(crate) const HEADER: usize = 24;
/// Bytes of one write or read without a link, and of half a link's buffer.
const PIECE: usize = 64 << 10;
/// How many messages may be on their way, where none is to wait for room.
const WINDOW: u32 = 8192;

/// One runtime on each of two threads, and a fresh connection between them for each round.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) cores: Cores,
    /// Counts what both sides spend.
    pub(crate) meter: Option<Arc<Meter>>,
}

impl Wire {
    fn run<S, R: Send>(
        &self,
        send: impl AsyncFnOnce(UnixStream, Tokio) -> S,
        receive: impl AsyncFnOnce(UnixStream, Tokio) -> R + Send,
    ) -> (S, R) {
        let (left, right) = UnixStream::pair().expect("the process may open two sockets");
        let meter = self.meter.as_deref();
        threads::both(
            &self.cores,
            || on_a_runtime(left, meter, send),
            || on_a_runtime(right, meter, receive),
        )
    }

    fn stream(&self, socket: UnixStream, executor: &Tokio) -> Stream {
        let stream = executor.unix_stream(socket).expect("a fresh socket");
        match &self.meter {
            Some(meter) => meter.watch(stream),
            None => stream,
        }
    }
}

fn on_a_runtime<R>(
    socket: UnixStream,
    meter: Option<&Meter>,
    work: impl AsyncFnOnce(UnixStream, Tokio) -> R,
) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the process may make a runtime");
    let before = allocations::count();
    let result =
        runtime.block_on(async { work(socket, Tokio::current().expect("inside a runtime")).await });
    if let Some(meter) = meter {
        meter.allocated(allocations::count() - before);
    }
    result
}

/// One side of a link.
#[derive(Clone, Copy)]
struct Side {
    batching: Batching,
    /// Bytes that may wait to be written.
    buffer: usize,
    wants: Option<Interest>,
}

impl Side {
    /// Drives a link until it ends.
    async fn drive<const TOPICS: usize, const STREAMS: usize>(
        self,
        stream: Stream,
        executor: impl Executor + 'static,
        traffic: &mut impl Traffic<TOPICS, STREAMS>,
    ) {
        let Side { batching, buffer, wants } = self;
        let mut buffer = vec![0; buffer];
        let config = Config { batching, ..Config::new(Name::truncated("bench"), 1) };
        let mut link = Link::new(config, &mut buffer).expect("room enough");
        if let Some(interest) = wants {
            link.subscribe(interest).expect("the only one");
        }
        Driver::new(&mut link, stream, Arc::new(executor)).run(traffic).await;
    }
}
