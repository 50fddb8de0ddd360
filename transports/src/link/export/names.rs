//! Which names a peer may have.
//!
//! A peer chooses its name itself, unless the name is bound: to a user or to this host, by the
//! topology, or to a process, by the launcher. Over TCP the process of a peer is not known. A peer
//! with a certificate proves its name.

use std::collections::{BTreeMap, BTreeSet};

use mycelium_core::debug_as_display;
use mycelium_executor::Peer;
use thiserror::Error;

use super::admission::AdmissionTicket;
use crate::endpoint::process;
use crate::seam::Control;

/// The users and the machine to which names of nodes are bound.
#[derive(Debug, Default)]
pub(super) struct NameBindings {
    users: BTreeMap<String, u32>,
    /// Nodes of this machine.
    near: BTreeSet<String>,
}

/// Why a peer may not have a name.
#[derive(Clone, PartialEq, Eq, Error)]
pub(super) enum NameError {
    #[error("it has no name")]
    Empty,
    #[error("this name is the node's own")]
    Own,
    #[error("this name belongs to user {bound}")]
    User { bound: u32 },
    #[error("this name belongs to a node of the same host, which connects by a Unix socket")]
    Near,
    #[error("this name belongs to process {bound}")]
    Process { bound: u32 },
    #[error("it does not prove this name: {reason}")]
    Unproven { reason: String },
}

debug_as_display!(NameError);

impl NameBindings {
    pub(super) fn bind(&mut self, node: &str, user: u32) {
        self.users.insert(node.to_owned(), user);
    }

    /// Binds a node's name to this machine: no peer from elsewhere may have it.
    pub(super) fn bind_near(&mut self, node: &str) {
        self.near.insert(node.to_owned());
    }

    /// Checks that a peer may have a name at the node `own`.
    pub(super) fn check(
        &self,
        own: &str,
        control: &Control,
        node: &str,
        ticket: &AdmissionTicket,
    ) -> Result<(), NameError> {
        let peer = &ticket.peer;
        if node.is_empty() {
            return Err(NameError::Empty);
        }
        if node == own {
            return Err(NameError::Own);
        }
        if let Some(proof) = ticket.proof() {
            proof.check(node).map_err(|reason| NameError::Unproven { reason })?;
            return self.check_far(node);
        }
        let user = match peer {
            Peer::Unix(credentials) => Some(credentials.user),
            _ => None,
        };
        if let Some(&bound) = self.users.get(node).filter(|bound| user != Some(**bound)) {
            return Err(NameError::User { bound });
        }
        if matches!(peer, Peer::Tcp(_)) {
            // The process of a peer over TCP is not known, so another check decides.
            return self.check_far(node);
        }
        match control.bound(node).filter(|bound| !is_of(peer, *bound)) {
            Some(bound) => Err(NameError::Process { bound }),
            None => Ok(()),
        }
    }

    /// Checks that a peer of another machine may have a name.
    fn check_far(&self, node: &str) -> Result<(), NameError> {
        if self.near.contains(node) { Err(NameError::Near) } else { Ok(()) }
    }
}

/// Whether a peer is the process `bound`, or belongs to the process group that this process leads:
/// the launcher may have started a script that starts the node.
fn is_of(peer: &Peer, bound: u32) -> bool {
    let Some(process) = process(peer) else { return false };
    process == bound || group_of(process) == Some(bound)
}

#[cfg(target_os = "linux")]
fn group_of(process: u32) -> Option<u32> {
    let process = rustix::process::Pid::from_raw(i32::try_from(process).ok()?);
    let group = rustix::process::getpgid(process).ok()?;
    u32::try_from(group.as_raw_nonzero().get()).ok()
}

#[cfg(not(target_os = "linux"))]
fn group_of(_: u32) -> Option<u32> {
    None
}
