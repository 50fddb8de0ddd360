//! One glommio executor, as the rest of the process sees it.
//!
//! Tasks, sockets and timers stay on their thread. What may be anywhere holds a [`Home`]: it hands tasks over, wakes those
//! that run there, and lets go of what is [kept](crate::room::Kept) there. All of that goes into an inbox, in which a task
//! is at most once, and which the thread looks into before each task that it polls. Only for one that sleeps a bell is
//! rung, a byte into a socket: a thread that is busy is never disturbed, and nothing is allocated.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mycelium_executor::{MakeLocal, SendFuture, SpawnError};

use crate::room::{Alarm, Key, Room};

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
    number: u64,
    /// Whether there is something in the inbox: looked at before each task, without the lock.
    news: AtomicBool,
    /// Whether the bell has to be rung.
    asleep: AtomicBool,
    bell: UnixStream,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    sent: Vec<Sent>,
    ended: bool,
}

/// What other threads want.
pub(crate) enum Sent {
    Start(SendFuture<()>),
    Wake(Arc<Alarm>),
    Release(Key),
}

impl Home {
    /// A home on the calling thread, and where its bell is heard.
    ///
    /// # Errors
    /// If the system has no sockets left.
    pub(crate) fn begin() -> io::Result<(Arc<Home>, Rc<Room>, UnixStream)> {
        let (bell, heard) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (news, asleep) = (AtomicBool::new(false), AtomicBool::new(false));
        let home = Home { thread: here(), number, news, asleep, bell, inbox: Mutex::default() };
        let room = Rc::new(Room::new(number));
        ROOMS.with(|rooms| rooms.borrow_mut().push(room.clone()));
        Ok((Arc::new(home), room, heard))
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

    /// What is here; nothing on another thread, or after the end.
    pub(crate) fn room(&self) -> Option<Rc<Room>> {
        if !self.is_here() {
            return None;
        }
        let is_it = |room: &&Rc<Room>| room.number() == self.number;
        ROOMS.try_with(|rooms| rooms.borrow().iter().find(is_it).cloned()).ok().flatten()
    }

    pub(crate) fn spawn(self: &Arc<Home>, task: SendFuture<()>) -> Result<(), SpawnError> {
        match self.room() {
            Some(room) => {
                room.start(self, task);
                Ok(())
            }
            None => self.send(Sent::Start(task)),
        }
    }

    pub(crate) fn spawn_local(self: &Arc<Home>, make: MakeLocal) -> Result<(), SpawnError> {
        if !self.is_here() {
            return Err(SpawnError::WrongThread);
        }
        let room = self.room().ok_or(SpawnError::Ended)?;
        room.start(self, make());
        Ok(())
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
        drop(inbox);
        // Sequentially consistent, with `falls_asleep`: this sees that it sleeps, or that sees the news.
        self.news.store(true, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            // A socket that is full rings loudly enough.
            let _ = (&self.bell).write(&[1]);
        }
        Ok(())
    }

    /// Whether the thread may sleep: from now on the bell is rung for whatever is sent.
    pub(crate) fn falls_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let sleeps = !self.news.load(Ordering::SeqCst);
        if !sleeps {
            self.wakes_up();
        }
        sleeps
    }

    /// The bell need not be rung.
    pub(crate) fn wakes_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Does what was sent.
    pub(crate) fn receive(self: &Arc<Home>, room: &Room) {
        if !self.news.load(Ordering::Relaxed) {
            return;
        }
        // Before the list is taken: what is sent after that is news again.
        self.news.store(false, Ordering::SeqCst);
        // Two lists change places, so that nothing is allocated.
        let mut list = room.lend();
        mem::swap(&mut self.inbox().sent, &mut list);
        for sent in list.drain(..) {
            match sent {
                Sent::Start(task) => room.start(self, task),
                Sent::Wake(alarm) => room.ready(alarm.task()),
                Sent::Release(key) => room.release(key),
            }
        }
        room.take_back(list);
    }

    /// Nothing runs here any more: what waits is dropped.
    pub(crate) fn end(&self, room: &Room) {
        let mut inbox = self.inbox();
        inbox.ended = true;
        let sent = mem::take(&mut inbox.sent);
        drop(inbox);
        let _ = ROOMS.try_with(|rooms| rooms.borrow_mut().retain(|it| it.number() != self.number));
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
