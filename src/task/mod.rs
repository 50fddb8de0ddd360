//! The tasks of services and actors: a task that is `Send` if its type allows it (`launch`), and
//! the child tasks of one run (`run_tasks`). This module depends on the error types, but on no
//! service.

pub(crate) mod launch;
pub(crate) mod run_tasks;
