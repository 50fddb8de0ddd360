//! `launcher`: the process that runs a bundle, in the background or, with `up --foreground`, in the
//! foreground. It has the bundle's lock, its members and its control socket.
//!
//! The first thread runs the members. The first request to run nodes starts the bundle; a launcher
//! ends if it gets no request, or none that can be done. It takes requests at its socket
//! (`control`) and plans them (`plan`): the nodes of the file, which of them send to which
//! (`flows`), and which parts of the file concern each node (`concern`). Each node is a member of
//! the bundle (`members`). The threads share a `board`. `watch` looks at the signs of readiness
//! that processes show (`sign`), and reports to the manager of services (`notify`) and to people
//! (`printer`). It uses `bundle`, `live` and `shared`.

pub mod board;
pub mod concern;
pub mod control;
pub mod flows;
pub mod members;
pub mod notify;
pub mod plan;
pub mod printer;
pub mod sign;
pub mod watch;

use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use clap::Args;
use mycelium_bundle::{Bundle, BundleEvent, ignores_hangup};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::bundle::leftovers;
use crate::bundle::place::Place;
use crate::bundle::wire::UpRequest;
use crate::shared::exit::Failure;
use board::Board;
use control::Control;
use members::Manner;
use notify::Manager;
use printer::Printer;
use watch::watch;

/// The arguments of `launcher`.
#[derive(Debug, Args)]
pub struct LauncherArgs {
    /// The directory of the bundle.
    directory: PathBuf,
}

/// Runs a bundle for the commands that connect to its control socket.
///
/// # Errors
/// If it cannot listen, or the bundle ends with an error.
pub fn run(args: LauncherArgs) -> Result<(), Failure> {
    // A separate session survives the end of the terminal, and Ctrl-C there. Ignores an error: a
    // process that already leads a group has no such terminal.
    let _ = rustix::process::setsid();
    let launcher = Launcher::take(Place::at(args.directory), Manner::Detached)?;
    launcher.map_or(Ok(()), |launcher| launcher.run(None))
}

/// The time limit for the first request.
const FIRST: Duration = Duration::from_secs(30);
/// How long a launcher waits after the end of its bundle until its answers are read.
const LAST: Duration = Duration::from_secs(5);

/// A launcher that has the lock of its bundle.
#[derive(Debug)]
pub struct Launcher {
    place: Place,
    manner: Manner,
    listener: UnixListener,
    lock: File,
    printer: Printer,
    /// The manager of services (systemd) that has started this process, if one has.
    manager: Option<Manager>,
}

impl Launcher {
    /// Takes the place of a bundle. Returns `None` if another launcher has it. Waits for the end of
    /// the processes of an earlier launcher that was killed.
    ///
    /// # Errors
    /// If the system refuses the directory or the socket.
    pub fn take(place: Place, manner: Manner) -> Result<Option<Launcher>, Failure> {
        let failed = |error: io::Error| place.refused(&error);
        let manager = match manner {
            Manner::Detached => None,
            Manner::Plain | Manner::Table => Manager::of_environment().map_err(|error| {
                Failure::Usage(format!("the variable `NOTIFY_SOCKET`: {error}"))
            })?,
        };
        place.create().map_err(failed)?;
        let Some(lock) = place.lock().map_err(failed)? else { return Ok(None) };
        let printer = Printer::start().map_err(failed)?;
        // Prints a line for each process that it kills.
        let _ = leftovers::end(&place, leftovers::GRACE, |line| printer.line(line));
        let _ = fs::remove_file(place.processes());
        place.remove_files();
        let _ = fs::remove_file(place.directory().join("problem"));
        let _ = fs::remove_file(place.socket());
        let listener = UnixListener::bind(place.socket()).map_err(failed)?;
        Ok(Some(Launcher { place, manner, listener, lock, printer, manager }))
    }

    /// Runs the bundle until it has ended. Begins with the `first` request, if given; otherwise
    /// waits for one.
    ///
    /// # Errors
    /// If the first request fails, or the bundle ends with an error.
    pub fn run(self, first: Option<UpRequest>) -> Result<(), Failure> {
        let printer = self.printer.clone();
        let result = launch(self, first);
        printer.finish();
        result
    }
}

fn launch(launcher: Launcher, first: Option<UpRequest>) -> Result<(), Failure> {
    let Launcher { place, manner, listener, lock: _lock, printer, manager } = launcher;
    let system = |error: io::Error| Failure::Unavailable(format!("the launcher: {error}"));
    let ends_at_hangup = manner == Manner::Table;
    let bundle = if ends_at_hangup { Bundle::new() } else { Bundle::new().ignore_hangup() };
    let board = Arc::new(Board::new(place, manner, printer, bundle.handle()));
    let (sender, members) = channel();
    let control = Arc::new(Control::new(board.clone(), sender));
    if !ends_at_hangup {
        reload_at_hangup(control.clone()).map_err(system)?;
    }
    control.clone().serve(listener).map_err(system)?;
    if manner != Manner::Detached {
        end_at_signals(board.clone(), ends_at_hangup).map_err(system)?;
    }
    if let Some(request) = first {
        let changed = control.up(&request);
        if changed.is_err() || board.is_stopping() {
            finish(&board, None);
            return changed.map(|_| ());
        }
        changed?.0.iter().for_each(|it| board.printer.line(it));
    }
    let members = loop {
        match members.recv_timeout(FIRST) {
            Ok(members) => break members,
            // Continues to wait, because a request is being planned.
            Err(RecvTimeoutError::Timeout) if board.is_serving() => {}
            // Ends, because there was no request, or it failed.
            Err(_) => {
                finish(&board, None);
                return Ok(());
            }
        }
    };
    let watching = watch(board.clone(), manager).map_err(system)?;
    let bundle = members.into_iter().fold(bundle, Bundle::member);
    let observing = board.clone();
    let bundle = bundle.observe(move |event| observe(&observing, event));
    let problem = bundle.run().err().map(|error| error.to_string());
    finish(&board, problem.clone());
    // Waits for the thread, because it reports the end.
    let _ = watching.join();
    problem.map_or(Ok(()), |problem| Err(Failure::Found(problem)))
}

/// Frees the place, and then notifies those who wait for the end.
fn finish(board: &Board, problem: Option<String>) {
    match &problem {
        None => board.place.remove(),
        Some(problem) => board.place.leave(problem),
    }
    board.end(problem);
    board.wait_for_connections(LAST);
}

fn observe(board: &Board, event: &BundleEvent) {
    if let BundleEvent::Started { member, pid } = event
        && let Err(error) = leftovers::note(&board.place, member, *pid)
    {
        board.printer.line(&format!("{member}: process {pid} cannot be noted: {error}"));
    }
    if board.manner != Manner::Table {
        board.printer.line(&event.to_string());
    }
    board.note();
}

/// Handles SIGINT and SIGTERM, and SIGHUP on a terminal: they end the bundle in order, even before
/// it begins, while programs describe themselves. In that time a second signal ends this process at
/// once. Once the bundle has begun, it has its own handlers.
fn end_at_signals(board: Arc<Board>, at_hangup: bool) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    if at_hangup && !ignores_hangup() {
        signals.add_signal(SIGHUP)?;
    }
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            // A second SIGHUP does not count, because a closing terminal sends several.
            let is_again = signal != SIGHUP && board.is_stopping();
            if is_again && board.handle.members().is_empty() {
                board.place.remove();
                // Cannot fail, because the system refuses none of these signals.
                let _ = emulate_default_handler(signal);
            }
            board.set_stopping();
            board.handle.stop();
        }
    })?;
    Ok(())
}

fn reload_at_hangup(control: Arc<Control>) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP])?;
    thread::Builder::new().name("reload".into()).spawn(move || {
        let printer = &control.board.printer;
        for _ in signals.forever() {
            let (_, last) = control.board.plan();
            match control.up(&last) {
                Ok((changes, _)) => changes.iter().for_each(|it| printer.line(it)),
                Err(failure) => printer.line(&format!("the file is not read again: {failure}")),
            }
        }
    })?;
    Ok(())
}
