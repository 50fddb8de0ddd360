//! Memory on systems other than 64-bit Linux: it cannot be shared there.

use std::path::PathBuf;
use std::sync::Arc;

use super::error::{ControlError, MemoryError};
use crate::endpoint::unix::Access;

/// It has no value on this system.
#[derive(Debug)]
pub enum Mapping {}

/// It has no value on this system.
#[derive(Debug)]
pub enum Connection {}

/// It has no value on this system.
#[derive(Debug)]
pub enum ControlThread {}

/// The limits of a control thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlLimits {}

/// Gets the events of a connection: there are none on this system.
pub trait Handler: Send + Sync {}

impl ControlThread {
    /// Fails.
    ///
    /// # Errors
    /// Always [`MemoryError::Unsupported`].
    pub fn start(_: &str, _: ControlLimits) -> Result<Arc<ControlThread>, ControlError> {
        Err(MemoryError::Unsupported.into())
    }

    /// As on Linux.
    ///
    /// # Errors
    /// Never: there is no value.
    pub fn listen(&self, _: impl Into<PathBuf>, _: Access) -> Result<(), ControlError> {
        match *self {}
    }

    /// As on Linux.
    pub fn stop(&self) {
        match *self {}
    }
}
