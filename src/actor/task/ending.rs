//! The end of an actor: messages left in its mailbox become dead mail, and others are notified.

use std::mem;
use std::thread;
use std::time::{Duration, Instant};

use mycelium_core::channel::{Queue, QueueReceiver};
use mycelium_core::ring::PopError;
use mycelium_transports::counters::ActorValue;

use super::drops::{count_panic, discard};
use crate::actor::life::{Actor, ActorLife, exclusive};
use crate::actor::values::{ActorEnd, DeadMail, Mail, MailContent};
use crate::supervise::caught;
use crate::support::log;

impl<A: Actor, Q: Queue> ActorLife<A, Q> {
    /// Turns the messages in the mailbox into dead mail, and reports the end.
    pub(crate) async fn finish(&mut self, end: ActorEnd) {
        // Waits for messages whose send is in progress.
        if self.close() == PopError::Empty && Q::SHARED {
            Box::pin(async {
                while let Some(mail) = self.receiver.recv().await {
                    self.bury(mail);
                }
            })
            .await;
        }
        self.report(end);
    }

    /// Closes the mailbox, and takes everything from it. Returns `Closed` if nothing can follow.
    fn close(&mut self) -> PopError {
        self.flush();
        self.core().end_reading();
        let first = self.receiver.try_recv();
        if let Err(PopError::Closed) = first {
            return PopError::Closed;
        }
        self.receiver.refuse_sends();
        if let Ok(mail) = first {
            self.bury(mail);
        }
        self.bury_all()
    }

    /// Takes what is in the mailbox. Returns `Closed` if nothing can follow.
    fn bury_all(&mut self) -> PopError {
        loop {
            match self.receiver.try_recv() {
                Ok(mail) => self.bury(mail),
                Err(error) => return error,
            }
        }
    }

    /// Reports a message as dead mail. The hook may panic, and the message's drop too.
    fn bury(&mut self, mut mail: A::Mail) {
        self.context.taken += u64::from(matches!(mail.content(), MailContent::Message(..)));
        if let Some((message_type, message)) = mail.bury() {
            self.count(ActorValue::DeadLetters);
            let actor = self.core().label();
            let dead = DeadMail { actor: &actor, message_type, message };
            if let Err(panic) = caught(&mut || self.cell.set.dead_mail(&dead)) {
                count_panic(&*self.cell, panic, "the hook for dead mail panicked");
            }
        }
        discard(&*self.cell, mail);
    }

    fn report(&mut self, end: ActorEnd) {
        self.cancel_timers();
        if !Q::SHARED {
            let timers = self.context.timers.as_mut().map_or(0, |timers| exclusive(timers).told());
            self.cell.count_unseen(self.context.taken - timers);
        }
        if let ActorEnd::Failed { .. } = &end {
            self.count(ActorValue::Failed);
        }
        self.has_ended = true;
        if let Err(panic) = caught(&mut || self.maker.ended(&*self.cell)) {
            count_panic(&*self.cell, panic, "a key of the actor panicked");
        }
        let spent = Box::new(|| unreachable!("the actor has ended"));
        discard(&*self.cell, mem::replace(&mut self.maker, spent));
        self.cell.set.remove(self.core(), end);
    }
}

/// Ends an actor whose task was dropped because the executor has ended or refused it.
impl<A: Actor, Q: Queue> Drop for ActorLife<A, Q> {
    fn drop(&mut self) {
        /// Enough for a sender that lost its processor in the middle of a send.
        const MOST: Duration = Duration::from_secs(1);

        if self.has_ended {
            return;
        }
        if let Some(children) = self.context.children.take() {
            // No task is left that could wait for their ends.
            children.values().rev().for_each(|child| child.core().stop());
        }
        // First, so that no queue promises the room that is made here to a sender that waits.
        self.receiver.refuse_sends();
        let mut left = self.close();
        // A send in progress hides the messages behind it. It calls no code of the user, so it ends
        // soon. If the queue has no messages, then at most a promise of room is left, to a task.
        #[expect(clippy::disallowed_methods, reason = "the sender is a thread, in real time")]
        let begin = Instant::now();
        while Q::SHARED && left == PopError::Empty && !self.receiver.is_empty() {
            if begin.elapsed() > MOST {
                let actor = self.core().label();
                log::error!(actor = &*actor, "a send does not end: messages may be lost");
                break;
            }
            thread::yield_now();
            left = self.bury_all();
        }
        self.report(ActorEnd::Abandoned);
    }
}
