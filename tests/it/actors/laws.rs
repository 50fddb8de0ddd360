//! Laws of mailboxes and of the supervision of actors, which hold on each executor and on virtual
//! time, with each queue. `laws/mailbox.rs` has order and the outcome of each message,
//! `laws/asks.rs` requests, `laws/ends.rs` how actors end and which others learn of it,
//! `laws/restarts.rs` what a failure changes, `laws/dropped.rs` futures that are dropped at their
//! k-th poll. `laws/storm.rs` has many actors that end at the same time.

mod asks;
mod dropped;
mod ends;
mod mailbox;
mod restarts;
mod storm;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mycelium::actors::{ActorContext, ActorRef, Actors};
use mycelium::channel::Queue;
use mycelium::supervision::Restart;
use mycelium::{Error, Result, actor, message};
use mycelium_executor::conformance::{Paused, Subject};
use mycelium_executor::{Executor, LocalFuture, MakeDedicated, yield_now};
use mycelium_transports::conformance::TestExecutor;
use tokio::sync::oneshot;

use super::keyed_storm::{Reply, cut};
use super::probe::Seen as Diary;
use crate::subjects;

/// Runs laws on all executors; each law is a test.
macro_rules! laws {
    ($($file:ident: $($law:ident)*;)*) => {
        $($(#[test]
        fn $law() {
            let timed = [TestExecutor::of::<Virtual>(), TestExecutor::of::<Moved>()];
            on_each(timed, |executor| Box::pin($file::$law(executor)));
        })*)*
    };
}

laws! {
    mailbox:
        l2_messages_have_one_outcome_and_the_order_of_their_reference
        a_full_mailbox_waits_refuses_or_drops
        control_overtakes_a_full_mailbox
        a_sender_that_waits_for_room_learns_of_the_end;
    asks:
        a_request_has_one_outcome_while_its_actor_dies
        requests_before_during_and_after_the_end
        a_deadline_ends_a_request_that_waits_anywhere;
    ends:
        all_who_wait_for_an_end_agree
        children_end_before_their_parent
        a_watcher_learns_of_an_end_once
        a_link_passes_on_failures_alone
        timers_fire_in_their_order_and_not_early
        failures_of_linked_actors_that_watch_each_other_cross
        a_shutdown_ends_all_that_were_spawned_before_it
        a_shutdown_by_a_deadline_leaves_nothing;
    restarts:
        a_restart_keeps_the_mailbox_and_the_references
        a_pause_is_no_shorter_than_half_of_it_and_ends_with_a_stop
        each_strategy_restarts_its_children
        a_supervisor_that_gives_up_is_restarted_by_its_parent;
    dropped:
        a_tell_or_ask_that_is_dropped_at_its_kth_poll_loses_nothing
        senders_that_give_up_pass_their_wake_on
        a_wait_of_a_handler_that_is_dropped_at_its_kth_poll_harms_no_timer_and_no_request
        a_wait_for_an_end_or_a_shutdown_that_is_dropped_at_its_kth_poll_can_be_repeated;
}

/// Runs a law once for each queue: each kind in core, and the channel of an executor.
macro_rules! for_each_queue {
    ($law:ident($($argument:expr),*)) => {
        $law::<mycelium::channel::Mpsc>($($argument),*).await;
        $law::<mycelium::channel::Mpmc>($($argument),*).await;
        $law::<mycelium::channel::Spsc>($($argument),*).await;
        $law::<mycelium::channel::Stamped>($($argument),*).await;
        $law::<mycelium_tokio::TokioMpsc>($($argument),*).await;
    };
}
use for_each_queue;

/// Virtual time that moves when no task can run.
struct Virtual;

impl Subject for Virtual {
    const NAME: &'static str = "virtual-time";

    fn run(body: MakeDedicated) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        let body = |executor: mycelium_tokio::Tokio| body(Arc::new(executor));
        runtime.block_on(mycelium_tokio::local(body)).unwrap();
    }
}

/// The paused time of another executor, moved by a thread.
struct Moved;

impl Subject for Moved {
    const NAME: &'static str = "paused-time";

    fn run(body: MakeDedicated) {
        Paused::<Virtual>::run(body);
    }
}

/// How long a law may take on one executor. It is long because machines may be busy.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a law on the executors that users have, and on `others`.
pub(crate) fn on_each(
    others: impl IntoIterator<Item = TestExecutor>,
    law: fn(Arc<dyn Executor>) -> LocalFuture<()>,
) {
    // The laws provoke thousands of failures, so their log lines are discarded.
    let _ = tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::default());
    let all = subjects::adapters().into_iter().chain(subjects::without_network());
    for executor in all.chain(others) {
        let (name, (done, finished)) = (executor.name, channel());
        let thread = std::thread::spawn(move || {
            executor.run(law);
            let _ = done.send(());
        });
        match finished.recv_timeout(LIMIT) {
            Err(RecvTimeoutError::Timeout) => panic!("the law hangs on {name}"),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                assert!(thread.join().is_ok(), "the law is broken on {name}");
            }
        }
    }
}

/// Runs a future as a separate task, and waits for its output.
fn task<F: Future<Output: Send> + Send + 'static>(
    executor: &Arc<dyn Executor>,
    future: F,
) -> impl Future<Output = F::Output> + use<F> {
    let (done, output) = oneshot::channel();
    let task = async move {
        let _ = done.send(future.await);
    };
    executor.spawn(Box::pin(task)).unwrap();
    async { output.await.expect("the task has not panicked") }
}

/// Waits until a condition holds.
async fn until(executor: &Arc<dyn Executor>, mut holds: impl FnMut() -> bool) {
    while !holds() {
        executor.sleep_until(executor.now() + Duration::from_millis(1)).await;
    }
}

/// Restarts without limit and pause: messages are on their way during restarts.
const AT_ONCE: Restart = Restart {
    limit: u32::MAX,
    window: Duration::from_secs(60),
    backoff: Duration::ZERO,
    longest: Duration::ZERO,
};

impl Diary {
    fn all(&self) -> String {
        self.0.lock().unwrap().join(" ")
    }

    /// Waits until exactly these notes were added since the last call.
    pub(crate) async fn has(&self, executor: &Arc<dyn Executor>, expected: &str) {
        // A note that does not fit ends the wait, and fails.
        let is_decided = |all: &str| all == expected || !expected.starts_with(all);
        until(executor, || is_decided(&self.all())).await;
        assert_eq!(self.take(), expected, "{}", executor.name());
    }
}

/// What the actors and senders of a law record.
#[derive(Default)]
struct Book {
    is_busy: AtomicBool,
    handled: AtomicU64,
    /// Tokens that no handler got, including those returned to their sender.
    unhandled: AtomicU64,
    /// The last number of each sender.
    last: Mutex<BTreeMap<u64, u64>>,
    /// The numbers of requests, in the order in which they were handled.
    asked: Mutex<Vec<u64>>,
    /// Broken laws. Handlers record them here, because a panic would only fail their actor.
    broken: Mutex<Vec<String>>,
}

impl Book {
    fn handled(&self) -> u64 {
        self.handled.load(Ordering::SeqCst)
    }

    fn unhandled(&self) -> u64 {
        self.unhandled.load(Ordering::SeqCst)
    }

    fn check(&self) {
        assert_eq!(*self.broken.lock().unwrap(), Vec::<String>::new());
    }
}

/// Counts on drop whether its message was handled.
struct Token {
    was_handled: bool,
    book: Arc<Book>,
}

impl Drop for Token {
    fn drop(&mut self) {
        let count = if self.was_handled { &self.book.handled } else { &self.book.unhandled };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

/// The n-th message of a sender.
struct Entry {
    from: u64,
    number: u64,
    act: Act,
    token: Token,
}

/// What the handler of a message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Nothing,
    /// Lets others run.
    Yield,
    Fail,
    Panic,
}

impl Act {
    fn of(number: u64) -> Act {
        match number % 16 {
            3 | 11 => Act::Yield,
            7 => Act::Fail,
            13 => Act::Panic,
            _ => Act::Nothing,
        }
    }
}

fn entry(book: &Arc<Book>, from: u64, number: u64) -> Entry {
    let token = Token { was_handled: false, book: book.clone() };
    Entry { from, number, act: Act::of(number), token }
}

#[message(topic = "law.asks", id = 930, reply = Reply)]
#[derive(Debug, PartialEq)]
struct Ask {
    number: u64,
}

/// Records each handled token in the book.
struct Clerk {
    book: Arc<Book>,
}

/// Checks that only one handler runs at a time.
struct Busy<'a>(&'a Book);

impl<'a> Busy<'a> {
    fn begin(book: &'a Book) -> Busy<'a> {
        if book.is_busy.swap(true, Ordering::SeqCst) {
            book.broken.lock().unwrap().push("two handlers run at a time".to_owned());
        }
        Busy(book)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.is_busy.store(false, Ordering::SeqCst);
    }
}

impl Clerk {
    async fn act(&self, act: Act) -> Result<()> {
        match act {
            Act::Nothing => {}
            Act::Yield => yield_now().await,
            Act::Fail => return Err(Error::msg("told to fail")),
            // Does not run the panic hook, so nothing is printed.
            Act::Panic => std::panic::resume_unwind(Box::new("told to panic")),
        }
        Ok(())
    }
}

#[actor(send)]
impl Clerk {
    #[tell]
    async fn entry(&mut self, mut entry: Entry) -> Result<()> {
        let busy = Busy::begin(&self.book);
        entry.token.was_handled = true;
        let before = self.book.last.lock().unwrap().insert(entry.from, entry.number);
        if let Some(before) = before.filter(|before| *before >= entry.number) {
            let text = format!("{} of sender {} follows {before}", entry.number, entry.from);
            self.book.broken.lock().unwrap().push(text);
        }
        let acted = self.act(entry.act).await;
        drop(busy);
        acted
    }

    /// Waits until the sender of the gate sends or is dropped.
    #[tell]
    async fn hold(&mut self, gate: oneshot::Receiver<()>) {
        let _busy = Busy::begin(&self.book);
        // Dropping the sender opens the gate, too.
        drop(gate.await);
    }

    #[remote]
    async fn answer(&mut self, ask: Ask, ctx: &mut ActorContext<Self>) -> Result<Reply> {
        let _busy = Busy::begin(&self.book);
        self.book.asked.lock().unwrap().push(ask.number);
        if ask.number % 4 == 1 {
            ctx.sleep(Duration::from_millis(1)).await?;
        }
        self.act(Act::of(ask.number)).await?;
        Ok(Reply { number: ask.number })
    }
}

/// Returns `count` references to the actor `clerk`, or one if its queue has one sender.
fn references<Q: Queue>(
    actor: ActorRef<Clerk, Q>,
    actors: &Actors,
    count: usize,
) -> Vec<ActorRef<Clerk, Q>> {
    let others = (1..count).map_while(|_| actors.by_name_and_queue("clerk").ok());
    std::iter::once(actor).chain(others).collect()
}

fn clerk(book: &Arc<Book>) -> impl FnMut() -> Clerk + Send + use<> + 'static {
    let book = book.clone();
    move || Clerk { book: book.clone() }
}
