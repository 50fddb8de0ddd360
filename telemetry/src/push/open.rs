//! The pusher on its thread: with the real time, and a collector over HTTP.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::node::PushedNode;
use super::notice::PushNotice;
use super::pusher::{Pusher, Work};
use crate::otlp::bell::Bell;
use crate::otlp::client::Client;
use crate::otlp::notice::Notices;
use crate::otlp::port::{Ending, HttpPort};
use crate::runtime::Runtime;

/// A [`Pusher`] that has what it needs of the system, for its thread.
pub struct OpenPusher {
    pusher: Pusher,
    node: PushedNode,
    port: HttpPort,
    /// The node counts from here on.
    began: SystemTime,
}

/// Ends a pusher. Any thread may do it.
#[derive(Clone, Debug)]
pub struct PusherStopper(Ending);

impl PusherStopper {
    /// [`OpenPusher::run`] sends the last values, for as long as the settings say, and returns.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl Pusher {
    /// Gets what the pusher needs of the system.
    ///
    /// # Errors
    /// If the process can open no further file.
    pub fn open(self, node: PushedNode) -> io::Result<OpenPusher> {
        let headers = self.settings.to.headers();
        let client = Client::new(&self.endpoint, self.endpoint.metrics(), headers);
        let ending = Ending::new(Arc::<Bell>::default());
        let port =
            HttpPort { runtime: Runtime::new()?, client, ending, flush: self.settings.to.flush };
        let began = (node.wall_clock)();
        Ok(OpenPusher { pusher: self, node, port, began })
    }
}

impl OpenPusher {
    /// Ends [`run`](OpenPusher::run).
    #[must_use]
    pub fn stopper(&self) -> PusherStopper {
        PusherStopper(self.port.ending.clone())
    }

    /// Pushes metrics from this thread until the pusher is stopped. `on_notice` gets errors, at
    /// most once a minute and once at the end.
    pub fn run(self, on_notice: impl FnMut(&PushNotice)) {
        let OpenPusher { pusher: Pusher { settings, endpoint: _ }, node, mut port, began } = self;
        let notices = Notices::default();
        let (failures, not_before) = (0, Duration::ZERO);
        Work { settings, node, began, on_notice, notices, failures, not_before }.run(&mut port);
    }
}

impl fmt::Debug for OpenPusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenPusher").field("pusher", &self.pusher).finish_non_exhaustive()
    }
}
