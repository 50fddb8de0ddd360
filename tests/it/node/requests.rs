//! Requests and replies within a node: each request has exactly one outcome, which says whether a
//! service has taken it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use mycelium::counters::Kind;
use mycelium::error::{Code, StartError};
use mycelium::requests::{RequestError, Requester, Taken};
use mycelium::{Context, Node, Policy, Result, Running, Topology, message, service};
use mycelium_tokio::Tokio;

use crate::conserved::requests as conserved;
use crate::node::asks::{Answerer, Ask, Caller, DROP, Double, END, FAIL, KEEP, PANIC, ask, double};
use crate::running::{LONG, Says, end, main_with, next, run, start, sum};

fn restarting() -> Topology {
    let text = "[service.Answerer]\nbackoff = \"1ms\"\nmax_restarts = 1000\n\
                [topic.doubles]\ncapacity = 4\n";
    Topology::parse("t.toml", text).unwrap()
}

/// Returns a node with one `Answerer`, the number of requests that it has taken, and a requester.
fn answerer() -> (Running, Arc<AtomicU64>, Requester<Ask>) {
    let taken = Arc::new(AtomicU64::new(0));
    let node = Node::builder("main").topology(restarting());
    let node = node.service({
        let taken = taken.clone();
        move || Answerer(taken.clone())
    });
    let running = start(node);
    let requester = running.requester("test").unwrap();
    (running, taken, requester)
}

/// Requests the double of each number below `count`, one after another.
fn caller(
    count: u64,
    sent: Sender<(u64, Result<Double, RequestError<Ask>>)>,
) -> impl FnMut() -> Caller + Send + 'static {
    let (open, within) = (1, LONG);
    move || Caller { values: (0..count).collect(), open, within, sent: sent.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_services_share_a_mailbox_and_many_requesters_get_their_own_replies() {
    let (sent, received) = channel();
    let taken = Arc::new(AtomicU64::new(0));
    let mut node = main_with("[topic.doubles]\ncapacity = 4\n");
    for number in 0..3 {
        let taken = taken.clone();
        node = node.named_service(&format!("Answerer-{number}"), move || Answerer(taken.clone()));
    }
    for number in 0..20 {
        node = node.named_service(&format!("Caller-{number}"), caller(200, sent.clone()));
    }
    run(node).await;
    drop(sent);
    let mut values: Vec<u64> = received.try_iter().map(|(_, reply)| reply.unwrap().value).collect();
    values.sort_unstable();
    assert!(values.into_iter().eq((0..200).flat_map(|value| [2 * value; 20])));
    assert_eq!(taken.load(Ordering::Relaxed), 4_000);
}

#[tokio::test]
async fn a_service_that_fails_panics_or_drops_a_request_is_reported_and_runs_again() {
    let (running, _, mut requester) = answerer();
    for value in [FAIL, PANIC, DROP] {
        // The second request waits in the mailbox during the restart.
        let (failed, next) = (requester.request(ask(value)), requester.request(ask(1)));
        let error = failed.await.unwrap_err();
        let expected = RequestError::HandlerFailed { actor: None };
        assert_eq!((error.taken(), error), (Taken::Yes, expected));
        assert_eq!(next.await, Ok(double(1)));
    }
    let report = end(running).await;
    conserved(&report.counters);
    assert_eq!(sum(&report.counters, Kind::Requester, "handler_failed"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_says_whether_the_request_was_taken_and_a_late_reply_is_counted() {
    let (running, taken, mut requester) = answerer();
    let within = Duration::from_millis(50);
    let kept = requester.request(ask(KEEP)).within(within).await;
    let error = RequestError::Deadline { taken: Taken::Yes, within, actor: None };
    assert_eq!(kept, Err(error));
    assert_eq!(taken.load(Ordering::Relaxed), 1);
    // The service does not run in between, so the request is still in the mailbox.
    let (late, one) = (requester.request(ask(1)), requester.request(ask(2)));
    let mut late = late.within(Duration::ZERO);
    let Poll::Ready(result) = futures_util::poll!(&mut late) else { panic!("it has no time left") };
    let within = Duration::ZERO;
    assert_eq!(result, Err(RequestError::Deadline { taken: Taken::No, within, actor: None }));
    assert_eq!(one.await, Ok(double(2)));
    assert_eq!(taken.load(Ordering::Relaxed), 2, "a request that was cancelled was not taken");
    // The service ends, and drops the request that it has kept.
    let report = end(running).await;
    conserved(&report.counters);
    assert_eq!(sum(&report.counters, Kind::Requester, "deadline"), 2);
    assert_eq!(sum(&report.counters, Kind::Responder, "cancelled"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_polls_is_not_taken_after_its_deadline_unless_it_was_told() {
    let (running, taken, mut requester) = answerer();
    let within = Duration::from_millis(50);
    let late = requester.request(ask(1)).within(within);
    requester.request(ask(2)).within(within).tell().await.unwrap();
    // The service does not run before the time has passed.
    tokio::time::advance(within).await;
    assert_eq!(requester.request(ask(3)).await, Ok(double(3)));
    assert_eq!(taken.load(Ordering::Relaxed), 2);
    assert_eq!(late.await, Err(RequestError::Deadline { taken: Taken::No, within, actor: None }));
    let report = end(running).await;
    conserved(&report.counters);
    assert_eq!(sum(&report.counters, Kind::Requester, "deadline"), 1);
}

#[tokio::test]
async fn a_request_that_is_dropped_at_its_kth_poll_is_taken_or_not_but_never_twice() {
    for polls in 0..4 {
        let (running, taken, mut requester) = answerer();
        for value in 0..50 {
            let mut reply = requester.request(ask(value));
            for _ in 0..polls {
                if futures_util::poll!(&mut reply).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(requester.request(ask(7)).await, Ok(double(7)));
        drop(requester);
        let report = end(running).await;
        conserved(&report.counters);
        let taken = taken.load(Ordering::Relaxed);
        assert!(taken <= 51);
        assert_eq!(taken, sum(&report.counters, Kind::Responder, "taken"));
    }
}

#[tokio::test]
async fn without_a_service_that_answers_a_request_is_gone_and_not_taken() {
    let (sent, received) = channel();
    let node = Node::builder("main").service(caller(1, sent));
    let running = start(node);
    running.start_report().warnings[0].says(
        "requests of topic `doubles` are not answered: `Caller` requests, but no service that a \
         node runs answers: add one with `answers(Ask)`",
    );
    running.join().await.unwrap();
    let error = received.recv().unwrap().1.unwrap_err();
    assert_eq!((error.taken(), &error), (Taken::No, &RequestError::Gone { actor: None }));
    error.says("request `doubles` has no reply: no service or actor answers it [M0250]");
}

#[tokio::test]
async fn requests_that_wait_when_the_service_ends_are_gone_and_those_that_it_held_failed() {
    let (running, _, mut requester) = answerer();
    let kept = requester.request(ask(KEEP));
    let end = requester.request(ask(END));
    let waiting = requester.request(ask(1));
    assert_eq!(kept.await, Err(RequestError::HandlerFailed { actor: None }));
    assert_eq!(end.await, Err(RequestError::HandlerFailed { actor: None }));
    assert_eq!(waiting.await, Err(RequestError::Gone { actor: None }));
    assert_eq!(requester.request(ask(2)).await, Err(RequestError::Gone { actor: None }));
    conserved(&running.join().await.unwrap().counters);
}

#[tokio::test]
async fn a_shutdown_answers_what_waits_and_refuses_what_comes_later() {
    let (running, _, mut requester) = answerer();
    let waiting: Vec<_> = (0..4).map(|value| requester.request(ask(value))).collect();
    running.shutdown();
    let replies = join_all(waiting).await;
    assert!(replies.into_iter().map(|it| it.unwrap().value).eq([0, 2, 4, 6]));
    running.join().await.unwrap();
    let error = requester.request(ask(9)).await.unwrap_err();
    assert_eq!((error.taken(), &error), (Taken::No, &RequestError::ShuttingDown));
    error.says("request `doubles` has no reply: the node is shutting down [M0223]");
}

#[tokio::test]
async fn a_mailbox_that_rejects_gives_the_request_back() {
    let node = Node::builder("main").topology(restarting()).service(|| Answerer(Arc::default()));
    let running = start(node.subscription("Answerer", "doubles", Policy::Reject));
    let mut requester = running.requester::<Ask>("test").unwrap();
    let open: Vec<_> = (0..4).map(|value| requester.request(ask(value))).collect();
    let error = requester.request(ask(5)).await.unwrap_err();
    let refused = RequestError::Refused { request: ask(5), actor: None };
    assert_eq!((error.taken(), error), (Taken::No, refused));
    assert!(join_all(open).await.into_iter().all(|reply| reply.is_ok()));
    conserved(&end(running).await.counters);
}

/// Requests what it answers itself.
struct Circle;

#[service(answers(Ask), requests(Ask))]
impl Circle {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut requests = ctx.requests::<Ask>();
        while let Some(asked) = requests.recv().await {
            let inner = asked.value.checked_sub(1).map(|value| ctx.request(ask(value)));
            ctx.spawn(async move {
                let value = match inner {
                    Some(inner) => inner.await.unwrap().value / 2 + 1,
                    None => 0,
                };
                asked.reply(double(value));
            });
        }
        Ok(())
    }
}

#[tokio::test]
async fn services_that_request_of_each_other_end_at_a_shutdown() {
    let node = Node::builder("main").named_service("First", || Circle);
    let running = start(node.named_service("Second", || Circle));
    let mut requester = running.requester::<Ask>("test").unwrap();
    assert_eq!(requester.request(ask(100)).await, Ok(double(100)));
    end(running).await;
}

#[message(topic = "progress", id = 44)]
struct Progress {
    done: u64,
}

/// Answers, and emits what the requesting service reads: a cycle with one topic.
struct Worker;

#[service(answers(Ask), emits(Progress))]
impl Worker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut requests = ctx.requests::<Ask>();
        let mut done = 0;
        while let Some(asked) = requests.recv().await {
            done += 1;
            ctx.emit(Progress { done }).await?;
            asked.reply_with(|ask| double(ask.value));
        }
        Ok(())
    }
}

struct Boss;

#[service(requests(Ask), reads(Progress))]
impl Boss {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut progress = ctx.subscribe::<Progress>()?;
        for value in 0..3 {
            assert_eq!(ctx.request(ask(value)).await?, double(value));
        }
        for done in 1..=3 {
            let message = progress.recv().await.and_then(|delivery| delivery.message());
            assert_eq!(message.map(|message| message.done), Some(done));
        }
        progress.unsubscribe();
        Ok(())
    }
}

#[tokio::test]
async fn a_circle_of_a_topic_and_a_request_is_no_deadlock() {
    run(Node::builder("main").service(|| Worker).service(|| Boss)).await;
}

#[tokio::test]
async fn a_node_that_is_dropped_fails_requests_that_are_open() {
    let runtime = crate::running::threads(1);
    let node = Node::builder("main").service(|| Answerer(Arc::default())).build().unwrap();
    let running = {
        let _context = runtime.enter();
        node.start(Tokio::current().unwrap()).unwrap()
    };
    let mut requester = running.requester::<Ask>("test").unwrap();
    let mut kept = pin!(requester.request(ask(KEEP)));
    assert!(futures_util::poll!(kept.as_mut()).is_pending());
    // The kept request was taken, because a later one has its reply.
    assert!(requester.request(ask(1)).await.is_ok());
    runtime.shutdown_background();
    assert_eq!(kept.await, Err(RequestError::HandlerFailed { actor: None }));
    assert!(matches!(running.join().await, Err(StartError::ExecutorEnded { .. })));
}

#[tokio::test]
async fn the_last_requester_ends_the_services_that_answer_if_it_is_outside_too() {
    let (sent, received) = channel();
    let node = Node::builder("main").service(|| Answerer(Arc::default())).service(caller(1, sent));
    let running = start(node);
    let mut requester = running.requester::<Ask>("test").unwrap();
    assert!(next(&received).await.1.is_ok());
    // The service would have ended within fewer turns.
    for value in 0..100 {
        assert!(requester.request(ask(value)).await.is_ok());
    }
    drop(requester);
    conserved(&running.join().await.unwrap().counters);
}

/// Another request type of the same topic as `Ask`.
#[message(topic = "doubles", id = 40, reply = Ask)]
struct Other {
    value: u64,
}

#[tokio::test]
async fn two_request_types_of_one_topic_are_refused() {
    let (running, _taken, _requester) = answerer();
    let error = running.requester::<Other>("test").unwrap_err();
    assert_eq!(error.code(), Code::REQUEST_TYPE);
    error.begins("topic `doubles` has two request types");
    let _ = Other { value: 0 }.value;
    end(running).await;
}
