//! Tests that the tree behaves like OTP's `supervisor` at each event, and that its promises hold
//! for any interleaving of events.

use std::time::Duration;

use mycelium_bundle::Restart;
use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use super::super::strategy::{Lifetime, Strategy};
use super::{
    AtTop, ChildId, ChildSpec, Command, Moment, RunEnd, State, SupervisorId, SupervisorSpec, Tree,
};
use otp::{Act, Exit};

mod otp;

const WINDOW: Duration = Duration::from_secs(10);

/// Returns a worker of a plan. It gets its name when the tree is built.
fn worker(lifetime: Lifetime) -> otp::Child {
    otp::Child::Worker { name: 0, lifetime, is_alive: false }
}

fn lifetimes() -> impl proptest::strategy::Strategy<Value = Lifetime> {
    // Mostly permanent: restarted children produce longer histories.
    prop_oneof![
        4 => Just(Lifetime::Permanent),
        2 => Just(Lifetime::Transient),
        1 => Just(Lifetime::Temporary),
    ]
}

fn plans() -> impl proptest::strategy::Strategy<Value = otp::Supervisor> {
    let workers = || lifetimes().prop_map(worker);
    let strategies = || prop::sample::select(Strategy::ALL.to_vec());
    let plan = |(strategy, intensity, children)| {
        otp::Supervisor::new(strategy, intensity, WINDOW, children)
    };
    let flat = (strategies(), 0..3usize, prop::collection::vec(workers(), 0..5)).prop_map(plan);
    flat.prop_recursive(3, 12, 4, move |below| {
        let child = prop_oneof![
            2 => workers(),
            1 => below.prop_map(otp::Child::Supervisor),
        ];
        (strategies(), 0..4usize, prop::collection::vec(child, 1..5)).prop_map(plan)
    })
}

/// A tree whose children follow each command immediately.
struct Driven {
    tree: Tree,
    /// The child of each name in the model.
    names: Vec<ChildId>,
    top: SupervisorId,
    moment: Moment,
    acts: Vec<Act>,
}

/// Restarts without pauses, because the model has none.
fn at_once(limit: u32) -> Restart {
    Restart { limit, window: WINDOW, backoff: Duration::ZERO, longest: Duration::ZERO }
}

impl Driven {
    /// Builds the tree of a plan, and names its workers.
    fn new(plan: &mut otp::Supervisor) -> Driven {
        let mut tree = Tree::new(AtTop::Stop);
        let mut names = Vec::new();
        let root = tree.root();
        let top = build(&mut tree, root, plan, &mut names);
        Driven { tree, names, top, moment: Moment::default(), acts: Vec::new() }
    }

    fn name(&self, id: ChildId) -> usize {
        self.names.iter().position(|other| *other == id).expect("a child of the plan")
    }

    /// Follows all commands.
    fn settle(&mut self) {
        while let Some(command) = self.tree.next_command() {
            match command {
                Command::Start { child, at } => {
                    assert!(at <= self.moment.now, "there are no pauses");
                    if self.tree.begin(child, self.moment.now) {
                        self.acts.push(Act::Start(self.name(child)));
                        self.tree.started(child);
                    }
                }
                Command::Stop { child } => {
                    self.acts.push(Act::Terminate(self.name(child)));
                    self.tree.ended(child, RunEnd::Stopped, self.moment);
                }
                Command::End { child, .. } => self.acts.push(Act::Delete(self.name(child))),
            }
        }
    }

    fn alive(&self) -> Vec<usize> {
        let runs = |name: &usize| self.tree.state(self.names[*name]) == Some(State::Running);
        (0..self.names.len()).filter(runs).collect()
    }
}

fn build(
    tree: &mut Tree,
    parent: SupervisorId,
    plan: &mut otp::Supervisor,
    names: &mut Vec<ChildId>,
) -> SupervisorId {
    let (strategy, restart) = (plan.strategy, at_once(plan.intensity as u32));
    let spec = SupervisorSpec { name: "supervisor".into(), strategy, restart };
    let id = tree.add_supervisor(parent, spec).expect("the parent lives");
    for child in &mut plan.children {
        match child {
            otp::Child::Worker { name, lifetime, .. } => {
                let spec = ChildSpec { lifetime: *lifetime, restart: at_once(u32::MAX).into() };
                *name = names.len();
                names.push(tree.add_child(id, spec, Duration::ZERO).expect("it lives"));
            }
            otp::Child::Supervisor(below) => _ = build(tree, id, below, names),
        }
    }
    id
}

proptest! {
    /// Covers strategies, lifetimes, the limit with a sliding window, and escalation: at each exit
    /// of a worker, the tree starts, terminates and deletes the same workers in the same order as
    /// OTP.
    #[test]
    fn exits_have_the_same_effects_as_in_otp(
        mut model in plans(),
        exits in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 0..6u64), 1..40),
    ) {
        let mut driven = Driven::new(&mut model);
        let mut acts = Vec::new();
        model.start(&mut acts);
        driven.tree.start(driven.top, Duration::ZERO);
        driven.settle();
        prop_assert_eq!(&driven.acts, &acts);
        for (which, is_error, pause) in exits {
            let alive = model.alive();
            if alive.is_empty() {
                break;
            }
            let name = alive[which.index(alive.len())];
            driven.moment.now += Duration::from_secs(pause);
            let (exit, end) = match is_error {
                true => (Exit::Error, RunEnd::Failed),
                false => (Exit::Normal, RunEnd::Returned),
            };
            acts.clear();
            driven.acts.clear();
            let gave_up = model.exit(name, exit, driven.moment.now, &mut acts);
            driven.tree.ended(driven.names[name], end, driven.moment);
            driven.settle();
            if gave_up {
                // The tree deletes all remaining children; in OTP the supervisor itself is gone.
                let stops = |acts: &[Act]| -> Vec<_> {
                    acts.iter().filter(|act| matches!(act, Act::Terminate(_))).copied().collect()
                };
                prop_assert_eq!(stops(&driven.acts), stops(&acts));
                prop_assert!(driven.names.iter().all(|id| driven.tree.state(*id).is_none()));
                break;
            }
            prop_assert_eq!(&driven.acts, &acts, "after {:?} of {}", exit, name);
            let mut alive = model.alive();
            alive.sort_unstable();
            prop_assert_eq!(driven.alive(), alive);
        }
    }
}

/// An event in a tree whose children do not react immediately.
#[derive(Clone, Debug)]
enum Happens {
    /// A child that was commanded to begin a run begins it.
    Begin,
    Starts,
    /// A child ends its run. For `Stopped` it is a child that was commanded to end its run.
    Ends(RunEnd),
    IsForgotten,
    IsAdded(Lifetime),
}

fn happenings() -> impl proptest::strategy::Strategy<Value = Happens> {
    prop_oneof![
        6 => Just(Happens::Begin),
        6 => Just(Happens::Starts),
        6 => Just(Happens::Ends(RunEnd::Stopped)),
        3 => Just(Happens::Ends(RunEnd::Failed)),
        1 => Just(Happens::Ends(RunEnd::Returned)),
        1 => Just(Happens::IsForgotten),
        1 => lifetimes().prop_map(Happens::IsAdded),
    ]
}

/// A tree with two supervisors, one below the other, whose children react at random times.
struct Loose {
    tree: Tree,
    /// The children in the order of their places, with the supervisor of each.
    children: Vec<(SupervisorId, Strategy, ChildId)>,
    supervisors: Vec<(SupervisorId, Strategy)>,
    moment: Moment,
}

impl Loose {
    fn new(strategies: [Strategy; 2], limit: u32) -> Loose {
        let mut tree = Tree::new(AtTop::Stop);
        let restart = Restart { limit, window: WINDOW, ..Restart::default() };
        let spec = |strategy| SupervisorSpec { name: "it".into(), strategy, restart };
        let root = tree.root();
        let top = tree.add_supervisor(root, spec(strategies[0])).expect("the root lives");
        let mut children = Vec::new();
        let mut add = |tree: &mut Tree, (id, strategy)| {
            let child = tree.add_child(id, ChildSpec::default(), Duration::ZERO);
            children.push((id, strategy, child.expect("it lives")));
        };
        (0..2).for_each(|_| add(&mut tree, (top, strategies[0])));
        let below = tree.add_supervisor(top, spec(strategies[1])).expect("the top lives");
        (0..3).for_each(|_| add(&mut tree, (below, strategies[1])));
        (0..2).for_each(|_| add(&mut tree, (top, strategies[0])));
        tree.start(top, Duration::ZERO);
        let supervisors = vec![(top, strategies[0]), (below, strategies[1])];
        Loose { tree, children, supervisors, moment: Moment::default() }
    }

    /// Returns the children in this state.
    fn that_are(&self, is: impl Fn(State) -> bool) -> Vec<ChildId> {
        let ids = self.children.iter().map(|(_, _, id)| *id);
        ids.filter(|id| self.tree.state(*id).is_some_and(&is)).collect()
    }

    /// Applies `what` to a child. `which` chooses the index of the child, below its argument.
    fn happens(&mut self, what: &Happens, which: impl Fn(usize) -> usize) {
        let now = self.moment.now;
        let of = match what {
            Happens::Begin => self.that_are(|it| matches!(it, State::Told { at } if at <= now)),
            Happens::Starts => self.that_are(|it| it == State::Starting),
            Happens::Ends(RunEnd::Stopped) => self.that_are(|it| it == State::Stopping),
            Happens::Ends(_) => {
                self.that_are(|it| matches!(it, State::Starting | State::Running | State::Stopping))
            }
            Happens::IsForgotten => self.that_are(|_| true),
            Happens::IsAdded(lifetime) => {
                let (id, strategy) = self.supervisors[which(self.supervisors.len())];
                let spec = ChildSpec { lifetime: *lifetime, ..ChildSpec::default() };
                let added = self.tree.add_child(id, spec, now);
                self.children.extend(added.map(|child| (id, strategy, child)));
                return;
            }
        };
        if of.is_empty() {
            return;
        }
        let child = of[which(of.len())];
        match what {
            Happens::Begin => {
                assert!(self.tree.begin(child, now));
                self.check_begin(child);
            }
            Happens::Starts => self.tree.started(child),
            Happens::Ends(end) => self.tree.ended(child, *end, self.moment),
            Happens::IsForgotten => self.tree.forget(child, self.moment),
            Happens::IsAdded(_) => unreachable!("handled above"),
        }
    }

    /// Checks a child that begins: with `one-for-all` and `rest-for-one`, the children before it
    /// must have started.
    fn check_begin(&self, child: ChildId) {
        let (of, strategy) = self.place(child);
        for (other, _, id) in self.children.iter().take_while(|(_, _, id)| *id != child) {
            let state = self.tree.state(*id);
            let must_run = *other == of && strategy != Strategy::OneForOne && state.is_some();
            let holds = !must_run || state == Some(State::Running);
            assert!(holds, "{id:?} before {child:?}: {state:?}");
        }
    }

    fn place(&self, child: ChildId) -> (SupervisorId, Strategy) {
        let place = self.children.iter().find(|(_, _, id)| *id == child);
        place.map(|(of, strategy, _)| (*of, *strategy)).expect("it was added")
    }

    /// Checks that the children of a supervisor are stopped one at a time, the last one first.
    fn check_commands(&mut self) {
        while let Some(command) = self.tree.next_command() {
            let Command::Stop { child } = command else { continue };
            let (of, _) = self.place(child);
            let after = self.children.iter().skip_while(|(_, _, id)| *id != child).skip(1);
            for (_, _, id) in after.filter(|(other, _, _)| *other == of) {
                let state = self.tree.state(*id);
                let rests = matches!(state, None | Some(State::Waiting | State::Told { .. }));
                assert!(rests, "{id:?} after {child:?}: {state:?}");
            }
        }
    }
}

proptest! {
    /// Children fail at any time, even while others stop and start. The orders hold, and at the end
    /// all children that have not ended run, or none if the supervisor gave up.
    #[test]
    fn whatever_happens_meanwhile_the_orders_hold_and_all_run_at_the_end(
        first in prop::sample::select(Strategy::ALL.to_vec()),
        second in prop::sample::select(Strategy::ALL.to_vec()),
        limit in 0..20u32,
        history in prop::collection::vec((happenings(), any::<prop::sample::Index>(), 0..50u64), 0..200),
    ) {
        let mut loose = Loose::new([first, second], limit);
        for (what, which, millis) in history {
            loose.moment.now += Duration::from_millis(millis);
            loose.happens(&what, |count| which.index(count));
            loose.check_commands();
        }
        // From now on no child fails.
        for _ in 0..1000 {
            if loose.that_are(|it| it != State::Running).is_empty() {
                break;
            }
            loose.moment.now += WINDOW;
            for what in [Happens::Ends(RunEnd::Stopped), Happens::Begin, Happens::Starts] {
                loose.happens(&what, |_| 0);
                loose.check_commands();
            }
        }
        let left = loose.that_are(|it| it != State::Running);
        prop_assert!(left.is_empty(), "{left:?} do not run: {:?}", loose.tree);
    }
}

/// Creates a supervisor of three children that run, with this limit.
fn three(strategy: Strategy, limit: usize) -> (Tree, [ChildId; 3]) {
    let children = vec![worker(Lifetime::Permanent); 3];
    let mut plan = otp::Supervisor::new(strategy, limit, WINDOW, children);
    let Driven { mut tree, names, top, .. } = Driven::new(&mut plan);
    tree.start(top, Duration::ZERO);
    start_all(&mut tree);
    (tree, names.try_into().expect("three children"))
}

/// Starts the children that have the command to start, and drops the other commands.
fn start_all(tree: &mut Tree) {
    while let Some(command) = tree.next_command() {
        if let Command::Start { child, .. } = command
            && tree.begin(child, Duration::ZERO)
        {
            tree.started(child);
        }
    }
}

#[test]
fn exits_while_siblings_stop_are_not_counted() {
    let (mut tree, [a, b, c]) = three(Strategy::OneForAll, 1);
    let moment = Moment::default();
    tree.ended(b, RunEnd::Failed, moment);
    assert_eq!(tree.next_command(), Some(Command::Stop { child: c }));
    // `a` and `c` fail meanwhile: `c` was commanded to stop, and `a` would be next.
    tree.ended(a, RunEnd::Failed, moment);
    tree.ended(c, RunEnd::Failed, moment);
    start_all(&mut tree);
    assert!([a, b, c].iter().all(|child| tree.state(*child) == Some(State::Running)));
    tree.ended(a, RunEnd::Failed, moment);
    assert_eq!(tree.state(a), None, "the limit of one restart was not used up before");
}

#[test]
fn a_tree_that_drains_restarts_each_alone() {
    let (mut tree, [a, b, c]) = three(Strategy::OneForAll, 0);
    let moment = Moment::default();
    // From now on the limit of the supervisor does not apply.
    tree.drain(Duration::ZERO);
    tree.ended(a, RunEnd::Failed, moment);
    let states = [a, b, c].map(|child| tree.state(child));
    let running = Some(State::Running);
    assert_eq!(states, [Some(State::Told { at: Duration::ZERO }), running, running]);
    tree.ended(b, RunEnd::Returned, moment);
    assert_eq!(tree.state(b), None, "a permanent child has completed, too");
}

/// The slots of children are reused, and the cost of an event depends only on the affected
/// children.
#[test]
fn children_that_come_and_go_leave_nothing_behind() {
    let mut tree = Tree::new(AtTop::Stop);
    let root = tree.root();
    let mut last = 0;
    for _ in 0..100_000 {
        let child = tree.add_child(root, ChildSpec::default(), Duration::ZERO);
        let child = child.expect("the root lives");
        assert!(tree.begin(child, Duration::ZERO));
        tree.ended(child, RunEnd::Returned, Moment::default());
        assert_eq!(tree.state(child), None, "its name has no meaning any more");
        last = child.index();
        while tree.next_command().is_some() {}
    }
    assert_eq!(last, 1, "the root has the first place");
}
