//! The *core* of an actor: the part of its shared state that does not depend on its type. It has
//! the control word, the end, and the actors that watch it. The task shares it with references,
//! children and watchers.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;

use event_listener::Event;

use super::kind::ActorKind;
use crate::actor::far::AnswerCall;
use crate::actor::values::{ActorEnd, Gone, WhenFull};
use crate::inbox::request::MailboxState;
use crate::support::latch::until;
use crate::support::lock::lock;

/// Bits of the *control word*, through which others control the task.
const STOP: u32 = 1;
const DRAIN: u32 = 2;
const EVENTS: u32 = 4;
const KILL: u32 = 8;
/// No message has arrived for a while: the task may passivate the actor.
const IDLE: u32 = 128;
/// The actor is being passivated: it drains, and ends as passivated.
const PASSIVATE: u32 = 256;
/// The bits above: the task reacts to them.
const ACTIONS: u32 = STOP | DRAIN | EVENTS | KILL | IDLE | PASSIVATE;
/// No task takes requests from the mailbox any more.
const UNREAD: u32 = 16;
/// The set of actors shuts down.
const SHUTS_DOWN: u32 = 32;
/// The hook `started` of this run has returned.
const STARTED: u32 = 64;
/// A task waits for a bit of the word, for example for the end. Changes notify `ending` only then,
/// because notifying an event allocates.
const AWAITED: u32 = 512;
/// The actor has ended: as `rare` says, otherwise it was stopped.
const ENDED: u32 = 1024;
/// The state of the mailbox for requesters exists.
const REQUESTED: u32 = 2048;
/// The actor has ended because nobody referred to it.
const UNREFERENCED: u32 = 4096;
/// Another actor may watch this one.
const WATCHED: u32 = 8192;

/// The next action of the task, besides messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Nothing,
    /// End after the current message.
    Stop,
    /// End after the messages in the mailbox.
    Drain,
    /// Handle the events.
    Events,
    /// Passivate the actor, unless it has work left.
    Idle,
}

/// The part of an actor's cell that does not depend on its type.
//
// What most messages use is next to each other.
#[repr(C)]
pub(crate) struct Core {
    pub(crate) kind: Arc<ActorKind>,
    control: AtomicU32,
    /// The number of ticks of the clock of keyed actors in which the actor has handled nothing.
    quiet: AtomicU8,
    pub(crate) when_full: WhenFull,
    /// The waker of the task. It stays after a wake, so the task replaces it only if its waker
    /// changes.
    waker: Mutex<Option<Waker>>,
    /// The number of strong references.
    refs: AtomicUsize,
    /// The number of the actor that this actor asks through its context; 0 if it asks none.
    pub(crate) asks: AtomicU64,
    pub(crate) id: u64,
    pub(crate) name: Option<Arc<str>>,
    /// The state of the mailbox for requesters, made with the first request.
    mailbox: OnceLock<Arc<MailboxState>>,
    /// Asks the actor on behalf of another node.
    pub(crate) answer: AnswerCall,
    /// The actor's index in the list of living actors.
    pub(crate) place: AtomicUsize,
    /// The hash of the key of a keyed actor.
    pub(crate) key_hash: u64,
    /// Notified when a bit of the control word is set that a task waits for.
    ending: Event,
    rare: Mutex<Rare>,
}

/// The state that changes rarely.
#[derive(Default)]
struct Rare {
    /// How the actor has ended, if no bit says it.
    end: Option<ActorEnd>,
    /// Created on first use.
    more: Option<Box<More>>,
}

/// The state that few actors use.
#[derive(Default)]
struct More {
    /// Ended actors that this actor has not yet been told about.
    events: VecDeque<(Relation, Gone)>,
    /// The actors to notify of the end, by number and relation: each pair is present once, even if
    /// it is added again after a restart.
    watchers: BTreeMap<(u64, Relation), Arc<dyn AnyCell>>,
    /// When there are this many watchers, the next one that is added removes those that have ended.
    most_watchers: usize,
    /// The actors of other nodes that this actor watches.
    watched: BTreeSet<Arc<str>>,
}

impl More {
    fn add(&mut self, cell: Arc<dyn AnyCell>, relation: Relation) {
        /// Ended watchers are not removed up to this number of watchers.
        const FEW: usize = 32;

        if self.watchers.len() >= self.most_watchers.max(FEW) {
            self.watchers.retain(|_, cell| !cell.core().has_ended());
            self.most_watchers = 2 * self.watchers.len();
        }
        self.watchers.insert((cell.core().id, relation), cell);
    }
}

/// The relation of an actor to one that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Relation {
    Parent,
    Watching,
    Linked,
}

impl Core {
    pub(crate) fn new(
        id: u64,
        name: Option<Arc<str>>,
        kind: Arc<ActorKind>,
        when_full: WhenFull,
        answer: AnswerCall,
    ) -> Core {
        Core {
            id,
            name,
            kind,
            mailbox: OnceLock::new(),
            when_full,
            answer,
            place: AtomicUsize::new(usize::MAX),
            key_hash: 0,
            control: AtomicU32::new(0),
            quiet: AtomicU8::new(0),
            waker: Mutex::default(),
            refs: AtomicUsize::new(1),
            asks: AtomicU64::new(0),
            ending: Event::new(),
            rare: Mutex::default(),
        }
    }

    /// Returns the actor's name, or its type and number.
    pub(crate) fn label(&self) -> Arc<str> {
        match &self.name {
            Some(name) => name.clone(),
            None => format!("{}#{}", self.kind.name, self.id).into(),
        }
    }

    /// Lets the actor end after the current message.
    pub(crate) fn stop(&self) {
        self.request(STOP);
    }

    /// Lets the actor end after the messages in its mailbox.
    pub(crate) fn drain(&self) {
        self.request(DRAIN);
    }

    /// Makes the actor end after the messages in its mailbox, so that a successor can replace it.
    pub(crate) fn passivate(&self) {
        self.request(PASSIVATE);
    }

    /// Tells the task that the actor may be passivated: no message has arrived for a while.
    pub(crate) fn suggest_passivation(&self) {
        self.request(IDLE);
    }

    /// Notes whether the task agrees to be passivated.
    pub(crate) fn decide_passivation(&self, agrees: bool) {
        if agrees {
            self.control.fetch_or(PASSIVATE, Ordering::Relaxed);
        }
        self.control.fetch_and(!IDLE, Ordering::Relaxed);
        self.set_active();
    }

    /// Notes that the actor has handled messages since the last tick of the clock.
    #[inline]
    pub(crate) fn set_active(&self) {
        if self.quiet.load(Ordering::Relaxed) != 0 {
            self.quiet.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a tick of the clock. Returns whether the actor has now been inactive for exactly
    /// `ticks` ticks.
    pub(crate) fn tick(&self, ticks: u8) -> bool {
        let quiet = self.quiet.load(Ordering::Relaxed);
        let next = quiet.saturating_add(1);
        // If the exchange fails, the actor has just become active.
        let counted =
            self.quiet.compare_exchange(quiet, next, Ordering::Relaxed, Ordering::Relaxed);
        counted == Ok(ticks)
    }

    /// Makes the task end at its next poll.
    pub(crate) fn kill(&self) {
        self.request(KILL);
    }

    fn request(&self, bit: u32) {
        let _ = self.set_and_notify(bit);
        // Reads the waker after setting the bit: a task that registers its waker later sees the bit
        // at its next check.
        let waker = lock(&self.waker).clone();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Sets bits, and wakes the tasks that wait for one of them. Returns the bits from before.
    fn set_and_notify(&self, bits: u32) -> u32 {
        // Release: pairs with the Acquire of `control` and of `wait`, which then see what the
        // caller did before.
        let before = self.control.fetch_or(bits, Ordering::AcqRel);
        if before & AWAITED != 0 {
            self.ending.notify(usize::MAX);
        }
        before
    }

    /// Waits for a bit that [`set_and_notify`](Core::set_and_notify) sets. Both functions change
    /// the same word, so one of them sees the bit of the other.
    async fn wait(&self, bit: u32) {
        if self.control.fetch_or(AWAITED, Ordering::AcqRel) & bit == 0 {
            until(&self.ending, || self.control.load(Ordering::Acquire) & bit != 0).await;
        }
    }

    fn tell_event(&self, relation: Relation, gone: Gone) {
        lock(&self.rare).more.get_or_insert_default().events.push_back((relation, gone));
        self.request(EVENTS);
    }

    pub(crate) fn next_event(&self) -> Option<(Relation, Gone)> {
        let mut rare = lock(&self.rare);
        let events = &mut rare.more.get_or_insert_default().events;
        let event = events.pop_front();
        if events.is_empty() {
            self.control.fetch_and(!EVENTS, Ordering::Relaxed);
        }
        event
    }

    #[inline]
    pub(crate) fn control(&self) -> Control {
        let bits = self.control.load(Ordering::Acquire) & ACTIONS;
        if bits == 0 {
            Control::Nothing
        } else if bits & (STOP | KILL) != 0 {
            Control::Stop
        } else if bits & EVENTS != 0 {
            Control::Events
        } else if bits & (DRAIN | PASSIVATE) != 0 {
            Control::Drain
        } else {
            Control::Idle
        }
    }

    #[inline]
    pub(crate) fn is_killed(&self) -> bool {
        self.control.load(Ordering::Relaxed) & KILL != 0
    }

    /// Returns whether the actor will end; waits in its handlers should then end too.
    pub(crate) fn is_stopping(&self) -> bool {
        self.control.load(Ordering::Relaxed) & (STOP | DRAIN | KILL | PASSIVATE) != 0
    }

    /// Returns how the actor ends after a run that did not fail.
    pub(crate) fn end_of_run(&self) -> ActorEnd {
        let bits = self.control.load(Ordering::Relaxed);
        if bits & (STOP | DRAIN | KILL) != 0 {
            ActorEnd::Stopped
        } else if bits & PASSIVATE != 0 {
            ActorEnd::Passivated
        } else {
            ActorEnd::Unreferenced
        }
    }

    /// Registers the waker that changes of the control word wake. The task must read the word
    /// afterwards.
    pub(crate) fn register(&self, waker: &Waker) {
        *lock(&self.waker) = Some(waker.clone());
    }

    /// Waits until the actor is told to stop.
    pub(crate) async fn told_to_stop(&self) {
        self.wait(STOP | KILL).await;
    }

    /// Returns whether the hook `started` of this run has returned; read by the supervisor.
    pub(crate) fn has_started(&self) -> bool {
        self.control.load(Ordering::Relaxed) & STARTED != 0
    }

    pub(crate) fn set_started(&self, value: bool) {
        match value {
            true => self.control.fetch_or(STARTED, Ordering::Relaxed),
            false => self.control.fetch_and(!STARTED, Ordering::Relaxed),
        };
    }

    /// Returns the state of the mailbox, for a requester.
    pub(crate) fn mailbox(&self) -> Arc<MailboxState> {
        let mailbox = self.mailbox.get_or_init(|| {
            let mailbox = self.kind.mailbox();
            match self.when_full {
                WhenFull::Wait => {}
                WhenFull::Refuse => mailbox.reject(),
                WhenFull::DropNewest => mailbox.drop_told(),
            }
            Arc::new(mailbox)
        });
        // Applies what happened before the state was created.
        let bits = self.control.fetch_or(REQUESTED, Ordering::AcqRel);
        if bits & SHUTS_DOWN != 0 {
            mailbox.set_shuts_down();
        }
        if bits & UNREAD != 0 {
            mailbox.end_reading();
        }
        mailbox.clone()
    }

    /// Tells requesters that no task takes requests any more. Waiting requests are dropped after
    /// this call.
    pub(crate) fn end_reading(&self) {
        self.tell_mailbox(UNREAD, MailboxState::end_reading);
    }

    /// Tells requesters that the set of actors shuts down.
    pub(crate) fn set_shuts_down(&self) {
        self.tell_mailbox(SHUTS_DOWN, MailboxState::set_shuts_down);
    }

    /// Sets a bit, and updates the state of the mailbox if it exists. Both this and the call that
    /// creates the state change the control word, so one of them sees the bit of the other.
    fn tell_mailbox(&self, bit: u32, tell: fn(&MailboxState)) {
        let bits = self.control.fetch_or(bit, Ordering::AcqRel);
        if bits & REQUESTED != 0
            && let Some(mailbox) = self.mailbox.get()
        {
            tell(mailbox);
        }
    }

    /// Increments the number of strong references. False if all are dropped.
    pub(crate) fn try_refer(&self) -> bool {
        let refs = &self.refs;
        let more = |count| (count > 0).then_some(count + 1);
        refs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Returns whether there are strong references.
    pub(crate) fn is_referred(&self) -> bool {
        self.refs.load(Ordering::Acquire) != 0
    }

    /// Decrements the number of references. Returns whether it was the last one.
    pub(crate) fn end_refer(&self) -> bool {
        self.refs.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.control.load(Ordering::Acquire) & ENDED != 0
    }

    /// Waits for the end of the actor.
    pub(crate) async fn ended(&self) -> ActorEnd {
        self.wait(ENDED).await;
        self.end()
    }

    /// Returns whether the actor has ended because its task was dropped or a shutdown did not wait.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.has_ended() && self.end() == ActorEnd::Abandoned
    }

    /// Returns how the actor has ended.
    fn end(&self) -> ActorEnd {
        let is_unreferenced = self.control.load(Ordering::Relaxed) & UNREFERENCED != 0;
        match is_unreferenced {
            true => ActorEnd::Unreferenced,
            false => lock(&self.rare).end.clone().unwrap_or(ActorEnd::Stopped),
        }
    }

    pub(crate) fn gone(&self, end: ActorEnd) -> Gone {
        Gone { id: self.id, actor: self.label(), end }
    }

    /// Notifies `watcher` of the end of this actor: now if it has already ended, otherwise later.
    pub(crate) fn watch(&self, watcher: Arc<dyn AnyCell>, relation: Relation) {
        let mut rare = lock(&self.rare);
        // Both this and `set_end` change the control word, so one of them sees the bit of the
        // other.
        if self.control.fetch_or(WATCHED, Ordering::AcqRel) & ENDED == 0 {
            rare.more.get_or_insert_default().add(watcher, relation);
            return;
        }
        // Releases this lock before another lock of the same kind is taken, which may be this
        // actor's own.
        drop(rare);
        watcher.core().tell_event(relation, self.gone(self.end()));
    }

    /// Notes that the actor watches an actor of another node. False if it already does.
    pub(crate) fn begin_watch(&self, other: Arc<str>) -> bool {
        lock(&self.rare).more.get_or_insert_default().watched.insert(other)
    }

    /// Notifies the actor of the end of an actor of another node.
    pub(crate) fn end_watch(&self, gone: Gone) {
        lock(&self.rare).more.get_or_insert_default().watched.remove(&gone.actor);
        self.tell_event(Relation::Watching, gone);
    }

    /// Sets the end, and notifies waiting tasks and watchers. Called once.
    pub(crate) fn set_end(&self, end: ActorEnd) {
        let how = match end {
            ActorEnd::Stopped => 0,
            ActorEnd::Unreferenced => UNREFERENCED,
            _ => {
                lock(&self.rare).end = Some(end.clone());
                0
            }
        };
        if self.set_and_notify(ENDED | how) & WATCHED == 0 {
            return;
        }
        // Releases the lock at the end of the statement: a watcher has the same kind of lock, and
        // may end at the same time.
        let more = lock(&self.rare).more.take();
        let watchers = more.map(|more| more.watchers).unwrap_or_default();
        if !watchers.is_empty() {
            let gone = self.gone(end);
            for ((_, relation), cell) in watchers {
                cell.core().tell_event(relation, gone.clone());
            }
        }
    }
}

/// A cell of any type.
pub(crate) trait AnyCell: Any + Send + Sync {
    fn core(&self) -> &Core;
    /// Returns the name of the actor's type, and its queue.
    fn describe(&self) -> String;
    /// Drops the reference that the set holds.
    fn release(&self);
}
