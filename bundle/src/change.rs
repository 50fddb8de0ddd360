//! Changes of a bundle while it runs, and why one is refused.

use mycelium_core::{Code, debug_as_display};
use thiserror::Error;

use crate::member::Member;
use crate::report::BundleError;

/// A change of a bundle that runs. See [`BundleHandle::change`](crate::BundleHandle::change).
#[derive(Debug)]
#[non_exhaustive]
pub enum Change {
    /// Starts a new member.
    Add(Member),
    /// Stops the member of this name, and takes it out of the bundle.
    Remove(String),
    /// Stops the member of the same name, and starts this one in its place.
    Replace(Member),
}

/// Why the members of a bundle were not changed.
#[derive(Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is no such member to remove or to replace.
    #[error(
        "the bundle has no member `{member}`; its members are: {} [{code}]", known.join(", "),
        code = self.code()
    )]
    NoMember {
        /// The name.
        member: String,
        /// The members of the bundle.
        known: Vec<String>,
    },
    /// With the changes the members do not fit together.
    #[error(transparent)]
    Misfit(#[from] BundleError),
    /// The bundle has ended, or ends.
    #[error(
        "the bundle has ended, or is about to: its members can no longer be changed [{code}]",
        code = self.code()
    )]
    Ended,
    /// The bundle's observer wants to change it.
    #[error(
        "the observer of a bundle cannot change it: call this from another thread [{code}]",
        code = self.code()
    )]
    InObserver,
}

debug_as_display!(ChangeError);

impl ChangeError {
    /// Its code, with which its text ends: that of the reason, if members do not fit together.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            ChangeError::NoMember { .. } => Code::NO_MEMBER,
            ChangeError::Misfit(error) => error.code(),
            ChangeError::Ended => Code::BUNDLE_ENDED,
            ChangeError::InObserver => Code::BUNDLE_OBSERVER,
        }
    }
}
