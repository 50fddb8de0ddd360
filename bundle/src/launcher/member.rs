//! A member of a bundle: a command, with rules for its start and end. Also the changes of members
//! while a bundle runs.

use std::fmt;
use std::process::Command;

use crate::restart::Restart;

/// One process of a bundle, with rules for its restart.
pub struct Member {
    pub(crate) name: String,
    pub(crate) command: Box<dyn FnMut() -> Command + Send>,
    pub(crate) feeders: Vec<String>,
    pub(crate) restart: Restart,
}

impl Member {
    /// Creates a member. `command` is called for each start and returns the process to start. The
    /// bundle sets standard input and the process group; the command sets everything else. The name
    /// has 1 to 62 bytes, without white space and control characters.
    #[must_use]
    pub fn new(name: &str, command: impl FnMut() -> Command + Send + 'static) -> Member {
        Member {
            name: name.to_owned(),
            command: Box::new(command),
            feeders: Vec::new(),
            restart: Restart::default(),
        }
    }

    /// Declares that the member `feeder` sends to this one. When the bundle ends, this member gets
    /// SIGTERM after `feeder` has exited. Members that feed each other in a cycle get it together.
    #[must_use]
    pub fn ends_after(mut self, feeder: &str) -> Member {
        self.feeders.push(feeder.to_owned());
        self
    }

    /// Returns the names of the member and of its feeders, the members that send to it.
    pub(crate) fn name_and_feeders(&self) -> (&str, Vec<&str>) {
        (&self.name, self.feeders.iter().map(String::as_str).collect())
    }

    /// Sets when and how often the member is started again.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Member {
        self.restart = restart;
        self
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.name)
            .field("feeders", &self.feeders)
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}

/// A change of the members of a running bundle. See
/// [`BundleHandle::change`](crate::BundleHandle::change).
#[derive(Debug)]
#[non_exhaustive]
pub enum Change {
    /// Starts a new member.
    Add(Member),
    /// Stops the member with this name and removes it from the bundle.
    Remove(String),
    /// Stops the member with the same name and starts this one in its place.
    Replace(Member),
}
