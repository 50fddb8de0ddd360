//! Connects a command to the launcher of a bundle, and starts a launcher.

use std::env;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use mycelium_executor::Clock;
use mycelium_transports::endpoint::unix::connect;

use super::leftovers;
use super::place::{Place, untrusted};
use super::wire::{Answer, Channel, LONGEST_ANSWER, Request};
use crate::shared::clock::pause;
use crate::shared::exit::Failure;
use crate::shared::output::shown;

/// The time limit for a launcher to accept a request.
const PATIENCE: Duration = Duration::from_secs(5);
/// The time limit for a launcher to begin with an accepted request.
const BEGIN: Duration = Duration::from_secs(10);
/// The pause before the next try while a launcher is starting or ending.
const PAUSE: Duration = Duration::from_millis(20);

/// A connection to a launcher that has accepted a request.
#[derive(Debug)]
pub struct Client<'p> {
    place: &'p Place,
    channel: Channel,
}

impl<'p> Client<'p> {
    /// Sends a request to the launcher of a bundle, and waits until the launcher has accepted it.
    /// Returns `None` if there is no launcher.
    ///
    /// # Errors
    /// If the launcher does not respond, or refuses the request.
    pub fn request(place: &'p Place, request: &Request) -> Result<Option<Client<'p>>, Failure> {
        let clock = Clock::start();
        // Refuses a socket of another user.
        let mut connected = connect(&place.socket());
        // Retries while the launcher's queue of new connections is full.
        while let Err(error) = &connected
            && error.kind() == io::ErrorKind::WouldBlock
            && clock.now() < PATIENCE
        {
            pause(PAUSE);
            connected = connect(&place.socket());
        }
        let stream = match connected.and_then(|it| it.set_nonblocking(false).map(|()| it)) {
            Ok(stream) => stream,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                    _ => Err(silent(place, &error)),
                };
            }
        };
        let mut channel = Channel::new(stream);
        match channel.write(request, PATIENCE) {
            Ok(()) => {}
            // The launcher is ending.
            Err(error) if is_end(&error) => return Ok(None),
            Err(error) => return Err(silent(place, &error)),
        }
        let mut client = Client { place, channel };
        match client.answer(Some(BEGIN))? {
            Some(Answer::Taken) => Ok(Some(client)),
            Some(_) => Err(client.unexpected()),
            None => Ok(None),
        }
    }

    /// Waits for the next answer. Returns `None` if the launcher ended without one.
    ///
    /// # Errors
    /// If no answer comes within `limit`, or the request failed.
    pub fn answer(&mut self, limit: Option<Duration>) -> Result<Option<Answer>, Failure> {
        match self.channel.read(LONGEST_ANSWER, limit) {
            Err(error) if is_end(&error) => Ok(None),
            Err(error) => Err(silent(self.place, &error)),
            Ok(Some(Answer::Failed { code, message })) => Err(match code {
                1 => Failure::Found(message),
                2 => Failure::Usage(message),
                _ => Failure::Unavailable(message),
            }),
            Ok(answer) => Ok(answer),
        }
    }

    /// Returns the failure for an answer that does not fit the request.
    pub fn unexpected(&self) -> Failure {
        let title = self.place.title();
        Failure::Unavailable(format!("the launcher of {title} gave an unexpected answer"))
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn silent(place: &Place, error: &io::Error) -> Failure {
    let (title, socket) = (place.title(), place.socket());
    let problem = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it does not respond".to_owned(),
        _ => untrusted(error).unwrap_or_else(|| error.to_string()),
    };
    Failure::Unavailable(format!("the launcher of {title} at `{}`: {problem}", shown(&socket)))
}

/// Sends a request to the launcher of a bundle, and starts a launcher if there is none. Returns
/// after the first answer.
///
/// # Errors
/// If no launcher can be started, or it does not respond.
pub fn request_or_start<'p>(
    place: &'p Place,
    request: &Request,
    limit: Option<Duration>,
) -> Result<(Client<'p>, Answer), Failure> {
    let (clock, mut launcher) = (Clock::start(), None::<Child>);
    while clock.now() < leftovers::LONGEST {
        if let Some(mut client) = Client::request(place, request)?
            && let Some(answer) = client.answer(limit)?
        {
            return Ok((client, answer));
        }
        let status = launcher.as_mut().map(Child::try_wait).transpose().map_err(failed)?;
        match status {
            // The launcher does not listen yet.
            Some(None) => {}
            Some(Some(status)) if !status.success() => return Err(ended(place, status)),
            // A launcher that exited without an error is no failure: another launcher has the
            // place, another command has ended it, or it got no request in time.
            Some(Some(_)) => {
                pause(10 * PAUSE);
                launcher = Some(start(place)?);
            }
            None => launcher = Some(start(place)?),
        }
        pause(PAUSE);
    }
    let directory = shown(place.directory());
    Err(Failure::Unavailable(format!("no launcher responds in `{directory}`")))
}

fn failed(error: io::Error) -> Failure {
    Failure::Unavailable(format!("the launcher: {error}"))
}

/// Returns the failure for a launcher that has ended, with the last lines of its log.
fn ended(place: &Place, status: ExitStatus) -> Failure {
    let log = place.log_tail("launcher");
    Failure::Unavailable(format!("the launcher ended, {status}{log}"))
}

/// Starts a launcher, which ends if another one has the place.
fn start(place: &Place) -> Result<Child, Failure> {
    place.create().map_err(|error| place.refused(&error))?;
    let errors = place.open_log("launcher").map_err(|error| place.refused(&error))?;
    let mut launcher = Command::new(env::current_exe().map_err(failed)?);
    launcher.arg("launcher").arg(place.directory()).current_dir("/");
    launcher.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
    launcher.spawn().map_err(failed)
}
