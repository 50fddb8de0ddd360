//! What a process shows of its readiness.

use super::wire::NodeStatus;

use std::time::Duration;

use mycelium_bundle::{MemberPhase, MemberStatus};

/// A process that has shown no counters for this time is not expected to: it may be no node, or
/// its counters may be switched off. That it runs is then all that can be known.
const SILENCE: Duration = Duration::from_secs(5);

/// What the process of a node shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The node is ready: its services have started, and it has met the nodes that it has links
    /// with.
    Ready,
    /// The node starts.
    Starting,
    /// A poll of a service hangs.
    Hangs,
    /// It shows nothing.
    Nothing,
}

/// What the process with this id shows.
#[must_use]
pub fn of_process(pid: u32) -> Sign {
    let _ = pid;
    Sign::Nothing
}

/// How a node is, by its member of the bundle and what its process shows.
#[must_use]
pub fn status(member: &MemberStatus, sign: Sign) -> NodeStatus {
    let since = member.since.elapsed();
    let (state, is_up) = match (member.phase, sign) {
        (MemberPhase::Waiting, _) if member.starts > 0 => ("backing-off", false),
        (MemberPhase::Running, Sign::Ready) => ("ready", true),
        (MemberPhase::Running, Sign::Starting) => ("starting", false),
        (MemberPhase::Running, Sign::Hangs) => ("hangs", false),
        (MemberPhase::Running, Sign::Nothing) => ("running", since >= SILENCE),
        (phase, _) => (phase.name(), phase == MemberPhase::Completed),
    };
    NodeStatus {
        node: member.name.clone(),
        state: state.to_owned(),
        is_up,
        pid: member.pid,
        since: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        restarts: member.starts.saturating_sub(1),
        last_exit: member.last_exit.map(|status| status.to_string()),
    }
}
