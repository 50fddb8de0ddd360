//! What a program says of its peer, and the start of the transport.

use std::fmt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mycelium_executor::SendFuture;
use mycelium_transports::engine::Outgoing;
use mycelium_transports::seam::{Capabilities, Ends, Engine, Transport};
use zenoh::Config;

use crate::run::run;

/// How long the start of a node waits until the peer listens, or the client has its router.
const START: Duration = Duration::from_secs(10);

/// A transport over Zenoh. See the [crate](crate).
pub struct Zenoh {
    config: Result<Config, String>,
}

impl Zenoh {
    /// Creates a peer with Zenoh's defaults: it listens at a free port, and finds other peers in
    /// the network by multicast.
    #[must_use]
    pub fn peer() -> Zenoh {
        Zenoh { config: Ok(Config::default()) }
    }

    /// Creates a peer or a client with a configuration file of Zenoh, in JSON5 or YAML. A file that
    /// cannot be read, or is not valid, is an error of the node's start.
    #[must_use]
    pub fn from_file(path: impl AsRef<Path>) -> Zenoh {
        let path = path.as_ref();
        let read = Config::from_file(path);
        let problem = |error| format!("cannot use the file `{}`: {error}", path.display());
        Zenoh { config: read.map_err(problem) }
    }

    /// Creates a peer or a client with a configuration of Zenoh, in JSON5. A text that is not valid
    /// is an error of the node's start.
    #[must_use]
    pub fn from_json5(text: &str) -> Zenoh {
        let read = Config::from_json5(text);
        Zenoh { config: read.map_err(|error| format!("cannot use the configuration: {error}")) }
    }
}

/// Prints the configuration with the defaults of all other keys, as JSON, or the problem with it.
/// Passwords are part of it.
impl fmt::Display for Zenoh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.config {
            Ok(config) => config.fmt(f),
            Err(problem) => f.write_str(problem),
        }
    }
}

impl fmt::Debug for Zenoh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zenoh").finish_non_exhaustive()
    }
}

impl Engine for Zenoh {
    const NAME: &'static str = "zenoh";

    fn configured(config: Option<&Path>) -> Zenoh {
        config.map_or_else(Zenoh::peer, Zenoh::from_file)
    }
}

impl Transport for Zenoh {
    fn name(&self) -> &str {
        Zenoh::NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
    }

    fn carry(self: Box<Self>, ends: Ends) -> Result<SendFuture<()>, String> {
        let config = self.config?;
        let outgoing = Outgoing::new(&ends, Zenoh::NAME).map_err(|error| error.to_string())?;
        let (started, is_started) = mpsc::channel();
        let (running, ended) = futures_channel::oneshot::channel::<()>();
        // Zenoh's calls wait for its own threads, and panic on a thread of a tokio that has only
        // this one: they are made on a thread of their own.
        let body = move || run(config, ends, outgoing, &started, running);
        let spawned = thread::Builder::new().name("zenoh".to_owned()).spawn(body);
        spawned.map_err(|error| format!("cannot create a thread: {error}"))?;
        match is_started.recv_timeout(START) {
            Ok(started) => started?,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err("its thread has ended by a panic".to_owned());
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return Err(format!(
                    "it was not ready within {START:?}: expected that a router or peer answers at the \
                     configured addresses"
                ));
            }
        }
        // The node ends with an error if its transport panics.
        Ok(Box::pin(async { ended.await.expect("the thread of Zenoh ends without a panic") }))
    }
}
