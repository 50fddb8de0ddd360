//! Tests of the pusher on virtual time, with a collector that answers by a script.

use std::cell::{Cell, RefCell};
use std::time::UNIX_EPOCH;

use mycelium_transports::counters::{PublisherValue, Region};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use prost::Message as _;

use super::*;
use crate::Snapshot;
use crate::otlp::port::scripted::{Script, Stage, away, busy, seconds, taken};

/// A request: its start time, its points, and the number of messages that publishers have sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Post {
    at: Duration,
    points: usize,
    sent: Vec<i64>,
}

struct Outcome {
    posts: Vec<Post>,
    notices: Vec<(Duration, PushNotice)>,
    /// The numbers of accepted, failed and refused pushes.
    pushes: [u64; 3],
    /// The numbers of accepted and refused points.
    points: [u64; 2],
    ended_at: Duration,
}

impl Outcome {
    fn times(&self) -> Vec<Duration> {
        self.posts.iter().map(|post| post.at).collect()
    }

    fn all_points(&self) -> u64 {
        self.posts.iter().map(|post| post.points as u64).sum()
    }
}

fn post(at: Duration, body: &[u8]) -> Post {
    let request = ExportMetricsServiceRequest::decode(body).expect("OTLP");
    let [resource] = &*request.resource_metrics else { panic!("one node") };
    let [scope] = &*resource.scope_metrics else { panic!("one scope") };
    let mut post = Post { at, points: 0, sent: Vec::new() };
    for metric in &scope.metrics {
        let points = match metric.data.as_ref().expect("data") {
            Data::Sum(sum) => &sum.data_points,
            Data::Gauge(gauge) => &gauge.data_points,
            other => panic!("{other:?}"),
        };
        post.points += points.len();
        if metric.name == "mycelium_messages_sent" {
            let values = points.iter().map(|point| match point.value {
                Some(Value::AsInt(value)) => value,
                other => panic!("{other:?}"),
            });
            post.sent.extend(values);
        }
    }
    post
}

fn script(answer: fn(Duration) -> Answer) -> Script {
    Script { stop_at: seconds(35), takes: Duration::ZERO, answer }
}

fn settings() -> OtlpMetrics {
    OtlpMetrics::new("http://127.0.0.1:4318")
}

/// Runs the pusher of a node with this many publishers.
fn run(settings: OtlpMetrics, publishers: usize, script: Script) -> Outcome {
    let region = Region::new(64);
    let line = region.line("exporter=metrics");
    let lines = (0..publishers).map(|it| region.line(&format!("topic=t publisher=p{it}")));
    let lines: Vec<_> = lines.collect();
    let node = PushedNode {
        resource: Resource::of_node("main", 7),
        snapshot: Box::new(move || {
            let (node, readings) = ("main".to_owned(), region.read());
            Some(Snapshot { node, readings, ..Snapshot::default() })
        }),
        collector: Collector::with_most(usize::MAX),
        line,
        wall_clock: Box::new(|| UNIX_EPOCH),
    };
    let (now, notices) = (Cell::default(), RefCell::<Vec<_>>::default());
    let mut stage = Stage::new(script, settings.flush, &now, |now| {
        lines.iter().for_each(|line| line.set(PublisherValue::Sent, now.as_secs()));
    });
    let on_notice = |notice: &PushNotice| notices.borrow_mut().push((now.get(), notice.clone()));
    let mut work = Work::new(settings, node, UNIX_EPOCH, on_notice);
    work.run(&mut stage);
    let value = |value| work.node.line.get(value);
    Outcome {
        posts: stage.posts.iter().map(|(at, body)| post(*at, body)).collect(),
        pushes: [PusherValue::Taken, PusherValue::Failed, PusherValue::Refused].map(value),
        points: [PusherValue::Points, PusherValue::PointsRefused].map(value),
        notices: notices.take(),
        ended_at: now.get(),
    }
}

#[test]
fn metrics_are_pushed_at_each_interval_and_at_the_end() {
    let outcome = run(settings(), 1, script(taken));
    assert_eq!(outcome.times(), [10, 20, 30, 35].map(seconds));
    let sent: Vec<_> = outcome.posts.iter().flat_map(|post| &post.sent).collect();
    assert_eq!(sent, [&10, &20, &30, &35], "each has the values of its time");
    assert_eq!((outcome.pushes, outcome.ended_at), ([4, 0, 0], seconds(35)));
    assert_eq!((outcome.points, outcome.notices.len()), ([outcome.all_points(), 0], 0));
    let often = Script { stop_at: seconds(3), ..script(taken) };
    let outcome = run(settings().interval(seconds(1)), 1, often);
    assert_eq!(outcome.times(), [1, 2, 3].map(seconds));
}

#[test]
fn what_a_collector_did_not_take_is_not_sent_again_but_newer_values_are() {
    let answer = |now| if now < seconds(25) { away(now) } else { taken(now) };
    let outcome = run(settings(), 1, script(answer));
    assert_eq!(outcome.times(), [10, 20, 30, 35].map(seconds));
    assert_eq!((outcome.posts[2].sent.clone(), outcome.pushes), (vec![30], [2, 2, 0]));
    // One notice comes at the first error, and one at the end for the others.
    let times: Vec<_> = outcome.notices.iter().map(|(at, notice)| (*at, notice.failed)).collect();
    assert_eq!(times, [(seconds(10), 1), (seconds(35), 1)]);
    assert_eq!(outcome.notices[0].1.error.as_deref(), Some("connection refused"));
    let text = "pushes failed: 1; the next one has newer values";
    assert_eq!(outcome.notices[0].1.to_string(), text);
}

#[test]
fn a_collector_that_is_away_costs_one_line_a_minute_and_no_wait_at_the_end() {
    let outcome = run(settings(), 1, Script { stop_at: seconds(605), ..script(away) });
    assert_eq!((outcome.pushes, outcome.ended_at), ([0, 60, 0], seconds(605)));
    let minutes: Vec<_> = (0..10).map(|minute| seconds(10 + 60 * minute)).collect();
    let times: Vec<_> = outcome.notices.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [&*minutes, &[seconds(605)]].concat(), "the rest at the end");
    let told: u64 = outcome.notices.iter().map(|(_, notice)| notice.failed).sum();
    assert_eq!(told, 60, "all are reported");
    // A collector that has failed only once is tried at the end.
    let outcome = run(settings(), 1, Script { stop_at: seconds(15), ..script(away) });
    assert_eq!((outcome.times(), outcome.pushes), ([10, 15].map(seconds).into(), [0, 2, 0]));
}

#[test]
fn retry_after_is_honoured() {
    let answer = |now| if now < seconds(20) { busy(13) } else { taken(now) };
    let outcome = run(settings(), 1, script(answer));
    assert_eq!(outcome.times(), [10, 23, 30, 35].map(seconds));
    // A requested pause of hours is limited to five minutes, and at the end of the node to the time
    // for the end.
    let hours = |now| if now < seconds(20) { busy(36_000) } else { taken(now) };
    let outcome = run(settings(), 1, Script { stop_at: seconds(315), ..script(hours) });
    assert_eq!(outcome.times(), [10, 310, 315].map(seconds));
    let outcome = run(settings(), 1, script(hours));
    assert_eq!((outcome.times(), outcome.ended_at), (vec![seconds(10)], seconds(35)));
    let outcome = run(settings(), 1, Script { stop_at: seconds(22), ..script(answer) });
    assert_eq!((outcome.times(), outcome.ended_at), ([10, 23].map(seconds).into(), seconds(23)));
}

#[test]
fn a_slow_collector_has_the_time_of_a_request_and_pushes_do_not_pile_up() {
    let slow = run(settings(), 1, Script { takes: seconds(8), ..script(taken) });
    assert_eq!(slow.times(), [10, 20, 30].map(seconds));
    // The last push was aborted, with 2 s left.
    assert_eq!((slow.pushes, slow.ended_at), ([2, 1, 0], seconds(37)));
    let late = Script { takes: seconds(60), stop_at: seconds(65), ..script(taken) };
    let late = run(settings(), 1, late);
    assert_eq!(late.times(), [10, 30, 50].map(seconds), "each ends after its 10 s");
    assert_eq!((late.pushes, late.ended_at), ([0, 3, 0], seconds(65)));
}

#[test]
fn what_a_collector_refuses_is_counted_and_the_rest_is_sent() {
    let answer = |now| match now {
        now if now < seconds(15) => Answer::Refused { error: "a status".to_owned() },
        _ => Answer::Taken { rejected: 3, error: Some("too old".to_owned()) },
    };
    let outcome = run(settings(), 1500, Script { stop_at: seconds(15), ..script(answer) });
    // All six requests of each push are sent, although the first is refused.
    let points = outcome.posts[0].points as u64;
    assert_eq!((points, outcome.posts.len() % 2), (1000, 0));
    let of_push = outcome.all_points() / 2;
    let requests = outcome.posts.len() as u64 / 2;
    assert_eq!(outcome.pushes, [0, 0, 2]);
    assert_eq!(outcome.points, [of_push - 3 * requests, of_push + 3 * requests]);
    assert_eq!(outcome.notices.last().unwrap().1.error.as_deref(), Some("too old"));
}

#[test]
fn a_push_at_which_the_collector_fails_ends_and_the_next_one_is_in_time() {
    let answer = |now| match now {
        now if now < seconds(15) => Answer::Failed { error: "a status".to_owned() },
        _ => taken(now),
    };
    let outcome = run(settings(), 1500, Script { stop_at: seconds(15), ..script(answer) });
    let (first, rest) = outcome.posts.split_first().unwrap();
    assert_eq!((first.at, first.points), (seconds(10), 1000), "its other requests are not sent");
    assert!(rest.len() > 1 && rest.iter().all(|post| post.at == seconds(15)));
    assert_eq!((outcome.pushes, outcome.points), ([1, 1, 0], [outcome.all_points() - 1000, 0]));
}

#[test]
fn an_end_without_time_sends_nothing() {
    let outcome = run(settings().flush(Duration::ZERO), 1, script(taken));
    assert_eq!(outcome.times(), [10, 20, 30].map(seconds));
}
