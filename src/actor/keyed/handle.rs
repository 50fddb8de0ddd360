//! The handle of keyed actors: it tells and asks by key.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mycelium_core::Request;
use mycelium_core::channel::{Mpsc, Queue, QueueSender, SendError};
use mycelium_core::ring::PushError;
use mycelium_core::wait::WaitStrategy;
use mycelium_transports::counters::{ActorValue, RequesterValue};

use super::error::KeyedTellError;
use super::map::Map;
use crate::actor::life::{Actor, Handles, Replies};
use crate::actor::reference::{ActorRef, full};
use crate::actor::set::cell::Cell;
use crate::actor::values::{Ask, SpawnActorError, TellError, WhenFull};
#[cfg(doc)]
use crate::inbox::request::RequestError;
use crate::inbox::request::{Failure, Origin, PendingReply, Progress, Queued, Sent};

/// The actors of a type, one for each key: [`Actors::keyed`](crate::actors::Actors::keyed).
///
/// The actor of a key is created when the key is first used. After the time that
/// [`idle`](super::KeyedBuilder::idle) sets, or by [`passivate`](Keyed::passivate), the actor
/// handles the messages in its mailbox, its `stopped` runs, and it ends as
/// [`Passivated`](crate::actors::ActorEnd::Passivated). The next use of the key creates another
/// actor, which begins when the previous one has ended: two actors of a key never run at the same
/// time.
///
/// A handle is cheap to clone. Its methods take `&self`, so one handle can be shared. When the last
/// handle is dropped, each actor ends as if all [references](ActorRef) to it were dropped.
///
/// **Order.** Messages and requests that one task sends in turn to one key through one handle are
/// handled in this order, even if the actor is passivated in between.
///
/// ```
/// use mycelium::actors::Actors;
/// use mycelium::{Result, actor};
///
/// struct Player {
///     id: u64,
///     steps: u64,
/// }
///
/// #[actor]
/// impl Player {
///     #[tell]
///     fn walk(&mut self, steps: u64) {
///         self.steps += steps;
///         println!("player {} has walked {} steps", self.id, self.steps);
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let actors = Actors::on(mycelium::execution::tokio::Tokio::current()?);
/// let players = actors.keyed(|id: &u64| Player { id: *id, steps: 0 }).build()?;
/// players.tell(&7, 3).await?;
/// players.tell(&8, 1).await?;
/// players.tell(&7, 4).await?;
/// assert_eq!(players.count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Keyed<K, A, Q = Mpsc>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    A: Actor,
    Q: Queue,
{
    map: Arc<Map<K, A, Q>>,
}

impl<K, A, Q> Keyed<K, A, Q>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    A: Actor,
    Q: Queue,
{
    /// Creates the first handle of a map.
    pub(super) fn new(map: Arc<Map<K, A, Q>>) -> Keyed<K, A, Q> {
        Keyed { map }
    }

    /// Tells the actor of a key a message, and creates the actor if none lives. When this returns
    /// `Ok`, the message is in the mailbox. If the mailbox is full, this waits for room, or does
    /// what [`WhenFull`] says. If the actor is being passivated, the message goes to the next one.
    ///
    /// If the future is dropped before it completes, the message was not told, but the actor may
    /// have been created. Allocates nothing if the actor lives and its mailbox has room.
    ///
    /// # Errors
    /// [`KeyedTellError`] with the message: the mailbox refused it, or no actor could be created.
    pub async fn tell<M>(&self, key: &K, message: M) -> Result<(), KeyedTellError<M>>
    where
        A: Handles<M>,
    {
        let mut mail = <A as Handles<M>>::wrap(message);
        let mut closed = None;
        loop {
            let (cell, back) = match self.send(key, mail, closed.take()) {
                Ok(()) => return Ok(()),
                Err(Unsent::Full(cell, mail)) if self.waits() => (cell, mail),
                Err(unsent) => return unsent.outcome::<M>(),
            };
            mail = match cell.sender() {
                Ok(mut sender) => match sender.send(back).await {
                    Ok(()) => return Ok(()),
                    Err(SendError(back)) => back,
                },
                // Tries again: the last handle is dropped, or the actor has just ended.
                Err(_) => back,
            };
            closed = Some(cell);
        }
    }

    /// Tells the actor of a key a message if its mailbox has room now. Creates the actor if none
    /// lives.
    ///
    /// # Errors
    /// [`KeyedTellError`] with the message: the mailbox is full, or no actor could be created.
    pub fn try_tell<M>(&self, key: &K, message: M) -> Result<(), KeyedTellError<M>>
    where
        A: Handles<M>,
    {
        let mail = <A as Handles<M>>::wrap(message);
        self.send(key, mail, None).or_else(Unsent::outcome::<M>)
    }

    /// Sends to the actor of a key, or to a new actor if that mailbox is closed.
    #[inline]
    fn send(
        &self,
        key: &K,
        mut mail: A::Mail,
        mut closed: Option<Arc<Cell<A::Mail, Q>>>,
    ) -> Result<(), Unsent<A, Q>> {
        loop {
            let cell = match self.map.living(key, closed.as_ref()) {
                Ok(cell) => cell,
                Err(error) => return Err(Unsent::NotSpawned(mail, error)),
            };
            match cell.try_send(mail) {
                Ok(()) => return Ok(()),
                Err(PushError::Full(back)) => return Err(Unsent::Full(cell, back)),
                Err(PushError::Closed(back)) => (mail, closed) = (back, Some(cell)),
            }
        }
    }

    /// Asks the actor of a key, as [`ActorRef::ask`]. Creates the actor if none lives. If the actor
    /// is being passivated, the request goes to the next one.
    ///
    /// Each request allocates. For many requests to the same key, take the
    /// [reference](Keyed::get) once.
    ///
    /// # Errors
    /// [`RequestError`]. If no actor could be created: `ShuttingDown` during a shutdown, else
    /// `Refused`.
    pub fn ask<R: Request>(&self, key: &K, request: R) -> PendingReply<R>
    where
        A: Replies<R>,
    {
        let line = self.map.plan.kind.requester(R::TOPIC, &self.map.plan.set.region);
        line.count(RequesterValue::Requested);
        self.ask_another(key, request, None)
    }

    fn ask_another<R: Request>(
        &self,
        key: &K,
        request: R,
        mut closed: Option<Arc<Cell<A::Mail, Q>>>,
    ) -> PendingReply<R>
    where
        A: Replies<R>,
    {
        let plan = &self.map.plan;
        let origin = |mailbox, name, id| {
            let executor = plan.set.executor.clone();
            let line = plan.kind.requester(R::TOPIC, &plan.set.region);
            let (actor, wait) = (Some(id), WaitStrategy::Park);
            Arc::new(Origin { mailbox, name, actor, executor, line, wait })
        };
        loop {
            // New slots for each try, because a slot belongs to one mailbox.
            let mut slots = A::Slots::default();
            let slots = A::slots(&mut slots);
            let cell = match self.map.living(key, closed.as_ref()) {
                Ok(cell) => cell,
                Err(error) => {
                    let error = match error {
                        SpawnActorError::ShuttingDown { .. } => Failure::ShuttingDown,
                        _ => Failure::Refused,
                    };
                    let mailbox = Arc::new(plan.kind.mailbox());
                    let (awaiting, _) = slots.open(&request, || origin(mailbox, A::NAME.into(), 0));
                    return PendingReply::new(awaiting, Progress::Unsent(error));
                }
            };
            let core = &cell.core;
            let (awaiting, replying) =
                slots.open(&request, || origin(core.mailbox(), core.label(), core.id));
            let mail = <A as Replies<R>>::wrap(Ask::new(Queued::new(replying), ()));
            let progress = match cell.try_send(mail) {
                Ok(()) => Progress::Sent,
                Err(PushError::Closed(mail)) => {
                    drop(mail);
                    closed = Some(cell);
                    continue;
                }
                Err(PushError::Full(mail)) if self.waits() => {
                    let (keyed, key) = (self.clone(), key.clone());
                    Progress::Full(Box::pin(async move {
                        if let Ok(mut sender) = cell.sender()
                            && sender.send(mail).await.is_ok()
                        {
                            return Sent::Yes;
                        }
                        let other = keyed.ask_another(&key, request, Some(cell));
                        Sent::Elsewhere(Box::new(other))
                    }))
                }
                Err(PushError::Full(_)) => {
                    core.kind.count(ActorValue::Refused);
                    Progress::Unsent(Failure::Refused)
                }
            };
            return PendingReply::new(awaiting, progress);
        }
    }

    fn waits(&self) -> bool {
        self.map.plan.when_full == WhenFull::Wait
    }

    /// Returns a reference to the actor of a key; creates the actor if none lives. This is the
    /// fastest way to send many messages to one key. A reference does not prevent passivation:
    /// afterwards its methods return `Gone`, and `get` returns a new reference.
    ///
    /// # Errors
    /// [`SpawnActorError`] if no actor could be created.
    pub fn get(&self, key: &K) -> Result<ActorRef<A, Q>, SpawnActorError> {
        let mut closed = None;
        loop {
            let cell = self.map.living(key, closed.as_ref())?;
            if !cell.is_closed()
                && let Ok(reference) = ActorRef::of(&cell)
            {
                return Ok(reference);
            }
            closed = Some(cell);
        }
    }

    /// Returns a reference to the actor of a key, if the actor lives.
    #[must_use]
    pub fn find(&self, key: &K) -> Option<ActorRef<A, Q>> {
        let cell = self.map.find(key).filter(|cell| !cell.is_closed())?;
        ActorRef::of(&cell).ok()
    }

    /// Returns the number of living actors. One whose `stopped` still runs when the next message for
    /// its key has come is not counted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.map.count()
    }

    /// Returns the keys of the living actors, in no order. This takes the locks of the map in turn,
    /// so actors may be created and removed meanwhile.
    #[must_use]
    pub fn keys(&self) -> Vec<K> {
        let mut keys = Vec::with_capacity(self.count());
        for part in self.map.parts() {
            self.map.visit(part, |(key, _)| keys.push(key.clone()));
        }
        keys
    }

    /// Ends the actor of a key after the current message, as [`ActorRef::stop`] does. The messages
    /// in its mailbox become [`DeadMail`](crate::actors::DeadMail). Returns whether the actor
    /// lived.
    pub fn stop(&self, key: &K) -> bool {
        self.map.find(key).map(|cell| cell.core.stop()).is_some()
    }

    /// Passivates the actor of a key now, even if it has timers or children: the actor handles the
    /// messages in its mailbox, including messages that arrive before it sees this call, and ends.
    /// No message is lost. Returns whether the actor lived.
    pub fn passivate(&self, key: &K) -> bool {
        self.map.find(key).map(|cell| cell.core.passivate()).is_some()
    }
}

/// A message that was not sent.
enum Unsent<A: Actor, Q: Queue> {
    Full(Arc<Cell<A::Mail, Q>>, A::Mail),
    NotSpawned(A::Mail, SpawnActorError),
}

impl<A: Actor, Q: Queue> Unsent<A, Q> {
    /// Converts to the sender's result, by the rule for full mailboxes.
    #[cold]
    fn outcome<M>(self) -> Result<(), KeyedTellError<M>>
    where
        A: Handles<M>,
    {
        match self {
            Unsent::Full(cell, mail) => full(&cell.core, A::unwrap(mail))
                .map_err(|error: TellError<M>| KeyedTellError::Full(error.into_message())),
            Unsent::NotSpawned(mail, error) => {
                Err(KeyedTellError::NotSpawned { message: A::unwrap(mail), error })
            }
        }
    }
}

impl<K, A, Q> Clone for Keyed<K, A, Q>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    A: Actor,
    Q: Queue,
{
    fn clone(&self) -> Keyed<K, A, Q> {
        self.map.handles.fetch_add(1, Ordering::Relaxed);
        Keyed { map: self.map.clone() }
    }
}

impl<K, A, Q> Drop for Keyed<K, A, Q>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    A: Actor,
    Q: Queue,
{
    fn drop(&mut self) {
        // AcqRel: what the other handles did happens before the release.
        if self.map.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.map.release();
        }
    }
}

impl<K, A, Q> fmt::Debug for Keyed<K, A, Q>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    A: Actor,
    Q: Queue,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyed({} of {})", self.count(), A::NAME)
    }
}
