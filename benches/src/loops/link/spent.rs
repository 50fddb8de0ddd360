//! The cost of a message other than time: reads, writes, allocations.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead, AsyncWrite};
use mycelium_executor::Stream;

use crate::harness::{Column, Count, Round};

/// The counts of both sides of a connection.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    reads: AtomicU64,
    writes: AtomicU64,
    allocations: AtomicU64,
}

impl Meter {
    /// The stream, with its reads and writes counted.
    pub(super) fn watch(self: &Arc<Self>, stream: Stream) -> Stream {
        Stream::new(Metered { stream, meter: self.clone() })
    }

    pub(super) fn allocated(&self, count: u64) {
        self.allocations.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns the counts and resets them.
    fn take(&self) -> [u64; 3] {
        [&self.reads, &self.writes, &self.allocations].map(|count| count.swap(0, Ordering::Relaxed))
    }
}

/// Counts the calls that moved bytes: each is a system call. Calls that moved none are not counted,
/// because a runtime avoids some of them and this cannot see which.
struct Metered {
    stream: Stream,
    meter: Arc<Meter>,
}

fn note(count: &AtomicU64, moved: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    if matches!(moved, Poll::Ready(Ok(1..))) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    moved
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_read(context, buffer);
        note(&self.meter.reads, moved)
    }
}

impl AsyncWrite for Metered {
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

/// The counts of a column whose wire has this meter.
///
/// Runs a short and a long round. The difference leaves out what is spent once, or while buffers
/// grow.
pub(crate) fn spent(meter: Arc<Meter>, mut column: Column) -> Column {
    Column::new(column.name, move |operations| {
        let mut spent = |operations| {
            meter.take();
            column.round(operations)?;
            Ok(meter.take())
        };
        let (few, many) = (spent(operations)?, spent(5 * operations)?);
        let per_operation =
            |index: usize| (many[index] as f64 - few[index] as f64) / (4 * operations) as f64;
        Ok(Round::Counts(vec![
            Count::new("reads", per_operation(0)),
            Count::new("writes", per_operation(1)),
            Count::new("allocations", per_operation(2)),
        ]))
    })
}
