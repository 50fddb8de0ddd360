//! The *sign* of a process: what it shows of its readiness.

use std::time::Duration;

use mycelium::counters::Attached;
use mycelium_bundle::{MemberPhase, MemberStatus};

use crate::bundle::wire::NodeStatus;
use crate::live::find::process_state;
use crate::live::model::ProcessState;

/// How long a process may show no counters before none are expected of it: it may be no node, or
/// its counters may be switched off. Then the launcher can only know that it runs.
const SILENCE: Duration = Duration::from_secs(5);

/// The health of a node, which its process shows in a line of its counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The node is ready: its services have started, and it has met the nodes that it has links
    /// with.
    Ready,
    /// The node is ready, and something is wrong.
    Degraded,
    /// The node starts.
    Starting,
    /// All services of the node back off.
    BackingOff,
    /// The node drains or has ended.
    Ending,
    /// The process shows no counters.
    Nothing,
    /// The process is stopped, by SIGSTOP or a debugger.
    Suspended,
}

/// Returns the sign of the process with this id.
pub fn of_process(pid: u32) -> Sign {
    if process_state(pid) == ProcessState::Stopped {
        return Sign::Suspended;
    }
    let Ok(mut found) = Attached::of_process(pid) else { return Sign::Nothing };
    let views = found.regions.iter_mut().filter_map(|region| region.read().ok());
    let lines = views.flat_map(|view| view.lines);
    let states = lines.filter(|line| &*line.kind.name == "node").filter_map(|it| it.value("state"));
    // A process with several nodes gets the sign of its least ready node.
    let signs = states.map(|state| match state {
        1 => Sign::Ready,
        2 => Sign::Degraded,
        3 => Sign::BackingOff,
        4 => Sign::Ending,
        _ => Sign::Starting,
    });
    signs.max_by_key(|sign| *sign as u8).unwrap_or(Sign::Nothing)
}

/// Returns the state of a node, from its member of the bundle and the sign of its process.
pub fn status(member: &MemberStatus, sign: Sign) -> NodeStatus {
    let since = member.since.elapsed();
    let (state, is_up) = match (member.phase, sign) {
        (MemberPhase::Waiting, _) if member.starts > 0 => ("backing-off", false),
        (MemberPhase::Running, Sign::Ready) => ("ready", true),
        (MemberPhase::Running, Sign::Degraded) => ("degraded", true),
        (MemberPhase::Running, Sign::Starting) => ("starting", false),
        (MemberPhase::Running, Sign::BackingOff) => ("backing-off", false),
        (MemberPhase::Running, Sign::Ending) => ("ending", false),
        (MemberPhase::Running, Sign::Suspended) => ("suspended", false),
        (MemberPhase::Running, Sign::Nothing) => ("running", since >= SILENCE),
        // The process has exited, and the next step of the change has not begun.
        (MemberPhase::Completed, _) if member.is_leaving => ("stopping", false),
        (phase, _) => (phase.name(), phase == MemberPhase::Completed),
    };
    NodeStatus {
        node: member.name.clone(),
        state: state.to_owned(),
        // A node that a change stops does not count as up, because nobody waits for it to be.
        is_up: is_up && !member.is_leaving,
        pid: member.pid,
        since: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        restarts: member.starts.saturating_sub(1),
        last_exit: member.last_exit.map(|status| status.to_string()),
    }
}
