//! The terminal of `top`: its modes, its keys, and the loop that draws.

use std::io::{self, Stdout};
use std::mem::ManuallyDrop;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::size;
use rustix::io::Errno;
use rustix::termios::tcgetattr;

use super::state::{Next, State};
use super::view::{Colours, draw, page};
use crate::live::sample::Sample;
use crate::shared::clock::{Waits, Wake};
use crate::shared::exit::Failure;

/// The most characters of a terminal; a larger size is an error.
const LARGEST: u32 = 1 << 22;

/// An input from the terminal.
#[derive(Debug)]
enum Input {
    /// A key.
    Key(KeyCode),
    /// The size of the terminal has changed, or Ctrl-L was typed.
    Resized,
    /// The terminal is gone, or Ctrl-C was typed.
    Ended,
}

/// Shows `state` until a key or a signal ends it. `read` is called with the time since the start.
///
/// The terminal is restored when this returns, even if `read` panics.
///
/// # Errors
/// If the terminal cannot be used. [`Failure::OutputClosed`] if it is gone.
pub fn show(
    mut state: State,
    colours: Colours,
    mut read: impl FnMut(Duration) -> Result<Sample, String>,
) -> Result<(), Failure> {
    let waits = Waits::new()?;
    let mut screen = Screen::open()?;
    read_keys(waits.sender())?;
    let mut next_read = waits.clock.now();
    loop {
        if waits.clock.now() >= next_read {
            state.update(read(waits.clock.now()));
            // Counts from now, so that the next read does not follow a long one at once.
            next_read = waits.clock.now() + state.interval;
        }
        screen.draw(&state, colours)?;
        let page = screen.page();
        let mut wake = waits.until(next_read);
        // Handles all keys that have arrived before one draw: drawing after each key would take
        // minutes for a pasted text.
        loop {
            match wake {
                Wake::Due => break,
                Wake::Sent(Input::Resized) => screen.clear()?,
                Wake::Sent(Input::Key(key)) => {
                    let interval = state.interval;
                    if state.key(key, page) == Next::Quit {
                        return Ok(());
                    }
                    if state.interval != interval {
                        next_read = next_read.min(waits.clock.now() + state.interval);
                    }
                }
                Wake::Sent(Input::Ended) | Wake::Interrupted => return Ok(()),
            }
            wake = match waits.clock.now() < next_read {
                true => waits.until(Duration::ZERO),
                false => Wake::Due,
            };
        }
    }
}

/// A terminal in the mode of `top`. Dropping it restores the previous mode and content.
///
/// The inner terminal is never dropped: its drop would print an error, and panic, if standard error
/// is a terminal that is gone.
struct Screen(ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>);

impl Screen {
    fn open() -> Result<Screen, Failure> {
        check_size()?;
        // This also adds a panic hook that restores the terminal before the message is printed.
        ratatui::try_init().map(ManuallyDrop::new).map(Screen).map_err(|error| failed(&error))
    }

    fn draw(&mut self, state: &State, colours: Colours) -> Result<(), Failure> {
        check_size()?;
        let drawn = self.0.draw(|frame| draw(frame, state, colours));
        drawn.map(|_| ()).map_err(|error| failed(&error))
    }

    /// Makes the next draw write all characters. A terminal may have lost some of them, even if its
    /// size is the same as before.
    fn clear(&mut self) -> Result<(), Failure> {
        // Does not call `Terminal::clear`, which would wait for an answer of the terminal. The draw
        // has swapped the buffers once, and a second swap forgets what was drawn.
        self.0.swap_buffers();
        self.0.backend_mut().clear().map_err(|error| failed(&error))
    }

    fn page(&self) -> usize {
        self.0.size().map_or(1, |size| page(size.height))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Ignores an error: if the terminal is gone, there is nothing to restore.
        let _ = self.0.show_cursor();
        // At a panic the hook has restored the terminal. Doing it twice would move the cursor back
        // to where it was before the message of the panic, which the shell would overwrite.
        if !std::thread::panicking() {
            let _ = ratatui::try_restore();
        }
    }
}

/// Checks the number of characters that the terminal claims to have, because all of them need
/// memory.
fn check_size() -> Result<(), Failure> {
    let (columns, rows) = size().map_err(|error| failed(&error))?;
    match u32::from(columns) * u32::from(rows) {
        0..=LARGEST => Ok(()),
        _ => Err(Failure::Unavailable(format!(
            "the terminal claims to have {columns} columns and {rows} rows: expected at most \
             {LARGEST} characters"
        ))),
    }
}

fn failed(error: &io::Error) -> Failure {
    // A terminal that is gone gives this error. Its signal may come later, and asking for the size
    // gives another error.
    let is_gone = error.raw_os_error() == Some(Errno::IO.raw_os_error())
        || tcgetattr(io::stdout()).err() == Some(Errno::IO);
    if is_gone {
        return Failure::OutputClosed;
    }
    Failure::Unavailable(format!("the terminal cannot be used: {error}"))
}

/// Starts the thread that reads keys. It ends with the process.
fn read_keys(sender: Sender<Option<Input>>) -> Result<(), Failure> {
    let read = move || {
        loop {
            let input = match event::read() {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => input_of(key),
                Ok(Event::Resize(..)) => Some(Input::Resized),
                Ok(_) => None,
                Err(_) => Some(Input::Ended),
            };
            let is_last = matches!(input, Some(Input::Ended));
            let is_closed = input.is_some_and(|input| sender.send(Some(input)).is_err());
            if is_last || is_closed {
                return;
            }
        }
    };
    let spawned = thread::Builder::new().name("keys".into()).spawn(read);
    spawned.map(drop).map_err(|error| Failure::Unavailable(format!("a thread: {error}")))
}

fn input_of(key: KeyEvent) -> Option<Input> {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if is_control => Some(Input::Ended),
        KeyCode::Char('l') if is_control => Some(Input::Resized),
        KeyCode::Char(_) if is_control => None,
        // Ignores keys without a meaning here, which otherwise would end the input of the filter.
        KeyCode::F(_) | KeyCode::Insert | KeyCode::Delete | KeyCode::Null => None,
        code => Some(Input::Key(code)),
    }
}
