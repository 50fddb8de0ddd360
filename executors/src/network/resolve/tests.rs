//! Tests with slow, failing and changing resolvers.

use std::future::poll_fn;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;

use mycelium_core::wait::WaitStrategy;

use super::*;

fn block_on<F: Future>(future: F) -> F::Output {
    crate::wait::block_on(future, WaitStrategy::Park)
}

fn resolver() -> &'static Resolver {
    Box::leak(Box::new(Resolver { pending: Mutex::default() }))
}

/// A lookup that answers when the test tells it to, and reports its start.
struct Server {
    begun: Receiver<()>,
    answer: Sender<io::Result<Vec<SocketAddr>>>,
}

impl Server {
    fn new() -> (Server, impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static) {
        let ((begin, begun), (answer, answers)) = (channel(), channel());
        let look_up = move |_: &str| {
            begin.send(()).unwrap();
            answers.recv().unwrap()
        };
        (Server { begun, answer }, look_up)
    }
}

/// Returns an error: this lookup must not run, because another one is open.
fn second(_: &str) -> io::Result<Vec<SocketAddr>> {
    Err(io::Error::other("a second lookup"))
}

fn addresses(last: u8) -> Vec<SocketAddr> {
    vec![SocketAddr::from(([127, 0, 0, last], 7400))]
}

/// Polls once. Returns whether the lookup is pending.
fn is_pending(resolving: &mut Resolving) -> bool {
    block_on(poll_fn(|context| Poll::Ready(Pin::new(&mut *resolving).poll(context).is_pending())))
}

#[test]
fn attempts_at_one_name_wait_for_one_lookup_and_the_next_one_is_new() {
    let resolver = resolver();
    let (server, look_up) = Server::new();
    let mut first = resolver.resolve("far:7400", look_up).unwrap();
    assert!(is_pending(&mut first));
    server.begun.recv().unwrap();
    let mut others: Vec<Resolving> =
        (0..100).map(|_| resolver.resolve("far:7400", second).unwrap()).collect();
    assert!(others.iter_mut().all(is_pending));
    // A lookup of another name does not wait for this one.
    let near = resolver.resolve("near:7400", |_| Ok(addresses(2))).unwrap();
    assert_eq!(block_on(near).unwrap(), addresses(2));
    server.answer.send(Ok(addresses(1))).unwrap();
    assert_eq!(block_on(first).unwrap(), addresses(1));
    for other in others {
        assert_eq!(block_on(other).unwrap(), addresses(1));
    }
    // The name has a new address: no answer is kept.
    let again = resolver.resolve("far:7400", |_| Ok(addresses(3))).unwrap();
    assert_eq!(block_on(again).unwrap(), addresses(3));
}

#[test]
fn a_failure_is_that_of_all_who_wait() {
    let resolver = resolver();
    let (server, look_up) = Server::new();
    let one = resolver.resolve("far:7400", look_up).unwrap();
    let other = resolver.resolve("far:7400", second).unwrap();
    server.answer.send(Err(io::Error::other("no such name"))).unwrap();
    for waiting in [one, other] {
        assert_eq!(block_on(waiting).unwrap_err().to_string(), "no such name");
    }
    // The next attempt is a new lookup.
    let again = resolver.resolve("far:7400", |_| Ok(addresses(1))).unwrap();
    assert_eq!(block_on(again).unwrap(), addresses(1));
}

#[test]
fn attempts_that_are_given_up_leave_nothing_behind() {
    let resolver = resolver();
    let (server, look_up) = Server::new();
    let mut kept = resolver.resolve("far:7400", look_up).unwrap();
    assert!(is_pending(&mut kept));
    for _ in 0..1000 {
        let mut dropped = resolver.resolve("far:7400", second).unwrap();
        assert!(is_pending(&mut dropped));
    }
    assert_eq!(lock(&kept.lookup.0).waiting.len(), 1);
    server.answer.send(Ok(addresses(1))).unwrap();
    assert_eq!(block_on(kept).unwrap(), addresses(1));
    assert!(lock(&resolver.pending).is_empty());
}

#[test]
fn all_addresses_are_tried_and_the_last_error_counts() {
    let refused =
        |address: SocketAddr| async move { Err::<(), _>(io::Error::other(address.to_string())) };
    let error = block_on(connect_first("127.0.0.1:1".to_owned(), refused)).unwrap_err();
    assert_eq!(error.to_string(), "127.0.0.1:1");
    let error = block_on(connect_first("not an address".to_owned(), refused)).unwrap_err();
    assert!(!error.to_string().is_empty());
}
