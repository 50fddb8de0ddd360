//! How a publisher and its subscriptions sleep and wake each other: by doorbells within a process,
//! and by sleep words in shared memory between processes.

use std::task::Waker;

use mycelium_core::doorbell::{SleepWord, announce, ring_each};

use super::{Edge, Origin, PublisherState, ReaderEntry, SubscriberState};
use crate::local::ring::shared::{SharedRing, Waiting};

impl PublisherState {
    /// Wakes the publisher, because a reader joined, left, or made room.
    pub(crate) fn wake(&self) {
        announce();
        self.ring_room();
    }

    /// Wakes the publisher if it waits for its readers. The caller has announced the change.
    #[inline]
    pub(crate) fn ring_room(&self) {
        match &self.origin {
            Origin::Mapped(mapped) => mapped.ring(&self.ring),
            Origin::Local | Origin::Remote(_) => {
                self.room.ring();
                self.relieve();
            }
            // Nobody waits at a pump's ring; but if its source is a feed, a link confirms taken
            // messages.
            Origin::Pumped(pump) if pump.source.origin.is_local() => {}
            Origin::Pumped(pump) => pump.source.ring_room(),
        }
    }

    /// Registers the waker for when readers make room or leave, including those of other processes.
    /// Check once more after this.
    pub(crate) fn park(&self, waker: &Waker) {
        self.room.park(waker);
        let storage = self.ring.storage();
        if let (Some(word), Some(imports)) = (storage.asleep(), storage.imports()) {
            let path = imports.own_path();
            // The word has one writer at a time.
            let _one = self.abandoned();
            word.sleep_by(path);
        }
    }

    /// Requests that readers of other processes wake this process when they make room, by the path
    /// of the publisher's task. Check once more after this.
    pub(crate) fn request_wake(&self) {
        if let Some(word) = self.ring.storage().asleep() {
            // The word has one writer at a time.
            let _one = self.abandoned();
            word.sleep();
        }
    }
}

impl ReaderEntry {
    /// Wakes the reader if it sleeps. The caller has announced the change.
    #[inline]
    pub(crate) fn ring(&self) {
        match &self.remote {
            // The link's task need not be woken for each message; the remote readers are.
            Some(remote) => remote.ring(),
            None => self.subscriber.bell.ring(),
        }
    }
}

impl Edge {
    /// Prepares for the reader's sleep: another process has to wake this one. Check once more after
    /// this.
    #[inline]
    pub(crate) fn fall_asleep(&self) {
        if let (Some(word), Some(mapped)) = (self.sleep_word(), self.publisher.origin.mapped()) {
            word.sleep_by(mapped.own_path());
        }
    }

    /// Takes this back, because the reader does not sleep after all.
    #[inline]
    pub(crate) fn stay_awake(&self) {
        if let Some(word) = self.sleep_word() {
            word.wake();
        }
    }

    fn sleep_word(&self) -> Option<&SleepWord> {
        self.publisher.ring.storage().reader_asleep(self.sleeper.as_ref()?.word())
    }
}

impl Waiting for PublisherState {
    /// Wakes the waiting side, because readers of another process have moved.
    fn ring(&self) {
        self.room.ring();
        if self.room.is_exceeded() {
            self.compare_depth();
        }
    }
}

impl Waiting for SubscriberState {
    fn ring(&self) {
        self.bell.ring();
    }
}

/// The ring of a mapped publisher.
impl SharedRing for PublisherState {
    fn look(&self) {
        announce();
        let subscribers = self.readers.each(|reader| reader.subscriber.clone());
        ring_each(subscribers, |subscriber| subscriber.bell.ring());
    }

    /// Ends the ring: readers take its messages, and then get a gap, or what follows over the link.
    fn peer_is_gone(&self, has_died: bool) {
        if has_died {
            self.lose();
        }
        if let Origin::Mapped(mapped) = &self.origin {
            mapped.set_gone(self.ring.tail());
            mapped.session.announce_and_ring();
        }
        self.look();
    }
}
