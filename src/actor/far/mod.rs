//! What nodes ask each other's actors: `call` is a request to an actor, and `watch` asks for its
//! end. Both travel as the requests of services do. `nodes` is how actors see other nodes; the node
//! of this process implements it.

mod call;
mod nodes;
mod watch;

pub(crate) use call::{ActorCall, calls_topic};
pub(super) use call::{ActorReply, Answer, AnswerCall, Replied};
pub(crate) use nodes::OtherNodes;
pub(super) use watch::WatchReply;
pub(crate) use watch::{WatchCall, watches_topic};
