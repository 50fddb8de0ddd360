//! [`Health`] against the written definitions. The model looks at all events from the first one on,
//! and keeps no state.

use std::time::Duration;

use mycelium::observe::{Event, Health, HealthState, Outcome};
use proptest::prelude::*;

const SERVICES: [&str; 3] = ["Feed", "Detector", "Writer"];
const TOPICS: [&str; 2] = ["swaps", "orders"];
const READERS: [&str; 2] = ["Detector", "keeper"];
const PEERS: [&str; 2] = ["keeper", "far"];
const SPAN: Duration = Duration::from_secs(1);

/// An event; its names are indices.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Started(usize),
    Restarted(usize),
    BackingOff(usize),
    Stopped(usize),
    Hangs(usize),
    Ended(usize),
    Pressed(usize, usize),
    Relieved(usize, usize),
    Evicted(usize, usize, usize),
    Returned(usize, usize, usize),
    Up(usize, bool),
    Down(usize, bool, bool),
    NodeReady,
    NodeDraining,
    NodeStopped,
}

impl Op {
    fn event(self) -> Event<'static> {
        let (error, node) = ("no luck", "main");
        let (depth, capacity) = (8, 8);
        match self {
            Op::Started(it) => Event::ServiceStarted { service: SERVICES[it] },
            Op::Restarted(it) => Event::ServiceRestarted { service: SERVICES[it], error },
            Op::BackingOff(it) => {
                Event::ServiceBackingOff { service: SERVICES[it], error, pause: SPAN }
            }
            Op::Stopped(it) => {
                Event::ServiceStopped { service: SERVICES[it], outcome: &Outcome::Completed }
            }
            Op::Hangs(it) => Event::PollHangs { service: SERVICES[it], limit: SPAN },
            Op::Ended(it) => Event::PollEnded { service: SERVICES[it], lasted: SPAN },
            Op::Pressed(it, topic) => {
                let (service, topic) = (SERVICES[it], TOPICS[topic]);
                Event::BackpressureStarted { service, topic, depth, capacity }
            }
            Op::Relieved(it, topic) => {
                let (service, topic) = (SERVICES[it], TOPICS[topic]);
                Event::BackpressureEnded { service, topic, depth: 0, capacity }
            }
            Op::Evicted(it, topic, reader) => {
                let (service, topic, reader) = (SERVICES[it], TOPICS[topic], READERS[reader]);
                Event::ReaderEvicted { service, topic, reader, stalled: SPAN }
            }
            Op::Returned(it, topic, reader) => {
                let (service, topic, reader) = (SERVICES[it], TOPICS[topic], READERS[reader]);
                Event::ReaderReturned { service, topic, reader }
            }
            Op::Up(peer, reads) => Event::LinkConnected { peer: PEERS[peer], reads },
            Op::Down(peer, reads, is_over) => {
                Event::LinkDisconnected { peer: PEERS[peer], reads, is_over }
            }
            Op::NodeReady => Event::NodeReady { node },
            Op::NodeDraining => Event::NodeDraining { node },
            Op::NodeStopped => Event::NodeStopped { node },
        }
    }
}

/// Returns whether a `begin` has no later `end`. Each end closes one begin.
fn is_open(history: &[Op], begin: Op, end: Op) -> bool {
    let open = history.iter().fold(0_u32, |open, op| match *op {
        op if op == begin => open + 1,
        op if op == end => open.saturating_sub(1),
        _ => open,
    });
    open > 0
}

fn service(history: &[Op], it: usize) -> HealthState {
    if history.contains(&Op::Stopped(it)) || history.contains(&Op::NodeStopped) {
        return HealthState::Stopped;
    }
    let of_run = |op: &&Op| [Op::Started(it), Op::Restarted(it), Op::BackingOff(it)].contains(*op);
    match history.iter().rev().find(of_run) {
        None => return HealthState::Starting,
        Some(Op::BackingOff(_)) => return HealthState::BackingOff,
        Some(_) => {}
    }
    let topics = 0..TOPICS.len();
    let is_pressed =
        topics.clone().any(|t| is_open(history, Op::Pressed(it, t), Op::Relieved(it, t)));
    let pairs = topics.flat_map(|t| (0..READERS.len()).map(move |r| (t, r)));
    let mut pairs = pairs;
    let has_evicted =
        pairs.any(|(t, r)| is_open(history, Op::Evicted(it, t, r), Op::Returned(it, t, r)));
    match is_open(history, Op::Hangs(it), Op::Ended(it)) || is_pressed || has_evicted {
        true => HealthState::Degraded,
        false => HealthState::Ready,
    }
}

/// Returns whether the link has been connected since it was last over, and has no connection now.
fn is_lost(history: &[Op], peer: usize, reads: bool) -> bool {
    let over = history.iter().rposition(|op| *op == Op::Down(peer, reads, true));
    let since = &history[over.map_or(0, |over| over + 1)..];
    let (up, down) = (Op::Up(peer, reads), Op::Down(peer, reads, false));
    since.contains(&up) && !is_open(since, up, down)
}

fn node(history: &[Op]) -> HealthState {
    if history.contains(&Op::NodeDraining) || history.contains(&Op::NodeStopped) {
        return HealthState::Stopped;
    }
    if !history.contains(&Op::NodeReady) {
        return HealthState::Starting;
    }
    let states = (0..SERVICES.len()).map(|it| service(history, it));
    let running: Vec<_> = states.filter(|state| *state != HealthState::Stopped).collect();
    let backs_off = |state: &HealthState| *state == HealthState::BackingOff;
    if !running.is_empty() && running.iter().all(backs_off) {
        return HealthState::BackingOff;
    }
    let is_bad = |state: &HealthState| backs_off(state) || *state == HealthState::Degraded;
    let has_lost = (0..PEERS.len()).any(|p| [true, false].iter().any(|r| is_lost(history, p, *r)));
    match running.iter().any(is_bad) || has_lost {
        true => HealthState::Degraded,
        false => HealthState::Ready,
    }
}

fn is_live(history: &[Op]) -> bool {
    let hangs = |it| is_open(history, Op::Hangs(it), Op::Ended(it));
    !history.contains(&Op::NodeStopped) && !(0..SERVICES.len()).any(hangs)
}

fn ops() -> impl Strategy<Value = Op> {
    let (service, topic, reader, peer) =
        (0..SERVICES.len(), 0..TOPICS.len(), 0..READERS.len(), 0..PEERS.len());
    prop_oneof![
        4 => service.clone().prop_map(Op::Started),
        4 => service.clone().prop_map(Op::Restarted),
        4 => service.clone().prop_map(Op::BackingOff),
        1 => service.clone().prop_map(Op::Stopped),
        2 => service.clone().prop_map(Op::Hangs),
        4 => service.clone().prop_map(Op::Ended),
        2 => (service.clone(), topic.clone()).prop_map(|(s, t)| Op::Pressed(s, t)),
        4 => (service.clone(), topic.clone()).prop_map(|(s, t)| Op::Relieved(s, t)),
        2 => (service.clone(), topic.clone(), reader.clone())
            .prop_map(|(s, t, r)| Op::Evicted(s, t, r)),
        4 => (service, topic, reader).prop_map(|(s, t, r)| Op::Returned(s, t, r)),
        4 => (peer.clone(), any::<bool>()).prop_map(|(p, r)| Op::Up(p, r)),
        4 => (peer, any::<bool>(), any::<bool>()).prop_map(|(p, r, o)| Op::Down(p, r, o)),
        6 => Just(Op::NodeReady),
        1 => prop_oneof![8 => Just(Op::NodeReady), 1 => Just(Op::NodeDraining), 1 => Just(Op::NodeStopped)],
    ]
}

proptest! {
    #[test]
    fn health_is_what_its_definitions_say(history in prop::collection::vec(ops(), 0..60)) {
        let mut health = Health::new(SERVICES);
        for (index, op) in history.iter().enumerate() {
            health.apply(&op.event());
            let seen = &history[..=index];
            for (it, name) in SERVICES.iter().enumerate() {
                prop_assert_eq!(health.service(name), Some(service(seen, it)), "{} at {:?}", name, seen);
            }
            prop_assert_eq!(health.node(), node(seen), "at {:?}", seen);
            prop_assert_eq!(health.is_live(), is_live(seen), "at {:?}", seen);
            let works = matches!(health.node(), HealthState::Ready | HealthState::Degraded);
            prop_assert_eq!(health.is_ready(), works);
            if matches!(health.node(), HealthState::Degraded | HealthState::BackingOff) {
                prop_assert!(!health.causes().is_empty(), "at {:?}", seen);
            }
            if health.node() == HealthState::Ready {
                prop_assert_eq!(health.causes(), []);
            }
        }
    }
}
