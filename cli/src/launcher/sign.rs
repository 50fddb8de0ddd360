//! The *sign* of a process: the evidence of its readiness.

use std::time::Duration;

use mycelium::counters::Attached;
use mycelium::observe::HealthState;
use mycelium_bundle::{MemberPhase, MemberStatus};

use crate::bundle::wire::NodeStatus;
use crate::live::find::process_state;
use crate::live::model::{ProcessState, health};

/// How long to wait for the counters of a process. After that it may be no node, or its counters
/// may be switched off, so the launcher only knows that it runs.
const SILENCE: Duration = Duration::from_secs(5);

/// The evidence of a process's readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The health of the node, from the counters of the process.
    Health(HealthState),
    /// The process shows no counters.
    Nothing,
    /// The process is stopped, by SIGSTOP or a debugger.
    Suspended,
}

/// The healths of a node, from the most to the least ready one.
const READINESS: [HealthState; 5] = [
    HealthState::Ready,
    HealthState::Degraded,
    HealthState::Starting,
    HealthState::BackingOff,
    HealthState::Stopped,
];

/// Returns the sign of the process with this id.
pub fn of_process(pid: u32) -> Sign {
    if process_state(pid) == ProcessState::Stopped {
        return Sign::Suspended;
    }
    let Ok(mut found) = Attached::of_process(pid) else { return Sign::Nothing };
    let own = found.regions.iter_mut().filter(|region| region.is_own());
    let views = own.filter_map(|region| region.read().ok());
    let lines = views.flat_map(|view| view.lines).filter(|line| &*line.kind.name == "node");
    let healths = lines.map(|line| health(&line).unwrap_or(HealthState::Starting));
    // A process with several nodes has the sign of its least ready node.
    let least = healths.max_by_key(|health| READINESS.iter().position(|it| it == health));
    least.map_or(Sign::Nothing, Sign::Health)
}

/// Returns the state of a node, from its member of the bundle and the sign of its process.
pub fn status(member: &MemberStatus, sign: Sign) -> NodeStatus {
    let since = member.since.elapsed();
    let (state, is_up) = match (member.phase, sign) {
        (MemberPhase::Waiting, _) if member.starts > 0 => ("backing-off", false),
        (MemberPhase::Running, Sign::Health(HealthState::Stopped)) => ("ending", false),
        (MemberPhase::Running, Sign::Health(health)) => {
            (health.name(), matches!(health, HealthState::Ready | HealthState::Degraded))
        }
        (MemberPhase::Running, Sign::Suspended) => ("suspended", false),
        (MemberPhase::Running, Sign::Nothing) => ("running", since >= SILENCE),
        // The process has exited, and the next step of the change has not begun.
        (MemberPhase::Completed, _) if member.is_leaving => ("stopping", false),
        (phase, _) => (phase.name(), phase == MemberPhase::Completed),
    };
    NodeStatus {
        node: member.name.clone(),
        state: state.to_owned(),
        // A node that a change stops does not count as up, because nobody waits for it.
        is_up: is_up && !member.is_leaving,
        pid: member.pid,
        since: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        restarts: member.starts.saturating_sub(1),
        last_exit: member.last_exit.map(|status| status.to_string()),
    }
}
