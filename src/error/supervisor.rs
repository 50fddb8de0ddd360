//! Why supervisors do not fit together, or do not fit to the services.

use mycelium_core::{Code, debug_as_display};
use thiserror::Error;

use crate::support::names::expected_instead_of;

/// Why a node cannot have its supervisors.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SupervisorProblem {
    /// A supervisor has a child that does not exist.
    #[error(
        "supervisor `{supervisor}` has an unknown child `{child}`: {}; a child is a service or \
         another supervisor",
        expected_instead_of(child, known)
    )]
    UnknownChild {
        /// The supervisor.
        supervisor: String,
        /// The name.
        child: String,
        /// The services and supervisors of the program.
        known: Vec<String>,
    },
    /// A child has two supervisors, or one supervisor has it twice.
    #[error(
        "`{child}` is supervised twice, by `{first}` and by `{second}`: \
         remove it from the children of one of them"
    )]
    Twice {
        /// The service or supervisor.
        child: String,
        /// One of the supervisors.
        first: String,
        /// The other one.
        second: String,
    },
    /// Supervisors supervise each other.
    #[error(
        "supervisors supervise each other: {}; remove one of them from the children of the one \
         before it",
        path.join(" -> ")
    )]
    Circle {
        /// The supervisors of the cycle, from parent to child; the last one is the first one again.
        path: Vec<String>,
    },
    /// A supervisor has no children.
    #[error(
        "supervisor `{supervisor}` has no children: list services or other supervisors in its \
         `children`, or remove it"
    )]
    Empty {
        /// The supervisor.
        supervisor: String,
    },
    /// A supervisor has the name of a service.
    #[error("supervisor `{name}` has the name of a service: give it another name")]
    NameOfService {
        /// The name.
        name: String,
    },
    /// Two supervisors of the program have one name.
    #[error("two supervisors are called `{name}`: give one of them another name")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A name is empty, or has a space, a `=` or a control character.
    #[error(
        "invalid supervisor name `{}`: expected at least one character, and no space, `=` or control character",
        name.escape_debug()
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The services of a supervisor are in two processes.
    #[error(
        "supervisor `{supervisor}` has services of two nodes, `{first}` of `{first_node}` and \
         `{second}` of `{second_node}`: a supervisor is in one process, so make one for each node"
    )]
    TwoNodes {
        /// The supervisor.
        supervisor: String,
        /// A service.
        first: String,
        /// The node of that service.
        first_node: String,
        /// Another service.
        second: String,
        /// The node of the other service.
        second_node: String,
    },
    /// The program sets how a service is supervised that it does not have.
    #[error(
        "`Builder::{method}` names an unknown service `{service}`: {}",
        expected_instead_of(service, known)
    )]
    UnknownService {
        /// The method.
        method: &'static str,
        /// The name.
        service: String,
        /// The services of the program.
        known: Vec<String>,
    },
}

debug_as_display!(SupervisorProblem);

impl SupervisorProblem {
    /// Returns the code of the problem. The text of the [`BuildError`](crate::error::BuildError)
    /// with this problem ends with it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            SupervisorProblem::UnknownChild { .. } => Code::SUPERVISOR_CHILD,
            SupervisorProblem::Twice { .. } => Code::SUPERVISED_TWICE,
            SupervisorProblem::Circle { .. } => Code::SUPERVISOR_CIRCLE,
            SupervisorProblem::Empty { .. } => Code::SUPERVISOR_EMPTY,
            SupervisorProblem::NameOfService { .. } => Code::SUPERVISOR_OF_SERVICE_NAME,
            SupervisorProblem::Duplicate { .. } => Code::SUPERVISOR_TWICE,
            SupervisorProblem::Name { .. } => Code::SUPERVISOR_NAME,
            SupervisorProblem::TwoNodes { .. } => Code::SUPERVISOR_OF_TWO_NODES,
            SupervisorProblem::UnknownService { .. } => Code::SUPERVISION_OF_UNKNOWN,
        }
    }
}
