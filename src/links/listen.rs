//! Accepts connections on the node's endpoint, and creates its address again if it has disappeared.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use mycelium_core::Code;
use mycelium_executor::{Executor, Listener};
use mycelium_transports::endpoint::{BindError, BoundEndpoint, Endpoint};
use mycelium_transports::link::{Exports, Notice, Observer};
use mycelium_transports::memory::ControlThread;

use crate::error::StartError;
use crate::plan::Plan;
use crate::topology::Setting;

/// How often a node checks that its address still exists.
const RECHECK: Duration = Duration::from_secs(1);

/// The endpoint on which a node listens. Dropping it releases the address.
pub(super) struct Listening {
    pub(super) endpoint: Endpoint,
    pub(super) bound: BoundEndpoint,
    /// Listens at the control socket, if readers can map rings of this node.
    pub(super) memory: Option<Arc<ControlThread>>,
    pub(super) observer: Observer,
}

impl Listening {
    /// Serves until the links end, with a new listener each time the address was created again.
    pub(super) async fn run(
        mut self,
        exports: Arc<Exports>,
        mut listener: Listener,
        executor: Arc<dyn Executor>,
    ) {
        let gate = self.bound.gate();
        loop {
            let serving = pin!(exports.clone().run(listener, gate.clone()));
            let restored = pin!(self.restored(&*executor));
            match select(serving, restored).await {
                Either::Left(_) => return,
                Either::Right((next, _)) => listener = next,
            }
        }
    }

    /// Returns a new listener after the address has disappeared and was restored. A problem that
    /// prevents the restoring is reported once.
    async fn restored(&mut self, executor: &dyn Executor) -> Listener {
        let endpoint = &self.endpoint;
        let (mut is_new, mut reported) = (false, String::new());
        loop {
            executor.sleep_until(executor.now() + RECHECK).await;
            let restored = restore(&mut self.bound, &mut is_new, executor);
            match restored.and_then(|it| restore_memory(self.memory.as_deref()).map(|()| it)) {
                Ok(Some(listener)) => {
                    (self.observer)(Notice::AddressRestored { endpoint });
                    return listener;
                }
                Ok(None) => reported.clear(),
                Err(problem) if problem != reported => {
                    (self.observer)(Notice::AddressLost { endpoint, problem: &problem });
                    reported = problem;
                }
                Err(_) => {}
            }
        }
    }
}

/// Creates the address again if it has disappeared. Returns the listener of the new address, or
/// `None` if the address still exists. `is_new` is kept between calls: whether the address is new
/// and has no listener yet.
fn restore(
    bound: &mut BoundEndpoint,
    is_new: &mut bool,
    executor: &dyn Executor,
) -> Result<Option<Listener>, String> {
    *is_new |= bound.restore().map_err(|error| error.to_string())?;
    let listener = is_new.then(|| bound.listener(executor)).transpose();
    listener.map_err(|error: io::Error| error.to_string())
}

/// Creates the address of the control socket again if it has disappeared.
fn restore_memory(memory: Option<&ControlThread>) -> Result<(), String> {
    let restored = memory.map_or(Ok(false), ControlThread::restore);
    restored.map(drop).map_err(|error| error.to_string())
}

/// Returns the error of a node that could not listen on `endpoint`. `place` is where the topology
/// sets the address, if it does.
pub(crate) fn bind_error(
    plan: &Plan,
    endpoint: &Endpoint,
    place: Option<String>,
    error: BindError,
) -> StartError {
    let node = plan.node.clone();
    match error {
        BindError::Unreachable { directory, user, .. } => {
            let place = plan.places.of(Setting::Access(&node));
            let who = user.map_or("the group".to_owned(), |user| format!("user {user}"));
            let problem = format!(
                "{who} may connect to node `{node}`, but cannot reach its socket `{endpoint}`: \
                 directory `{}` is closed to other users; put the socket elsewhere (`socket`, or \
                 `Topology::in_directory`)",
                directory.display()
            );
            StartError::at(place, Code::SOCKET_UNREACHABLE, problem)
        }
        error => {
            let place = place.or_else(|| plan.places.of(Setting::Node(&node)));
            StartError::Bind { node, place, error }
        }
    }
}
