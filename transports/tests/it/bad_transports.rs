//! Tests of the laws themselves: transports with one fault each, and the law that must notice the
//! fault. `bad` has the faulty transports.
#![cfg(all(unix, not(miri)))]

mod bad;

use std::panic::{self, Location};
use std::time::Duration;

use mycelium_transports::conformance::{TIME_LIMIT, TestExecutor, Threads, check, laws};

use bad::Fault::{self, *};
use bad::{Bad, FAULT};

const STALLS: &str = "a_reader_that_stalls_is_evicted_until_it_reads";
const THRESHOLD: &str = "a_publisher_waits_until_its_reader_is_below_the_threshold";
const OBSERVES: &str = "an_observer_never_blocks_the_publisher_and_gets_exact_gaps";

/// The faults, each with a law that must notice it, and a part of the law's error.
const NOTICED: &[(Fault, &str, &str)] = &[
    (Drops, "messages_of_a_publisher_arrive_once_and_in_order", "number and sequence"),
    (Drops, "messages_keep_their_traces", "in order"),
    (Drops, "every_message_is_counted_after_a_shutdown", "with Block"),
    (Drops, "a_disturbance_loses_and_repeats_nothing", "left == right"),
    (Drops, "a_task_that_panics_affects_no_other_task", "left == right"),
    (Drops, "a_receive_with_a_timeout_loses_nothing", "left == right"),
    (Drops, OBSERVES, "after the gap"),
    (Doubles, "messages_of_a_publisher_arrive_once_and_in_order", "number and sequence"),
    (Doubles, "a_message_whose_handler_failed_is_redelivered_once", "left == right"),
    (Doubles, "a_late_node_gets_no_message_twice", "round 0: "),
    (Reorders, "messages_of_a_publisher_arrive_once_and_in_order", "number and sequence"),
    (ChangesTheSpan, "messages_keep_their_traces", "the trace of message"),
    (HidesLatencies, "a_measured_message_shows_how_long_it_took", "expected one reader"),
    (SendsLate, "a_measured_message_shows_how_long_it_took", "latencies"),
    (HidesTheClose, "the_end_follows_the_last_message_of_all_publishers", "timeout: the end"),
    (ClosesEarly, "a_restarted_publisher_is_read_from_its_first_message", "unexpected end"),
    (StartsLate, "a_late_reader_starts_with_the_next_message", "timeout: its first"),
    (StartsLate, "a_late_publisher_is_read_from_its_first_message", "timeout: all sent messages"),
    (Stays, "a_reader_that_leaves_unblocks_the_publisher", "timeout: the next messages"),
    (Stays, "a_restarted_reader_starts_with_new_messages", "timeout: the publisher continues"),
    (StartsLate, "a_restarted_reader_starts_with_new_messages", "151, after 1 and 150"),
    (
        ForgetsTheStart,
        "a_late_reader_may_start_at_the_oldest_message",
        "timeout: a retained message",
    ),
    (
        ForgetsTheStart,
        "the_first_reader_of_a_late_node_may_start_at_the_oldest_message",
        "timeout: a retained message",
    ),
    (RetainsNothing, "late_readers_get_what_is_retained", "timeout: retained message 9"),
    (Doubles, "readers_join_while_retained_messages_are_replaced", "left == right"),
    (NeverBlocks, "a_full_block_subscription_blocks_the_publisher", "timeout: the publisher waits"),
    (NeverBlocks, "try_emit_returns_the_message_of_a_full_ring", "more than the ring holds"),
    (NeverBlocks, "a_full_reject_subscription_returns_the_message", "rejected"),
    (NeverBlocks, STALLS, "the reason of"),
    (AlwaysBlocks, OBSERVES, "an observer never blocks"),
    (
        AlwaysBlocks,
        "a_drop_newest_reader_keeps_the_oldest_messages",
        "timeout: the publisher emits",
    ),
    (AlwaysBlocks, "a_sampling_reader_gets_every_nth_message", "right: 3"),
    (AlwaysBlocks, "a_reader_by_key_gets_the_newest_message_of_each_key", "a gap first"),
    (AlwaysBlocks, "a_full_reject_subscription_returns_the_message", "timeout: emit does not wait"),
    (HidesGaps, "an_observer_that_is_always_slower_still_gets_messages", "after the gap"),
    (HidesGaps, OBSERVES, "after the gap"),
    (HidesGaps, STALLS, "after the gap"),
    (HidesGaps, "a_latest_reader_gets_the_newest_message_and_the_skipped_number", "a gap first"),
    (NeverLetsGo, STALLS, "timeout: the publisher continues"),
    (LetsGoAtOnce, STALLS, "timeout: the publisher waits again"),
    (ShortensBatches, "batches_arrive_once_and_in_order", "0 of at most"),
    (ShortensBatches, "an_observer_gets_the_exact_gaps_of_batches", "timeout: what"),
    (ShortensBatches, "a_failed_batch_is_redelivered_one_by_one", "timeout: all"),
    (ForgetsWhatWasSent, "a_cancelled_batch_has_sent_a_prefix", "left == right"),
    (NeverPressed, THRESHOLD, "the publisher waits: Canceled"),
    (LosesWakesOfRelief, THRESHOLD, "timeout: the publisher continues"),
    (HidesTheDepth, THRESHOLD, "the publisher waits: Canceled"),
    (ReadersSleepOn, "a_sleeping_reader_is_woken", "timeout: a sleeping reader is woken"),
    (PublishersSleepOn, "a_sleeping_publisher_is_woken", "timeout: a sleeping publisher is woken"),
    (TakesBeforeItIsReady, "a_cancelled_receive_takes_nothing", "dropped at poll"),
    (SendsBeforeItIsReady, "a_cancelled_emit_sends_nothing", "poll"),
];

/// The fault is global, so faults are tested one after another.
#[test]
fn each_fault_is_noticed() {
    // Silences panics in the laws' threads; the test reads their errors.
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let is_of_a_law = |place: &Location| place.file().contains("conformance");
        if !panic.location().is_some_and(is_of_a_law) {
            print(panic);
        }
    }));
    let threads = TestExecutor::of::<Threads>();
    let laws = laws::<Bad>();
    laws.iter().for_each(|law| check(law, &threads, &threads, TIME_LIMIT).unwrap());
    // Without counters, latencies are not counted, and these faults cannot be noticed.
    let counts = |fault| !matches!(fault, HidesLatencies | SendsLate);
    let noticed = NOTICED.iter().filter(|row| cfg!(feature = "metrics") || counts(row.0));
    for (fault, name, text) in noticed {
        *FAULT.lock().unwrap() = *fault;
        let law = laws.iter().find(|law| law.name == *name).expect("the law exists");
        // A law that waits for a missing event uses up its whole time limit, so the first limit is
        // short. A busy machine may need more time, and a lost wake-up needs a reader that is
        // parked just then.
        let mut errors = Vec::new();
        let is_noticed = [500, 1_000, 2_000, 60_000].iter().any(|limit| {
            let outcome = check(law, &threads, &threads, Duration::from_millis(*limit));
            errors.push(outcome.err());
            errors.last().unwrap().as_ref().is_some_and(|error| error.contains(text))
        });
        assert!(is_noticed, "{fault:?}: expected an error with `{text}`, found {errors:?}");
    }
}
