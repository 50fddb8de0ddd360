//! The pusher on its thread: with the real time, and a collector over HTTP.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mio::Waker;

use super::node::PushedNode;
use super::notice::PushNotice;
use super::pusher::{Pusher, Work};
use crate::otlp::http::Client;
use crate::otlp::notice::Notices;
use crate::otlp::port::{Ending, HttpPort};

/// A [`Pusher`] that has what it needs of the system, for its thread.
pub struct OpenPusher {
    pusher: Pusher,
    node: PushedNode,
    client: Client,
    stopper: PusherStopper,
    /// The node counts from here on.
    began: SystemTime,
}

/// Ends a pusher. Any thread may do it.
#[derive(Clone, Debug)]
pub struct PusherStopper {
    ending: Ending,
    waker: Arc<Waker>,
}

impl PusherStopper {
    /// [`OpenPusher::run`] sends the last values, for as long as the settings say, and returns.
    pub fn stop(&self) {
        self.ending.stop();
        // Without its poll the pusher has ended.
        let _ = self.waker.wake();
    }
}

impl Pusher {
    /// Gets what the pusher needs of the system.
    ///
    /// # Errors
    /// If the process can open no further file.
    pub fn open(self, node: PushedNode) -> io::Result<OpenPusher> {
        let headers = self.settings.to.headers();
        let client = Client::new(&self.endpoint, &self.endpoint.metrics(), headers)?;
        let stopper = PusherStopper { ending: Ending::new(), waker: client.waker().clone() };
        let began = (node.wall_clock)();
        Ok(OpenPusher { pusher: self, node, client, stopper, began })
    }
}

impl OpenPusher {
    /// Ends [`run`](OpenPusher::run).
    #[must_use]
    pub fn stopper(&self) -> PusherStopper {
        self.stopper.clone()
    }

    /// Pushes metrics from this thread until the pusher is stopped. `on_notice` gets errors, at
    /// most once a minute and once at the end.
    pub fn run(self, on_notice: impl FnMut(&PushNotice)) {
        let OpenPusher { pusher, node, client, stopper, began } = self;
        let Pusher { settings, endpoint: _ } = pusher;
        let mut port = HttpPort { client, ending: stopper.ending, flush: settings.to.flush };
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
