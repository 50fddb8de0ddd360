//! Topics between processes, over links. Uses the [seam](crate::seam): a link is a transport with
//! all capabilities.
//!
//! [`Exports`] are the topics of this process that others may read. Each topic to which a peer has
//! subscribed has a [`Tap`](crate::seam::Tap), which reads the publishers' rings and releases
//! messages when the peer has confirmed them. [`Imports`] are the topics that this process reads of
//! one other: each publisher there becomes a [`Feed`](crate::seam::Feed), and the free slots of its
//! ring are the credit of the peer. So a gating subscription blocks its publisher over a link as it
//! does within a process. Messages are kept in the rings of the two sides and nowhere else: the
//! reader's side confirms messages that its readers are done with, and the publisher's ring keeps
//! the others.
//!
//! Either side may start first, and may restart. The reader's side connects again, with growing
//! pauses, and resumes after the last message that arrived:
//!
//! | while disconnected | its publishers | what the reader gets afterwards |
//! | --- | --- | --- |
//! | an announced gating reader | block when their rings are full | everything |
//! | an announced observing reader | continue | the exact number of overwritten messages |
//! | a reader that was not announced | continue | what a new reader gets |
//! | the reader's process restarted | as above | all messages that were not confirmed; messages that the earlier process may have had are marked, or a gap counts them ([`Redelivery`]) |
//! | the publisher's process restarted | are new publishers | a gap that is not exact, if messages were missing |
//!
//! The caller knows the peers, their endpoints and their topics, and gets a [`Notice`] of each
//! event.
//!
//! `export` has the publisher's side, `import` the reader's side. What both use is here: `config`
//! has the settings and what is exported and imported, `notice` what happened, `layout` what two
//! nodes tell each other of their topics, `channel` the control connection of shared memory and
//! its end, `gap` the reasons of gaps.

mod channel;
mod config;
mod export;
mod gap;
mod import;
mod layout;
mod notice;

pub use config::{ExportedTopic, Identity, LinkConfig, MemoryUse, TopicInterest, Window};
pub use export::{Exports, Redelivery};
pub(crate) use gap::reason as gap_reason;
pub use import::{Connect, ImportError, Imports, MemoryAccess};
pub use layout::{CatalogueEntry, CatalogueError, Difference, LayoutMismatch};
pub(crate) use layout::{LONGEST_CATALOGUE, LONGEST_FORM};
pub use notice::{Notice, Observer};
