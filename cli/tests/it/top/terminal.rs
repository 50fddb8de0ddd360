//! A pseudo-terminal in which the tool runs, and the content of its screen.

use std::io::{Read, Write};
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::Pid;

/// Longer than any test waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    screen: Arc<Screen>,
}

struct Screen {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    parser: vt100::Parser,
    bytes: Vec<u8>,
    has_ended: bool,
}

impl Terminal {
    pub(crate) fn run(command: CommandBuilder, (rows, cols): (u16, u16)) -> Terminal {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let child = pair.slave.spawn_command(command).expect("the tool runs");
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().expect("a descriptor");
        let writer = pair.master.take_writer().expect("a descriptor");
        let parser = vt100::Parser::new(side(rows), side(cols), 0);
        let state = Mutex::new(State { parser, bytes: Vec::new(), has_ended: false });
        let screen = Arc::new(Screen { state, changed: Condvar::new() });
        let shown = screen.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                // The end of a terminal is an error of the read.
                let read = reader.read(&mut bytes).unwrap_or(0);
                let mut state = shown.state.lock().unwrap();
                state.parser.process(&bytes[..read]);
                state.bytes.extend_from_slice(&bytes[..read]);
                state.has_ended = read == 0;
                shown.changed.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Terminal { child, master: pair.master, writer, screen }
    }

    /// Returns the process id of the tool.
    pub(crate) fn pid(&self) -> Pid {
        let pid = self.child.process_id().expect("it runs").cast_signed();
        Pid::from_raw(pid).expect("a process")
    }

    /// Waits until the text of the screen is as expected, and returns it.
    #[track_caller]
    pub(crate) fn until(&self, is_expected: impl Fn(&str) -> bool) -> String {
        let state = self.screen.state.lock().unwrap();
        let waiting = self.screen.changed.wait_timeout_while(state, PATIENCE, |state| {
            !is_expected(&state.parser.screen().contents()) && !state.has_ended
        });
        let (state, _) = waiting.unwrap();
        let text = state.parser.screen().contents();
        assert!(is_expected(&text), "the screen shows:\n{text}");
        text
    }

    /// Returns all bytes so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.screen.state.lock().unwrap().bytes.clone()
    }

    /// Returns whether the alternate screen is in use, or the cursor is hidden.
    pub(crate) fn is_changed(&self) -> bool {
        let state = self.screen.state.lock().unwrap();
        let screen = state.parser.screen();
        screen.alternate_screen() || screen.hide_cursor()
    }

    /// Returns whether the terminal shows what is typed.
    pub(crate) fn echoes(&self) -> bool {
        let flags = format!("{:?}", self.master.get_termios().expect("settings").local_flags);
        flags.split(['(', ')', '|']).any(|flag| flag.trim() == "ECHO")
    }

    pub(crate) fn resize(&self, rows: u16, cols: u16) {
        let mut state = self.screen.state.lock().unwrap();
        state.parser.screen_mut().set_size(side(rows), side(cols));
        self.claim(rows, cols);
    }

    /// Tells the tool this size; the screen keeps its own.
    pub(crate) fn claim(&self, rows: u16, cols: u16) {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        self.master.resize(size).expect("a size");
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).expect("it is open");
        self.writer.flush().expect("it is open");
    }

    /// Waits for the end of the tool, and until the screen shows everything that it has written,
    /// which must leave the terminal as it was before.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> portable_pty::ExitStatus {
        let state = self.screen.state.lock().unwrap();
        let waiting = self.screen.changed.wait_timeout_while(state, PATIENCE, |s| !s.has_ended);
        assert!(waiting.unwrap().0.has_ended, "a process keeps the terminal open");
        assert!(!self.is_changed() && self.echoes(), "the terminal is not as before");
        self.child.wait().expect("it has ended")
    }
}

/// The emulator needs at least one row and one column.
fn side(length: u16) -> NonZero<u16> {
    NonZero::new(length).unwrap_or(NonZero::<u16>::MIN)
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
