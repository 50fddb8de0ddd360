//! A stand-in for an actor in tests: it handles nothing, and records messages and requests.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use mycelium_core::channel::Queue;

use super::builder::ActorBuilder;
use super::life::{Actor, ActorLife, Handles, Replies, number};
use super::reference::ActorRef;
use super::task::run::{Next, attended};
use super::values::{ActorEnd, Mail, MailContent, SpawnActorError};
use crate::inbox::request::{Asked, Call};
use crate::support::lock::lock;
use crate::task::launch::Launch;

/// The messages and requests of an actor that the test has not taken.
pub(crate) struct Record<A: Actor>(Mutex<Recorded<A>>);

struct Recorded<A: Actor> {
    mail: VecDeque<A::Mail>,
    /// The error with which the actor fails when it is stopped.
    failure: Option<Arc<str>>,
}

impl<A: Actor> Default for Record<A> {
    fn default() -> Record<A> {
        Record(Mutex::new(Recorded { mail: VecDeque::new(), failure: None }))
    }
}

impl<A: Actor> Record<A> {
    /// Takes the first message of this type.
    pub(crate) fn take<M: 'static>(&self) -> Option<M>
    where
        A: Handles<M>,
    {
        let is_one =
            |mail: &A::Mail| matches!(mail.content(), MailContent::Message(_, it) if it.is::<M>());
        let mut recorded = lock(&self.0);
        let place = recorded.mail.iter().position(is_one)?;
        recorded.mail.remove(place).map(<A as Handles<M>>::unwrap)
    }

    /// Takes the first request or call of this type whose requester is still waiting.
    pub(crate) fn take_call<C: Call>(&self) -> Option<(Asked<C>, C::Args)>
    where
        A: Replies<C>,
    {
        let number = number(A::CALLS, C::NAME);
        let mut recorded = lock(&self.0);
        let (mut call, mut others) = (None, VecDeque::new());
        for mail in recorded.mail.drain(..) {
            let mail = if call.is_none() { <A as Replies<C>>::unwrap(mail) } else { Err(mail) };
            match mail {
                Ok(request) => call = request.accept(number),
                Err(other) => others.push_back(other),
            }
        }
        recorded.mail = others;
        call
    }

    /// Returns the number of recorded messages and requests.
    pub(crate) fn len(&self) -> usize {
        lock(&self.0).mail.len()
    }

    /// Sets the error with which the actor fails at its next stop.
    pub(crate) fn fail(&self, error: &str) {
        lock(&self.0).failure = Some(error.into());
    }
}

impl<A: Actor, Q: Queue> ActorBuilder<A, Q> {
    /// Spawns a task that replaces the actor and records its messages. The factory is not called.
    pub(crate) fn spawn_recorded(
        self,
        kept: &Arc<Record<A>>,
    ) -> Result<ActorRef<A, Q>, SpawnActorError> {
        let kept = kept.clone();
        self.spawn_by(Launch::local(move |life| record(life, kept)))
    }
}

async fn record<A: Actor, Q: Queue>(mut life: ActorLife<A, Q>, kept: Arc<Record<A>>) {
    let lived = {
        let cell = life.cell.clone();
        let living = pin!(Some(life.record(&kept)));
        attended(&*cell, living).await
    };
    life.finish(lived.unwrap_or(ActorEnd::Abandoned)).await;
}

impl<A: Actor, Q: Queue> ActorLife<A, Q> {
    async fn record(&mut self, kept: &Record<A>) -> ActorEnd {
        loop {
            match self.next().await {
                Next::Message(mail) => lock(&kept.0).mail.push_back(mail),
                Next::Event(_) => {}
                Next::Stop | Next::Closed => break,
            }
        }
        match lock(&kept.0).failure.take() {
            Some(error) => ActorEnd::Failed { error },
            None => self.core().end_of_run(),
        }
    }
}
