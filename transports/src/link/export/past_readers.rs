//! Readers of the past, for which nothing is kept: tells whether a process may be a later one of
//! its node.

use std::collections::VecDeque;

/// How many readers are remembered: any peer can connect with any name. Beyond that the oldest are
/// forgotten.
const MOST: usize = 1024;

/// The last process of each reader that has left. In doubt it assumes that there was another
/// process before.
#[derive(Debug, Default)]
pub(super) struct PastReaders {
    /// In the order in which they left.
    readers: VecDeque<PastReader>,
    /// Some readers that have left are no longer remembered.
    has_forgotten: bool,
}

#[derive(Debug)]
struct PastReader {
    node: String,
    boot: u64,
    /// The process was not the first one of its node.
    is_later: bool,
}

impl PastReaders {
    /// Records that a process of a reader has left.
    pub(super) fn left(&mut self, node: &str, boot: u64, is_later: bool) {
        self.readers.retain(|reader| reader.node != node);
        if self.readers.len() == MOST {
            self.readers.pop_front();
            self.has_forgotten = true;
        }
        self.readers.push_back(PastReader { node: node.to_owned(), boot, is_later });
    }

    /// Whether an earlier process of the node may have read from here.
    pub(super) fn may_be_later(&self, node: &str, boot: u64) -> bool {
        let known = self.readers.iter().find(|reader| reader.node == node);
        known.map_or(self.has_forgotten, |known| known.is_later || known.boot != boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_a_later_one_unless_it_is_known_to_be_the_first() {
        let mut past = PastReaders::default();
        assert!(!past.may_be_later("a", 1));
        past.left("a", 1, false);
        assert!(!past.may_be_later("a", 1) && past.may_be_later("a", 2));
        past.left("a", 2, true);
        assert!(past.may_be_later("a", 2), "it was not the first when it left");
        assert!(!past.may_be_later("b", 1));
    }

    #[test]
    fn what_is_forgotten_may_have_been() {
        let mut past = PastReaders::default();
        for number in 0..=MOST {
            assert!(!past.may_be_later("new", 1));
            past.left(&number.to_string(), 1, false);
        }
        assert_eq!(past.readers.len(), MOST);
        assert!(past.may_be_later("new", 1) && past.may_be_later("0", 1));
        assert!(!past.may_be_later("1", 1), "it is remembered");
    }
}
