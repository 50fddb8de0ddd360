//! The channel of a session: arrivals of the control connection, and wakes by the peer.

use std::sync::Arc;
use std::task::Context;

use mycelium_executor::Executor;

use super::channel::{Arrival, Channel, Tie};
use super::session_thread::ExecutorId;
use crate::memory::{Gone, Handler, WakeSocket};

/// A channel as its session has it.
pub(super) struct SessionChannel {
    channel: Arc<Channel>,
    /// `None` until the connection is established.
    tie: Option<Arc<Tie>>,
    executor: Arc<dyn Executor>,
    /// `None` if the executor has none: the control thread is woken then.
    wakes: Option<WakeSocket>,
}

impl SessionChannel {
    pub(super) fn new(channel: Arc<Channel>, executor: &Arc<dyn Executor>) -> SessionChannel {
        SessionChannel { channel, tie: None, executor: executor.clone(), wakes: None }
    }

    /// The next packet or the end, and wakes tasks that the peer has rung for. Has the session's
    /// task woken for later ones.
    pub(super) fn next(&mut self, context: &mut Context<'_>) -> Option<Arrival> {
        let arrival = self.channel.take(context.waker());
        if let Some(tie) = self.channel.take_established() {
            self.wakes = WakeSocket::open(tie.connection(), &*self.executor).ok();
            tie.set_wakes(self.wakes.is_some().then(|| ExecutorId::of(&self.executor)));
            self.tie = Some(tie);
        }
        if arrival.is_none()
            && let Some(wakes) = &mut self.wakes
        {
            ExecutorId::of(&self.executor).set_present();
            if wakes.take_rung(context) {
                self.channel.wake();
            }
        }
        arrival
    }

    /// From now on the peer wakes the control thread: the session's task may wait for other things.
    pub(super) fn end_wakes(&mut self) {
        if let Some(tie) = &self.tie {
            tie.set_wakes(None);
        }
        if self.wakes.take().is_some() {
            // The peer may have rung here since the last call of `next`.
            self.channel.wake();
        }
    }

    /// What its end means for streams that are not in memory, if that has to be reported.
    pub(super) fn problem(&self, reason: &Gone) -> Option<String> {
        let is_expected = match reason {
            Gone::PeerDied | Gone::Stopped | Gone::Closed => true,
            // The peer's session has ended, and so does the link.
            Gone::PeerClosed => self.tie.is_some(),
            _ => false,
        };
        (!is_expected).then(|| format!("the control connection has ended: {reason}"))
    }

    pub(super) fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// Keeps the connection open, once it is established.
    pub(super) fn tie(&self) -> Option<&Arc<Tie>> {
        self.tie.as_ref()
    }
}

impl Drop for SessionChannel {
    fn drop(&mut self) {
        self.channel.leave();
        self.end_wakes();
    }
}
