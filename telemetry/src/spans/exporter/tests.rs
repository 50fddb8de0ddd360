//! Tests of the exporter on virtual time, with a collector that answers by a script.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use mycelium_core::TraceContext;
use mycelium_transports::counters::{ExporterValue, Region};
use mycelium_transports::local::{Span, SpanKind, SpanSink};

use super::*;
use crate::otlp::port::scripted::{Script, Stage, away, busy, seconds, taken};

struct Outcome {
    posts: Vec<Duration>,
    notices: Vec<(Duration, Notice)>,
    exported: u64,
    full: u64,
    failed: u64,
    refused: u64,
    errors: u64,
    ended_at: Duration,
}

fn span() -> Span {
    let context = TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 };
    Span::new(context, SpanKind::Root, "Feed", "ticks")
}

fn script(answer: fn(Duration) -> Answer) -> Script {
    Script { stop_at: seconds(200), takes: Duration::ZERO, answer }
}

/// Runs an exporter. Each record is a time in seconds and the number of spans recorded then, in
/// order.
fn run<const N: usize>(records: [(u64, usize); N], script: Script) -> Outcome {
    let mut records = VecDeque::from(records);
    let settings = OtlpTraces::new("http://127.0.0.1:4318").queue(8).batch(4);
    let flush = settings.flush;
    let exporter = Exporter::new(settings).unwrap();
    let queue = exporter.queue();
    let (now, notices) = (Cell::default(), RefCell::<Vec<_>>::default());
    let mut stage = Stage::new(script, flush, &now, |now| {
        while let Some((_, spans)) = records.pop_front_if(|(at, _)| seconds(*at) <= now) {
            (0..spans).for_each(|_| queue.record(span()));
        }
    });
    let (resource, region) = (Resource::of_node("main", 7), Region::new(1));
    let on_notice = |notice: &Notice| notices.borrow_mut().push((now.get(), notice.clone()));
    let mut work = Work::new(exporter, resource, region.line("exporter=traces"), 7, on_notice);
    work.run(&mut stage);
    let value = |value| work.line.get(value);
    Outcome {
        exported: value(ExporterValue::Exported),
        full: value(ExporterValue::DroppedFull),
        failed: value(ExporterValue::DroppedFailed),
        refused: value(ExporterValue::DroppedRefused),
        errors: value(ExporterValue::Errors),
        posts: stage.posts.iter().map(|(at, _)| *at).collect(),
        notices: notices.take(),
        ended_at: now.get(),
    }
}

#[test]
fn a_batch_is_sent_when_it_is_full_or_its_time_has_come() {
    let outcome = run([(0, 5), (10, 2)], script(taken));
    // Sends a full batch of four at once; one span after the delay; two whose delay had not passed
    // at the end.
    assert_eq!(outcome.posts, [seconds(0), seconds(1), seconds(10)]);
    assert_eq!((outcome.exported, outcome.errors, outcome.ended_at), (7, 0, seconds(200)));
    assert_eq!(outcome.notices, []);
}

#[test]
fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let outcome = run([(0, 4), (3, 20), (50, 20), (100, 20)], script(away));
    let Outcome { posts, notices, exported, full, failed, refused, errors, ended_at } = outcome;
    assert_eq!((exported, refused, full + failed), (0, 0, 64), "each span is counted once");
    assert_eq!(full, 12 * 3, "those that found no room");
    // The pauses double up to 5 s, minus a random part of at most half.
    let pauses: Vec<_> = posts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((250..=500).contains(&pauses[0].as_millis()), "{pauses:?}");
    assert!((500..=1000).contains(&pauses[1].as_millis()), "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause >= seconds(5) / 20), "{pauses:?}");
    assert_eq!(errors, posts.len() as u64);
    assert!(posts.len() < 60, "{posts:?}");
    // One notice comes at the first error, and one at the end for the others: at most one a minute.
    let times: Vec<_> = notices.iter().map(|(at, _)| *at).collect();
    assert_eq!(times[0], seconds(0));
    let between = times.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(between.clone().rev().skip(1).all(|pause| pause >= seconds(60)), "{times:?}");
    assert!(times.len() <= 5, "{times:?}");
    let told: u64 = notices.iter().map(|(_, notice)| notice.dropped()).sum();
    assert_eq!(told, 64, "all are reported");
    assert_eq!(notices.iter().map(|(_, notice)| notice.errors).sum::<u64>(), errors);
    assert_eq!(notices[0].1.error.as_deref(), Some("connection refused"));
    assert_eq!(ended_at, seconds(200));
}

#[test]
fn retry_after_is_honoured_within_the_time_of_a_batch() {
    let answer = |now| if now == seconds(0) { busy(7) } else { taken(now) };
    let outcome = run([(0, 4)], script(answer));
    assert_eq!((outcome.posts, outcome.exported), (vec![seconds(0), seconds(7)], 4));
    // The requested pause is longer than the timeout of a batch: the batch is dropped, and nothing
    // is sent for that timeout.
    let answer = |now| if now == seconds(0) { busy(3600) } else { taken(now) };
    let outcome = run([(0, 4), (2, 4)], script(answer));
    assert_eq!((outcome.failed, outcome.exported), (4, 4));
    assert_eq!(outcome.posts, [seconds(0), seconds(10)]);
}

#[test]
fn a_collector_cannot_shorten_the_pauses() {
    let outcome = run([(0, 4)], script(|_| busy(0)));
    assert_eq!((outcome.failed, outcome.exported), (4, 0));
    assert!((3..=60).contains(&outcome.posts.len()), "{:?}", outcome.posts);
}

#[test]
fn what_a_collector_refuses_is_dropped_at_once() {
    let answer = |now| match now {
        Duration::ZERO => Answer::Refused { error: "the collector answered 400".to_owned() },
        _ => Answer::Taken { rejected: 3, error: Some("too old".to_owned()) },
    };
    let outcome = run([(0, 4), (10, 4)], script(answer));
    assert_eq!(outcome.posts, [seconds(0), seconds(10)]);
    assert_eq!((outcome.refused, outcome.exported, outcome.errors), (7, 1, 2));
    let (_, last) = outcome.notices.last().unwrap();
    assert_eq!((last.dropped_refused, last.error.as_deref()), (3, Some("too old")));
}

#[test]
fn a_batch_at_which_the_collector_fails_is_not_sent_again() {
    let answer = |now| match now {
        Duration::ZERO => Answer::Failed { error: "the collector answered 500".to_owned() },
        _ => taken(now),
    };
    let outcome = run([(0, 4), (10, 4)], script(answer));
    assert_eq!(outcome.posts, [seconds(0), seconds(10)]);
    assert_eq!((outcome.failed, outcome.refused, outcome.exported), (4, 0, 4));
}

#[test]
fn a_slow_collector_has_the_time_of_a_batch() {
    let outcome = run([(0, 4), (1, 9)], Script { takes: seconds(30), ..script(taken) });
    assert_eq!((outcome.exported, outcome.failed, outcome.full), (0, 12, 1));
    // The next batch comes after a pause.
    let second = outcome.posts[1];
    assert!(second > seconds(10) && second <= Duration::from_millis(10_500), "{second:?}");
}

#[test]
fn the_end_sends_what_is_left_within_its_time() {
    let stop_at = Duration::from_millis(500);
    let outcome = run([(0, 7)], Script { stop_at, ..script(taken) });
    assert_eq!((outcome.exported, outcome.ended_at), (7, stop_at));
    // The collector takes too long.
    let outcome = run([(0, 7)], Script { stop_at, takes: seconds(9), ..script(taken) });
    assert_eq!((outcome.exported, outcome.failed), (0, 7));
    assert_eq!(outcome.ended_at, stop_at + seconds(2));
    // The end does not wait for a collector that is known to be down.
    let outcome = run([(0, 4), (19, 4)], Script { stop_at: seconds(20), ..script(away) });
    assert_eq!((outcome.failed, outcome.ended_at), (8, seconds(20)));
    // A collector that was not tried yet is tried, and tried again.
    let outcome = run([(0, 3)], Script { stop_at, ..script(away) });
    assert_eq!((outcome.failed, outcome.posts.len()), (3, 2));
    assert!(outcome.ended_at < stop_at + seconds(2));
}
