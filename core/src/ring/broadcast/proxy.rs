//! A gating entry on behalf of a process that reads the ring itself.

use super::entry::{Claim, ReaderWords};
use super::retaining::{Held, RetainingConsumer};
use super::{Broadcast, BroadcastHandle, Storage};
use crate::sync::{Ordering, barrier};

/// An entry that the writer waits for on behalf of another process, which reads the ring itself.
/// Its position is [imported](ProxyReader::import) from that process: by the writer whenever it
/// looks for room ([`Storage::refresh`]), and by any other thread that
/// wants to know it. It can be [evicted](ProxyReader::evict). Dropping it lets the writer pass,
/// too.
///
/// ```
/// use mycelium_core::ring::broadcast::{Broadcast, Layout};
///
/// let ring = Broadcast::boxed(Layout::exact(2, size_of::<usize>()), 1)?;
/// let mut writer = Broadcast::producer(&ring).expect("the only writer");
/// let reader = Broadcast::gating(&ring).expect("one entry is free").retaining();
/// let proxy = reader.into_proxy().expect("it is a gating reader");
/// for message in [7, 8] {
///     writer.try_push(&[message], size_of::<usize>()).expect("there is room");
/// }
/// assert!(writer.try_push(&[9], size_of::<usize>()).is_err(), "nothing was read");
/// // The other process has read one message.
/// proxy.import(|| Some(1));
/// assert_eq!((proxy.kept(), proxy.depth()), (1, 1));
/// writer.try_push(&[9], size_of::<usize>()).expect("one was read");
/// # Ok::<(), mycelium_core::ring::broadcast::LayoutError>(())
/// ```
#[derive(Debug)]
pub struct ProxyReader<H: BroadcastHandle> {
    held: Held<H>,
    claim: Claim,
}

impl<T: Storage> Broadcast<T> {
    /// The same as [`ProxyReader::import`], for the proxy with this claim; does nothing if `look`
    /// returns the outer `None`, or the entry has another claim by now.
    pub fn import(&self, claim: Claim, look: impl FnOnce() -> Option<Option<usize>>) {
        let Some(words) = self.storage.reader(claim.entry) else { return };
        let tail = self.tail();
        // See `Broadcast::gating`: either `look` sees a reader that joins in the other process, or
        // that reader sees this tail, or a later one, and starts there.
        barrier!("broadcast.import-fence", SeqCst);
        if let Some(position) = look() {
            words.import(claim.generation, tail, position);
        }
    }
}

impl<H: BroadcastHandle> RetainingConsumer<H> {
    /// The claim that its entry will have as a [proxy](RetainingConsumer::into_proxy), so that the
    /// other process can know it before; `None` if it has no entry. It differs from that of each
    /// earlier proxy.
    #[must_use]
    pub fn claim(&self) -> Option<Claim> {
        let (entry, words) = self.held.entry.zip(self.held.words())?;
        Some(words.proxy_claim(entry))
    }

    /// The same entry on behalf of another process. The messages that are retained now stay until
    /// the process has read them. The writer waits for this [claim](RetainingConsumer::claim) from
    /// now on, and not before; a suspended reader stays suspended.
    ///
    /// # Errors
    /// A reader that the writer does not wait for is given back: it observes, or it was evicted.
    pub fn into_proxy(self) -> Result<ProxyReader<H>, RetainingConsumer<H>> {
        let claim =
            self.claim().filter(|_| self.held.words().is_some_and(ReaderWords::begin_proxy));
        match claim {
            Some(claim) => Ok(ProxyReader { held: self.held, claim }),
            None => Err(self),
        }
    }
}

impl<H: BroadcastHandle> ProxyReader<H> {
    /// The claim of the entry, which the other process must know.
    #[must_use]
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// The sequence of the first message that the other process may still read, as of the last
    /// import.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.words().map_or(self.ring().tail(), |words| words.taken.load(Ordering::Relaxed))
    }

    /// How many messages the other process is behind, as of the last import: at most the capacity
    /// unless it is suspended.
    #[must_use]
    pub fn depth(&self) -> usize {
        let ring: &Broadcast<H::Storage> = self.ring();
        let kept = self.kept();
        let behind = ring.published(kept).wrapping_sub(kept);
        let is_suspended = self.words().is_some_and(ReaderWords::is_suspended);
        if is_suspended { behind } else { behind.min(ring.capacity()) }
    }

    /// Moves the entry to the position that `look` returns: that of the slowest reader of the other
    /// process. The position may be any number: the entry never moves backwards, and at most to the
    /// end of the published messages, where `None` moves it, too: no reader there gates. Does
    /// nothing after an eviction. Any number of threads may do this at a time.
    ///
    /// `look` is called here, and not before, because a reader may join meanwhile.
    pub fn import(&self, look: impl FnOnce() -> Option<usize>) {
        let ring: &Broadcast<H::Storage> = self.ring();
        ring.import(self.claim, || Some(look()));
    }

    /// The writer no longer waits for the other process. Returns `false` if that was so before.
    pub fn evict(&self) -> bool {
        self.words().is_some_and(|words| words.evict(self.claim.generation))
    }

    /// Whether the writer no longer waits for the other process.
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.words().is_none_or(ReaderWords::is_evicted)
    }

    /// A reader in this process in its place, which has all messages to read again
    /// ([`rewind`](RetainingConsumer::rewind)) that the other process has not read. It borrows
    /// nothing ([`can_borrow`](RetainingConsumer::can_borrow)), because an import may still be
    /// under way. An evicted one becomes an observer, and a suspended one stays suspended.
    #[must_use]
    pub fn into_retaining(self) -> RetainingConsumer<H> {
        let ProxyReader { mut held, .. } = self;
        let can_be_evicted = held.can_be_evicted;
        let stays = held.words().is_some_and(|words| words.end_proxy(can_be_evicted));
        let tail = held.reader.ring().tail();
        let kept = held.words().map_or(tail, |words| words.taken.load(Ordering::Relaxed));
        held.reader.go_to(tail);
        if !stays && let Some(entry) = held.entry.take() {
            let ring: &Broadcast<H::Storage> = held.reader.ring();
            ring.leave(entry);
        }
        RetainingConsumer { held, kept, may_borrow: false }
    }

    /// The ring.
    pub fn ring(&self) -> &H {
        self.held.reader.ring()
    }

    fn words(&self) -> Option<&ReaderWords> {
        self.held.words()
    }
}
