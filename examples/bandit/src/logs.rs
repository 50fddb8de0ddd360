//! The output of log lines: standard error, or a buffer that is printed above the live table.
//! Panics become log lines too, so that they do not damage the table.

use std::{
    io::{self, IsTerminal, Write},
    mem, panic,
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::EnvFilter;

/// Log lines to be printed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    /// The lines since the last call.
    pub(crate) fn take(&self) -> String {
        let lines = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&lines).into_owned()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts logging: warnings, or the levels of `RUST_LOG`.
pub(crate) fn init(logs: &Logs, to_stderr: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let format = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    if to_stderr {
        format.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).init();
    } else {
        let logs = logs.clone();
        format.with_writer(move || logs.clone()).init();
    }
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("(no message)");
        tracing::error!("panic at {place}: {message}");
    }));
}
