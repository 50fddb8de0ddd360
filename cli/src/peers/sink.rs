//! Writes to standard output, standard error or a file on a separate thread, so that the thread
//! that keeps the links alive and waits for signals never waits for a reader of the output, or for
//! a disk.

use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::sync::Arc;

use futures_channel::oneshot::{self, Canceled, Receiver};
use mycelium_executor::Executor;

use crate::shared::exit::Failure;

/// The number of waiting bytes from which they are written before more are added.
const FULL: usize = 64 << 10;

/// A stream of this process, or a file.
pub(crate) struct Sink {
    /// The name of the stream.
    name: String,
    stream: Arc<dyn Fn() -> Box<dyn Write> + Send + Sync>,
    failed: fn(&str, io::Error) -> Failure,
    /// The result of a write that was begun.
    writing: Option<Receiver<io::Result<()>>>,
    /// Text that is not written yet.
    pub(crate) text: Vec<u8>,
}

impl Sink {
    pub(crate) fn output() -> Sink {
        Sink::new("standard output", || Box::new(io::stdout()), |_, error| Failure::output(error))
    }

    pub(crate) fn errors() -> Sink {
        Sink::new("standard error", || Box::new(io::stderr()), |_, error| Failure::output(error))
    }

    /// Creates a sink that appends to a file.
    pub(crate) fn file(name: &str, file: Arc<File>) -> Sink {
        let failed = |name: &str, error| Failure::Unavailable(format!("{name}: {error}"));
        Sink::new(name, move || Box::new(file.clone()), failed)
    }

    fn new(
        name: &str,
        stream: impl Fn() -> Box<dyn Write> + Send + Sync + 'static,
        failed: fn(&str, io::Error) -> Failure,
    ) -> Sink {
        let (name, stream) = (name.to_owned(), Arc::new(stream));
        Sink { name, stream, failed, writing: None, text: Vec::new() }
    }

    /// Returns whether the text must be flushed before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.text.len() >= FULL
    }

    /// Writes the text, and waits until it is written. If the future is cancelled, the next call
    /// waits for that write.
    pub(crate) async fn flush(&mut self, executor: &impl Executor) -> Result<(), Failure> {
        loop {
            if let Some(writing) = &mut self.writing {
                let written = writing.await;
                self.written(written)?;
            }
            if self.text.is_empty() {
                return Ok(());
            }
            self.start(executor)?;
        }
    }

    /// Begins to write the text, unless an earlier write is not done yet.
    pub(crate) fn begin(&mut self, executor: &impl Executor) -> Result<(), Failure> {
        if let Some(writing) = &mut self.writing {
            match writing.try_recv() {
                Ok(None) => return Ok(()),
                Ok(Some(written)) => self.written(Ok(written))?,
                Err(canceled) => self.written(Err(canceled))?,
            }
        }
        if self.text.is_empty() { Ok(()) } else { self.start(executor) }
    }

    /// Handles the end of a write.
    fn written(&mut self, written: Result<io::Result<()>, Canceled>) -> Result<(), Failure> {
        self.writing = None;
        let written = written.map_err(|_| no_thread(&self.name))?;
        written.map_err(|error| (self.failed)(&self.name, error))
    }

    /// Begins to write the text.
    fn start(&mut self, executor: &impl Executor) -> Result<(), Failure> {
        let (stream, text) = (self.stream.clone(), mem::take(&mut self.text));
        let work = move || {
            let mut stream = stream();
            stream.write_all(&text).and_then(|()| stream.flush())
        };
        self.writing = Some(begin(executor, &self.name, work)?);
        Ok(())
    }
}

/// Runs work of a file, which may block, on another thread.
pub(crate) async fn blocking<T: Send + 'static>(
    executor: &impl Executor,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    begin(executor, name, work)?.await.map_err(|_| no_thread(name))
}

fn begin<T: Send + 'static>(
    executor: &impl Executor,
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Receiver<T>, Failure> {
    let (done, result) = oneshot::channel();
    // Ignores an error, because the tool may have ended without waiting.
    let begun = executor.blocking(Box::new(move || drop(done.send(work()))));
    begun.map_err(|error| Failure::Unavailable(format!("{name}: {error}")))?;
    Ok(result)
}

fn no_thread(name: &str) -> Failure {
    Failure::Unavailable(format!("{name}: no thread"))
}
