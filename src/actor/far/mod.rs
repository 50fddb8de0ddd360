//! Requests between nodes about actors: `call` asks an actor, and `watch` waits for the end of an
//! actor. Both are sent like the requests of services. `nodes` is the trait through which actors
//! reach other nodes; the node of this process implements it.

mod call;
mod nodes;
mod watch;

pub(crate) use call::{ActorCall, calls_topic};
pub(super) use call::{ActorReply, Answer, AnswerCall, Replied};
pub(crate) use nodes::OtherNodes;
pub(super) use watch::WatchReply;
pub(crate) use watch::{WatchCall, watches_topic};
