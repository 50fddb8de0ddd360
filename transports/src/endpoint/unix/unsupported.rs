//! Unix sockets on systems other than Linux: binding and connecting are errors.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use mycelium_executor::{Executor, Listener, Stream};

use super::super::error::BindError;
use super::{Access, AllowedPeers};

/// A type without values on this system.
#[derive(Debug)]
pub enum BoundSocket {}

impl BoundSocket {
    pub(crate) fn with_access(path: impl Into<PathBuf>, _: Access) -> Result<Self, BindError> {
        Err(BindError::System { action: "listen at", path: path.into(), error: unsupported() })
    }

    pub(crate) fn listener(&self, _: &dyn Executor) -> io::Result<Listener> {
        match *self {}
    }

    pub(crate) fn allowed(&self) -> AllowedPeers {
        match *self {}
    }

    pub(crate) fn restore(&mut self) -> Result<bool, BindError> {
        match *self {}
    }
}

pub(crate) fn open(_: &Path, _: &Access, _: &dyn Executor) -> io::Result<Stream> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::Error::new(ErrorKind::Unsupported, "links between nodes are supported on Linux only")
}
