//! Collects the notices of links.

use std::sync::{Arc, Mutex};

use mycelium_transports::link::{Notice, Observer};

use super::until;

/// The notices of one side: the kind and the text of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notices(Arc<Mutex<Vec<(&'static str, String)>>>);

impl Notices {
    pub(super) fn observer(&self) -> Observer {
        let notices = self.0.clone();
        Arc::new(move |notice: Notice<'_>| {
            let kind = match &notice {
                Notice::Connected { .. } => "up",
                Notice::Disconnected { .. } => "down",
                Notice::Unreachable { .. } => "unreachable",
                Notice::TopicRefused { .. } => "refused",
                Notice::StreamLimit { .. } => "stream limit",
                Notice::TopicLayoutDiffers { .. } => "layout differs",
                Notice::ReaderLayoutDiffers { .. } => "reader differs",
                Notice::PeerRejected { .. } => "rejected",
                Notice::MovedToMemory { .. } => "moved",
                Notice::StaysOnSocket { .. } => "on socket",
                _ => "other",
            };
            notices.lock().unwrap().push((kind, notice.to_string()));
        })
    }

    /// Returns how many notices of a kind contain these words.
    pub(crate) fn count(&self, kind: &str, words: &str) -> usize {
        let notices = self.0.lock().unwrap();
        notices.iter().filter(|(known, text)| *known == kind && text.contains(words)).count()
    }

    pub(crate) fn total(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Waits for a notice of this kind with these words.
    pub(crate) async fn until(&self, kind: &str, words: &str) {
        until(&format!("{kind} {words}"), || self.count(kind, words) > 0).await;
    }
}
