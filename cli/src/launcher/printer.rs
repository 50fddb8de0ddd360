//! The output of a launcher. A pipe that nobody reads, or a terminal that is paused, holds up only
//! the thread that writes: lines without room are lost, and counted.

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
    /// The texts that wait. The first one is being written.
    waiting: Mutex<VecDeque<Text>>,
    changed: Condvar,
}

#[derive(Clone, Debug)]
enum Text {
    /// A line for standard error.
    Line(String),
    /// At this place that many lines had no room.
    Lost(u64),
    /// A table for standard output.
    Table(String),
}

impl Printer {
    /// Starts the thread. It ends with the process.
    ///
    /// # Errors
    /// If the system refuses the thread.
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
    pub fn table(&self, table: String) -> bool {
        self.0.add(Text::Table(table))
    }

    /// Waits until all texts are written, at most for a second.
    pub fn finish(&self) {
        let waiting = self.0.lock();
        // Drops the result, because texts that are not written by then are lost.
        drop(self.0.changed.wait_timeout_while(waiting, LAST, |waiting| !waiting.is_empty()));
    }
}

impl Shared {
    fn add(&self, text: Text) -> bool {
        let mut waiting = self.lock();
        let has_room = waiting.len() < WAITING;
        match (has_room, text, waiting.back_mut()) {
            (true, text, _) => waiting.push_back(text),
            (false, Text::Line(_), Some(Text::Lost(lines))) => *lines += 1,
            (false, Text::Line(_), _) => waiting.push_back(Text::Lost(1)),
            (false, Text::Lost(_) | Text::Table(_), _) => {}
        }
        self.changed.notify_all();
        has_room
    }

    fn write(&self) {
        loop {
            let waiting = self.changed.wait_while(self.lock(), |waiting| waiting.is_empty());
            let text = waiting.unwrap_or_else(PoisonError::into_inner).front().cloned();
            // Ignores an error: without standard output or error the text is lost.
            let _ = match text {
                Some(Text::Line(line)) => io::stderr().write_all(line.as_bytes()),
                Some(Text::Lost(lines)) => {
                    let text = format!("mycelium: {lines} lines were lost: nobody read them\n");
                    io::stderr().write_all(text.as_bytes())
                }
                Some(Text::Table(table)) => {
                    let mut out = io::stdout().lock();
                    out.write_all(table.as_bytes()).and_then(|()| out.flush())
                }
                None => Ok(()),
            };
            self.lock().pop_front();
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Text>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_room_are_counted_in_their_place() {
        let shared = Shared::default();
        for number in 0..WAITING + 3 {
            shared.add(Text::Line(number.to_string()));
        }
        assert!(!shared.add(Text::Table(String::new())));
        let mut waiting = shared.lock();
        assert_eq!(waiting.len(), WAITING + 1);
        assert!(matches!(waiting.back(), Some(Text::Lost(3))));
        waiting.drain(..2);
        drop(waiting);
        assert!(shared.add(Text::Line("next".into())));
        shared.add(Text::Line("after it".into()));
        let waiting = shared.lock();
        assert!(matches!(waiting.back(), Some(Text::Lost(1))));
        assert!(matches!(waiting[WAITING - 2], Text::Lost(3)));
    }
}
