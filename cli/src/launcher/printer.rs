//! The output of a launcher. A pipe that nobody reads, or a paused terminal, blocks only the thread
//! that writes: lines without room are lost, and counted.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use mycelium_executor::Clock;

use crate::shared::clock::pause;

/// The largest number of texts that wait to be written.
const WAITING: usize = 256;
/// How long the end of a launcher waits for its last texts to be written.
const LAST: Duration = Duration::from_secs(1);

/// Writes on a separate thread.
#[derive(Clone, Debug)]
pub struct Printer {
    texts: SyncSender<Text>,
    /// The number of lines lost since the last one that had room.
    lost: Arc<Mutex<u64>>,
}

#[derive(Debug)]
enum Text {
    /// Lines for standard error.
    Lines(String),
    /// A table for standard output.
    Table(String),
    /// The last text for standard error, and the sender that reports that it is written.
    Last(String, Sender<()>),
}

impl Printer {
    /// Starts the thread that writes. The thread ends with the process.
    ///
    /// # Errors
    /// If the system refuses the thread.
    pub fn start() -> io::Result<Printer> {
        let (printer, texts) = Printer::new();
        thread::Builder::new()
            .name("printer".into())
            .spawn(move || texts.iter().for_each(write))?;
        Ok(printer)
    }

    fn new() -> (Printer, Receiver<Text>) {
        let (texts, waiting) = sync_channel(WAITING);
        (Printer { texts, lost: Arc::default() }, waiting)
    }

    /// Prints a line on standard error.
    pub fn line(&self, line: &str) {
        if !self.send(|before| Text::Lines(format!("{before}{line}\n"))) {
            *self.lost.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
    }

    /// Prints a table on standard output. Returns `false` if there is no room.
    pub fn table(&self, table: String) -> bool {
        self.texts.try_send(Text::Table(table)).is_ok()
    }

    /// Waits until all texts are written, at most for a second.
    pub fn finish(&self) {
        let (clock, (done, written)) = (Clock::start(), channel());
        while clock.now() < LAST && !self.send(|before| Text::Last(before, done.clone())) {
            pause(Duration::from_millis(1));
        }
        // Ignores the result, because texts that are not written by then are lost.
        let _ = written.recv_timeout(LAST.saturating_sub(clock.now()));
    }

    /// Sends a text to the thread. `text` gets a line about the lost lines so far, which may be
    /// empty, and returns the text. Returns `false` if there is no room for it.
    fn send(&self, text: impl FnOnce(String) -> Text) -> bool {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match *lost {
            0 => String::new(),
            lines => format!("mycelium: {lines} lines were lost: nobody read them\n"),
        };
        let is_sent = self.texts.try_send(text(before)).is_ok();
        if is_sent {
            *lost = 0;
        }
        is_sent
    }
}

fn write(text: Text) {
    // Ignores an error: without standard output or error the text is lost.
    let _ = match text {
        Text::Lines(lines) => io::stderr().write_all(lines.as_bytes()),
        Text::Last(lines, done) => {
            let written = io::stderr().write_all(lines.as_bytes());
            // Ignores an error, because the launcher waits for a second only.
            let _ = done.send(());
            written
        }
        Text::Table(table) => {
            let mut out = io::stdout().lock();
            out.write_all(table.as_bytes()).and_then(|()| out.flush())
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_room_are_counted_in_their_place() {
        let (printer, texts) = Printer::new();
        for number in 0..WAITING + 3 {
            printer.line(&number.to_string());
        }
        assert!(!printer.table(String::new()));
        assert_eq!(texts.try_iter().take(2).count(), 2);
        printer.line("next");
        assert!(printer.table("table".into()));
        printer.line("after it");
        let mut waiting: Vec<Text> = texts.try_iter().collect();
        assert_eq!(waiting.len(), WAITING);
        assert!(matches!(waiting.pop(), Some(Text::Table(_))));
        let lost = "mycelium: 3 lines were lost: nobody read them\nnext\n";
        assert!(matches!(waiting.pop(), Some(Text::Lines(lines)) if lines == lost));
        printer.line("last");
        let lost = "mycelium: 1 lines were lost: nobody read them\nlast\n";
        assert!(matches!(texts.try_recv(), Ok(Text::Lines(lines)) if lines == lost));
    }
}
