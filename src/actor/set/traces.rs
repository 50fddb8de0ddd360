//! The traces of an actor: the handling of each message is a span, and messages that the handler
//! sends belong to it. Only actors of a node with traces have this state.

use std::sync::Arc;

use mycelium_transports::local::{TaskBudget, TaskTrace, Tracer};

use crate::actor::set::core::Core;
use crate::actor::values::{Mail, MailContent};

/// The state of an actor's task for traces.
pub(crate) struct ActorTraces {
    /// The name of the actor, or its type and number.
    actor: Arc<str>,
    pub(crate) budget: Arc<TaskBudget>,
}

impl ActorTraces {
    pub(crate) fn new(tracer: Arc<Tracer>, core: &Core) -> Box<ActorTraces> {
        let trace = TaskTrace::new(tracer, core.kind.name.into());
        let budget = TaskBudget::with_trace(TaskBudget::DEFAULT, trace);
        Box::new(ActorTraces { actor: core.label(), budget })
    }

    /// Begins the span of a mail that a handler is about to get.
    pub(crate) fn begin(&self, mail: &impl Mail) {
        let Some(trace) = self.budget.trace() else { return };
        match mail.content() {
            MailContent::Message(message_type, _) => trace.begin(message_type, &self.actor, None),
            MailContent::Request { name, trace: passed, .. } => {
                trace.begin(name, &self.actor, passed);
            }
        }
    }

    /// Ends the span: the handler has returned, or its run has ended.
    pub(crate) fn end(&self, has_failed: bool) {
        self.budget.trace().into_iter().for_each(|trace| trace.end_handling(has_failed));
    }
}
