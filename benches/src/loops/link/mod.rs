//! Links over sockets, and the sockets without links.

pub(crate) mod clients;
pub(crate) mod exchange;
pub(crate) mod load;
pub(crate) mod one_way;
pub(crate) mod socket;
pub(crate) mod spent;
mod tls;
pub(crate) mod trip;

use std::sync::Arc;

use mycelium_core::link::{Batching, Config, Interest, Link, Name};
use mycelium_executor::{Executor, Stream};
use mycelium_transports::stream::{Driver, Traffic};

use crate::affinity::Cores;
use crate::allocations;
use crate::loops::executor::host::Runtime;
use crate::threads;

pub(crate) use socket::{Socket, SocketKind};
pub(crate) use spent::Meter;

/// Bytes of a frame beside its message.
pub(crate) const HEADER: usize = 24;
/// Bytes of one write or read without a link, and of half a link's buffer.
const PIECE: usize = 64 << 10;
/// Messages in flight, where flow control should not limit the throughput.
const WINDOW: u32 = 8192;

/// An executor on each of two threads, and a new connection between them for each round.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) sockets: SocketKind,
    pub(crate) runtime: Runtime,
    pub(crate) cores: Cores,
    /// Counts system calls and allocations of both sides.
    pub(crate) meter: Option<Arc<Meter>>,
}

impl Wire {
    /// Runs both sides, each with a socket and its executor.
    fn connected<S: 'static, R: Send + 'static>(
        &self,
        send: impl AsyncFnOnce(Socket, Arc<dyn Executor>) -> S + 'static,
        receive: impl AsyncFnOnce(Socket, Arc<dyn Executor>) -> R + Send + 'static,
    ) -> (S, R) {
        let (left, right) = self.sockets.pair();
        threads::both(
            &self.cores,
            || self.metered(async |executor| send(left, executor).await),
            || self.metered(async |executor| receive(right, executor).await),
        )
    }

    /// Runs both sides, each with a stream and its executor.
    fn run<S: 'static, R: Send + 'static>(
        &self,
        send: impl AsyncFnOnce(Stream, Arc<dyn Executor>) -> S + 'static,
        receive: impl AsyncFnOnce(Stream, Arc<dyn Executor>) -> R + Send + 'static,
    ) -> (S, R) {
        let [here, there] = [self.meter.clone(), self.meter.clone()];
        self.connected(
            async |socket, executor| send(open(socket, here, &*executor).await, executor).await,
            async |socket, executor| receive(open(socket, there, &*executor).await, executor).await,
        )
    }

    fn metered<R: 'static>(&self, work: impl AsyncFnOnce(Arc<dyn Executor>) -> R + 'static) -> R {
        let before = allocations::count();
        let result = self.runtime.run(work);
        if let Some(meter) = &self.meter {
            meter.allocated(allocations::count() - before);
        }
        result
    }
}

/// The stream of a socket, which is encrypted if its kind is.
async fn open(socket: Socket, meter: Option<Arc<Meter>>, executor: &dyn Executor) -> Stream {
    let (end, stream) = (socket.tls_end(), socket.stream(executor));
    let stream = match meter {
        Some(meter) => meter.watch(stream),
        None => stream,
    };
    match end {
        Some(end) => end.secure(stream).await,
        None => stream,
    }
}

/// The settings of one side of a link.
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
