//! The tasks of services and actors: a task that is `Send` if its type allows it (`launch`), the
//! hooks around each poll of a service (`service_task`), and the child tasks of one run
//! (`run_tasks`). This module depends on no service.

pub(crate) mod launch;
pub(crate) mod run_tasks;
pub(crate) mod service_task;
