//! The error with which a node ends: the first error, except that lost messages and abandoned
//! services are both reported.

use std::sync::Mutex;
use std::time::Duration;

use crate::error::StartError;
use crate::support::lock::lock;

#[derive(Debug, Default)]
pub(crate) struct Failure(Mutex<Option<StartError>>);

impl Failure {
    /// Stores `error`, unless there is an earlier one.
    pub(crate) fn set(&self, error: StartError) {
        lock(&self.0).get_or_insert(error);
    }

    pub(crate) fn take(&self) -> Option<StartError> {
        lock(&self.0).take()
    }

    /// Adds services that were abandoned at the shutdown's deadline.
    pub(super) fn abandoned(&self, services: Vec<String>, deadline: Option<Duration>) {
        match &mut *lock(&self.0) {
            Some(StartError::Undelivered { abandoned, .. }) => abandoned.extend(services),
            Some(_) => {}
            first => *first = Some(StartError::Abandoned { services, deadline }),
        }
    }

    /// Adds messages that were not delivered. This error replaces an error about abandoned
    /// services, which may have waited for the delivery. Returns the text of the error.
    pub(super) fn undelivered(
        &self,
        left: Vec<(String, String, usize)>,
        let_go: Vec<String>,
        timeout: Option<Duration>,
    ) -> String {
        let mut first = lock(&self.0);
        let abandoned = match &mut *first {
            Some(StartError::Abandoned { services, .. }) => std::mem::take(services),
            _ => Vec::new(),
        };
        let error = StartError::Undelivered { left, let_go, timeout, abandoned };
        let text = error.to_string();
        if matches!(&*first, None | Some(StartError::Abandoned { .. })) {
            *first = Some(error);
        }
        text
    }
}
