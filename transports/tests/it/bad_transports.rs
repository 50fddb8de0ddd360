//! Tests of the laws themselves: transports with one fault each, and the law that must notice it.
//! `bad` is such a transport.
#![cfg(all(unix, not(miri)))]

mod bad;

use std::panic::{self, Location};
use std::sync::Once;
use std::time::Duration;

use mycelium_transports::conformance::{TestExecutor, Threads, check, laws};

use bad::{Bad, Fault};

/// Checks that these laws fail because of the fault, each with its text in the message.
#[track_caller]
fn catches(fault: Fault, broken: &[(&str, &str)]) {
    silence_panics();
    for (law, text) in broken {
        catches_one(fault, law, text);
    }
}

#[track_caller]
fn catches_one(fault: Fault, law: &str, text: &str) {
    let laws = laws::<Bad>();
    let law = laws.iter().find(|known| known.name == law).expect("the law exists");
    let threads = TestExecutor::of::<Threads>();
    // A law that waits for a missing event takes the whole time limit, so start with a short one. A
    // busy machine may need more, and a lost wake needs a reader that is parked at that moment.
    let mut errors = Vec::new();
    for time_limit in [500, 1_000, 2_000, 60_000] {
        match check(law, &threads, &threads, fault.within(Duration::from_millis(time_limit))) {
            Err(error) if error.contains(text) => return,
            outcome => errors.push(outcome.err()),
        }
    }
    panic!("expected an error with `{text}`, found {errors:?}");
}

/// Silences panics of the laws' threads: the tests read the messages of the laws.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let is_of_a_law = |place: &Location| place.file().contains("conformance");
            if !panic.location().is_some_and(is_of_a_law) {
                print(panic);
            }
        }));
    });
}

#[test]
fn a_correct_transport_keeps_all_laws() {
    let threads = TestExecutor::of::<Threads>();
    for law in laws::<Bad>() {
        check(&law, &threads, &threads, Fault::NOTHING.within(Duration::from_secs(60))).unwrap();
    }
}

#[test]
fn messages_that_are_lost_repeated_or_reordered_are_noticed() {
    let order = ("messages_of_a_publisher_arrive_once_and_in_order", "number and sequence");
    catches(
        Fault::DROPS,
        &[
            order,
            ("messages_keep_their_traces", "in order"),
            ("every_message_is_counted_after_a_shutdown", "with Block"),
            ("a_disturbance_loses_and_repeats_nothing", "left == right"),
            ("a_task_that_panics_affects_no_other_task", "left == right"),
            ("a_receive_with_a_timeout_loses_nothing", "left == right"),
            (
                "an_observer_never_blocks_the_publisher_and_gets_exact_gaps",
                "in order, after the gap",
            ),
        ],
    );
    catches(
        Fault::DOUBLES,
        &[
            order,
            ("a_message_whose_handler_failed_is_redelivered_once", "left == right"),
            ("a_late_node_gets_no_message_twice", "round 0: "),
        ],
    );
    catches(Fault::REORDERS, &[order]);
}

#[test]
fn a_wrong_trace_or_latency_is_noticed() {
    const LAW: &str = "a_measured_message_shows_how_long_it_took";
    catches(Fault::CHANGES_THE_SPAN, &[("messages_keep_their_traces", "the trace of message")]);
    // Without the feature nothing is counted.
    if cfg!(feature = "metrics") {
        catches(Fault::HIDES_LATENCIES, &[(LAW, "expected one reader")]);
        catches(Fault::SENDS_LATE, &[(LAW, "latencies")]);
    }
}

#[test]
fn a_wrong_start_or_end_is_noticed() {
    let end = "the_end_follows_the_last_message_of_all_publishers";
    catches(Fault::HIDES_THE_CLOSE, &[(end, "timeout: the end")]);
    let restarted = "a_restarted_publisher_is_read_from_its_first_message";
    catches(Fault::CLOSES_EARLY, &[(restarted, "unexpected end")]);
    catches(
        Fault::STARTS_LATE,
        &[
            ("a_late_reader_starts_with_the_next_message", "timeout: its first"),
            ("a_late_publisher_is_read_from_its_first_message", "timeout: all sent messages"),
        ],
    );
    catches(
        Fault::NEVER_LEAVES,
        &[
            ("a_reader_that_leaves_unblocks_the_publisher", "timeout: the next messages"),
            ("a_restarted_reader_starts_with_new_messages", "timeout: the publisher continues"),
        ],
    );
    for law in [
        "a_late_reader_may_start_at_the_oldest_retained_message",
        "the_first_reader_of_a_late_node_may_start_at_the_oldest_retained_message",
    ] {
        catches(Fault::FORGETS_THE_START, &[(law, "timeout: a retained message")]);
    }
}

#[test]
fn missing_backpressure_and_a_blocking_observer_are_noticed() {
    catches(
        Fault::NEVER_BLOCKS,
        &[
            ("a_full_block_subscription_blocks_the_publisher", "timeout: the publisher waits"),
            ("try_emit_returns_the_message_of_a_full_ring", "accepted more than the ring holds"),
            ("a_full_reject_subscription_returns_the_message", "rejected"),
            ("a_reader_that_stalls_is_evicted_until_it_reads", "the reason of"),
        ],
    );
    catches(
        Fault::ALWAYS_BLOCKS,
        &[
            (
                "an_observer_never_blocks_the_publisher_and_gets_exact_gaps",
                "an observer never blocks",
            ),
            ("a_drop_newest_reader_keeps_the_oldest_messages", "timeout: the publisher emits"),
            ("a_sampling_reader_gets_every_nth_message", "right: 3"),
            ("a_reader_by_key_gets_the_newest_message_of_each_key", "expected a gap first"),
            ("a_full_reject_subscription_returns_the_message", "timeout: emit does not wait"),
        ],
    );
}

#[test]
fn a_hidden_gap_and_a_reader_that_stalls_for_ever_are_noticed() {
    let stall = "a_reader_that_stalls_is_evicted_until_it_reads";
    let newest = "a_latest_reader_gets_the_newest_message_and_the_skipped_number";
    for law in [
        "an_observer_that_is_always_slower_still_gets_messages",
        "an_observer_never_blocks_the_publisher_and_gets_exact_gaps",
        stall,
    ] {
        catches(Fault::HIDES_GAPS, &[(law, "in order, after the gap")]);
    }
    catches(Fault::HIDES_GAPS, &[(newest, "expected a gap first")]);
    catches(Fault::NEVER_LETS_GO, &[(stall, "timeout: the publisher continues")]);
    catches(Fault::LETS_GO_AT_ONCE, &[(stall, "timeout: the publisher waits again")]);
}

#[test]
fn an_incomplete_batch_and_a_threshold_without_effect_are_noticed() {
    catches(
        Fault::SHORTENS_BATCHES,
        &[
            ("batches_arrive_once_and_in_order", "0 of at most"),
            ("an_observer_gets_the_exact_gaps_of_batches", "timeout: what"),
            ("a_failed_batch_is_redelivered_one_by_one", "timeout: all"),
        ],
    );
    catches(
        Fault::FORGETS_WHAT_WAS_SENT,
        &[("a_cancelled_batch_has_sent_a_prefix", "left == right")],
    );
    let law = "a_publisher_waits_until_its_reader_is_below_the_threshold";
    catches(Fault::NEVER_PRESSED, &[(law, "the publisher waits: Canceled")]);
    catches(Fault::LOSES_WAKES_OF_RELIEF, &[(law, "timeout: the publisher continues")]);
    catches(Fault::HIDES_THE_DEPTH, &[(law, "the publisher waits: Canceled")]);
}

#[test]
fn a_lost_wake_and_an_effect_of_a_cancelled_future_are_noticed() {
    for (fault, law, text) in [
        (Fault::LOSES_WAKES_OF_READERS, "a_sleeping_reader_is_woken", "timeout: a sleeping reader"),
        (
            Fault::LOSES_WAKES_OF_PUBLISHERS,
            "a_sleeping_publisher_is_woken",
            "timeout: a sleeping publisher",
        ),
        (Fault::TAKES_BEFORE_IT_IS_READY, "a_cancelled_receive_takes_nothing", "dropped at poll"),
        (Fault::SENDS_BEFORE_IT_IS_READY, "a_cancelled_emit_sends_nothing", "poll"),
    ] {
        catches(fault, &[(law, text)]);
    }
}
