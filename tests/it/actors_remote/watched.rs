//! Watchers of an actor of another node learn of its end.

use mycelium::actors::ActorEnd;
use mycelium::requests::RequestError;

use super::*;
use crate::running::Says;

/// Waits until earlier watches are known to the other node: a later one has its reply.
pub(super) async fn watches_are_open(desk: &Running) {
    let (_other, mut nobody) = watch(&desk.actors(), &["vault/nobody"]);
    assert_eq!(next(&mut nobody).await.1, ActorEnd::NotFound);
}

pub(super) async fn next(ends: &mut Ends) -> (String, ActorEnd) {
    let gone = within(ends.recv()).await.expect("the watcher lives");
    (gone.actor.to_string(), gone.end)
}

#[tokio::test]
async fn an_actor_that_ends_is_gone_for_those_who_watch_it() {
    let pair = Pair::new("ends", "unix");
    let (bank, mut remote) = pair.bank("bank");
    let (failing, mut of_failing) = pair.bank("failing");
    let addresses = ["vault/bank", "vault/failing", "vault/nobody"];
    let (watcher, mut ends) = watch(&pair.desk.actors(), &addresses);
    assert_eq!(next(&mut ends).await, ("vault/nobody".to_owned(), ActorEnd::NotFound));
    let (of_bank, also) = (remote.ended(), remote.ended());
    // Each watch is open: a later request has its reply.
    drop(also);
    assert_eq!(within(remote.ask(Deposit { cents: 1 })).await, Ok(Total { cents: 1 }));
    assert_eq!(within(remote.ask(Deposit { cents: STOP })).await, Ok(Total { cents: 1 }));
    assert_eq!(next(&mut ends).await, ("vault/bank".to_owned(), ActorEnd::Stopped));
    let of_bank = within(of_bank).await;
    assert!([ActorEnd::Stopped, ActorEnd::NotFound].contains(&of_bank), "{of_bank}");
    drop(bank);
    // A restart is not an end; the failure that exceeds the limit is.
    let failed = Err(RequestError::HandlerFailed { actor: Some(of_failing.label()) });
    while within(of_failing.ask(Deposit { cents: PANIC })).await == failed {}
    let (actor, end) = next(&mut ends).await;
    assert_eq!(actor, "vault/failing");
    let ActorEnd::Failed { error } = end else { panic!("{end}") };
    assert!(error.contains("told to panic"), "{error}");
    assert!(failing.is_gone());
    // The watcher was told of each end once.
    assert!(ends.try_recv().is_err());
    watcher.stop();
    pair.end().await;
}

/// Opens as many watches as may be open: half of the capacity of their topic.
#[tokio::test]
async fn a_watch_beyond_the_limit_ends_at_once() {
    let pair = Pair::new("beyond", "unix");
    let (bank, remote) = pair.bank("bank");
    let mut open: Vec<_> = (0..8).map(|_| Box::pin(remote.ended())).collect();
    for ended in &mut open {
        assert!(futures_util::poll!(ended).is_pending());
    }
    let limit = ActorEnd::TooManyWatches { node: "vault".into(), limit: 8 };
    assert_eq!(within(remote.ended()).await, limit);
    limit.says(
        "it is not watched: this node watches 8 actors of node `vault`, which is half of the \
         capacity of topic `watches@vault`",
    );
    let (_watcher, mut ends) = watch(&pair.desk.actors(), &["vault/bank"]);
    assert_eq!(next(&mut ends).await, ("vault/bank".to_owned(), limit));
    // Each dropped watch makes room for a new one.
    open.truncate(7);
    let (_again, mut ends) = watch(&pair.desk.actors(), &["vault/bank"]);
    bank.stop();
    // A watch that arrives after the end reports that there is no such actor.
    let mut known = vec![next(&mut ends).await.1];
    for ended in open {
        known.push(within(ended).await);
    }
    let is_end = |end: &ActorEnd| [ActorEnd::Stopped, ActorEnd::NotFound].contains(end);
    assert!(known.iter().all(is_end), "{known:?}");
    pair.end().await;
}

/// An open watch delays the end of neither node.
#[tokio::test]
async fn a_node_with_open_watches_ends_at_once() {
    let pair = Pair::new("open", "unix");
    let (_bank, remote) = pair.bank("bank");
    let (watcher, mut ends) = watch(&pair.desk.actors(), &["vault/bank"]);
    watches_are_open(&pair.desk).await;
    let ended = remote.ended();
    drop(watcher);
    let report = within(end(pair.desk)).await;
    assert!(report.services.iter().all(|it| it.outcome == mycelium::observe::Outcome::Completed));
    assert_eq!(within(ended).await, ActorEnd::Unreachable);
    drop(ends.try_recv());
    end(pair.vault).await;
}
