//! Calls of an actor's methods: any values move in and out, and each call has one outcome.

use std::fs::File;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::FutureExt;
use mycelium::actors::{ActorContext, ActorRef, Actors, CallError, OnError, WhenFull};
use mycelium::channel::Spsc;
use mycelium::error::Code;
use mycelium::requests::Taken;
use mycelium::supervision::Restart;
use mycelium::testing::{TestActor, TestActors, any};
use mycelium::{Error, Result, actor};
use mycelium_tokio::Tokio;
use tokio::sync::oneshot;

struct Deposit(u64);

#[derive(Default)]
struct Bank {
    cents: u64,
    files: Vec<File>,
    results: Option<mpsc::Receiver<u64>>,
}

#[actor]
impl Bank {
    const LIMIT: u64 = 1_000;

    fn new(cents: u64) -> Bank {
        Bank { cents, ..Bank::default() }
    }

    fn cents(&self) -> u64 {
        self.cents
    }

    fn deposit(&mut self, Deposit(cents): Deposit, times: u64) -> Self {
        self.cents += cents * times;
        Self::new(self.cents)
    }

    /// The error of a file is the reply, and no failure of the actor.
    fn open(&mut self, file: File) -> io::Result<u64> {
        let length = file.metadata()?.len();
        if length > 1 << 30 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.files.push(file);
        Ok(length)
    }

    fn close(&mut self) -> Option<File> {
        self.files.pop()
    }

    fn change(
        &mut self,
        change: Box<dyn FnOnce(u64) -> u64 + Send>,
    ) -> std::result::Result<u64, Deposit> {
        let cents = change(self.cents);
        if cents > Self::LIMIT {
            return Err(Deposit(cents));
        }
        self.cents = cents;
        Ok(cents)
    }

    /// Neither the parameter nor the reply is `Clone` or `Sync`.
    fn exchange(&mut self, results: mpsc::Receiver<u64>) -> Option<mpsc::Receiver<u64>> {
        self.results.replace(results)
    }

    /// The name `Result` may be any path: the type is what counts.
    async fn check(&mut self, most: u64, ctx: &mut ActorContext<Self>) -> mycelium::Result<u64> {
        ctx.sleep(Duration::ZERO).await?;
        match self.cents <= most {
            true => Ok(self.cents),
            false => Err(Error::msg("too many cents")),
        }
    }

    fn panics(&mut self) {
        panic!("told to panic");
    }

    #[cfg(any())]
    fn never(&mut self, _: OfNoCrate) {}

    async fn waits(&mut self, until: oneshot::Receiver<()>) -> u64 {
        let _ = until.await;
        self.cents += 1;
        self.cents
    }

    fn on_error(&mut self, error: &Error) -> OnError {
        if error.to_string().contains("cents") { OnError::Continue } else { OnError::Restart }
    }
}

fn actors() -> Actors {
    Actors::on(Tokio::current().unwrap())
}

fn bank() -> ActorRef<Bank> {
    actors().spawn(|| Bank::new(5)).unwrap()
}

#[tokio::test]
async fn any_values_move_in_and_out() {
    let mut bank = bank();
    assert_eq!(bank.cents().await, Ok(5));
    assert_eq!(bank.deposit(Deposit(2), 3).await.unwrap().cents, 11);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let length = bank.open(File::open(&path).unwrap()).await.unwrap().unwrap();
    assert_eq!(bank.close().await.unwrap().unwrap().metadata().unwrap().len(), length);
    let more = 4;
    assert_eq!(bank.change(Box::new(move |cents| cents + more)).await.unwrap().ok(), Some(15));
    let refused = bank.change(Box::new(|_| Bank::LIMIT + 1)).await.unwrap();
    assert_eq!(refused.err().unwrap().0, 1_001);
    let (sender, receiver) = mpsc::channel();
    assert!(bank.exchange(receiver).await.unwrap().is_none());
    sender.send(7).unwrap();
    let first = bank.exchange(mpsc::channel().1).await.unwrap().unwrap();
    assert_eq!(first.recv(), Ok(7));
    // Several calls of a reference are open at a time, and are handled in their order.
    let calls = (bank.deposit(Deposit(1), 1), bank.cents(), bank.deposit(Deposit(1), 1));
    let (one, two, three) = tokio::join!(calls.2, calls.1, calls.0);
    assert_eq!((three.unwrap().cents, two, one.unwrap().cents), (16, Ok(16), 17));
}

#[tokio::test]
async fn an_error_of_another_type_is_a_reply_and_that_of_mycelium_a_failure() {
    let actors = TestActors::new();
    let mut bank = actors.spawn(|| Bank::new(5));
    let directory = File::open(env!("CARGO_MANIFEST_DIR")).unwrap();
    let refused = bank.call(|bank| bank.change(Box::new(|_| 2_000))).unwrap();
    assert!(refused.is_err() && bank.call(|bank| bank.open(directory)).is_ok());
    assert_eq!((bank.restarts(), bank.call(|bank| bank.cents())), (0, Ok(5)));
    let mut bank = bank.supervised();
    assert_eq!(bank.call(|bank| bank.check(5)), Ok(5));
    let failed = bank.call(|bank| bank.check(4)).unwrap_err();
    assert!(matches!(failed, CallError::HandlerFailed { call: "Bank.check", .. }), "{failed}");
    assert_eq!((failed.taken(), failed.code()), (Taken::Yes, Code::REQUEST_FAILED));
    assert_eq!(
        failed.to_string(),
        format!(
            "call `Bank.check` of actor `{}` has no reply: the actor has taken it, and failed \
             [M0253]",
            bank.label()
        )
    );
    let [failure] = &bank.set().failures()[..] else { panic!("one failure") };
    assert!(failure.ignored && failure.error.contains("too many cents"), "{failure}");
}

#[tokio::test]
async fn a_panic_fails_the_call_and_restarts_the_actor() {
    let mut bank = TestActor::new(|| Bank::new(5)).supervised();
    bank.call(|bank| bank.deposit(Deposit(1), 1)).unwrap();
    let mut panics = bank.start_call(|bank| bank.panics());
    let failed = panics.outcome().unwrap().unwrap_err();
    assert!(matches!(failed, CallError::HandlerFailed { .. }), "{failed}");
    bank.advance(Duration::from_secs(60));
    assert_eq!((bank.restarts(), bank.call(|bank| bank.cents())), (1, Ok(5)));
}

#[tokio::test]
async fn a_dropped_call_runs_only_if_it_was_taken() {
    let mut bank = bank();
    drop(bank.deposit(Deposit(1), 1));
    assert_eq!(bank.cents().await, Ok(5), "it was not taken");
    let (release, until) = oneshot::channel();
    let mut waits = bank.waits(until);
    assert!((&mut waits).now_or_never().is_none());
    tokio::task::yield_now().await;
    drop(waits);
    release.send(()).unwrap();
    assert_eq!(bank.cents().await, Ok(6), "it was taken");
}

/// A reply that is there when its future is dropped is dropped with it.
#[tokio::test]
async fn a_reply_that_nobody_takes_is_dropped() {
    let mut bank = bank();
    let [one, two, three] = [(); 3].map(|()| mpsc::channel());
    for (receiver, told) in [(one.1, false), (two.1, false), (three.1, true)] {
        let exchange = bank.exchange(receiver);
        match told {
            true => exchange.tell().await.unwrap(),
            false => {
                // The reply comes, and nobody looks.
                bank.cents().await.unwrap();
                drop(exchange);
            }
        }
    }
    bank.cents().await.unwrap();
    assert_eq!((one.0.send(1), two.0.send(1)), (Err(mpsc::SendError(1)), Err(mpsc::SendError(1))));
    assert_eq!(three.0.send(1), Ok(()), "the actor has this one");
}

#[tokio::test]
async fn a_deadline_says_whether_the_call_was_taken() {
    let mut bank = TestActor::new(|| Bank::new(5));
    let (release, until) = oneshot::channel();
    let second = Duration::from_secs(1);
    let mut taken = bank.start_call(|bank| bank.waits(until).within(second));
    let mut waiting = bank.start_call(|bank| bank.deposit(Deposit(1), 1).within(second));
    bank.advance(second);
    let (taken, waiting) = (taken.outcome().unwrap(), waiting.outcome().unwrap());
    let taken = taken.unwrap_err();
    let waiting = waiting.err().unwrap();
    assert_eq!((taken.taken(), waiting.taken()), (Taken::Yes, Taken::No));
    assert!(matches!(&waiting, CallError::Deadline { within, .. } if *within == second));
    assert_eq!(waiting.actor(), &*bank.label());
    release.send(()).unwrap();
    assert_eq!(bank.call(|bank| bank.cents()), Ok(6), "the second call has not run");
}

/// Fills a mailbox of two, behind a call that waits.
async fn full(when_full: WhenFull) -> (ActorRef<Bank>, oneshot::Sender<()>) {
    let builder = actors().actor(|| Bank::new(0));
    let mut bank = builder.capacity(2).when_full(when_full).spawn().unwrap();
    let (release, until) = oneshot::channel();
    bank.waits(until).tell().await.unwrap();
    tokio::task::yield_now().await;
    for _ in 0..2 {
        bank.deposit(Deposit(10), 1).tell().now_or_never().expect("there is room").unwrap();
    }
    (bank, release)
}

#[tokio::test]
async fn a_full_mailbox_does_what_when_full_says() {
    let (mut bank, release) = full(WhenFull::Wait).await;
    let mut call = bank.deposit(Deposit(100), 1);
    let mut told = Box::pin(bank.deposit(Deposit(1_000), 1).tell());
    let dropped = bank.deposit(Deposit(10_000), 1).tell();
    assert!((&mut call).now_or_never().is_none() && (&mut told).now_or_never().is_none());
    drop(dropped);
    release.send(()).unwrap();
    let (called, told) = tokio::join!(call, told);
    assert!(called.is_ok() && told.is_ok());
    assert_eq!(bank.cents().await, Ok(1_121));

    for (when_full, told) in [(WhenFull::Refuse, false), (WhenFull::DropNewest, true)] {
        let (mut bank, release) = full(when_full).await;
        let refused = bank.cents().await.unwrap_err();
        assert!(matches!(refused, CallError::Refused { call: "Bank.cents", .. }), "{refused}");
        assert_eq!(refused.taken(), Taken::No);
        assert_eq!(bank.deposit(Deposit(100), 1).tell().await.is_ok(), told);
        release.send(()).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(bank.cents().await, Ok(21));
    }
}

#[tokio::test]
async fn a_call_of_an_actor_that_has_ended_is_gone() {
    let mut bank = bank();
    let waiting = bank.deposit(Deposit(1), 1);
    bank.stop();
    bank.ended().await;
    let gone = waiting.await.err().unwrap();
    assert!(matches!(gone, CallError::Gone { call: "Bank.deposit", .. }), "{gone}");
    let later = bank.cents().tell().await.unwrap_err();
    assert!(matches!(later, CallError::Gone { call: "Bank.cents", .. }), "{later}");
    assert_eq!((gone.taken(), gone.actor()), (Taken::No, &*bank.label()));
}

#[tokio::test]
async fn a_told_call_runs_or_is_dead_mail() {
    let actors = TestActors::new();
    let mut bank = actors.spawn_as(|| Bank::new(5), |bank| bank.queue::<Spsc>());
    let told = bank.reference().deposit(Deposit(1), 2).tell().now_or_never();
    assert_eq!((told, bank.call(|bank| bank.cents())), (Some(Ok(())), Ok(7)));
    bank.reference().stop();
    let told = bank.reference().deposit(Deposit(3), 1).tell().now_or_never();
    assert_eq!(told, Some(Ok(())), "it is in the mailbox");
    let asked = bank.reference().cents();
    bank.stop();
    let [dead] = &actors.dead_mail()[..] else { panic!("one call was told") };
    assert_eq!(dead.message_type, "Bank.deposit");
    assert!(asked.now_or_never().unwrap().is_err());
}

/// A told call is handled, or it is dead mail, or its `tell` fails; also if its actor ends meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_calls_are_not_lost_while_their_actor_ends() {
    for _ in 0..if cfg!(miri) { 3 } else { 200 } {
        let [handled, dead] = [(); 2].map(|()| Arc::<AtomicU64>::default());
        let (actors, count) = (actors(), dead.clone());
        actors.on_dead_mail(move |_| _ = count.fetch_add(1, Ordering::Relaxed));
        let count = handled.clone();
        let mut counts = actors.actor(move || Counts(count.clone())).capacity(4).spawn().unwrap();
        let stops = counts.clone();
        let told = tokio::spawn(async move {
            let mut told = 0;
            while counts.count().tell().await.is_ok() {
                told += 1;
            }
            told
        });
        while handled.load(Ordering::Relaxed) < 10 {
            tokio::task::yield_now().await;
        }
        stops.stop();
        stops.ended().await;
        let told: u64 = told.await.unwrap();
        let (handled, dead) = (handled.load(Ordering::Relaxed), dead.load(Ordering::Relaxed));
        assert!(handled <= told && told <= handled + dead, "{handled} + {dead} of {told}");
    }
}

struct Counts(Arc<AtomicU64>);

#[actor]
impl Counts {
    fn count(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The macro refuses the names of all methods of references.
#[test]
fn no_call_has_the_name_of_a_method_of_its_reference() {
    let refused = include_str!("../../../core/macros/src/actor/shape.rs");
    for file in [
        include_str!("../../../src/actor/reference.rs"),
        include_str!("../../../src/actor/remote.rs"),
    ] {
        let methods =
            file.lines().filter_map(|line| line.strip_prefix("    pub ")?.split_once("fn "));
        for (_, method) in methods.filter(|(_, method)| method.contains("self")) {
            let name = method.split(['(', '<']).next().unwrap();
            // Methods of other types in these files.
            if !["call", "remote", "upgrade", "within"].contains(&name) {
                assert!(refused.contains(&format!("\"{name}\"")), "{name}");
            }
        }
    }
}

/// Actors whose calls other modules use: a call is as visible as its method.
mod of_others {
    use mycelium::actor;

    #[derive(Default)]
    pub(super) struct Till(u64);

    /// Only this module can make one.
    pub(super) struct Coin(u64);

    #[actor]
    impl Till {
        pub(super) fn put(&mut self, coin: Coin) -> u64 {
            self.0 += coin.0;
            self.0
        }

        #[expect(clippy::needless_arbitrary_self_type, reason = "this is a call, too")]
        pub(super) fn coin(self: &Self) -> Coin {
            Coin(self.0)
        }
    }
}

#[tokio::test]
async fn a_call_is_as_visible_as_its_method() {
    let mut till: ActorRef<of_others::Till> =
        actors().spawn(of_others::Till::default).expect("nothing limits it");
    let coin = till.coin().await.unwrap();
    assert_eq!(till.put(coin).within(Duration::from_secs(9)).await.unwrap(), 0);
    let coin = till.coin().await.unwrap();
    till.put(coin).tell().await.unwrap();
}

/// An actor that stays on its thread, and a generic one.
struct Local(Rc<u64>);

#[actor]
impl Local {
    async fn number(&mut self, more: u64) -> u64 {
        tokio::task::yield_now().await;
        *self.0 + more
    }
}

struct Stack<T>(Vec<T>);

#[actor(send)]
impl<T: Send + 'static> Stack<T> {
    fn push(&mut self, item: T) -> usize {
        self.0.push(item);
        self.0.len()
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// As `Result` is that of mycelium, an error fails the actor.
    fn first(&mut self) -> Result<T> {
        self.0.pop().ok_or_else(|| Error::msg("empty"))
    }

    fn all(&mut self, least: usize) -> std::result::Result<Vec<T>, usize> {
        if self.0.len() < least { Err(self.0.len()) } else { Ok(std::mem::take(&mut self.0)) }
    }
}

#[tokio::test]
async fn actors_that_stay_on_a_thread_and_generic_ones_are_called() {
    let ran = mycelium_tokio::local(async |executor| {
        let mut local = Actors::on(executor).spawn(|| Local(Rc::new(7))).unwrap();
        assert_eq!(local.number(1).await, Ok(8));
    });
    ran.await.unwrap();
    let stack = actors().actor(|| Stack(Vec::new())).temporary().spawn();
    let mut stack: ActorRef<Stack<Box<u64>>> = stack.unwrap();
    assert_eq!((stack.push(Box::new(1)).await, stack.push(Box::new(2)).await), (Ok(1), Ok(2)));
    assert_eq!(stack.pop().await, Ok(Some(Box::new(2))));
    assert_eq!(stack.all(5).await, Ok(Err(1)));
    assert_eq!(stack.first().await, Ok(Box::new(1)));
    assert!(matches!(stack.first().await, Err(CallError::HandlerFailed { .. })));
    assert!(stack.ended().await.is_failure());
}

/// An actor that calls another one.
struct Clerk(ActorRef<Bank>);

#[actor]
impl Clerk {
    async fn twice(&mut self, ctx: &mut ActorContext<Self>) -> Result<u64> {
        Ok(ctx.ask(self.0.cents()).await? + self.0.cents().await?)
    }
}

#[tokio::test]
async fn a_mock_gets_the_values_of_calls_and_replies() {
    let actors = TestActors::new();
    let bank = actors.mock::<Bank>();
    let reference = bank.reference();
    let mut clerk = actors.spawn(move || Clerk(reference.clone()));
    let mut twice = clerk.start_call(|clerk| clerk.twice());
    for cents in [3, 4] {
        let (call, ()) = bank.called(|bank| bank.cents()).expect("the clerk calls");
        assert!(call.reply(cents));
        assert_eq!(twice.outcome(), (cents == 4).then_some(Ok(7)));
    }
    bank.reference().deposit(Deposit(5), 2).tell().await.unwrap();
    assert!(bank.called(|bank| bank.check(any())).is_none());
    let (call, (Deposit(cents), times)) = bank.called(|it| it.deposit(any(), any())).unwrap();
    assert_eq!((cents, times, call.requester()), (5, 2, &*bank.reference().label()));
    assert_eq!(bank.waiting(), 0);
}

/// With restarts that pause, a call in the mailbox waits for the next run.
#[tokio::test]
async fn a_call_in_the_mailbox_outlives_a_restart() {
    let restart = Restart { backoff: Duration::ZERO, ..Restart::default() };
    let mut bank = actors().actor(|| Bank::new(5)).restart(restart).spawn().unwrap();
    let (panics, cents) = (bank.panics(), bank.cents());
    assert_eq!((panics.await.is_err(), cents.await), (true, Ok(5)));
}

/// Names that the macro's own items have, or that differ in an underscore.
#[derive(Default)]
struct Named;

#[actor]
impl Named {
    fn mail(&mut self, call: u64) -> u64 {
        call
    }

    fn slots(&mut self) {}

    fn calls(&mut self) {}

    fn queue(&mut self, asked: u64, number: u64) -> u64 {
        asked + number
    }

    fn a1(&mut self) -> u8 {
        1
    }

    fn a_1(&mut self) -> u8 {
        2
    }
}

#[test]
fn a_call_may_have_any_name() {
    let mut named = TestActor::new(Named::default);
    assert_eq!(named.call(|named| named.mail(3)), Ok(3));
    assert_eq!(named.call(|named| named.slots()), Ok(()));
    assert_eq!(named.call(|named| named.calls()), Ok(()));
    assert_eq!(named.call(|named| named.queue(1, 2)), Ok(3));
    assert_eq!(named.call(|named| named.a1()), Ok(1));
    assert_eq!(named.call(|named| named.a_1()), Ok(2));
}

/// Panics when it is dropped.
#[cfg(feature = "metrics")]
struct Bomb;

#[cfg(feature = "metrics")]
impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a reply that is dropped");
    }
}

#[cfg(feature = "metrics")]
struct Bomber;

#[cfg(feature = "metrics")]
#[actor]
impl Bomber {
    fn bomb(&mut self) -> Bomb {
        Bomb
    }
}

#[cfg(feature = "metrics")]
#[tokio::test]
async fn a_dropped_call_is_counted_even_if_the_drop_of_its_reply_panics() {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use mycelium::counters::Kind;

    use crate::running::sum;

    let actors = actors();
    let mut bomber = actors.spawn(|| Bomber).unwrap();
    let call = bomber.bomb();
    while sum(&actors.counters(), Kind::Responder, "replied") == 0 {
        tokio::task::yield_now().await;
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(call))).is_err());
    assert_eq!(sum(&actors.counters(), Kind::Requester, "cancelled"), 1);
}
