//! The output of a launcher. A pipe that nobody reads, or a terminal that is paused, holds up the
//! thread that writes, and nothing else: texts without room are lost.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The most texts that wait until they are written.
const WAITING: usize = 256;
/// How long the end of a launcher waits for its last texts.
const LAST: Duration = Duration::from_secs(1);

/// Writes on a thread of its own.
#[derive(Clone, Debug)]
pub struct Printer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The first one is being written.
    waiting: Mutex<VecDeque<Text>>,
    changed: Condvar,
}

#[derive(Clone, Debug)]
enum Text {
    /// For standard error.
    Line(String),
    /// For standard output.
    Table(String),
}

impl Printer {
    /// Starts the thread. It ends with the process.
    ///
    /// # Errors
    /// If the system refuses it.
    pub fn start() -> io::Result<Printer> {
        let shared = Arc::new(Shared::default());
        let printer = Printer(shared.clone());
        thread::Builder::new().name("printer".into()).spawn(move || shared.write())?;
        Ok(printer)
    }

    /// Prints a line on standard error.
    pub fn line(&self, line: &str) {
        self.0.add(Text::Line(format!("{line}\n")));
    }

    /// Prints a table on standard output. False if it has no room.
    #[must_use]
    pub fn table(&self, table: String) -> bool {
        self.0.add(Text::Table(table))
    }

    /// Waits until all is written, and for a second at most.
    pub fn finish(&self) {
        let waiting = self.0.lock();
        // Texts that are not written by then are lost.
        drop(self.0.changed.wait_timeout_while(waiting, LAST, |waiting| !waiting.is_empty()));
    }
}

impl Shared {
    fn add(&self, text: Text) -> bool {
        let mut waiting = self.lock();
        let has_room = waiting.len() < WAITING;
        if has_room {
            waiting.push_back(text);
            self.changed.notify_all();
        }
        has_room
    }

    fn write(&self) {
        loop {
            let mut waiting = self.lock();
            let text = loop {
                match waiting.front() {
                    Some(text) => break text.clone(),
                    None => {
                        let changed = self.changed.wait(waiting);
                        waiting = changed.unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            drop(waiting);
            // Without standard output or error it is lost.
            let _ = match text {
                Text::Line(line) => io::stderr().write_all(line.as_bytes()),
                Text::Table(table) => {
                    let mut out = io::stdout().lock();
                    out.write_all(table.as_bytes()).and_then(|()| out.flush())
                }
            };
            self.lock().pop_front();
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Text>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
