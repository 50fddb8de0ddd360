//! Compares actors in paused time with a plain model of them, over random sequences of calls. After
//! each call, handled messages, dead mail, outcomes, ends and counters must be the same.

mod oracle;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use mycelium::actors::{
    ActorContext, ActorEnd, ActorRef, OnError, SpawnActorError, TellError, WeakRef, WhenFull,
};
use mycelium::counters::Kind;
use mycelium::requests::{PendingReply, RequestError};
use mycelium::supervision::Restart;
use mycelium::testing::TestActors;
use mycelium::{Error, Result, actor, message};
use oracle::{Act, Counts, Mail, Model, Outcome, Seen, Settings, Told};
use proptest::prelude::*;

/// Longer than all pauses, sleeps and timers together.
const PASS: Duration = Duration::from_secs(3_600);
/// Shorter than each of them.
const TICK: Duration = Duration::from_millis(1);
const SLOTS: usize = 3;
/// The counters that are compared.
const COUNTERS: [&str; 9] = [
    "spawned",
    "ended",
    "handled",
    "dead_letters",
    "refused",
    "errors",
    "panics",
    "restarts",
    "failed",
];

/// A call of a test. A slot has an actor; a spawn replaces it.
#[derive(Clone, Debug)]
enum Call {
    Spawn(usize, Settings),
    Tell { slot: usize, kind: u8, waits: bool },
    Ask { slot: usize, kind: u8 },
    Cancel(usize),
    Stop(usize),
    Drain(usize),
    Clone(usize),
    Drop(usize),
    Run,
    Tick,
    Pass,
}

fn call() -> impl Strategy<Value = Call> {
    let slot = 0..SLOTS;
    let policy =
        prop_oneof![Just(WhenFull::Wait), Just(WhenFull::Refuse), Just(WhenFull::DropNewest)];
    let spawn = (slot.clone(), 1..3_u32, policy, 0..4_u32, any::<bool>());
    prop_oneof![
        3 => spawn.prop_map(|(slot, capacity, when_full, limit, keeps)| {
            let capacity = 1 << capacity;
            Call::Spawn(slot, Settings { capacity, when_full, limit, keeps })
        }),
        12 => (slot.clone(), 0..16_u8, any::<bool>())
            .prop_map(|(slot, kind, waits)| Call::Tell { slot, kind, waits }),
        6 => (slot.clone(), 0..16_u8).prop_map(|(slot, kind)| Call::Ask { slot, kind }),
        1 => any::<usize>().prop_map(Call::Cancel),
        1 => slot.clone().prop_map(Call::Stop),
        1 => slot.clone().prop_map(Call::Drain),
        1 => slot.clone().prop_map(Call::Clone),
        2 => slot.prop_map(Call::Drop),
        5 => Just(Call::Run),
        2 => Just(Call::Tick),
        4 => Just(Call::Pass),
    ]
}

/// Returns the action of the message with this number. A test has either timers or sleeps, because
/// the order of a timer and a sleep that are due together is not promised.
fn act(kind: u8, number: u64, has_timers: bool) -> Act {
    // No two timers or sleeps are due at the same time.
    let delay = Duration::from_millis(900) + Duration::from_micros(number);
    match kind {
        0 => Act::Fail,
        1 => Act::Panic,
        2 => Act::Ignored,
        3 => Act::Stop { fails: number.is_multiple_of(2) },
        4..=6 if has_timers => Act::Timer(delay),
        4..=6 => Act::Sleep(delay),
        _ => Act::Note,
    }
}

/// The numbers that the handlers have seen.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u64>>>);

struct Probe {
    log: Log,
}

struct Do {
    number: u64,
    act: Act,
}

/// A number that the actor tells itself with a timer.
#[derive(Clone)]
struct Late(u64);

#[message(topic = "model.asks", id = 940, reply = Answer)]
#[derive(Debug, PartialEq)]
struct Ask {
    number: u64,
    kind: u64,
    has_timers: u64,
}

#[message(topic = "model.answers", id = 941)]
#[derive(Debug, PartialEq)]
struct Answer {
    number: u64,
}

impl Probe {
    async fn handle(&mut self, Do { number, act }: Do, ctx: &mut ActorContext<Self>) -> Result<()> {
        self.log.0.lock().unwrap().push(number);
        match act {
            Act::Note | Act::Stop { fails: false } => {}
            Act::Timer(delay) => _ = ctx.tell_after(delay, Late(number)),
            Act::Sleep(delay) => ctx.sleep(delay).await?,
            Act::Panic => std::panic::resume_unwind(Box::new("told to panic")),
            Act::Ignored => return Err(Error::msg("ignored")),
            Act::Fail | Act::Stop { fails: true } => {
                if act != Act::Fail {
                    ctx.stop();
                }
                return Err(Error::msg("told to fail"));
            }
        }
        if act == (Act::Stop { fails: false }) {
            ctx.stop();
        }
        Ok(())
    }
}

#[actor(send)]
impl Probe {
    #[tell]
    async fn act(&mut self, message: Do, ctx: &mut ActorContext<Self>) -> Result<()> {
        self.handle(message, ctx).await
    }

    #[tell]
    fn late(&mut self, Late(number): Late) {
        self.log.0.lock().unwrap().push(number);
    }

    #[remote]
    async fn answer(&mut self, ask: Ask, ctx: &mut ActorContext<Self>) -> Result<Answer> {
        let Ask { number, kind, has_timers } = ask;
        let act = act(u8::try_from(kind)?, number, has_timers == 1);
        self.handle(Do { number, act }, ctx).await?;
        Ok(Answer { number })
    }

    fn on_error(&mut self, error: &Error) -> OnError {
        if error.to_string() == "ignored" { OnError::Continue } else { OnError::Restart }
    }
}

/// An actor and its model.
struct Pair {
    refs: Vec<ActorRef<Probe>>,
    weak: WeakRef<Probe>,
    model: Model,
}

/// The actors of a test, and everything that they have done.
struct World {
    set: TestActors,
    log: Log,
    dead: Log,
    slots: [Option<Pair>; SLOTS],
    replies: Vec<Option<PendingReply<Ask>>>,
    outcomes: Vec<Outcome>,
    expected: Seen,
    number: u64,
    has_timers: bool,
    shuts_down: bool,
}

impl World {
    fn new(has_timers: bool) -> World {
        let (set, dead) = (TestActors::new().supervised(), Log::default());
        let log = dead.clone();
        set.actors().on_dead_mail(move |mail| {
            log.0.lock().unwrap().push(mail.message::<Do>().unwrap().number);
        });
        World {
            set,
            log: Log::default(),
            dead,
            slots: [const { None }; SLOTS],
            replies: Vec::new(),
            outcomes: Vec::new(),
            expected: Seen::default(),
            number: 0,
            has_timers,
            shuts_down: false,
        }
    }

    fn call(&mut self, call: &Call) {
        let now = self.set.now();
        self.number += 1;
        let number = self.number;
        match *call {
            Call::Spawn(slot, settings) => self.spawn(slot, settings),
            Call::Tell { slot, kind, waits } => self.tell(slot, kind, waits),
            Call::Ask { slot, kind } => {
                let Some(Pair { refs, model, .. }) = &mut self.slots[slot] else { return };
                // An `ask` would wait for room here. `Call::Tell` tests that.
                let (Some(actor), false) = (refs.first_mut(), model.would_wait()) else { return };
                let act = act(kind, number, self.has_timers);
                let (kind, has_timers) = (u64::from(kind), u64::from(self.has_timers));
                self.replies.push(Some(actor.ask(Ask { number, kind, has_timers })));
                self.outcomes.push(Outcome::Open);
                self.expected.outcomes.push(Outcome::Open);
                let request = Some(self.replies.len() - 1);
                model.ask(Mail { number, act, request }, &mut self.expected);
            }
            Call::Cancel(index) => {
                let open = |index: &usize| self.replies[*index].is_some();
                let open: Vec<_> = (0..self.replies.len()).filter(open).collect();
                let Some(index) = index.checked_rem(open.len()).map(|place| open[place]) else {
                    return;
                };
                self.collect();
                if self.replies[index].take().is_some() {
                    self.outcomes[index] = Outcome::Cancelled;
                    self.expected.outcomes[index] = Outcome::Cancelled;
                }
            }
            Call::Stop(slot) => {
                if let Some(pair) = &mut self.slots[slot] {
                    pair.weak.stop();
                    pair.model.stop();
                }
            }
            Call::Drain(slot) => {
                if let Some(pair) = &mut self.slots[slot]
                    && let Some(actor) = pair.refs.first()
                {
                    actor.drain();
                    pair.model.drain();
                }
            }
            Call::Clone(slot) => {
                let Some(pair) = &mut self.slots[slot] else { return };
                let more = pair.weak.upgrade();
                // The references, or the set of actors, keep the actor alive.
                let lives = pair.model.end.is_none();
                assert!(lives || more.is_none());
                assert!(pair.model.refs == 0 || !lives || more.is_some());
                pair.model.refs += usize::from(more.is_some());
                pair.refs.extend(more);
            }
            Call::Drop(slot) => {
                let Some(pair) = &mut self.slots[slot] else { return };
                pair.model.refs -= usize::from(pair.refs.pop().is_some());
            }
            Call::Run => self.each(|model, seen| model.run(now, seen), TestActors::run),
            Call::Tick => self.each(|model, seen| model.run(now, seen), |set| set.advance(TICK)),
            Call::Pass => self.each(|model, seen| model.pass(now, seen), |set| set.advance(PASS)),
        }
    }

    fn spawn(&mut self, slot: usize, settings: Settings) {
        let Settings { capacity, when_full, limit, keeps } = settings;
        let log = self.log.clone();
        let factory = move || Probe { log: log.clone() };
        let restart = Restart {
            limit,
            window: PASS * 1_000_000,
            backoff: Duration::from_secs(1),
            longest: Duration::from_secs(4),
        };
        let actor = self.set.actors().actor(factory).name(format!("slot-{slot}"));
        let actor = actor.capacity(capacity).when_full(when_full).restart(restart);
        let spawned = if keeps { actor.keep().spawn() } else { actor.spawn() };
        let lives = self.slots[slot].as_ref().is_some_and(|pair| pair.model.end.is_none());
        match spawned {
            Ok(actor) => {
                assert!(!lives, "two actors have a name");
                let weak = actor.downgrade();
                let model = Model::new(settings);
                self.slots[slot] = Some(Pair { refs: vec![actor], weak, model });
                self.expected.count("spawned");
            }
            Err(error) => {
                assert!(matches!(error, SpawnActorError::NameTaken { .. }) && lives, "{error}");
            }
        }
    }

    fn tell(&mut self, slot: usize, kind: u8, waits: bool) {
        let number = self.number;
        let Some(Pair { refs, model, .. }) = &mut self.slots[slot] else { return };
        let Some(actor) = refs.last_mut() else { return };
        let act = act(kind, number, self.has_timers);
        let message = Do { number, act: act.clone() };
        let told = match waits {
            true => actor.tell(message).now_or_never(),
            false => Some(actor.try_tell(message)),
        };
        let told = match told {
            // The future waited for room and was dropped, so the message was not told.
            None => Told::Full,
            Some(Ok(())) => Told::Ok,
            Some(Err(error)) => {
                let is_gone = matches!(error, TellError::Gone(_));
                assert!(is_gone || matches!(error, TellError::Full(_)), "{error}");
                assert_eq!(error.into_message().number, number);
                if is_gone { Told::Gone } else { Told::Full }
            }
        };
        let mail = Mail { number, act, request: None };
        assert_eq!(told, model.tell(mail, &mut self.expected));
    }

    /// Does the same with all models and all actors.
    fn each(&mut self, of_model: impl Fn(&mut Model, &mut Seen), of_set: impl Fn(&TestActors)) {
        of_set(&self.set);
        for pair in self.slots.iter_mut().flatten() {
            of_model(&mut pair.model, &mut self.expected);
        }
        self.compare();
    }

    fn compare(&mut self) {
        self.collect();
        // The order of messages of different actors is not defined, so both lists are sorted.
        let mut handled = std::mem::take(&mut *self.log.0.lock().unwrap());
        let mut expected = std::mem::take(&mut self.expected.handled);
        if self.slots.iter().flatten().count() > 1 {
            handled.sort_unstable();
            expected.sort_unstable();
        }
        assert_eq!(handled, expected, "handled");
        let mut dead = std::mem::take(&mut *self.dead.0.lock().unwrap());
        dead.sort_unstable();
        self.expected.dead.sort_unstable();
        assert_eq!(dead, std::mem::take(&mut self.expected.dead), "dead mail");
        assert_eq!(self.outcomes, self.expected.outcomes, "outcomes");
        assert_eq!(counts(&self.set), self.expected.counts);
        let mut count = 0;
        for Pair { refs, weak, model } in self.slots.iter().flatten() {
            let end = weak.ended().now_or_never();
            assert_eq!(weak.is_gone(), end.is_some());
            let failed = |end: &ActorEnd| match end {
                ActorEnd::Failed { .. } => ActorEnd::Failed { error: "".into() },
                other => other.clone(),
            };
            assert_eq!(end.as_ref().map(failed), model.end);
            count += usize::from(end.is_none());
            if let (Some(actor), None) = (refs.first(), &end) {
                assert_eq!(actor.depth(), model.depth());
            }
        }
        assert_eq!(self.set.actors().count(), count);
    }

    /// Takes the outcomes of the requests that have ended.
    fn collect(&mut self) {
        for (reply, outcome) in self.replies.iter_mut().zip(&mut self.outcomes) {
            let Some(result) = reply.as_mut().and_then(|reply| reply.now_or_never()) else {
                continue;
            };
            *reply = None;
            *outcome = match result {
                Ok(_) => Outcome::Replied,
                Err(RequestError::HandlerFailed { .. }) => Outcome::Failed,
                Err(RequestError::Gone { .. }) => Outcome::Gone,
                Err(RequestError::ShuttingDown) if self.shuts_down => Outcome::Gone,
                Err(RequestError::Refused { .. }) => Outcome::Refused,
                Err(error) => panic!("{error}"),
            };
        }
    }

    /// Drains all actors, and checks that nothing is left.
    fn finish(mut self) {
        for pair in self.slots.iter_mut().flatten() {
            pair.model.drain();
        }
        self.shuts_down = true;
        let now = self.set.now();
        self.each(
            |model, seen| model.pass(now, seen),
            |set| assert_eq!(set.shutdown(10 * PASS), Vec::<Arc<str>>::new()),
        );
        assert_eq!(self.set.actors().count(), 0);
        assert!(!self.outcomes.contains(&Outcome::Open));
    }
}

fn counts(set: &TestActors) -> Counts {
    let counters = set.actors().counters();
    let line = counters.iter().find(|line| line.kind == Kind::Actor);
    let value = |counter| (counter, line.map_or(0, |line| line.value(counter)));
    assert_eq!(value("unseen").1, 0);
    COUNTERS.map(value).into_iter().filter(|(_, count)| *count > 0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn actors_do_what_their_model_does(
        has_timers in any::<bool>(),
        calls in proptest::collection::vec(call(), 1..80),
    ) {
        let _ = tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::default());
        let mut world = World::new(has_timers);
        // All slots have an actor before the first call.
        for slot in 0..SLOTS {
            let (when_full, keeps) = (WhenFull::Wait, slot == 1);
            world.spawn(slot, Settings { capacity: 2, when_full, limit: 2, keeps });
        }
        for call in &calls {
            world.call(call);
        }
        world.finish();
    }
}
