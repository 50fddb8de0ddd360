//! Writes to standard output or standard error on a separate thread, so that the thread that keeps
//! the links alive and waits for signals never waits for a reader of the output.

use std::io::{self, Write};

use futures_channel::oneshot::{self, Receiver};
use mycelium_executor::Executor;

use crate::shared::exit::Failure;

/// The number of waiting bytes from which they are written before more are added.
const FULL: usize = 64 << 10;

/// A stream of this process.
pub(crate) struct Sink {
    /// The name of the stream.
    name: &'static str,
    stream: fn() -> Box<dyn Write>,
    /// The result of a write that was begun.
    writing: Option<Receiver<io::Result<()>>>,
    /// Text that is not written yet.
    pub(crate) text: Vec<u8>,
}

impl Sink {
    pub(crate) fn output() -> Sink {
        let stream: fn() -> Box<dyn Write> = || Box::new(io::stdout());
        Sink { name: "standard output", stream, writing: None, text: Vec::new() }
    }

    pub(crate) fn errors() -> Sink {
        let stream: fn() -> Box<dyn Write> = || Box::new(io::stderr());
        Sink { name: "standard error", stream, writing: None, text: Vec::new() }
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
                self.writing = None;
                let failed = |_| Failure::Unavailable(format!("{}: no thread", self.name));
                written.map_err(failed)?.map_err(Failure::output)?;
            }
            if self.text.is_empty() {
                return Ok(());
            }
            let (stream, text) = (self.stream, std::mem::take(&mut self.text));
            let (done, writing) = oneshot::channel();
            let work = move || {
                let mut stream = stream();
                let written = stream.write_all(&text).and_then(|()| stream.flush());
                // Ignores an error, because the tool may have ended without waiting.
                let _ = done.send(written);
            };
            let begun = executor.blocking(Box::new(work));
            let failed = |error| Failure::Unavailable(format!("{}: {error}", self.name));
            begun.map_err(failed)?;
            self.writing = Some(writing);
        }
    }
}
