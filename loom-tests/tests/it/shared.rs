//! Two processes that share a broadcast ring, under loom: readers join and are evicted, positions
//! are imported, each side sleeps and is rung.
//!
//! The memory of a region is not loom's, so the parts of the two regions are put together here: the
//! reading process sees the slots and the writer's words in the memory of the writer's process, and
//! has entries of its own, which the writer's process only reads.
#![allow(unsafe_code)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use mycelium_core::doorbell::{Alarm, SleepWord, announce};
use mycelium_core::ring::broadcast::{
    Broadcast, BroadcastHandle, Claim, InlineStorage, Layout, Peek, Producer, ProxyReader,
    ReaderWords, Storage, Word, WriterWords,
};
use mycelium_loom_tests::{beside, bounded, content, models, read};

const LAYOUT: Layout = Layout::exact(2, 16);
const WORDS: usize = LAYOUT.words();
/// The claim of the first proxy, with the one entry of the data region. It follows the claim of the
/// reader that became the proxy.
const CLAIM: Claim = Claim { entry: 0, generation: 2 };

/// The entries of the reading process.
type Cursors = Arc<[ReaderWords]>;

/// The memory of the writer's process, which reads the entries of the reading process.
struct Data {
    own: InlineStorage<WORDS, 1>,
    cursors: Cursors,
    /// Whether the writer imports positions; if not, another thread does.
    writer_imports: bool,
}

// SAFETY: parts of a storage that stays where it is.
unsafe impl Storage for Data {
    fn slots(&self) -> &[Word] {
        self.own.slots()
    }

    fn writer(&self) -> &WriterWords {
        self.own.writer()
    }

    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        self.own.reader(index)
    }

    fn refresh(&self, exact: bool, import: &mut dyn FnMut(Claim, Option<usize>)) {
        if self.writer_imports {
            import(CLAIM, ReaderWords::slowest(&*self.cursors, exact));
        }
    }
}

/// The memory that the reading process sees.
struct Foreign {
    data: Arc<Broadcast<Data>>,
    cursors: Cursors,
}

// SAFETY: parts of storages that stay where they are.
unsafe impl Storage for Foreign {
    const FOREIGN: Option<bool> = Some(true);

    fn slots(&self) -> &[Word] {
        self.data.storage().slots()
    }

    fn writer(&self) -> &WriterWords {
        self.data.storage().writer()
    }

    fn reader(&self, index: usize) -> Option<&ReaderWords> {
        self.cursors.get(index)
    }

    fn is_evicted(&self, _: usize) -> bool {
        let entry = self.data.storage().reader(CLAIM.entry).unwrap();
        !entry.is_held(CLAIM.generation)
    }
}

type Ours = Arc<Broadcast<Data>>;
type Theirs = Arc<Broadcast<Foreign>>;
type One = Arc<Broadcast<InlineStorage<WORDS, 1>>>;

/// Creates a ring that two processes share, with this number of entries in the reading process.
/// Returns the ring as that process sees it, the writer, and the proxy.
fn shared(readers: usize, writer_imports: bool) -> (Theirs, Producer<Ours>, ProxyReader<Ours>) {
    let cursors: Vec<ReaderWords> = (0..readers).map(|_| ReaderWords::new()).collect();
    let cursors: Cursors = Arc::from_std(cursors.into());
    let data = Data { own: InlineStorage::new(), cursors: cursors.clone(), writer_imports };
    let ours = Arc::new(Broadcast::new(data, LAYOUT).unwrap());
    let theirs = Broadcast::new(Foreign { data: ours.clone(), cursors }, LAYOUT).unwrap();
    let proxy = Broadcast::gating(ours.clone()).unwrap().retaining().into_proxy();
    let proxy = proxy.ok().unwrap();
    assert_eq!(proxy.claim(), CLAIM);
    (Arc::new(theirs), Broadcast::producer(ours).unwrap(), proxy)
}

/// A ring of one process, and its writer.
fn alone() -> (One, Producer<One>) {
    let ring = Arc::new(Broadcast::new(InlineStorage::new(), LAYOUT).unwrap());
    (ring.clone(), Broadcast::producer(ring).unwrap())
}

/// Fills a ring.
fn push_two<H: BroadcastHandle>(producer: &mut Producer<H>) {
    for sequence in 0..2 {
        producer.try_push(&content(sequence), 16).unwrap();
    }
}

/// Pushes messages until the ring is full, and closes it.
fn push_and_close(mut producer: Producer<Ours>, sequences: core::ops::Range<usize>) {
    for sequence in sequences {
        if producer.try_push(&content(sequence), 16).is_err() {
            break;
        }
    }
    producer.close();
}

/// A reader joins in the other process while the writer is at the end of its room. The writer does
/// not pass it.
fn a_reader_joins_in_the_other_process() {
    let (ring, mut producer, _proxy) = shared(1, true);
    producer.try_push(&content(0), 16).unwrap();
    let writer = thread::spawn(move || push_and_close(producer, 1..4));
    let mut reader = Broadcast::gating(ring.clone()).unwrap();
    assert_eq!(read(&mut reader, false), Peek::Closed);
    writer.join().unwrap();
    assert_eq!(reader.cursor(), ring.tail(), "the end came before a message");
}

/// A reader joins at a message that another reader, the holder, holds. Then the holder leaves. The
/// holder has the lower entry, if `holder_is_lower`.
fn takes_over(holder_is_lower: bool) {
    let (ring, mut producer, _proxy) = shared(2, true);
    let mut holder = Broadcast::gating_from(ring.clone(), 0).unwrap();
    if !holder_is_lower {
        holder = Broadcast::gating_from(ring.clone(), 0).unwrap();
    }
    producer.try_push(&content(0), 16).unwrap();
    let writer = thread::spawn(move || push_and_close(producer, 1..4));
    let mut reader = Broadcast::gating_from(ring, 0).unwrap();
    drop(holder);
    assert_eq!(read(&mut reader, false), Peek::Closed);
    writer.join().unwrap();
}

/// The model reaches the case that `Broadcast::gating_from` forbids.
#[test]
#[should_panic]
fn a_reader_in_the_lower_entry_cannot_take_over() {
    bounded(3, || takes_over(false));
}

/// A reader joins in the other process, while a thread of the writer's process imports the
/// position.
fn a_reader_joins_beside_an_import() {
    let (ring, mut producer, proxy) = shared(1, false);
    producer.try_push(&content(0), 16).unwrap();
    let importer = beside(&ring.storage().cursors, move |cursors| {
        proxy.import(|| ReaderWords::slowest(&*cursors, false));
        proxy
    });
    let writer = thread::spawn(move || push_and_close(producer, 1..4));
    let mut reader = Broadcast::gating(ring).unwrap();
    assert_eq!(read(&mut reader, false), Peek::Closed);
    writer.join().unwrap();
    importer.join().unwrap();
}

/// A slot that the other process has read is written again only after the reader has finished with
/// it: whether the writer imports or a third thread passes the position on, and even if the reader
/// leaves instead of advancing. The words are plain ones here, so that the checker reports a store
/// that comes too early.
fn the_writer_sees_what_was_read(writer_imports: bool, leaves: bool) {
    let (ring, mut producer, proxy) = shared(1, writer_imports);
    let words = Arc::new([UnsafeCell::new(0), UnsafeCell::new(1)]);
    push_two(&mut producer);
    let cursors = ring.storage().cursors.clone();
    let mut reader = Broadcast::gating_from(ring, 0).unwrap();
    let reading = beside(&words, move |words| {
        assert!(matches!(reader.peek(&mut [0; 2]), Peek::Message { .. }));
        // SAFETY: the writer waits for this reader, which loom checks.
        words[0].with(|word| assert_eq!(unsafe { *word }, 0));
        if leaves {
            drop(reader);
            return None;
        }
        assert!(reader.advance());
        Some(reader)
    });
    let import = |proxy: ProxyReader<Ours>| {
        thread::spawn(move || {
            proxy.import(|| ReaderWords::slowest(&*cursors, false));
            proxy
        })
    };
    // Without the proxy the writer would wait for nobody.
    let proxy = if writer_imports { Ok(proxy) } else { Err(import(proxy)) };
    if producer.try_push(&content(2), 16).is_ok() {
        // SAFETY: as above.
        words[0].with_mut(|word| unsafe { *word = 2 });
    }
    reading.join().unwrap();
    _ = proxy.map_err(|importer| importer.join().unwrap());
}

/// Once a thread has imported a position, the writer sees it at each check, also if another thread
/// is in the middle of the same import.
fn an_import_counts_when_it_returns() {
    let (_, mut producer, proxy) = shared(1, false);
    push_two(&mut producer);
    let writer = beside(proxy.ring(), move |ring| {
        ring.import(CLAIM, || Some(None));
        producer.try_push(&content(2), 16).expect("nobody gates");
    });
    proxy.import(|| None);
    writer.join().unwrap();
}

/// The entry of a proxy that is gone is claimed by a reader of the writer's process, while the
/// writer imports for the proxy. Such a reader borrows, so the checker reports it if it is passed.
fn the_entry_of_a_proxy_changes_hands() {
    let (_, mut producer, proxy) = shared(1, true);
    let ring = proxy.ring().clone();
    producer.try_push(&content(0), 16).unwrap();
    let writer = thread::spawn(move || push_and_close(producer, 1..4));
    drop(proxy);
    let mut reader = Broadcast::gating(ring).unwrap();
    assert_eq!(read(&mut reader, false), Peek::Closed);
    writer.join().unwrap();
}

/// A reader is evicted while it joins, or copies a message. It never gets a torn message, and
/// learns that it was evicted.
fn a_reader_is_evicted_while_it_copies() {
    let (ring, mut producer) = alone();
    let writer = beside(&ring, move |evicting| {
        for sequence in 0..3 {
            if let Err(full) = producer.try_push(&content(sequence), 16) {
                assert!(evicting.evict(full.reader));
                producer.try_push(&content(sequence), 16).unwrap();
            }
        }
        producer.close();
    });
    let mut reader = Broadcast::gating_evictable(ring).unwrap();
    match read(&mut reader, true) {
        Peek::Closed => assert_eq!(reader.cursor(), 3),
        found => assert_eq!(found, Peek::Evicted),
    }
    writer.join().unwrap();
}

/// A reader is suspended while it copies a message. It never gets a torn message, and the messages
/// that it gets and misses are together the sent ones. Once it has moved, the writer waits for it.
fn a_reader_is_suspended_while_it_copies() {
    let (ring, mut producer) = alone();
    let mut reader = Broadcast::gating_evictable(ring).unwrap();
    push_two(&mut producer);
    let writer = thread::spawn(move || {
        for sequence in 2..4 {
            if let Err(full) = producer.try_push(&content(sequence), 16) {
                // The reader may have moved meanwhile, or be suspended already.
                producer.suspend(full.reader);
                while producer.try_push(&content(sequence), 16).is_err() {
                    thread::yield_now();
                }
            }
        }
        producer.close();
    });
    assert_eq!(read(&mut reader, true), Peek::Closed);
    assert_eq!(reader.cursor(), 4);
    writer.join().unwrap();
}

/// The reader that blocked the writer leaves, and another reader gets its entry. That reader is not
/// evicted.
fn an_eviction_comes_too_late() {
    let (ring, mut producer) = alone();
    let first = Broadcast::gating_evictable(ring.clone()).unwrap();
    push_two(&mut producer);
    let full = producer.try_push(&content(2), 16).unwrap_err();
    let evicting = beside(&ring, move |ring| ring.evict(full.reader));
    drop(first);
    let next = Broadcast::gating_evictable(ring).unwrap();
    evicting.join().unwrap();
    assert!(!next.is_evicted(), "another reader was evicted");
}

/// A writer without room evicts the proxy of a reader in the other process. The reader learns of
/// it, unless it has read all messages.
fn the_other_process_is_evicted() {
    let (ring, mut producer, proxy) = shared(1, true);
    let writer = thread::spawn(move || {
        for sequence in 0..3 {
            if producer.try_push(&content(sequence), 16).is_err() {
                assert!(proxy.evict());
                producer.try_push(&content(sequence), 16).unwrap();
            }
        }
        producer.close();
        proxy
    });
    let mut reader = Broadcast::gating(ring).unwrap();
    let found = read(&mut reader, true);
    let proxy = writer.join().unwrap();
    match found {
        Peek::Closed => assert_eq!(reader.cursor(), 3),
        found => assert!(found == Peek::Evicted && proxy.is_evicted()),
    }
}

/// A reader that finds nothing sleeps, unless it finds something when it checks again. If it
/// sleeps, it is rung.
fn a_sleeping_reader_is_rung() {
    let (ring, mut producer, _proxy) = shared(1, true);
    let word = Arc::new(SleepWord::new());
    let mut reader = Broadcast::gating(ring).unwrap();
    let writer = beside(&word, move |word| {
        let alarm = Alarm::new();
        producer.try_push(&content(0), 16).unwrap();
        announce();
        alarm.rings(&word).is_some()
    });
    let mut words = [0; 2];
    let mut sleeps = false;
    if reader.peek(&mut words) == Peek::Empty {
        word.sleep();
        sleeps = reader.peek(&mut words) == Peek::Empty;
    }
    let rung = writer.join().unwrap();
    assert!(rung || !sleeps, "a wake was lost");
}

/// A writer that finds no room sleeps, unless it finds room when it checks again. If it sleeps, it
/// is rung.
fn a_sleeping_writer_is_rung() {
    let (ring, mut producer, _proxy) = shared(1, true);
    let word = Arc::new(SleepWord::new());
    let mut reader = Broadcast::gating(ring).unwrap();
    push_two(&mut producer);
    let reading = beside(&word, move |word| {
        let alarm = Alarm::new();
        assert!(matches!(reader.peek(&mut [0; 2]), Peek::Message { .. }));
        assert!(reader.advance());
        announce();
        (alarm.rings(&word).is_some(), reader)
    });
    let mut sleeps = false;
    if producer.try_push(&content(2), 16).is_err() {
        word.sleep();
        sleeps = producer.find_room().is_err();
    }
    let (rung, _) = reading.join().unwrap();
    assert!(rung || !sleeps, "a wake was lost");
}

/// Of two threads that share an alarm, exactly one rings for a sleep. The next sleep is rung for
/// again.
fn two_ringers_share_an_alarm() {
    let (word, alarm) = (Arc::new(SleepWord::new()), Arc::new(Alarm::new()));
    word.sleep();
    let other = {
        let (word, alarm) = (word.clone(), alarm.clone());
        thread::spawn(move || alarm.rings(&word).is_some())
    };
    let first = alarm.rings(&word).is_some();
    let second = other.join().unwrap();
    assert!(first != second, "one rings");
    word.sleep();
    assert!(alarm.rings(&word).is_some(), "it is another sleep");
}

/// Two threads share an alarm. The sleeping side is woken once, and sleeps again before it has seen
/// what both threads have published. Then one of them rings again.
fn two_ringers_and_the_next_sleep() {
    let (word, alarm) = (Arc::new(SleepWord::new()), Arc::new(Alarm::new()));
    let bell = Arc::new(AtomicUsize::new(0));
    word.sleep();
    let ringers = [(); 2].map(|()| {
        let published = Arc::new(AtomicUsize::new(0));
        let (word, alarm, bell) = (word.clone(), alarm.clone(), bell.clone());
        let ringer = beside(&published, move |item| {
            item.store(1, Ordering::Relaxed);
            announce();
            if alarm.rings(&word).is_some() {
                bell.fetch_add(1, Ordering::Release);
            }
        });
        (published, ringer)
    });
    // The owner is woken, by a ringer or by something else.
    bell.swap(0, Ordering::Acquire);
    word.wake();
    word.sleep();
    let sleeps = ringers.iter().any(|(published, _)| published.load(Ordering::Relaxed) == 0);
    ringers.into_iter().for_each(|(_, ringer)| ringer.join().unwrap());
    assert!(!sleeps || bell.load(Ordering::Relaxed) > 0, "a wake was lost");
}

models! {
    a_reader_joins_in_the_other_process [2] {
        fails_without_the_join_fence: "broadcast.join-fence",
        fails_without_the_room_fence: "broadcast.room-fence",
        fails_with_a_relaxed_look: "broadcast.look",
        fails_with_a_relaxed_end: "broadcast.closed",
    }
    /// The writer checks the lower entry first, so it sees one of the two readers.
    a_reader_takes_over_in_the_other_process [3] = takes_over(true) {
        fails_with_a_relaxed_look_at_readers: "broadcast.readers",
    }
    a_reader_joins_beside_an_import [2] {
        fails_without_the_join_fence: "broadcast.join-fence",
        fails_without_the_import_fence: "broadcast.import-fence",
    }
    an_import_passes_on_what_was_read [2] = the_writer_sees_what_was_read(false, false) {
        fails_with_a_relaxed_import: "broadcast.import",
    }
    the_writer_imports_what_was_read [2] = the_writer_sees_what_was_read(true, false) {
        fails_with_a_relaxed_look_for_room: "broadcast.room",
        fails_with_a_relaxed_position: "broadcast.advance",
    }
    a_reader_leaves_the_other_process [2] = the_writer_sees_what_was_read(true, true) {
        fails_with_a_relaxed_leave: "broadcast.leave",
        fails_with_a_relaxed_look_at_readers: "broadcast.readers",
    }
    an_import_counts_when_it_returns [3] {}
    the_entry_of_a_proxy_changes_hands [2] {
        fails_without_the_join_fence: "broadcast.join-fence",
        fails_without_the_room_fence: "broadcast.room-fence",
    }
    a_reader_is_evicted_while_it_copies [2] {
        fails_without_the_overwrite_fence: "broadcast.overwrite-fence",
        fails_without_the_recheck_fence: "broadcast.recheck-fence",
    }
    a_reader_is_suspended_while_it_copies [2] {
        fails_without_the_overwrite_fence: "broadcast.overwrite-fence",
        fails_without_the_recheck_fence: "broadcast.recheck-fence",
    }
    an_eviction_comes_too_late [3] {}
    the_other_process_is_evicted [2] {
        fails_without_the_overwrite_fence: "broadcast.overwrite-fence",
        fails_without_the_recheck_fence: "broadcast.recheck-fence",
    }
    a_sleeping_reader_is_rung [3] {
        fails_without_the_sleepers_fence: "sleep.sleep",
        fails_without_the_ringers_fence: "doorbell.announce",
    }
    a_sleeping_writer_is_rung [3] {
        fails_without_the_ringers_fence: "doorbell.announce",
    }
    two_ringers_share_an_alarm [3] {}
    two_ringers_and_the_next_sleep [2] {
        fails_without_the_sleepers_fence: "sleep.sleep",
        fails_without_the_ringers_fence: "doorbell.announce",
    }
}
