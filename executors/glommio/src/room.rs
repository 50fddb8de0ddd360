//! What is at home on one thread: tasks, and what is kept for those who may be elsewhere.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use glommio::TaskQueueHandle;
use mycelium_executor::{LocalFuture, SpawnError, contain};

use crate::home::{Home, Sent};

pub(crate) struct Room {
    key: u64,
    queue: TaskQueueHandle,
    next: Cell<u64>,
    tasks: RefCell<HashMap<u64, Rc<Task>>>,
    /// How many of glommio's tasks are not at their end.
    shells: Cell<usize>,
    kept: RefCell<HashMap<u64, Rc<dyn Any>>>,
    spare: Cell<Vec<Sent>>,
}

impl Room {
    pub(crate) fn new(key: u64, queue: TaskQueueHandle) -> Room {
        Room {
            key,
            queue,
            next: Cell::default(),
            tasks: RefCell::default(),
            shells: Cell::default(),
            kept: RefCell::default(),
            spare: Cell::default(),
        }
    }

    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// Starts a task of glommio's that polls `task`, as long as that is here: glommio itself lets go of tasks only when
    /// nobody can wake them any more.
    pub(crate) fn start(
        self: &Rc<Room>,
        home: &Arc<Home>,
        task: LocalFuture<()>,
    ) -> Result<(), SpawnError> {
        let id = self.next_id();
        let future = RefCell::new(Some(Box::pin(contain(task)) as LocalFuture<()>));
        let task = Rc::new(Task { future, alarm: OnceCell::new() });
        let (home, weak) = (home.clone(), Rc::downgrade(&task));
        self.tasks.borrow_mut().insert(id, task);
        self.shells.set(self.shells.get() + 1);
        let running = Running { room: self.clone(), id };
        let shell = poll_fn(move |context| {
            home.receive(&running.room);
            // At the end of the executor, its tasks are dropped.
            let Some(task) = weak.upgrade() else { return Poll::Ready(()) };
            task.poll(&home, context)
        });
        // glommio panics where it does not run: it was left without a word, while something still waited inside.
        let spawn = || glommio::spawn_local_into(shell, self.queue).map(glommio::Task::detach);
        match catch_unwind(AssertUnwindSafe(spawn)) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(SpawnError::Ended),
        }
    }

    /// Whether a task of glommio's is left.
    pub(crate) fn has_shells(&self) -> bool {
        self.shells.get() > 0
    }

    fn keep(&self, value: Rc<dyn Any>) -> u64 {
        let id = self.next_id();
        self.kept.borrow_mut().insert(id, value);
        id
    }

    pub(crate) fn release(&self, id: u64) {
        // Dropped when it is no longer borrowed: it may have something released itself.
        let released = self.kept.borrow_mut().remove(&id);
        drop(released);
    }

    /// Drops all that is here.
    pub(crate) fn clear(&self) {
        let tasks = self.tasks.take();
        let wakers: Vec<_> = tasks.values().filter_map(|task| task.alarm.get().cloned()).collect();
        drop(tasks);
        drop(self.kept.take());
        // So that the tasks of glommio's see it.
        wakers.into_iter().for_each(Waker::wake);
    }

    /// An empty list.
    pub(crate) fn lend(&self) -> Vec<Sent> {
        self.spare.take()
    }

    pub(crate) fn take_back(&self, list: Vec<Sent>) {
        self.spare.set(list);
    }

    fn next_id(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }
}

struct Task {
    future: RefCell<Option<LocalFuture<()>>>,
    alarm: OnceCell<Waker>,
}

impl Task {
    fn poll(&self, home: &Arc<Home>, context: &Context<'_>) -> Poll<()> {
        let alarm = self.alarm.get_or_init(|| Alarm::waker(home, context.waker()));
        let mut future = self.future.borrow_mut();
        let poll = match &mut *future {
            Some(future) => future.as_mut().poll(&mut Context::from_waker(alarm)),
            None => Poll::Ready(()),
        };
        if poll.is_ready() {
            *future = None;
        }
        poll
    }
}

/// One of glommio's tasks that has not ended.
struct Running {
    room: Rc<Room>,
    id: u64,
}

impl Drop for Running {
    fn drop(&mut self) {
        let ended = self.room.tasks.borrow_mut().remove(&self.id);
        drop(ended);
        self.room.shells.set(self.room.shells.get() - 1);
    }
}

/// Wakes a task: at home as glommio does, from elsewhere through the inbox.
pub(crate) struct Alarm {
    home: Arc<Home>,
    task: Waker,
    /// Whether it is in the inbox.
    sent: AtomicBool,
}

impl Alarm {
    fn waker(home: &Arc<Home>, task: &Waker) -> Waker {
        let (home, task) = (home.clone(), task.clone());
        Arc::new(Alarm { home, task, sent: AtomicBool::new(false) }).into()
    }

    /// Wakes the task, at home.
    pub(crate) fn pass_on(&self) {
        // With the swap of `wake_by_ref`: what the waker did before is seen by the poll to come.
        self.sent.swap(false, Ordering::AcqRel);
        self.task.wake_by_ref();
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Alarm>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Alarm>) {
        if self.home.is_here() {
            self.task.wake_by_ref();
        } else if !self.sent.swap(true, Ordering::AcqRel) {
            // After the end, nobody is to be woken.
            let _ = self.home.send(Sent::Wake(self.clone()));
        }
    }
}

/// Something that stays at home, held from anywhere. It is dropped at home, too.
pub(crate) struct Kept<T> {
    home: Arc<Home>,
    id: u64,
    kind: PhantomData<fn() -> T>,
}

impl<T: 'static> Kept<T> {
    /// Keeps what `make` makes; nothing if this is not home, or no longer.
    pub(crate) fn new(home: &Arc<Home>, make: impl FnOnce() -> T) -> Option<Kept<T>> {
        let room = home.room()?;
        let id = room.keep(Rc::new(RefCell::new(make())));
        Some(Kept { home: home.clone(), id, kind: PhantomData })
    }

    /// Does something with it; nothing if this is not home, or no longer.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let room = self.home.room()?;
        let value = room.kept.borrow().get(&self.id)?.clone();
        Some(work(&mut value.downcast_ref::<RefCell<T>>()?.borrow_mut()))
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        if let Some(room) = self.home.room() {
            room.release(self.id);
        } else if !self.home.is_here() {
            // After the end, it is gone already.
            let _ = self.home.send(Sent::Release(self.id));
        }
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("id", &self.id).finish_non_exhaustive()
    }
}
