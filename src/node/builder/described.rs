//! Descriptions of builders, and builders from descriptions. A builder from a description has
//! everything that decides whether a node can be built, but no code: its node is planned and never
//! started.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;
use std::{mem, process};

use mycelium_core::Code;
use mycelium_transports::local::{Schema, Span, SpanSink};

use super::request_links::RequestMessages;
use super::{Builder, Supervisor};
use crate::error::BuildError;
use crate::links::Engines;
use crate::node::Node;
use crate::node::placing::kind;
use crate::node::prepare::Registered;
use crate::plan::Port;
use crate::plan::description::form::{
    BindingForm, DescriptionForm, ExecutorForm, HandlerForm, PortForm, RequestForm, ServiceForm,
    SubscriptionForm, TracesForm, schema,
};
use crate::plan::description::message::{MessageForm, kept};
use crate::plan::description::values::{ExecutionForm, OptionsForm, StallForm};
use crate::plan::description::{Description, Descriptions};
use crate::service::stand_in::StandIn;
use crate::supervise::execution::Execution;
use crate::support::problem::Problem;
use crate::topology::{self, Setting, Topology, TopologyError, own_features};

/// The argument that requests a description.
const ARGUMENT: &str = "--describe";
/// Why a topology that was parsed from a text has no descriptions.
const OF_TEXT: &str =
    "a topology that is parsed from a text includes no files: read it by `Topology::load`";

impl Builder {
    /// Describes the services of the program and the settings of its node, without the topology.
    /// Needs the feature `describe`. See [`Description`].
    #[must_use]
    pub fn describe(&self) -> Description {
        let mut messages = Messages::default();
        let services = self.services.iter().map(|service| messages.service(service)).collect();
        let requests = self.request_links.each().map(|(topic, of)| RequestForm {
            topic: topic.to_owned(),
            request: messages.place(of.request),
            call: messages.place(of.call),
            answer: messages.place(of.answer),
        });
        let requests = requests.collect();
        let handlers = self.fast_handlers.each().map(|(name, topic, schema)| HandlerForm {
            name: name.to_owned(),
            topic: topic.to_owned(),
            message: messages.place(schema),
        });
        let fast_handlers = handlers.collect();
        let legacy = self.legacy.schemas().map(|schema| messages.place(schema)).collect();
        let bindings = self.bindings.iter().map(|((service, port), topic)| BindingForm {
            service: service.clone(),
            port: port.clone(),
            topic: topic.clone(),
        });
        let subscriptions = self.subscriptions.iter().map(|((service, key), options)| {
            let schema = self.schema_of(service, key);
            let options = OptionsForm::of(*options, schema.as_ref());
            SubscriptionForm { service: service.clone(), key: key.clone(), options }
        });
        let executors = self.executors.iter().map(|(name, executor)| ExecutorForm {
            name: name.clone(),
            kind: kind(&executor.name()).to_owned(),
        });
        let executions = self.executions.iter();
        let supervised_by = self.supervised_by.iter();
        let on_stall = self.topics.on_stall.iter();
        let form = DescriptionForm {
            mycelium_description: Description::VERSION,
            library: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.name.clone(),
            features: own_features(),
            panics_abort: cfg!(panic = "abort"),
            services,
            requests,
            fast_handlers,
            legacy,
            bindings: bindings.collect(),
            subscriptions: subscriptions.collect(),
            executions: executions
                .map(|(name, it)| (name.clone(), ExecutionForm(it.clone())))
                .collect(),
            executors: executors.collect(),
            supervisors: self.supervisors.iter().flat_map(|it| it.clone().settings()).collect(),
            supervised: self.supervised.clone(),
            supervised_by: supervised_by
                .map(|(service, method)| (service.clone(), (*method).to_owned()))
                .collect(),
            thresholds: self.topics.thresholds.clone(),
            on_stall: on_stall.map(|(name, it)| (name.clone(), StallForm::of(*it))).collect(),
            latency_samples: self.topics.latency_samples.clone(),
            traces: TracesForm {
                share: self.traces.share(),
                are_recorded: self.traces.have_sink() || self.telemetry.sends_traces(),
            },
            watchdog: self.watchdog,
            messages: messages.0.iter().map(MessageForm::of).collect(),
        };
        Description { form, schemas: messages.0 }
    }

    /// If the command line has the argument `--describe`, prints the
    /// [description](Builder::describe) as one line of JSON to standard output, and exits with code
    /// 0, as other programs do for `--help`. Otherwise does nothing. `mycelium check` runs programs
    /// with this argument.
    ///
    /// Call this before anything that takes time, writes, or needs files, a network or free ports.
    /// If the program's argument parser refuses unknown arguments, add `--describe` to it, or print
    /// [`Description::to_json`] yourself. Needs the feature `describe`.
    ///
    /// ```
    /// use mycelium::{Context, Node, Result, service};
    ///
    /// struct Clock;
    ///
    /// #[service()]
    /// impl Clock {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         ctx.info("now", ctx.wall_clock());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let node = Node::builder("main").service(|| Clock).describe_on_request().build()?;
    /// # Ok::<(), mycelium::error::BuildError>(())
    /// ```
    #[must_use]
    pub fn describe_on_request(self) -> Builder {
        if std::env::args_os().skip(1).any(|argument| argument == ARGUMENT) {
            let line = format!("{}\n", self.describe().to_json());
            let mut output = io::stdout().lock();
            let written = output.write_all(line.as_bytes()).and_then(|()| output.flush());
            process::exit(i32::from(written.is_err()));
        }
        self
    }

    /// Creates the builder of a node of a described program, with this topology. `read` caches the
    /// descriptions that the topology names. The node must not be started.
    pub(crate) fn described(
        description: &Description,
        node: &str,
        topology: Topology,
        read: Descriptions,
    ) -> Result<Builder, String> {
        let Description { form, schemas } = description;
        let message = |place| schema(schemas, place).copied();
        let mut builder = Node::builder(node).topology(topology);
        builder.descriptions = read;
        builder.engines = Engines::of_others();
        builder.add_described_services(description, |_| true)?;
        for HandlerForm { name, topic, message: place } in &form.fast_handlers {
            builder.fast_handlers.add_described(topic, name, message(*place)?);
        }
        for place in &form.legacy {
            builder.legacy.add_described(message(*place)?);
        }
        for (service, execution) in &form.executions {
            builder = builder.execution(service, execution.0.clone());
        }
        for supervisor in &form.supervisors {
            builder = builder.supervisor(Supervisor::from_setting(supervisor.clone()));
        }
        builder.supervised.clone_from(&form.supervised);
        for (service, method) in &form.supervised_by {
            builder.supervised_by.push((service.clone(), kept(method)?));
        }
        builder.topics.thresholds.clone_from(&form.thresholds);
        let on_stall = form.on_stall.iter();
        builder.topics.on_stall =
            on_stall.map(|(topic, it)| (topic.clone(), it.on_stall())).collect();
        builder.topics.latency_samples.clone_from(&form.latency_samples);
        if let Some(share) = form.traces.share {
            builder.traces.set_share(share);
        }
        if form.traces.are_recorded {
            builder.traces.set_sink(Arc::new(NoSink));
        }
        builder.watchdog = form.watchdog;
        Ok(builder)
    }

    /// Creates the builder of a node in which stand-ins run in place of services: `make` creates
    /// one for each service that the topology places on the node. `programs` are those of all nodes,
    /// by node. A stand-in emits the messages of its service as bytes. Messages for the service are
    /// discarded, and it makes no requests. Needs the feature `describe`.
    ///
    /// # Errors
    /// [`Problem`]: no program of the node is known, a description is damaged, or a service answers
    /// requests, which a stand-in cannot.
    pub fn stand_in(
        node: &str,
        topology: Topology,
        programs: &[(&str, &Description)],
        mut make: impl FnMut(&str) -> Box<dyn StandIn>,
    ) -> Result<Builder, Problem> {
        let damaged = |node: &str, problem: &str| {
            let text =
                format!("the description of the program of node `{node}` is damaged: {problem}");
            Problem::new(Code::DESCRIPTION_DAMAGED, text)
        };
        let Some((_, own)) = programs.iter().find(|(of, _)| *of == node) else {
            let text = format!("no program is known for node `{node}`");
            return Err(Problem::new(Code::NODE_WITHOUT_PROGRAM, text));
        };
        let placements: BTreeMap<String, Vec<String>> = topology
            .placements()
            .map(|(of, names)| (of.to_owned(), names.into_iter().map(str::to_owned).collect()))
            .collect();
        let builder = Builder::described(own, node, topology, Descriptions::default());
        let mut builder = builder.map_err(|problem| damaged(node, &problem))?;
        for (other, description) in programs.iter().filter(|(other, _)| *other != node) {
            let known: BTreeSet<_> = builder.services.iter().map(|it| it.name.clone()).collect();
            let placed = placements.get(*other);
            let is_wanted = |name: &str| {
                !known.contains(name)
                    && placed.is_some_and(|names| names.iter().any(|it| it == name))
            };
            let added = builder.add_described_services(description, is_wanted);
            added.map_err(|problem| damaged(other, &problem))?;
        }
        let placed = placements.get(node);
        let is_placed = |name: &String| placed.is_none_or(|names| names.contains(name));
        for service in builder.services.iter_mut().filter(|service| is_placed(&service.name)) {
            if !service.ports.answers.is_empty() {
                let text =
                    format!("service `{}` answers requests: a stand-in cannot", service.name);
                return Err(Problem::new(Code::SERVICE_ONLY_DESCRIBED, text));
            }
            *service =
                Registered::stand_in(&service.name, service.ports.clone(), make(&service.name));
            builder.executions.insert(service.name.clone(), Execution::dedicated());
        }
        Ok(builder)
    }

    /// Adds the services that run in other nodes, from the programs that the topology describes.
    /// They are planned, and never run here. A service that this program also has is not replaced.
    /// Descriptions that are not needed are not read.
    pub(super) fn add_services_of_others(&mut self) -> Result<(), BuildError> {
        let topology = mem::take(&mut self.topology);
        let own: BTreeSet<String> = self.services.iter().map(|it| it.name.clone()).collect();
        let read = self.descriptions.clone();
        for (node, services) in topology.placements() {
            let is_wanted = |name: &str| services.contains(&name) && !own.contains(name);
            if node == self.name || !services.iter().any(|name| is_wanted(name)) {
                continue;
            }
            let Some(file) = topology.description_file(node)? else { continue };
            let description = read.of(file, || topology.read_description(node, file))?;
            let added = self.add_described_services(&description, is_wanted);
            added.map_err(|problem| topology.undescribed(node, &problem))?;
        }
        self.topology = topology;
        Ok(())
    }

    /// Adds the described services whose names are wanted, with the settings that their program has
    /// for their ports. Also adds all requests of the program.
    fn add_described_services(
        &mut self,
        Description { form, schemas }: &Description,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let message = |place| schema(schemas, place).copied();
        for service in form.services.iter().filter(|service| is_wanted(&service.name)) {
            let ports = service.ports(schemas)?;
            self.services.push(Registered::described(&service.name, ports, service.is_local));
        }
        for RequestForm { topic, request, call, answer } in &form.requests {
            let (request, call, answer) = (message(*request)?, message(*call)?, message(*answer)?);
            let messages = RequestMessages { request, call, answer };
            self.request_links.add_described(kept(topic)?, messages);
        }
        for BindingForm { service, port, topic } in &form.bindings {
            if is_wanted(service) {
                self.bindings.insert((service.clone(), port.clone()), topic.clone());
            }
        }
        for SubscriptionForm { service, key, options } in &form.subscriptions {
            if is_wanted(service) {
                let options = options.options(form.schema_of(schemas, service, key))?;
                self.subscriptions.insert((service.clone(), key.clone()), options);
            }
        }
        Ok(())
    }

    /// Returns the message of a subscription, if the program declares the subscription.
    fn schema_of(&self, service: &str, key: &str) -> Option<Schema> {
        let service = self.services.iter().find(|it| it.name == service)?;
        let mut inputs = service.ports.reads.iter().chain(&service.ports.answers);
        inputs.find(|port| port.key().0 == key).map(Port::schema)
    }
}

impl Topology {
    /// Returns the description of a node's program, if the topology file names one (`description`).
    /// Needs the feature `describe`.
    ///
    /// # Errors
    /// [`TopologyError`]: the description is damaged or of a newer version, or the topology was
    /// parsed from a text, which includes no files.
    pub fn description(&self, node: &str) -> Result<Option<Description>, TopologyError> {
        let file = self.description_file(node)?;
        file.map(|file| self.read_description(node, file)).transpose()
    }

    /// Returns the number of the file with the description of a node's program. An error if the
    /// topology names one but was parsed from a text, which includes no files.
    fn description_file(&self, node: &str) -> Result<Option<usize>, TopologyError> {
        match self.description_number(node) {
            None if self.description_path(node).is_some() => Err(self.undescribed(node, OF_TEXT)),
            number => Ok(number),
        }
    }

    /// Reads the description of a node's program from the file with this number.
    fn read_description(&self, node: &str, file: usize) -> Result<Description, TopologyError> {
        Description::from_json(self.text_of(file).trim())
            .map_err(|error| self.undescribed(node, Code::split(&error.to_string()).0))
    }

    /// Returns the error of a node whose description cannot be used.
    fn undescribed(&self, node: &str, reason: &str) -> TopologyError {
        let path = self.description_path(node).unwrap_or_default();
        self.error_at(Setting::Description(node), topology::Problem::include(&path, reason))
    }
}

/// The distinct messages of a description.
#[derive(Default)]
struct Messages(Vec<Schema>);

impl Messages {
    fn place(&mut self, schema: Schema) -> usize {
        self.0.iter().position(|known| *known == schema).unwrap_or_else(|| {
            self.0.push(schema);
            self.0.len() - 1
        })
    }

    fn service(&mut self, service: &Registered) -> ServiceForm {
        let mut ports = |ports: &[Port]| -> Vec<PortForm> {
            let ports = ports.iter().map(|port| {
                let (key, has_own_topic) = port.key();
                let message = self.place(port.schema());
                PortForm { key: key.to_owned(), is_named: !has_own_topic, message }
            });
            ports.collect()
        };
        ServiceForm {
            name: service.name.clone(),
            is_local: service.is_local,
            reads: ports(&service.ports.reads),
            emits: ports(&service.ports.emits),
            requests: ports(&service.ports.requests),
            answers: ports(&service.ports.answers),
        }
    }
}

/// A placeholder for the span sink of another process.
#[derive(Debug)]
struct NoSink;

impl SpanSink for NoSink {
    fn record(&self, _: Span) {}
}
