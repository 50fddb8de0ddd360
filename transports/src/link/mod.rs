//! Topics between processes, over links. A link is a transport with all capabilities, and uses the
//! [seam](crate::seam).
//!
//! [`Exports`] has the topics of this process that others may read. Each topic to which a peer has
//! subscribed has a [`Tap`](crate::seam::Tap), which reads the publishers' rings and releases
//! messages when the peer has confirmed them. [`Imports`] has the topics that this process reads
//! from one peer: each publisher there becomes a [`Feed`](crate::seam::Feed), and the free slots of
//! its ring are the peer's credit. So a gating subscription blocks its publisher over a link as it
//! does within a process. Messages are kept only in the rings of the two sides: the readers' side
//! confirms messages that its readers have finished, and the publisher's ring keeps the others.
//!
//! Either side may start first, and may restart. The readers' side connects again, with growing
//! pauses, and resumes after the last message that arrived:
//!
//! | while disconnected | its publishers | what the reader gets afterwards |
//! | --- | --- | --- |
//! | an announced gating reader | block when their rings are full | everything |
//! | an announced observing reader | continue | the exact number of overwritten messages |
//! | a reader that was not announced | continue | the same as a new reader |
//! | the reader's process restarted | as above | all messages that were not confirmed; messages that the earlier process may have had are marked, or a gap counts them ([`Redelivery`]) |
//! | the publisher's process restarted | are new publishers | an inexact gap, if messages are missing |
//!
//! The caller knows the peers, their endpoints and their topics, and gets a [`Notice`] of each
//! event.
//!
//! `export` has the publishers' side, `import` the readers' side. Both use these modules: `config`
//! (settings and topics), `notice` (events), `layout` (comparison of layouts, catalogues), `growth`
//! (messages of other versions), `describing` (exchange of layouts), `channel` (the control
//! connection of shared memory), `gap` (the reasons of gaps).

mod channel;
mod config;
mod describing;
mod export;
mod gap;
mod growth;
mod import;
mod layout;
mod notice;

pub use channel::dedicated_to;
pub use config::{ExportedTopic, Identity, LinkConfig, MemoryUse, TopicInterest, Window};
pub use describing::check_readable;
pub use export::{Exports, Redelivery};
pub(crate) use gap::reason as gap_reason;
pub use growth::Growth;
pub use import::{Connect, ImportError, Imports, MemoryAccess};
pub use layout::{CatalogueEntry, CatalogueError, Difference, LayoutMismatch};
pub(crate) use layout::{LONGEST_CATALOGUE, LONGEST_FORM};
pub use notice::{Notice, Observer};
