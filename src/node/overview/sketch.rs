//! Combines the plans of nodes into an overview.

use std::collections::BTreeMap;

use mycelium_transports::local::OnStall;

use crate::node::Node;
use crate::node::overview::types::{
    FlowOverview, LegacyTypeOverview, LinkOverview, ListenerOverview, MemberOverview,
    MemoryOverview, NodeOverview, NodeProgram, Overview, OverviewWarning, PortOverview,
    RequestOverview, RingOverview, ServiceOverview, SupervisorOverview, TopicOverview,
};
use crate::observe::report::StartWarning;
use crate::plan::{BoundPort, BoundPorts, Plan, PlannedChild};
use crate::topology::Topology;

/// A node that has been built from the description of its program.
pub(super) struct Built<'a> {
    pub(super) of: NodeProgram<'a>,
    pub(super) node: Node,
}

/// An overview that is being made.
pub(super) struct Sketch<'a> {
    topology: &'a Topology,
    nodes: Vec<NodeOverview>,
    topics: BTreeMap<String, TopicOverview>,
    links: BTreeMap<[String; 2], LinkOverview>,
    requests: BTreeMap<String, RequestOverview>,
    /// The nodes of each warning, by its text.
    warnings: BTreeMap<String, Vec<String>>,
}

impl<'a> Sketch<'a> {
    pub(super) fn of(topology: &'a Topology, built: &[Built<'_>]) -> Sketch<'a> {
        let mut sketch = Sketch {
            topology,
            nodes: Vec::new(),
            topics: BTreeMap::new(),
            links: BTreeMap::new(),
            requests: BTreeMap::new(),
            warnings: BTreeMap::new(),
        };
        for built in built {
            sketch.add(built);
        }
        sketch
    }

    pub(super) fn overview(mut self) -> Overview {
        self.nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let links = self.links.into_values().map(|mut link| {
            link.flows.sort_by(|a, b| (&a.from, &a.topic).cmp(&(&b.from, &b.topic)));
            link.flows.dedup();
            link
        });
        let listeners = self.topology.legacy_listeners().into_iter().map(|listener| {
            let types = listener.types.iter().map(|of| LegacyTypeOverview {
                id: of.id,
                topic: of.topic.clone(),
                from_clients: of.from_clients,
                to_clients: of.to_clients,
            });
            ListenerOverview {
                name: listener.name,
                node: listener.node,
                endpoint: listener.endpoint.to_string(),
                types: types.collect(),
            }
        });
        let warnings = self.warnings.into_iter();
        Overview {
            nodes: self.nodes,
            topics: self.topics.into_values().collect(),
            links: links.collect(),
            requests: self.requests.into_values().collect(),
            listeners: listeners.collect(),
            warnings: warnings.map(|(text, nodes)| OverviewWarning { nodes, text }).collect(),
        }
    }

    fn add(&mut self, built: &Built<'_>) {
        let plan = &*built.node.plan;
        self.add_node(built, plan);
        self.add_links(plan);
        for service in &built.node.services {
            self.add_members(plan, &service.name, &plan.ports(&service.name));
        }
        for (topic, planned) in &plan.topics {
            let layout = match planned.is_shared {
                true => planned.schema.shared_layout(planned.capacity, planned.area),
                false => planned.schema.layout(planned.capacity, planned.area),
            };
            let ring = RingOverview {
                node: plan.node.clone(),
                rings: planned.publishers,
                capacity: planned.capacity,
                slot_bytes: layout.slot_words().saturating_mul(size_of::<usize>()),
                is_shared: planned.is_shared,
            };
            if let Some(topic) = self.topics.get_mut(&**topic) {
                topic.rings.push(ring);
            }
        }
        let aborts = built.of.description.form.panics_abort;
        let warnings = built.node.warnings.iter().filter(|it| **it != StartWarning::PanicsAbort);
        let aborts = aborts.then_some(&StartWarning::PanicsAbort);
        let warnings = warnings.chain(aborts).map(ToString::to_string);
        // Adds a warning of a foreign executor, because only the start knows on which executor the
        // program runs the node.
        for warning in warnings.chain(self.topology.foreign_executor(&plan.node)) {
            self.warnings.entry(warning).or_default().push(plan.node.clone());
        }
    }

    fn add_node(&mut self, built: &Built<'_>, plan: &Plan) {
        let (node, settings) = (&plan.node, &plan.settings);
        let supervision = &plan.supervision;
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
                    PlannedChild::Supervisor(place) => {
                        supervision.supervisors[*place].name.to_string()
                    }
                })
                .collect(),
        });
        let services = built.node.services.iter().map(|service| {
            let (name, ports) = (&service.name, plan.ports(&service.name));
            let limit = supervision.restart(name).limit;
            let inputs =
                |ports: &[BoundPort]| ports.iter().map(|port| of_port(port, true)).collect();
            let outputs =
                |ports: &[BoundPort]| ports.iter().map(|port| of_port(port, false)).collect();
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
        self.nodes.push(NodeOverview {
            name: node.clone(),
            program: built.of.program.to_owned(),
            host: settings.host.clone(),
            executor: settings.executor.clone(),
            shutdown: settings.shutdown,
            watchdog: built.node.watchdog.map(|(limit, _)| limit),
            memory: MemoryOverview {
                heap: plan.memory.heap,
                shared: plan.memory.shared,
                huge_pages: plan.memory.huge_pages,
                budget: settings.memory,
            },
            services: services.collect(),
            supervisors: supervisors.collect(),
        });
    }

    /// Adds the links of a node, with the topics that it reads over them.
    fn add_links(&mut self, plan: &Plan) {
        let node = &plan.node;
        for report in plan.carriers.links() {
            let mut nodes = [node.clone(), report.peer.clone()];
            nodes.sort_unstable();
            let link = self.links.entry(nodes.clone()).or_insert_with(|| LinkOverview {
                nodes,
                carrier: report.used,
                reason: report.reason.clone(),
                flows: Vec::new(),
            });
            let read = plan.peer_topics.publishers.get(&report.peer);
            for (topic, policy) in read.into_iter().flatten() {
                let is_on_socket = report.on_socket.iter().any(|it| **it == **topic)
                    || report.set_on_socket.iter().any(|it| **it == **topic)
                    || plan.carriers.in_memory(&report.peer) && plan.topic(topic).stays_on_socket();
                link.flows.push(FlowOverview {
                    topic: topic.to_string(),
                    from: report.peer.clone(),
                    to: node.clone(),
                    policy: Some(*policy),
                    is_on_socket,
                });
            }
        }
    }

    /// Adds a service to its topics, as publisher, reader, requester or responder.
    fn add_members(&mut self, plan: &Plan, service: &str, ports: &BoundPorts) {
        let member = |port: &BoundPort, reads| MemberOverview {
            node: plan.node.clone(),
            service: service.to_owned(),
            port: of_port(port, reads),
        };
        for port in &ports.emits {
            self.topic(plan, port).publishers.push(member(port, false));
        }
        for port in &ports.reads {
            self.topic(plan, port).readers.push(member(port, true));
        }
        for port in &ports.requests {
            self.request(plan, port).requesters.push(member(port, false));
        }
        for port in &ports.answers {
            self.request(plan, port).responders.push(member(port, true));
        }
    }

    fn topic(&mut self, plan: &Plan, port: &BoundPort) -> &mut TopicOverview {
        let (topic, schema) = (&*port.topic, &port.schema);
        self.topics.entry(topic.to_owned()).or_insert_with(|| TopicOverview {
            name: topic.to_owned(),
            message: schema.name().to_owned(),
            id: schema.id,
            size: schema.size,
            digest: schema.digest.to_string(),
            carries_requests: plan.topic(topic).carries_requests,
            publishers: Vec::new(),
            readers: Vec::new(),
            evict_after: match plan.topic(topic).on_stall {
                OnStall::Block => None,
                OnStall::EvictAfter(time) => Some(time),
            },
            rings: Vec::new(),
        })
    }

    fn request(&mut self, plan: &Plan, port: &BoundPort) -> &mut RequestOverview {
        let topic = &*port.topic;
        self.requests.entry(topic.to_owned()).or_insert_with(|| RequestOverview {
            topic: topic.to_owned(),
            message: port.schema.name().to_owned(),
            capacity: plan.capacity(topic),
            requesters: Vec::new(),
            responders: Vec::new(),
        })
    }
}

fn of_port(port: &BoundPort, reads: bool) -> PortOverview {
    PortOverview {
        topic: port.topic.to_string(),
        port: (!port.has_own_topic).then(|| port.key.to_owned()),
        policy: reads.then_some(port.options.policy),
        from_oldest: reads && port.options.start != Default::default(),
    }
}
