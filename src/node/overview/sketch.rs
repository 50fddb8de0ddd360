//! Combines the plans of nodes into an overview.

use std::collections::BTreeMap;

use mycelium_core::descriptor::FieldType;
use mycelium_core::message::NO_ID;
use mycelium_transports::local::{OnStall, Schema};

use crate::node::Node;
use crate::node::overview::types::{
    FlowOverview, LinkOverview, ListOverview, ListenerOverview, MemberOverview, MemoryOverview,
    NodeOverview, NodeProgram, Overview, OverviewWarning, PortOverview, RequestOverview,
    RetainedOverview, RingOverview, ServiceOverview, SupervisorOverview, TopicOverview,
};
use crate::observe::report::StartWarning;
use crate::plan::{BoundPort, Plan, PlannedChild};
use crate::topology::Topology;

/// A node that has been built from the description of its program.
pub(super) struct Built<'a> {
    pub(super) of: NodeProgram<'a>,
    pub(super) node: Node,
}

/// Returns the overview of these nodes, which are all nodes of the topology.
pub(super) fn overview(topology: &Topology, built: &[Built<'_>]) -> Overview {
    let mut nodes: Vec<NodeOverview> = built.iter().map(node).collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let (topics, requests) = topics(built);
    let listeners = topology.legacy_listeners().into_iter().map(|it| {
        let endpoint = it.endpoint.to_string();
        ListenerOverview { name: it.name, node: it.node, endpoint, types: it.types }
    });
    let listeners = listeners.collect();
    let warnings = warnings(topology, built);
    Overview { nodes, topics, links: links(built), requests, listeners, warnings }
}

fn node(built: &Built<'_>) -> NodeOverview {
    let plan = &*built.node.plan;
    let (settings, supervision) = (&plan.settings, &plan.supervision);
    let supervisors = supervision.supervisors.iter().map(|of| SupervisorOverview {
        name: of.name.to_string(),
        strategy: of.strategy.name(),
        max_restarts: of.restart.limit,
        window: of.restart.window,
        parent: of.parent.map(|parent| supervision.supervisors[parent].name.to_string()),
        children: of
            .children
            .iter()
            .map(|child| match child {
                PlannedChild::Service(name) => name.clone(),
                PlannedChild::Supervisor(place) => supervision.supervisors[*place].name.to_string(),
            })
            .collect(),
    });
    let services = built.node.services.iter().map(|service| {
        let (name, ports) = (&service.name, plan.ports(&service.name));
        let limit = supervision.restart(name).limit;
        let inputs = |ports: &[BoundPort]| ports.iter().map(|port| of_port(port, true)).collect();
        let outputs = |ports: &[BoundPort]| ports.iter().map(|port| of_port(port, false)).collect();
        ServiceOverview {
            name: name.clone(),
            is_added: !built.of.description.has(name),
            execution: service.execution.to_string(),
            supervisor: supervision.of_service(name).map(str::to_owned),
            lifetime: supervision.lifetime(name).name(),
            max_restarts: Some(limit).filter(|limit| *limit != u32::MAX),
            reads: inputs(&ports.reads),
            emits: outputs(&ports.emits),
            requests: outputs(&ports.requests),
            answers: inputs(&ports.answers),
        }
    });
    NodeOverview {
        name: plan.node.clone(),
        program: built.of.program.to_owned(),
        host: settings.host.clone(),
        executor: settings.executor.clone(),
        shutdown: settings.shutdown,
        watchdog: built.node.watchdog.map(|(limit, _)| limit),
        memory: MemoryOverview { rings: plan.memory, budget: settings.memory },
        services: services.collect(),
        supervisors: supervisors.collect(),
    }
}

/// Returns the links, each with the topics that its two nodes read over it.
fn links(built: &[Built<'_>]) -> Vec<LinkOverview> {
    let mut links = BTreeMap::new();
    let plans = built.iter().map(|built| &*built.node.plan);
    for (plan, report) in
        plans.flat_map(|plan| plan.carriers.links().iter().map(move |it| (plan, it)))
    {
        let mut nodes = [plan.node.clone(), report.peer.clone()];
        nodes.sort_unstable();
        let link = links.entry(nodes.clone()).or_insert_with(|| LinkOverview {
            nodes,
            carrier: report.used,
            reason: report.reason.clone(),
            flows: Vec::new(),
        });
        let read = plan.peer_topics.publishers.get(&report.peer);
        for (topic, policy) in read.into_iter().flatten() {
            let mut on_socket = report.on_socket.iter().chain(&report.set_on_socket);
            let is_on_socket = on_socket.any(|it| **it == **topic)
                || plan.carriers.in_memory(&report.peer) && plan.topic(topic).stays_on_socket();
            link.flows.push(FlowOverview {
                topic: topic.to_string(),
                from: report.peer.clone(),
                to: plan.node.clone(),
                policy: Some(*policy),
                is_on_socket,
            });
        }
    }
    let links = links.into_values().chain(engine_links(built)).map(|mut link| {
        link.flows.sort_by(|a, b| (&a.from, &a.topic).cmp(&(&b.from, &b.topic)));
        link.flows.dedup();
        link
    });
    links.collect()
}

/// Returns the topics that two nodes exchange through an engine, as a link with its name.
fn engine_links(built: &[Built<'_>]) -> Vec<LinkOverview> {
    let mut links = BTreeMap::new();
    let plans = || built.iter().map(|built| &*built.node.plan);
    let readers = plans().flat_map(|plan| plan.engines.iter().map(move |of| (plan, of)));
    for (reader, (engine, topics)) in readers {
        for writer in plans().filter(|writer| writer.node != reader.node) {
            let Some(sends) = writer.engines.get(engine).map(|of| &of.sends) else { continue };
            for topic in topics.receives.intersection(sends) {
                let mut nodes = [writer.node.clone(), reader.node.clone()];
                nodes.sort_unstable();
                let new = || LinkOverview {
                    nodes: nodes.clone(),
                    carrier: engine.carrier(),
                    reason: None,
                    flows: Vec::new(),
                };
                let link = links.entry((nodes.clone(), *engine)).or_insert_with(new);
                link.flows.push(FlowOverview {
                    topic: topic.clone(),
                    from: writer.node.clone(),
                    to: reader.node.clone(),
                    policy: reader.strictest(topic),
                    is_on_socket: false,
                });
            }
        }
    }
    links.into_values().collect()
}

/// Returns the topics of messages and of requests, with the services on both sides.
fn topics(built: &[Built<'_>]) -> (Vec<TopicOverview>, Vec<RequestOverview>) {
    let mut topics = BTreeMap::<String, TopicOverview>::new();
    let mut requests = BTreeMap::<String, RequestOverview>::new();
    for Built { node, .. } in built {
        let plan = &*node.plan;
        for service in &node.services {
            let ports = plan.ports(&service.name);
            let member = |port: &BoundPort, reads| MemberOverview {
                node: plan.node.clone(),
                service: service.name.clone(),
                port: of_port(port, reads),
            };
            for port in &ports.emits {
                topic(&mut topics, plan, port).publishers.push(member(port, false));
            }
            for port in &ports.reads {
                topic(&mut topics, plan, port).readers.push(member(port, true));
            }
            for port in &ports.requests {
                request(&mut requests, plan, port).requesters.push(member(port, false));
            }
            for port in &ports.answers {
                request(&mut requests, plan, port).responders.push(member(port, true));
            }
        }
        for (topic, planned) in &plan.topics {
            let Some(topic) = topics.get_mut(&**topic) else { continue };
            let layout = match planned.is_shared {
                true => planned.schema.shared_layout(planned.capacity, planned.area),
                false => planned.schema.layout(planned.capacity, planned.area),
            };
            let arena = layout.arena_words().saturating_mul(size_of::<usize>());
            topic.rings.push(RingOverview {
                node: plan.node.clone(),
                rings: planned.publishers,
                capacity: planned.capacity,
                slot_bytes: layout.slot_words().saturating_mul(size_of::<usize>()),
                arena_bytes: (arena > 0).then_some(arena),
                retained: planned.retain.map(|retain| RetainedOverview {
                    most: retain.most(),
                    bytes: retain.bytes(&planned.schema).unwrap_or(usize::MAX),
                }),
                is_shared: planned.is_shared,
            });
        }
    }
    for topic in topics.values_mut() {
        let because = copied_because(topic);
        topic.list.iter_mut().for_each(|list| list.copied_because.clone_from(&because));
    }
    (topics.into_values().collect(), requests.into_values().collect())
}

fn topic<'t>(
    topics: &'t mut BTreeMap<String, TopicOverview>,
    plan: &Plan,
    port: &BoundPort,
) -> &'t mut TopicOverview {
    let (topic, schema) = (&*port.topic, &port.schema);
    topics.entry(topic.to_owned()).or_insert_with(|| TopicOverview {
        name: topic.to_owned(),
        message: schema.name().to_owned(),
        id: (schema.id != NO_ID).then_some(schema.id),
        size: schema.longest,
        digest: schema.digest.to_string(),
        carries_requests: plan.topic(topic).carries_requests,
        publishers: Vec::new(),
        readers: Vec::new(),
        evict_after: match plan.topic(topic).on_stall {
            OnStall::Block => None,
            OnStall::EvictAfter(time) => Some(time),
        },
        list: list_at_end(schema).map(|field| ListOverview { field, copied_because: None }),
        rings: Vec::new(),
    })
}

/// Returns the last field of a message, if it is a list of bytes or numbers. That of a message of
/// serde is its encoding.
fn list_at_end(schema: &Schema) -> Option<String> {
    let last = schema.descriptor.fields.last().filter(|field| field.postcard().is_none())?;
    let FieldType::Sequence { item, .. } = last.ty else { return None };
    let is_number = matches!(
        item,
        FieldType::U8
            | FieldType::U16
            | FieldType::U32
            | FieldType::U64
            | FieldType::I8
            | FieldType::I16
            | FieldType::I32
            | FieldType::I64
            | FieldType::F32
            | FieldType::F64
    );
    is_number.then(|| last.name.to_owned())
}

/// Returns why lists of a topic are copied when they are sent; `None` if they are not.
fn copied_because(topic: &TopicOverview) -> Option<String> {
    if topic.evict_after.is_some() {
        return Some("its readers can be evicted".to_owned());
    }
    if topic.rings.iter().any(|ring| ring.retained.is_some()) {
        return Some("the topic retains messages".to_owned());
    }
    // A link observes for a `drop-newest` reader of another node.
    let is_far = |member: &MemberOverview| topic.publishers.iter().any(|it| it.node != member.node);
    let observes = |member: &&MemberOverview| {
        member.port.policy.is_some_and(|it| !it.keeps() || !it.is_gating() && is_far(member))
    };
    let reader = topic.readers.iter().find(observes)?;
    let MemberOverview { node, service, port } = reader;
    let policy = port.policy.map(|policy| policy.to_string()).unwrap_or_default();
    Some(format!("{node}.{service} ({policy}) is not waited for"))
}

fn request<'r>(
    requests: &'r mut BTreeMap<String, RequestOverview>,
    plan: &Plan,
    port: &BoundPort,
) -> &'r mut RequestOverview {
    let topic = &*port.topic;
    requests.entry(topic.to_owned()).or_insert_with(|| RequestOverview {
        topic: topic.to_owned(),
        message: port.schema.name().to_owned(),
        capacity: plan.capacity(topic),
        requesters: Vec::new(),
        responders: Vec::new(),
    })
}

/// Returns each warning once, with its nodes.
fn warnings(topology: &Topology, built: &[Built<'_>]) -> Vec<OverviewWarning> {
    let mut warnings = BTreeMap::<String, Vec<String>>::new();
    for Built { of, node } in built {
        let own = node.warnings.iter().filter(|it| **it != StartWarning::PanicsAbort);
        let aborts = of.description.form.panics_abort.then_some(&StartWarning::PanicsAbort);
        let texts = own.chain(aborts).map(ToString::to_string);
        // Adds a warning of a foreign executor: only the start knows on which executor the program
        // runs the node.
        for text in texts.chain(topology.foreign_executor(&node.plan.node)) {
            warnings.entry(text).or_default().push(node.plan.node.clone());
        }
    }
    warnings.into_iter().map(|(text, nodes)| OverviewWarning { nodes, text }).collect()
}

fn of_port(port: &BoundPort, reads: bool) -> PortOverview {
    PortOverview {
        topic: port.topic.to_string(),
        port: (!port.has_own_topic).then(|| port.key.to_owned()),
        policy: reads.then_some(port.options.policy),
        from_oldest: reads && port.options.start != Default::default(),
    }
}
