//! The children of a supervision [`Tree`] as tasks.
//!
//! [`Supervision`] is a tree behind a lock; each of its children is a [`Member`], which the child's
//! task owns. Each kind of child needs only a loop over its member:
//!
//! ```text
//! let mut member = supervision.add(parent, spec, now)?;
//! loop {
//!     match member.turn(&clock, &timer).await {        // its place in the order, and the pause
//!         Turn::Begin => {}
//!         Turn::End(why) => break,                     // its supervisor has ended
//!     }
//!     let end = poll_fn(|cx| {
//!         if member.poll_stop(&mut waker, cx).is_ready() {   // before each poll of the run
//!             return Poll::Ready(RunEnd::Stopped);     // drop the run, and `self` with it
//!         }
//!         let end = run.poll(cx);                      // Returned, Failed, FailedForGood, Asked
//!         if has_started { member.started() }          // once: the next sibling starts
//!         end
//!     }).await;
//!     match member.ended(end, moment) {
//!         Verdict::Restart { at } | Verdict::Wait => continue,   // `turn` waits for either
//!         Verdict::End(why) => break,
//!     }
//! }
//! ```
//!
//! A stopped run is dropped at an await point, in the middle of its work: its `self` is in an
//! undefined state, and the next run gets a new one. Its messages in flight belong to the mailbox
//! or the subscriptions, which survive the run. Dropping a member reports to the tree that its task
//! is gone. Messages do not pass through this module: `poll_stop` costs one load for each poll, and
//! children of the root, which are never stopped, need not call it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mycelium_executor::{Executor, SendFuture};

use super::tree::{
    AtTop, ChildId, ChildSpec, Command, Moment, RunEnd, State, SupervisorId, Tree, Why,
};
use crate::support::lock::lock;

/// A tree of supervisors, and the tasks of its children.
pub(crate) struct Supervision {
    supervised: Mutex<Supervised>,
    drains: AtomicBool,
}

struct Supervised {
    tree: Tree,
    /// The signals of the children, at the indices of their ids.
    signals: Vec<Option<Arc<Signal>>>,
    /// The time of the last event. The tree forgets a dropped member as of this time.
    last: Moment,
}

/// The tree's connection to the task of a child.
#[derive(Default)]
struct Signal {
    /// Whether the current run should end.
    stops: AtomicBool,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    /// Why the child has ended permanently.
    end: Option<Box<Why>>,
    /// The waker of the task. A wake does not remove it: a late wake may find the waker of the next
    /// run, which still needs it.
    waker: Option<Waker>,
}

impl Supervision {
    /// Creates a tree without children.
    pub(crate) fn new(at_top: AtTop) -> Arc<Supervision> {
        let (tree, last) = (Tree::new(at_top), Moment::default());
        let supervised = Mutex::new(Supervised { tree, signals: Vec::new(), last });
        Arc::new(Supervision { supervised, drains: AtomicBool::new(false) })
    }

    /// Reads or changes the tree, and wakes the affected children.
    pub(crate) fn tree<R>(&self, change: impl FnOnce(&mut Tree) -> R) -> R {
        self.change(|it| change(&mut it.tree))
    }

    /// See [`Tree::reserve`].
    pub(crate) fn reserve(&self, children: usize) {
        let mut supervised = lock(&self.supervised);
        supervised.tree.reserve(children);
        supervised.signals.reserve_exact(children);
    }

    /// Adds a child: see [`Tree::add_child`].
    pub(crate) fn add(
        self: &Arc<Self>,
        parent: SupervisorId,
        spec: ChildSpec,
        now: Duration,
    ) -> Option<Member> {
        let signal = Arc::<Signal>::default();
        let (child, is_alone) = self.change(|it| {
            let child = it.tree.add_child(parent, spec, now)?;
            if it.signals.len() <= child.index() {
                it.signals.resize_with(child.index() + 1, || None);
            }
            it.signals[child.index()] = Some(signal.clone());
            Some((child, parent == it.tree.root()))
        })?;
        Some(Member { supervision: self.clone(), child, signal, is_alone, has_ended: false })
    }

    /// See [`Tree::drain`]. Each call after the first costs a load.
    pub(crate) fn drain(&self, now: Duration) {
        if !self.drains.load(Ordering::Acquire) {
            self.tree(|tree| tree.drain(now));
            self.drains.store(true, Ordering::Release);
        }
    }

    /// Changes the tree, and wakes the affected children.
    fn change<R>(&self, change: impl FnOnce(&mut Supervised) -> R) -> R {
        let mut supervised = lock(&self.supervised);
        let result = change(&mut supervised);
        let mut concerned = Vec::new();
        while let Some(command) = supervised.tree.next_command() {
            let (Command::Start { child, .. }
            | Command::Stop { child }
            | Command::End { child, .. }) = command;
            let Some(place) = supervised.signals.get_mut(child.index()) else { continue };
            let Some(signal) = place.clone() else { continue };
            match command {
                Command::Start { .. } => {}
                Command::Stop { .. } => signal.stops.store(true, Ordering::Release),
                Command::End { why, .. } => {
                    *place = None;
                    lock(&signal.told).end = Some(Box::new(why));
                }
            }
            concerned.push(signal);
        }
        // Releases the lock before the wakes: a waker may poll its task immediately.
        drop(supervised);
        concerned.iter().for_each(|signal| signal.wake());
        result
    }
}

impl Signal {
    fn register(&self, waker: &Waker) {
        let registered = &mut lock(&self.told).waker;
        if registered.as_ref().is_none_or(|it| !it.will_wake(waker)) {
            *registered = Some(waker.clone());
        }
    }

    fn wake(&self) {
        let waker = lock(&self.told).waker.clone();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Takes the reason why the child has ended.
    fn take_end(&self) -> Why {
        lock(&self.told).end.take().map_or(Why::SupervisorEnded, |why| *why)
    }
}

/// The next step of a child.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The child begins a run.
    Begin,
    /// The child has ended permanently.
    End(Why),
}

/// The consequence of the end of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another run follows, at this time or later: other children may be stopped and started first.
    Restart { at: Duration },
    /// Another run follows when the supervisor of the child is restarted.
    Wait,
    /// The child has ended permanently.
    End(Why),
}

/// A child of a tree, owned by its task.
pub(crate) struct Member {
    supervision: Arc<Supervision>,
    child: ChildId,
    signal: Arc<Signal>,
    is_alone: bool,
    has_ended: bool,
}

impl Member {
    /// Returns whether the child is a child of the root: it is never stopped, and other children do
    /// not wait for its start.
    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Waits until the child may begin a run, or has ended permanently. A run waits for its turn
    /// among the siblings, and for the pause. `clock` has the time of the tree, `timer` is the
    /// executor of the task.
    pub(crate) async fn turn(&mut self, clock: &dyn Executor, timer: &dyn Executor) -> Turn {
        let mut pause: Option<(Duration, SendFuture<()>)> = None;
        poll_fn(|context| {
            self.signal.register(context.waker());
            loop {
                let mut supervised = lock(&self.supervision.supervised);
                let at = match supervised.tree.state(self.child) {
                    Some(State::Told { at }) => at,
                    Some(State::Waiting | State::Starting | State::Running | State::Stopping) => {
                        pause = None;
                        return Poll::Pending;
                    }
                    None => break,
                };
                let now = clock.now();
                if supervised.tree.begin(self.child, now) {
                    self.signal.stops.store(false, Ordering::Relaxed);
                    return Poll::Ready(Turn::Begin);
                }
                drop(supervised);
                if pause.as_ref().is_none_or(|(until, _)| *until != at) {
                    let wake = timer.now().saturating_add(at.saturating_sub(now));
                    pause = Some((at, timer.sleep_until(wake)));
                }
                let Some((_, timer)) = &mut pause else { return Poll::Pending };
                if timer.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                // Checks again, because the two clocks may differ a little.
                pause = None;
            }
            self.has_ended = true;
            Poll::Ready(Turn::End(self.signal.take_end()))
        })
        .await
    }

    /// Reports that the run has started: the next child may start.
    pub(crate) fn started(&self) {
        self.supervision.tree(|tree| tree.started(self.child));
    }

    /// Ready when the current run should end. `registered` is the registered waker of the run: a
    /// poll with the same waker costs one load.
    #[inline]
    pub(crate) fn poll_stop(
        &self,
        registered: &mut Option<Waker>,
        context: &Context<'_>,
    ) -> Poll<()> {
        if registered.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
            *registered = Some(context.waker().clone());
            self.signal.register(context.waker());
        }
        match self.signal.stops.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Reports that the run has ended. Returns the consequence.
    pub(crate) fn ended(&mut self, end: RunEnd, moment: Moment) -> Verdict {
        let (lives, at) = self.supervision.change(|it| {
            it.last = moment;
            it.tree.ended(self.child, end, moment);
            (it.tree.state(self.child).is_some(), it.tree.restarts_at(self.child))
        });
        match at {
            _ if !lives => {
                self.has_ended = true;
                Verdict::End(self.signal.take_end())
            }
            Some(at) => Verdict::Restart { at },
            None => Verdict::Wait,
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Breaks a reference cycle: the waker owns the task, and the task owns this member.
        lock(&self.signal.told).waker = None;
        if !self.has_ended {
            self.supervision.change(|it| {
                let last = it.last;
                it.tree.forget(self.child, last);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use mycelium_executor::conformance::WakeCounter;

    use super::*;
    use crate::supervise::strategy::Strategy;
    use crate::supervise::tree::SupervisorSpec;

    /// The tree commands a start, the task runs for another reason, and only then comes the wake
    /// for the start. It must not use up the waker, which the command to stop needs.
    #[test]
    fn a_wake_that_is_late_leaves_the_waker_for_the_stop() {
        let supervision = Supervision::new(AtTop::Stop);
        let (name, strategy) = ("top".into(), Strategy::OneForAll);
        let spec = SupervisorSpec { name, strategy, restart: Default::default() };
        let top = supervision.tree(|tree| tree.add_supervisor(tree.root(), spec));
        let top = top.expect("the root lives");
        let mut members = [(); 2].map(|()| {
            let member = supervision.add(top, ChildSpec::default(), Duration::ZERO);
            member.expect("the top lives")
        });
        supervision.tree(|tree| tree.start(top, Duration::ZERO));
        for member in &members {
            assert!(lock(&supervision.supervised).tree.begin(member.child, Duration::ZERO));
            member.started();
        }
        let count = Arc::<WakeCounter>::default();
        let waker = Waker::from(count.clone());
        let (context, mut registered) = (Context::from_waker(&waker), None);
        assert!(members[0].poll_stop(&mut registered, &context).is_pending());
        members[0].signal.wake();
        assert!(members[0].poll_stop(&mut registered, &context).is_pending());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        let verdict = members[1].ended(RunEnd::Failed, Moment::default());
        assert_eq!(verdict, Verdict::Restart { at: Duration::from_millis(100) });
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert!(members[0].poll_stop(&mut registered, &context).is_ready());
    }
}
