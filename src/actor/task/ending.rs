//! The end of an actor: messages left in its mailbox become dead mail, and others are notified.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use mycelium_core::channel::{Queue, QueueReceiver};
use mycelium_core::ring::PopError;
use mycelium_transports::counters::ActorValue;

use super::drops::{discard, panicked};
use crate::actor::life::{Actor, ActorLife, exclusive};
use crate::actor::values::{ActorEnd, DeadMail, Mail, MailContent};
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
        let mut outcome = Ok(());
        self.context.taken += u64::from(matches!(mail.content(), MailContent::Message(..)));
        if let Some((message_type, message)) = mail.bury() {
            self.count(ActorValue::DeadLetters);
            let actor = self.core().label();
            let dead = DeadMail { actor: &actor, message_type, message };
            outcome = catch_unwind(AssertUnwindSafe(|| self.cell.set.dead_mail(&dead)));
        }
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(mail)));
        if let Err(panic) = outcome.and(dropped) {
            let (actor, error) = (self.core().label(), panicked(panic));
            log::error!(actor = &*actor, error, "a message that no handler gets caused a panic");
        }
    }

    fn report(&mut self, end: ActorEnd) {
        self.cancel_timers();
        if !Q::SHARED {
            let timers = self.context.timers.as_mut().map_or(0, |timers| exclusive(timers).told());
            self.cell.count_unseen(self.context.taken - timers);
        }
        self.has_ended = true;
        self.maker.ended(self.core());
        let spent = Box::new(|| unreachable!("the actor has ended"));
        discard(&*self.cell, mem::replace(&mut self.maker, spent));
        self.cell.set.remove(self.core(), end);
    }
}

/// Ends an actor whose task was dropped because the executor has ended or refused it.
impl<A: Actor, Q: Queue> Drop for ActorLife<A, Q> {
    fn drop(&mut self) {
        /// More than enough for a sender that lost its processor in the middle of a send.
        const TRIES: usize = 1 << 16;

        if self.has_ended {
            return;
        }
        // No task is left that could wait for their ends.
        let children = self.context.children.take().unwrap_or_default();
        children.values().rev().for_each(|child| child.core().stop());
        // A send in progress hides the messages behind it. It calls no code of the user, so it ends
        // soon, unless the queue is foreign and has promised room to a task.
        let mut left = self.close();
        for _ in 0..TRIES {
            if left == PopError::Closed || !Q::SHARED {
                break;
            }
            thread::yield_now();
            left = self.bury_all();
        }
        self.report(ActorEnd::Abandoned);
    }
}
