//! The inbox of one glommio executor, by which other threads reach it.
//!
//! Tasks, sockets and timers stay on the executor's thread, in its
//! [`LocalState`](mod@crate::local). The rest of the process holds the inbox, which is `Send`: it
//! takes tasks, wake-ups and values to release. A task is in the inbox at most once. The executor
//! reads it before each task that it polls.
//!
//! Only a sleeping executor is interrupted, by a byte written to a socket. Sending to a busy one
//! costs no system call and no allocation.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mycelium_executor::{SendFuture, SpawnError};

use crate::slots::Key;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Identifies this thread. It has no destructor, so it can be read at any time.
    static THREAD: u64 = NEXT_ID.fetch_add(1, Ordering::Relaxed);
}

#[derive(Debug)]
pub(crate) struct Inbox {
    /// The number of the executor's thread (`THREAD`).
    thread: u64,
    /// Identifies the executor.
    pub(crate) id: u64,
    /// Whether there are messages. Read before each task, without the lock.
    has_messages: AtomicBool,
    /// Whether the executor has to be interrupted.
    asleep: AtomicBool,
    /// A byte written here wakes the executor's thread.
    doorbell: UnixStream,
    messages: Mutex<Messages>,
}

#[derive(Default)]
struct Messages {
    list: Vec<Message>,
    ended: bool,
}

pub(crate) enum Message {
    Spawn(SendFuture<()>),
    Wake(Key),
    Release(Key),
}

impl Inbox {
    /// Creates an inbox for the calling thread, and the socket on which the thread waits for a
    /// byte.
    ///
    /// # Errors
    /// If the system has no sockets left.
    pub(crate) fn new() -> io::Result<(Arc<Inbox>, UnixStream)> {
        let (doorbell, rung) = UnixStream::pair()?;
        doorbell.set_nonblocking(true)?;
        let inbox = Inbox {
            thread: THREAD.with(|thread| *thread),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            has_messages: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            doorbell,
            messages: Mutex::default(),
        };
        Ok((Arc::new(inbox), rung))
    }

    /// Returns whether the caller is on the executor's thread.
    pub(crate) fn is_on_this_thread(&self) -> bool {
        self.thread == THREAD.with(|thread| *thread)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// # Errors
    /// If the executor has ended. The message was dropped.
    pub(crate) fn send(&self, message: Message) -> Result<(), SpawnError> {
        let mut messages = self.lock();
        if messages.ended {
            drop(messages);
            // Drops the message without the lock, because dropping a task may send messages.
            drop(message);
            return Err(SpawnError::Ended);
        }
        messages.list.push(message);
        drop(messages);
        // Sequentially consistent, with `fall_asleep`: either this sees that the executor sleeps,
        // or the executor sees the message.
        self.has_messages.store(true, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            // Fails if the socket is full. The thread then has unread bytes, so it wakes anyway.
            let _ = (&self.doorbell).write(&[1]);
        }
        Ok(())
    }

    /// Marks the executor as asleep, so that `send` interrupts it. Returns false if there are
    /// messages.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let sleeps = !self.has_messages.load(Ordering::SeqCst);
        if !sleeps {
            self.wake_up();
        }
        sleeps
    }

    /// Marks the executor as awake.
    pub(crate) fn wake_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Swaps the messages for `empty`, a list with capacity, so that receiving allocates nothing.
    /// Returns false if there are no messages.
    pub(crate) fn receive(&self, empty: &mut Vec<Message>) -> bool {
        if !self.has_messages.load(Ordering::Relaxed) {
            return false;
        }
        // Clears the flag before the swap, because a message that is sent after the swap sets it
        // again.
        self.has_messages.store(false, Ordering::SeqCst);
        mem::swap(&mut self.lock().list, empty);
        true
    }

    /// Refuses messages from now on. Returns the messages that were not received.
    pub(crate) fn end(&self) -> Vec<Message> {
        let mut messages = self.lock();
        messages.ended = true;
        mem::take(&mut messages.list)
    }

    fn lock(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("ended", &self.ended).finish_non_exhaustive()
    }
}
