//! What is at home on one thread: tasks, and what is kept for those who may be elsewhere.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use mycelium_executor::{LocalFuture, contain};
use slab::Slab;

use crate::home::{Home, Sent};

pub(crate) struct Room {
    number: u64,
    tasks: RefCell<Shelf<Rc<Task>>>,
    /// Those that are to be polled, in their order.
    ready: RefCell<VecDeque<Key>>,
    kept: RefCell<Shelf<Rc<dyn Any>>>,
    /// Who polls them.
    runner: RefCell<Option<Waker>>,
    polls: Cell<bool>,
    spare: Cell<Vec<Sent>>,
}

impl Room {
    pub(crate) fn new(number: u64) -> Room {
        Room {
            number,
            tasks: RefCell::default(),
            ready: RefCell::default(),
            kept: RefCell::default(),
            runner: RefCell::default(),
            polls: Cell::default(),
            spare: Cell::default(),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn start(&self, home: &Arc<Home>, task: LocalFuture<()>) {
        let future = RefCell::new(Some(Box::pin(contain(task)) as LocalFuture<()>));
        let key = self.tasks.borrow_mut().put(|key| {
            let woken = AtomicBool::new(true);
            let alarm = Arc::new(Alarm { home: home.clone(), key, woken });
            Rc::new(Task { future, alarm: alarm.clone(), waker: alarm.into() })
        });
        self.ready(key);
    }

    /// The task is to be polled.
    pub(crate) fn ready(&self, key: Key) {
        self.ready.borrow_mut().push_back(key);
        if self.polls.get() {
            return;
        }
        if let Some(runner) = &*self.runner.borrow() {
            runner.wake_by_ref();
        }
    }

    /// Polls the next task that is ready, if there is one.
    pub(crate) fn poll_next(&self) -> bool {
        let Some(key) = self.ready.borrow_mut().pop_front() else { return false };
        let task = self.tasks.borrow().get(key).cloned();
        if task.is_some_and(|task| task.is_done()) {
            let task = self.tasks.borrow_mut().take(key);
            drop(task);
        }
        true
    }

    /// Until this is dropped, who runs the tasks polls them, and need not be woken.
    pub(crate) fn polling(&self) -> Polling<'_> {
        self.polls.set(true);
        Polling(self)
    }

    /// Who is woken when something is ready.
    pub(crate) fn set_runner(&self, waker: &Waker) {
        match &mut *self.runner.borrow_mut() {
            Some(runner) => runner.clone_from(waker),
            runner => *runner = Some(waker.clone()),
        }
    }

    fn keep(&self, value: Rc<dyn Any>) -> Key {
        self.kept.borrow_mut().put(|_| value)
    }

    pub(crate) fn release(&self, key: Key) {
        // Dropped when nothing is borrowed: it may have something released itself.
        let released = self.kept.borrow_mut().take(key);
        drop(released);
    }

    /// Drops all that is here.
    pub(crate) fn clear(&self) {
        drop(self.runner.take());
        drop(self.tasks.take());
        drop(self.kept.take());
    }

    /// An empty list.
    pub(crate) fn lend(&self) -> Vec<Sent> {
        self.spare.take()
    }

    pub(crate) fn take_back(&self, list: Vec<Sent>) {
        self.spare.set(list);
    }
}

pub(crate) struct Polling<'a>(&'a Room);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.polls.set(false);
    }
}

/// Where something is on a shelf, and which of those that were there it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    place: usize,
    serial: u64,
}

struct Shelf<T> {
    places: Slab<(u64, T)>,
    next: u64,
}

impl<T> Default for Shelf<T> {
    fn default() -> Shelf<T> {
        Shelf { places: Slab::new(), next: 0 }
    }
}

impl<T> Shelf<T> {
    fn put(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        self.next += 1;
        let entry = self.places.vacant_entry();
        let key = Key { place: entry.key(), serial: self.next };
        entry.insert((self.next, make(key)));
        key
    }

    fn get(&self, key: Key) -> Option<&T> {
        self.places.get(key.place).filter(|(serial, _)| *serial == key.serial).map(|(_, it)| it)
    }

    fn take(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        Some(self.places.remove(key.place).1)
    }
}

struct Task {
    future: RefCell<Option<LocalFuture<()>>>,
    alarm: Arc<Alarm>,
    waker: Waker,
}

impl Task {
    /// Polls it; whether that was its end.
    fn is_done(&self) -> bool {
        // With the swap of `wake_by_ref`: what the waker did before is seen by this poll.
        self.alarm.woken.swap(false, Ordering::AcqRel);
        let mut future = self.future.borrow_mut();
        let done = future.as_mut().is_none_or(|future| {
            future.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready()
        });
        if done {
            *future = None;
        }
        done
    }
}

/// Wakes a task, from anywhere.
pub(crate) struct Alarm {
    home: Arc<Home>,
    key: Key,
    /// Whether it is to be polled already.
    woken: AtomicBool,
}

impl Alarm {
    pub(crate) fn task(&self) -> Key {
        self.key
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Alarm>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Alarm>) {
        if self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        match self.home.room() {
            Some(room) => room.ready(self.key),
            // After the end, nobody is to be woken.
            None => drop(self.home.send(Sent::Wake(self.clone()))),
        }
    }
}

/// Something that stays at home, held from anywhere. It is dropped at home, too.
pub(crate) struct Kept<T> {
    home: Arc<Home>,
    key: Key,
    kind: PhantomData<fn() -> T>,
}

impl<T: 'static> Kept<T> {
    /// Keeps what `make` makes; nothing if this is not home, or no longer.
    pub(crate) fn new(home: &Arc<Home>, make: impl FnOnce() -> T) -> Option<Kept<T>> {
        let room = home.room()?;
        let key = room.keep(Rc::new(RefCell::new(make())));
        Some(Kept { home: home.clone(), key, kind: PhantomData })
    }

    /// Does something with it; nothing if this is not home, or no longer.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let room = self.home.room()?;
        let value = room.kept.borrow().get(self.key)?.clone();
        Some(work(&mut value.downcast_ref::<RefCell<T>>()?.borrow_mut()))
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        match self.home.room() {
            Some(room) => room.release(self.key),
            // After the end, it is gone already.
            None => drop(self.home.send(Sent::Release(self.key))),
        }
    }
}
