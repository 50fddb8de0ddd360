//! Requests to actors of another node: each has one outcome.

use std::time::Duration;

use futures_util::future::join_all;
use mycelium::actor;
use mycelium::actors::{ActorEnd, RemoteActorError, WhenFull};
use mycelium::channel::Spsc;
use mycelium::requests::{Mismatch, RequestError, Taken};

use super::watched::{next, watches_are_open};
use super::*;
use crate::running::{Says, until};
use crate::support::TRANSPORTS;

async fn asks(transport: &str) {
    let pair = Pair::new("asks", transport);
    let gate = start("gate", &pair.topology);
    let (mut local, mut remote) = pair.bank("bank");
    let mut of_gate = gate.actors().remote::<Bank>("vault/bank").unwrap();
    assert_eq!(within(remote.ask(Deposit { cents: 1 })).await, Ok(Total { cents: 1 }));
    assert_eq!(within(of_gate.ask(Deposit { cents: 2 })).await, Ok(Total { cents: 3 }));
    // More requests than may be open, from two nodes, by several references.
    let mut others: Vec<_> = (0..4).map(|_| remote.clone()).collect();
    others.push(of_gate);
    let asks = others.iter_mut().flat_map(|it| {
        let asks = (0..50).map(|_| it.ask(Deposit { cents: 1 }));
        asks.collect::<Vec<_>>()
    });
    let replies = within(join_all(asks.collect::<Vec<_>>())).await;
    let mut totals: Vec<u64> = replies.into_iter().map(|reply| reply.unwrap().cents).collect();
    totals.sort_unstable();
    // Each request was handled once, and has its own reply.
    assert!(totals.into_iter().eq(4..=253));
    // An actor of this node can be asked as before.
    assert_eq!(local.ask(Deposit { cents: 0 }).await, Ok(Total { cents: 253 }));
    end(gate).await;
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_of_another_node_are_asked_over_each_carrier() {
    for transport in TRANSPORTS {
        asks(transport).await;
    }
    asks("tcp").await;
}

/// An actor that handles no deposits.
#[derive(Default)]
struct Door;

#[actor]
impl Door {
    #[remote]
    fn close(&mut self, close: Close) -> Total {
        Total { cents: close._cents }
    }
}

/// An actor that takes deposits of its own process only.
struct Safe;

#[actor]
impl Safe {
    fn deposit(&mut self, deposit: Deposit) -> Total {
        Total { cents: deposit.cents }
    }
}

#[tokio::test]
async fn an_actor_that_cannot_answer_is_a_typed_error() {
    let pair = Pair::new("cannot", "unix");
    let nobody = within(pair.remote("nobody").ask(Deposit { cents: 1 })).await.unwrap_err();
    nobody.says(
        "request `deposits` to actor `vault/nobody` has no reply: no actor has the name [M0256]",
    );
    assert!(matches!(nobody, RequestError::NotFound { .. }));
    assert_eq!(nobody.taken(), Taken::No);

    let mut door = pair.vault.actors().actor(Door::default).name("door").spawn().unwrap();
    let other = within(pair.remote("door").ask(Deposit { cents: 1 })).await.unwrap_err();
    assert_eq!(other.taken(), Taken::No);
    let (mismatch, actor) = (Mismatch::Request, Some("vault/door".into()));
    assert_eq!(other, RequestError::Mismatch { mismatch, taken: Taken::No, actor });
    // This type handles the request.
    let mut typed = pair.desk.actors().remote::<Door>("vault/door").unwrap();
    assert_eq!(within(typed.ask(Close { _cents: 7 })).await, Ok(Total { cents: 7 }));
    // By the name of the method, too, and to the actor of its own node.
    assert_eq!(within(typed.close(Close { _cents: 8 })).await, Ok(Total { cents: 8 }));
    assert_eq!(door.close(Close { _cents: 9 }).await, Ok(Total { cents: 9 }));
    drop(door);

    let mut safe = pair.vault.actors().actor(|| Safe).name("safe").spawn().unwrap();
    assert_eq!(safe.deposit(Deposit { cents: 1 }).await, Ok(Total { cents: 1 }));
    let kept = within(pair.remote("safe").deposit(Deposit { cents: 1 })).await.unwrap_err();
    kept.says(
        "request `deposits` to actor `vault/safe` has no reply: the actor does not offer this \
         request to other processes: its method needs `#[remote]` [M0255]",
    );
    assert_eq!(kept.taken(), Taken::No);

    let single = pair.vault.actors().actor(Bank::default).name("single").queue::<Spsc>();
    let mut single = single.spawn().unwrap();
    let refused = within(pair.remote("single").ask(Deposit { cents: 1 })).await;
    let (mismatch, actor) = (Mismatch::OneSender, Some("vault/single".into()));
    assert_eq!(refused, Err(RequestError::Mismatch { mismatch, taken: Taken::No, actor }));
    // The bank's own sender still works.
    assert_eq!(single.ask(Deposit { cents: 1 }).await, Ok(Total { cents: 1 }));
    pair.end().await;
}

#[tokio::test]
async fn a_full_mailbox_refuses_as_it_does_in_its_node() {
    let pair = Pair::new("full", "unix");
    let (sent, mut kept) = unbounded_channel();
    let slow = pair.vault.actors().actor(move || Slow(sent.clone())).name("slow");
    let slow = slow.capacity(2).when_full(WhenFull::Refuse).spawn().unwrap();
    let remote = pair.desk.actors().remote::<Slow>("vault/slow").unwrap();
    let asks: Vec<_> = (0..8).map(|cents| remote.clone().ask(Deposit { cents })).collect();
    // The first request stays in its handler.
    let release: tokio::sync::oneshot::Sender<()> = within(kept.recv()).await.unwrap();
    let mut asks: futures_util::stream::FuturesUnordered<_> = asks.into_iter().collect();
    let first = within(futures_util::StreamExt::next(&mut asks)).await.unwrap().unwrap_err();
    assert_eq!(first.actor(), Some("vault/slow"));
    let RequestError::Refused { request, .. } = first else { panic!("{first}") };
    assert!(request.cents < 8, "it is the request itself");
    // A slow actor holds up no other actor.
    let (_bank, mut other) = pair.bank("bank");
    assert_eq!(within(other.ask(Deposit { cents: 1 })).await, Ok(Total { cents: 1 }));
    drop((release, asks));
    slow.stop();
    pair.end().await;
}

/// Waits in its handler until it is released.
struct Slow(UnboundedSender<tokio::sync::oneshot::Sender<()>>);

#[actor]
impl Slow {
    #[remote]
    async fn deposit(&mut self, deposit: Deposit) -> Result<Total> {
        let (release, released) = tokio::sync::oneshot::channel();
        self.0.send(release)?;
        let _ = released.await;
        Ok(Total { cents: deposit.cents })
    }
}

#[tokio::test]
async fn a_deadline_or_a_drop_ends_the_request_in_both_nodes() {
    let pair = Pair::new("deadline", "unix");
    let (_bank, mut kept) = pair.keeping("bank");
    let mut remote = pair.remote("bank");
    let asked = remote.ask(Deposit { cents: KEEP }).within(Duration::from_millis(50));
    let (late, taken) = within(async { tokio::join!(asked, kept.recv()) }).await;
    let late = late.unwrap_err();
    assert!(matches!(late, RequestError::Deadline { taken: Taken::Unknown, .. }), "{late}");
    // The other node learns that nobody waits for the reply.
    let taken = taken.unwrap();
    until(|| taken.is_cancelled()).await;
    assert!(!taken.reply(Total { cents: 1 }), "nobody waits");
    let asked = remote.ask(Deposit { cents: KEEP });
    let taken = within(kept.recv()).await.unwrap();
    assert!(!taken.is_cancelled());
    drop(asked);
    // Without a deadline, only the cancellation tells the vault. It is sent with the next event of
    // the client.
    within(async {
        while !taken.is_cancelled() {
            let asks = (0..16).map(|_| remote.ask(Deposit { cents: 0 }));
            join_all(asks.collect::<Vec<_>>()).await;
        }
    })
    .await;
    pair.end().await;
}

#[tokio::test]
async fn a_request_of_an_actor_that_ends_has_an_outcome() {
    let pair = Pair::new("ends", "unix");
    let (bank, mut kept) = pair.keeping("bank");
    let mut remote = pair.remote("bank");
    let asked = remote.ask(Deposit { cents: KEEP });
    let taken = within(kept.recv()).await.unwrap();
    // The actor has ended, but its request was taken before and can still be answered.
    bank.stop();
    within(bank.ended()).await;
    taken.reply(Total { cents: 9 });
    assert_eq!(within(asked).await, Ok(Total { cents: 9 }));
    let gone = RequestError::Gone { actor: Some(remote.label()) };
    assert_eq!(within(remote.ask(Deposit { cents: 1 })).await, Err(gone));
    // The next actor of this name answers.
    let (_next, _) = pair.bank("bank");
    assert_eq!(within(remote.ask(Deposit { cents: 1 })).await, Ok(Total { cents: 1 }));
    pair.end().await;
}

/// A request that was taken before a shutdown gets its reply; a later one gets none.
#[tokio::test]
async fn a_node_that_shuts_down_finishes_its_requests() {
    let pair = Pair::new("finishes", "unix");
    let (bank, mut kept) = pair.keeping("bank");
    let mut remote = pair.remote("bank");
    let Pair { desk, vault, topology: _, _directory } = pair;
    let asked = remote.ask(Deposit { cents: KEEP });
    let taken = within(kept.recv()).await.unwrap();
    let (_watcher, mut ends) = watch(&desk.actors(), &["vault/bank"]);
    watches_are_open(&desk).await;
    vault.shutdown();
    taken.reply(Total { cents: 3 });
    let (total, joined) = within(async { tokio::join!(asked, vault.join()) }).await;
    assert_eq!(total, Ok(Total { cents: 3 }));
    joined.unwrap();
    assert!(bank.is_gone());
    // Watchers learn that the node cannot be reached.
    assert_eq!(next(&mut ends).await.1, ActorEnd::Unreachable);
    let late = within(remote.ask(Deposit { cents: 1 })).await.unwrap_err();
    let actor = Some(remote.label());
    assert_eq!(late, RequestError::Unreachable { taken: Taken::No, actor });
    end(desk).await;
}

#[tokio::test]
async fn an_address_that_names_no_actor_that_may_be_asked_is_refused() {
    let pair = Pair::new("addresses", "unix");
    let other = start("other", &pair.topology);
    let error = |node: &Running, address: &str| {
        node.actors().remote::<Bank>(address).map(drop).unwrap_err()
    };
    let long = format!("vault/{}", "x".repeat(63));
    for address in ["bank", "/bank", "vault/", "vault/a b", "vault/a\n", &long] {
        let error = error(&pair.desk, address);
        assert!(matches!(error, RemoteActorError::Address { .. }), "{error}");
    }
    error(&pair.desk, "vaul/bank").begins("unknown node `vaul`: did you mean `vault`?");
    assert!(matches!(error(&pair.vault, "vault/bank"), RemoteActorError::OwnNode { .. }));
    error(&other, "vault/bank").says(
        "node `other` may not ask the actors of node `vault`: add `actors_for = [\"other\"]` to \
         the section of `vault` [M0272]",
    );
    let alone = Actors::on(Tokio::current().unwrap());
    assert_eq!(alone.remote::<Bank>("vault/bank").unwrap_err(), RemoteActorError::NoNode);
    // An actor may have a `/` in its name.
    let (_bank, mut remote) = pair.bank("a/b");
    assert_eq!((remote.node(), remote.name(), &*remote.label()), ("vault", "a/b", "vault/a/b"));
    assert_eq!(within(remote.ask(Deposit { cents: 1 })).await, Ok(Total { cents: 1 }));
    end(other).await;
    pair.end().await;
}

/// The request fails alone: the actor, its node and other requests go on.
#[cfg(feature = "serde")]
#[tokio::test]
async fn a_reply_whose_serialize_panics_is_dropped() {
    use serde::{Deserialize, Serialize, Serializer};

    #[message(topic = "riddles", id = 53, reply = Answer)]
    struct Riddle {
        number: u8,
    }
    #[message(topic = "answers", codec = "postcard", schema = 1)]
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Answer(#[serde(serialize_with = "small")] u8);

    fn small<S: Serializer>(number: &u8, to: S) -> std::result::Result<S::Ok, S::Error> {
        assert!(*number < 10, "told to panic");
        number.serialize(to)
    }

    struct Sphinx;
    #[actor]
    impl Sphinx {
        #[remote]
        fn guess(&mut self, riddle: Riddle) -> Answer {
            Answer(riddle.number)
        }
    }

    let pair = Pair::new("panics", "unix");
    let _sphinx = pair.vault.actors().actor(|| Sphinx).name("sphinx").spawn().unwrap();
    let mut sphinx = pair.desk.actors().remote::<Sphinx>("vault/sphinx").unwrap();
    for _ in 0..12 {
        let dropped = within(sphinx.guess(Riddle { number: 10 })).await.unwrap_err();
        assert!(matches!(dropped, RequestError::HandlerFailed { .. }), "{dropped:?}");
        assert_eq!(within(sphinx.guess(Riddle { number: 9 })).await, Ok(Answer(9)));
    }
    pair.end().await;
}
