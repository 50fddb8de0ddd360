//! The topics that an engine of others carries between nodes, in place of links, and what it can do
//! for them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use mycelium_core::Code;
use mycelium_transports::link::Redelivery;
use mycelium_transports::local::Start;

use super::ports::{BoundPort, BoundPorts};
use crate::error::BuildError;
use crate::topology::{EngineName, Problem, Setting, Topology};

/// The topics of a node that an engine carries.
#[derive(Debug, Default)]
pub(crate) struct EngineTopics {
    /// The engine's configuration file, if the topology names one.
    pub(crate) config: Option<PathBuf>,
    /// The topics that services of this node emit.
    pub(crate) sends: BTreeSet<String>,
    /// The topics that services of this node read.
    pub(crate) receives: BTreeSet<String>,
}

impl EngineTopics {
    /// Returns whether the engine carries this topic of the node.
    pub(super) fn has(&self, topic: &str) -> bool {
        self.sends.contains(topic) || self.receives.contains(topic)
    }
}

/// Returns the topics that services of other nodes emit over engines, once for each service.
pub(super) fn remote_publishers<'k>(
    topology: &Topology,
    node: &str,
    known: &'k [(String, BoundPorts)],
) -> Vec<&'k str> {
    let others = topology.placements().filter(|(other, _)| *other != node);
    let others: BTreeSet<&str> = others.flat_map(|(_, services)| services).collect();
    let services = known.iter().filter(|(name, _)| others.contains(name.as_str()));
    let topics = services.flat_map(|(_, ports)| &ports.emits).map(|port| &*port.topic);
    topics.filter(|topic| topology.engine(topic).is_some()).collect()
}

/// Checks that the engines of the topology can carry their topics for the services of all nodes,
/// `known`, and returns those of a node that runs `services`.
pub(super) fn engine_topics(
    topology: &Topology,
    known: &[(String, BoundPorts)],
    services: &[(String, BoundPorts)],
) -> Result<BTreeMap<EngineName, EngineTopics>, BuildError> {
    for (service, ports) in known {
        for port in ports.inputs().chain(ports.outputs()) {
            if let Some(engine) = topology.engine(&port.topic) {
                check_topic(topology, engine, port)?;
            }
        }
        for port in &ports.reads {
            if let Some(engine) = topology.engine(&port.topic) {
                check_reader(topology, engine, service, port)?;
            }
        }
    }
    for (service, ports) in known {
        check_queues(topology, service, ports)?;
    }
    for (node, services) in topology.placements() {
        let of_node = known.iter().filter(|(name, _)| services.contains(&name.as_str()));
        check_queues_of_node(topology, node, of_node)?;
    }
    let mut engines = BTreeMap::<EngineName, EngineTopics>::new();
    let mut add = |topic: &str, list: fn(&mut EngineTopics) -> &mut BTreeSet<String>| {
        let Some(engine) = topology.engine(topic) else { return };
        let new = || EngineTopics { config: topology.engine_config(engine), ..Default::default() };
        list(engines.entry(engine).or_insert_with(new)).insert(topic.to_owned());
    };
    for (_, ports) in services {
        ports.emits.iter().for_each(|port| add(&port.topic, |topics| &mut topics.sends));
        ports.reads.iter().for_each(|port| add(&port.topic, |topics| &mut topics.receives));
    }
    Ok(engines)
}

/// Checks what the topic itself needs.
fn check_topic(
    topology: &Topology,
    engine: EngineName,
    port: &BoundPort,
) -> Result<(), BuildError> {
    let topic = &*port.topic;
    let problem = if port.is_request {
        "it has requests, which need links: an engine does not say who answers"
    } else if topology.retention(topic).is_some() {
        "it has `retain`, and nobody would send the retained messages to nodes that come later: \
         remove one of the two keys"
    } else if topology.readers(topic).is_some() || topology.has_writers(topic) {
        "it has a list of nodes (`readers` or `writers`), which only links enforce: use the \
         engine's own access control in the file that `config` of its section names"
    } else {
        return Ok(());
    };
    Err(wrong(topology, Setting::Transport(topic), engine, topic, problem))
}

fn check_reader(
    topology: &Topology,
    engine: EngineName,
    service: &str,
    port: &BoundPort,
) -> Result<(), BuildError> {
    let (topic, policy) = (&*port.topic, port.options.policy);
    let subscription = format!("{service}.{}", port.key);
    let gating = engine.capabilities().lacks(policy);
    let problem = if let Some(what) = gating {
        format!(
            "{engine} cannot {what}, which the policy `{policy}` of `{subscription}` needs: let \
             that subscription drop messages (`policy = \"drop-oldest\"` or `\"latest\"` in \
             `[subscription.\"{subscription}\"]`), let a stream store \
             them (`transport = \"jetstream\"`), or use links"
        )
    } else if port.options.start != Start::Next && !engine.capabilities().stores {
        format!(
            "{engine} keeps no messages for `{subscription}`, whose `start` is an earlier one: let a \
             stream store them (`transport = \"jetstream\"`)"
        )
    } else {
        return Ok(());
    };
    let setting = Setting::Policy(service, port.key);
    let has_place = gating.is_some() && topology.place_of(setting).is_some();
    let setting = if has_place { setting } else { Setting::Transport(topic) };
    Err(wrong(topology, setting, engine, topic, &problem))
}

/// Checks that an engine carries the work queues of a service, and that it finishes what it gets.
fn check_queues(topology: &Topology, service: &str, ports: &BoundPorts) -> Result<(), BuildError> {
    for port in ports.reads.iter().chain(&ports.emits).filter(|port| is_queue(topology, port)) {
        let engine = topology.engine(&port.topic);
        if !engine.is_some_and(|engine| engine.capabilities().has_work_queues) {
            let problem = "only a stream gives each message to one reader: write `transport = \
                           \"jetstream\"`";
            return Err(wrong_queue(topology, &port.topic, problem));
        }
        if topology.redelivery(&port.topic) == Redelivery::AtMostOnce {
            let problem = "it has `delivery = \"at-most-once\"`, and a message whose first node died \
                           would go to nobody: remove one of the two keys";
            return Err(wrong_queue(topology, &port.topic, problem));
        }
    }
    for port in ports.reads.iter().filter(|port| is_queue(topology, port)) {
        let subscription = format!("{service}.{}", port.key);
        let problem = if !port.options.policy.is_gating() {
            "which loses messages that nobody else gets: expected the policy `block`"
        } else if port.options.start != Start::Next {
            "which has a `start`, and a queue always gives the oldest message that nobody \
             has finished: remove the key"
        } else {
            continue;
        };
        let problem = format!("it is read by `{subscription}`, {problem}");
        return Err(wrong_queue(topology, &port.topic, &problem));
    }
    Ok(())
}

/// Checks that a node has one reader of a work queue, or publishers.
fn check_queues_of_node<'k>(
    topology: &Topology,
    node: &str,
    services: impl Iterator<Item = &'k (String, BoundPorts)>,
) -> Result<(), BuildError> {
    let (mut readers, mut emitters) = (BTreeMap::new(), BTreeMap::new());
    for (service, ports) in services {
        for port in ports.reads.iter().filter(|port| is_queue(topology, port)) {
            if let Some(other) = readers.insert(&*port.topic, service) {
                let problem = format!(
                    "both `{other}` and `{service}` read it in node `{node}`, and would get the same \
                     messages: place them in different nodes"
                );
                return Err(wrong_queue(topology, &port.topic, &problem));
            }
        }
        let emits = ports.emits.iter().filter(|port| is_queue(topology, port));
        emitters.extend(emits.map(|port| (&*port.topic, service)));
    }
    for (topic, emitter) in emitters {
        if let Some(reader) = readers.get(topic) {
            let problem = format!(
                "node `{node}` has both `{emitter}`, which emits it, and `{reader}`, which reads it and \
                 would get all of these messages: place them in different nodes"
            );
            return Err(wrong_queue(topology, topic, &problem));
        }
    }
    Ok(())
}

fn is_queue(topology: &Topology, port: &BoundPort) -> bool {
    topology.work_queue(&port.topic).is_some()
}

fn wrong_queue(topology: &Topology, topic: &str, problem: &str) -> BuildError {
    let text = format!("topic `{topic}` has `work_queue = true`, but {problem}");
    let problem = Problem::new(Code::TOPIC_TRANSPORT, text);
    topology.error_at(Setting::WorkQueue(topic), problem).into()
}

fn wrong(
    topology: &Topology,
    setting: Setting<'_>,
    engine: EngineName,
    topic: &str,
    problem: &str,
) -> BuildError {
    let key = engine.key();
    let text = format!("topic `{topic}` has `transport = \"{key}\"`, but {problem}");
    topology.error_at(setting, Problem::new(Code::TOPIC_TRANSPORT, text)).into()
}
