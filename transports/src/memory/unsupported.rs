//! Shared memory on systems other than 64-bit Linux, where it is not supported. The types have no
//! values, so that the rest of the crate is the same on all systems.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mycelium_core::doorbell::WakePath;
use mycelium_core::ring::broadcast::{Layout, Word};
use mycelium_core::ring::region::{CursorRegion, DataRegion, Memory, RingIdentity};
use mycelium_executor::Executor;

use super::error::{ControlError, Gone, MemoryError, SendError};
use super::packet::{Packet, Token};
use crate::descriptor::{BorrowedFd, OwnedFd};
use crate::endpoint::unix::Access;

/// A mapping, which never exists on this system.
#[derive(Debug)]
pub enum Mapping {}

impl Mapping {
    /// Fails.
    ///
    /// # Errors
    /// Always [`MemoryError::Unsupported`].
    pub fn attach(_: OwnedFd, _: usize, _: bool) -> Result<Mapping, MemoryError> {
        Err(MemoryError::Unsupported)
    }
}

// SAFETY: the type has no variants, so no method is ever called.
#[allow(unsafe_code)]
unsafe impl Memory for Mapping {
    fn words(&self) -> &[Word] {
        match *self {}
    }
}

/// Fails.
///
/// # Errors
/// Always [`MemoryError::Unsupported`].
pub fn data_region(
    _: &str,
    _: Layout,
    _: usize,
    _: RingIdentity,
    _: bool,
) -> Result<(DataRegion<Mapping>, OwnedFd), MemoryError> {
    Err(MemoryError::Unsupported)
}

/// Fails.
///
/// # Errors
/// Always [`MemoryError::Unsupported`].
pub fn cursor_region(
    _: &str,
    _: Layout,
    _: usize,
    _: RingIdentity,
) -> Result<(CursorRegion<Mapping>, OwnedFd), MemoryError> {
    Err(MemoryError::Unsupported)
}

/// Returns a token that is never used, because no process can connect.
#[must_use]
pub fn random_token() -> Token {
    [0; 16]
}

/// A connection, which never exists on this system.
#[derive(Debug)]
pub enum Connection {}

impl Connection {
    /// Is never called, because no connection exists on this system.
    ///
    /// # Errors
    /// Never: it cannot be called.
    pub fn send(&self, _: Packet, _: Option<BorrowedFd<'_>>) -> Result<(), SendError> {
        match *self {}
    }

    /// Is never called, because no connection exists on this system.
    pub fn wake(&self, _: WakePath) {
        match *self {}
    }

    /// Is never called, because no connection exists on this system.
    pub fn close(&self) {
        match *self {}
    }
}

/// A wake socket, which never exists on this system.
#[derive(Debug)]
pub enum WakeSocket {}

impl WakeSocket {
    /// Is never called, because no connection exists on this system.
    ///
    /// # Errors
    /// Never: there is no connection.
    pub fn open(
        connection: &Connection,
        _: u8,
        _: &dyn Executor,
        _: impl Fn() + Send + 'static,
    ) -> io::Result<WakeSocket> {
        match *connection {}
    }

    /// Is never called, because no connection exists on this system.
    pub fn empty(&self) {
        match *self {}
    }
}

/// A control thread, which never exists on this system.
#[derive(Debug)]
pub enum ControlThread {}

/// The limits of a control thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ControlLimits {}

/// Gets the events of a connection, which never exist on this system.
pub trait Handler: Send + Sync {
    /// Is never called, because no connection exists on this system.
    fn connected(&self, connection: &Arc<Connection>);

    /// Is never called, because no connection exists on this system.
    fn packet(&self, connection: &Arc<Connection>, packet: Packet, descriptor: Option<OwnedFd>);

    /// Is never called, because no connection exists on this system.
    fn wake(&self);

    /// Is never called, because no connection exists on this system.
    fn gone(&self, reason: Gone);
}

impl ControlThread {
    /// Fails.
    ///
    /// # Errors
    /// Always [`MemoryError::Unsupported`].
    pub fn start(_: &str, _: ControlLimits) -> Result<Arc<ControlThread>, ControlError> {
        Err(MemoryError::Unsupported.into())
    }

    /// Is never called, because no connection exists on this system.
    ///
    /// # Errors
    /// Never: it cannot be called.
    pub fn listen(&self, _: impl Into<PathBuf>, _: Access) -> Result<(), ControlError> {
        match *self {}
    }

    /// Is never called, because no connection exists on this system.
    pub fn expect(&self, _: Token, _: Option<u32>, _: Arc<dyn Handler>) {
        match *self {}
    }

    /// Is never called, because no connection exists on this system.
    pub fn forget(&self, _: &Token) -> bool {
        match *self {}
    }

    /// Is never called, because no connection exists on this system.
    ///
    /// # Errors
    /// Never: it cannot be called.
    pub fn connect(
        &self,
        _: &Path,
        _: &Access,
        _: Token,
        _: Arc<dyn Handler>,
    ) -> io::Result<Arc<Connection>> {
        match *self {}
    }

    /// Is never called, because no connection exists on this system.
    ///
    /// # Errors
    /// Never: it cannot be called.
    pub fn restore(&self) -> Result<bool, ControlError> {
        match *self {}
    }

    /// Is never called, because no connection exists on this system.
    pub fn stop(&self) {
        match *self {}
    }
}
