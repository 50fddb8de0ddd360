//! What a message costs beside time: reads, writes, allocations.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead, AsyncWrite};
use mycelium_executor::Stream;

use crate::harness::{Column, Mismatch};
use crate::loops::counts::{Count, Counted};

/// What both sides of a connection have spent.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    reads: AtomicU64,
    writes: AtomicU64,
    allocations: AtomicU64,
}

impl Meter {
    /// The stream, with its reads and writes counted.
    pub(super) fn watch(self: &Arc<Self>, stream: Stream) -> Stream {
        Stream::new(Watched { stream, meter: self.clone() })
    }

    pub(super) fn allocated(&self, count: u64) {
        self.allocations.fetch_add(count, Ordering::Relaxed);
    }

    /// What was spent since this was last asked.
    fn take(&self) -> [u64; 3] {
        [&self.reads, &self.writes, &self.allocations].map(|count| count.swap(0, Ordering::Relaxed))
    }
}

/// Counts the calls that moved bytes: each is one of the system's. Of those in vain a runtime spares some, and nobody
/// sees here which.
struct Watched {
    stream: Stream,
    meter: Arc<Meter>,
}

fn note(count: &AtomicU64, moved: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    if matches!(moved, Poll::Ready(Ok(1..))) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    moved
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_read(context, buffer);
        note(&self.meter.reads, moved)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(context, buffer);
        note(&self.meter.writes, moved)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        note(&self.meter.writes, moved)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

/// A column whose wire has this meter.
pub(crate) struct Spent {
    pub(crate) meter: Arc<Meter>,
    pub(crate) column: Box<dyn Column>,
}

impl Counted for Spent {
    fn name(&self) -> &'static str {
        self.column.name()
    }

    /// Two rounds, of which one is longer: what is spent once, or while buffers grow, falls out of the difference.
    fn count(&mut self, operations: usize) -> Result<Vec<Count>, Mismatch> {
        let mut spent = |operations| {
            self.meter.take();
            self.column.round(operations)?;
            Ok(self.meter.take())
        };
        let (few, many) = (spent(operations)?, spent(5 * operations)?);
        let by_operation =
            |place: usize| (many[place] as f64 - few[place] as f64) / (4 * operations) as f64;
        Ok(vec![
            Count::new("reads", by_operation(0)),
            Count::new("writes", by_operation(1)),
            Count::new("allocations", by_operation(2)),
        ])
    }
}
