//! One glommio executor, as the rest of the process sees it.
//!
//! glommio's tasks, sockets and timers stay on their thread. What may be anywhere holds a [`Home`]: it hands tasks over,
//! wakes those that run there, and lets go of what is [kept](crate::room::Kept) there.
//!
//! A wake from another thread reaches glommio only when it looks at its rings: when it would sleep, or at its preempt
//! timer. So wakes from other threads do not go to glommio but into an inbox, in which a task is at most once, and each
//! task that is polled looks into it first: on an executor that is busy with our tasks a wake is seen at the next poll of
//! any of them. Only for one that sleeps, glommio's own waker is the bell. It is rung once until it has been answered.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use glommio::TaskQueueHandle;
use mycelium_executor::{MakeLocal, SendFuture, SpawnError};

use crate::room::{Alarm, Room};

static NEXT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Which thread this is. It has no destructor, so it can be asked at any time.
    static HERE: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    /// What is at home here: seldom more than one.
    static ROOMS: RefCell<Vec<Rc<Room>>> = const { RefCell::new(Vec::new()) };
}

fn here() -> u64 {
    HERE.with(|here| *here)
}

/// An executor's address: what may be held anywhere.
#[derive(Debug)]
pub(crate) struct Home {
    thread: u64,
    key: u64,
    /// Whether there is something in the inbox: looked at by each poll of a task, without the lock.
    news: AtomicBool,
    /// Whether the bell has been rung and not answered.
    rung: AtomicBool,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    sent: Vec<Sent>,
    bell: Option<Waker>,
    ended: bool,
}

pub(crate) enum Sent {
    Start(SendFuture<()>),
    Wake(Arc<Alarm>),
    Release(u64),
}

impl Home {
    /// A home on the calling thread, inside glommio.
    pub(crate) fn begin(queue: TaskQueueHandle) -> (Arc<Home>, Rc<Room>) {
        let key = NEXT.fetch_add(1, Ordering::Relaxed);
        let (news, rung) = (AtomicBool::new(false), AtomicBool::new(false));
        let home = Arc::new(Home { thread: here(), key, news, rung, inbox: Mutex::default() });
        let room = Rc::new(Room::new(key, queue));
        ROOMS.with(|rooms| rooms.borrow_mut().push(room.clone()));
        (home, room)
    }

    /// Whether the calling thread has one already.
    pub(crate) fn is_somebody_here() -> bool {
        ROOMS.try_with(|rooms| !rooms.borrow().is_empty()).unwrap_or(false)
    }

    pub(crate) fn is_here(&self) -> bool {
        self.thread == here()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.inbox().ended
    }

    /// What is kept here; nothing on another thread, or after the end.
    pub(crate) fn room(&self) -> Option<Rc<Room>> {
        if !self.is_here() {
            return None;
        }
        let found = ROOMS
            .try_with(|rooms| rooms.borrow().iter().find(|room| room.key() == self.key).cloned());
        found.ok().flatten()
    }

    pub(crate) fn spawn(self: &Arc<Home>, task: SendFuture<()>) -> Result<(), SpawnError> {
        match self.room() {
            Some(room) => room.start(self, task),
            None => self.send(Sent::Start(task)),
        }
    }

    pub(crate) fn spawn_local(self: &Arc<Home>, make: MakeLocal) -> Result<(), SpawnError> {
        if !self.is_here() {
            return Err(SpawnError::WrongThread);
        }
        let room = self.room().ok_or(SpawnError::Ended)?;
        room.start(self, make())
    }

    pub(crate) fn send(&self, sent: Sent) -> Result<(), SpawnError> {
        let mut inbox = self.inbox();
        if inbox.ended {
            drop(inbox);
            // What was sent may send, too.
            drop(sent);
            return Err(SpawnError::Ended);
        }
        inbox.sent.push(sent);
        self.news.store(true, Ordering::Relaxed);
        // With the swap of `answer`: whoever does not ring finds that it is answered after this push.
        let bell = if self.rung.swap(true, Ordering::AcqRel) { None } else { inbox.bell.clone() };
        drop(inbox);
        bell.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Wakes whoever answers.
    pub(crate) fn ring(&self) {
        let bell = self.inbox().bell.clone();
        bell.into_iter().for_each(Waker::wake);
    }

    /// Answers the bell, which from now on wakes `waker`, and does what was sent.
    pub(crate) fn answer(self: &Arc<Home>, room: &Rc<Room>, waker: &Waker) {
        self.rung.swap(false, Ordering::AcqRel);
        let mut inbox = self.inbox();
        match &mut inbox.bell {
            Some(bell) => bell.clone_from(waker),
            bell => *bell = Some(waker.clone()),
        }
        drop(inbox);
        self.receive(room);
    }

    /// Does what was sent.
    pub(crate) fn receive(self: &Arc<Home>, room: &Rc<Room>) {
        if !self.news.load(Ordering::Relaxed) {
            return;
        }
        // Two lists change places, so that nothing is allocated.
        let mut sent = room.lend();
        let mut inbox = self.inbox();
        self.news.store(false, Ordering::Relaxed);
        mem::swap(&mut inbox.sent, &mut sent);
        drop(inbox);
        for sent in sent.drain(..) {
            match sent {
                // Refused, it is dropped: the executor is about to end.
                Sent::Start(task) => drop(room.start(self, task)),
                Sent::Wake(alarm) => alarm.pass_on(),
                Sent::Release(id) => room.release(id),
            }
        }
        room.take_back(sent);
    }

    /// Nothing runs here any more: what waits is dropped.
    pub(crate) fn end(&self, room: &Room) {
        let mut inbox = self.inbox();
        inbox.ended = true;
        let sent = (mem::take(&mut inbox.sent), inbox.bell.take());
        drop(inbox);
        let _ = ROOMS.try_with(|rooms| rooms.borrow_mut().retain(|room| room.key() != self.key));
        drop(sent);
        room.clear();
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("ended", &self.ended).finish_non_exhaustive()
    }
}
