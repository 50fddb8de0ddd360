//! The overview of a topology with its programs. It builds the nodes of all programs from their
//! descriptions, in the same way as a start does, and combines their plans. `sketch` collects the
//! overview from one node after the other.

mod sketch;
pub(crate) mod types;

use std::collections::BTreeMap;

use mycelium_core::Code;

use super::builder::Builder;
use crate::error::BuildError;
use crate::node::overview::types::{NodeProgram, Overview};
use crate::plan::description::message::MessageForm;
use crate::plan::description::{Description, Descriptions};
use crate::support::names::expected_instead_of;
use crate::support::problem::Problem;
use crate::topology::{KINDS, Setting, Topology};
use sketch::Built;

impl Topology {
    /// Returns the nodes, topics and links of this topology, if these programs run its nodes. Each
    /// node is built from the description of its program, as at a start: so there is an overview
    /// if, and only if, the nodes can be built. Nothing runs, binds an address or writes. Needs the
    /// feature `describe`.
    ///
    /// The names and layouts of messages in descriptions stay in memory until the process ends.
    /// Each distinct name or layout is kept once.
    ///
    /// ```
    /// use mycelium::observe::Carrier;
    /// use mycelium::overview::NodeProgram;
    /// use mycelium::{Context, Node, Result, Topology, message, service};
    ///
    /// #[message(topic = "ticks", id = 1)]
    /// struct Tick {
    ///     price: u64,
    /// }
    ///
    /// struct Feed;
    ///
    /// #[service(emits(Tick))]
    /// impl Feed {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         Ok(ctx.emit(Tick { price: 7 }).await?)
    ///     }
    /// }
    ///
    /// struct Keeper;
    ///
    /// #[service(reads(Tick))]
    /// impl Keeper {
    ///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
    ///         let mut ticks = ctx.subscribe::<Tick>()?;
    ///         while ticks.recv().await.is_some() {}
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let topology = Topology::parse("app.toml", r#"
    /// [node.feed]
    /// services = ["Feed"]
    /// [node.keeper]
    /// services = ["Keeper"]
    /// [link."feed-keeper"]
    /// transport = "unix"
    /// "#)?;
    /// let description = Node::builder("any").service(|| Feed).service(|| Keeper).describe();
    /// let of = |node| NodeProgram { node, program: "./app", description: &description };
    /// let overview = topology.overview(&[of("feed"), of("keeper")]).unwrap();
    /// let link = &overview.links[0];
    /// assert_eq!((&*link.flows[0].topic, link.carrier), ("ticks", Carrier::UnixSocket));
    /// # Ok::<(), mycelium::topology::TopologyError>(())
    /// ```
    ///
    /// All errors: nodes that could not be built, each error once; nodes without a program;
    /// programs that contradict each other.
    pub fn overview(&self, programs: &[NodeProgram<'_>]) -> Result<Overview, Vec<Problem>> {
        let mut errors = self.unfit_programs(programs);
        let mut built = Vec::new();
        let mut failed = Vec::new();
        let read = Descriptions::default();
        for of in programs.iter().filter(|of| self.may_run(of.node)) {
            let builder = Builder::described(of.description, of.node, self.clone(), read.clone());
            match builder.map(Builder::build) {
                Ok(Ok(node)) => built.push(Built { of: *of, node }),
                Ok(Err(error)) => failed.push((of, error)),
                Err(problem) => {
                    let text = format!("the description of `{}` is damaged: {problem}", of.program);
                    errors.push(Problem::new(Code::DESCRIPTION_DAMAGED, text));
                }
            }
        }
        let of_all = built.is_empty() && errors.is_empty();
        errors.extend(merged(failed, of_all));
        errors.extend(built.iter().flat_map(unknown_executors));
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(sketch::overview(self, &built))
    }

    /// Returns whether the topology has this node, or names no nodes at all.
    fn may_run(&self, node: &str) -> bool {
        self.nodes().next().is_none() || self.nodes().any(|known| known == node)
    }

    /// Returns the errors that are found before any node is built: nodes without a program, unknown
    /// nodes, missing features, and programs that contradict each other.
    fn unfit_programs(&self, programs: &[NodeProgram<'_>]) -> Vec<Problem> {
        let is_given = |node: &str| programs.iter().any(|of| of.node == node);
        let without = self.nodes().filter(|node| !is_given(node));
        let without = without.map(|node| {
            let text = format!(
                "no program is known for node `{node}`: expected `command = [\"./app\", \
                 \"{{node}}\"]` in `[node.{node}]`, or in `[bundle]` for all nodes"
            );
            Problem::new(Code::NODE_WITHOUT_PROGRAM, text)
        });
        let mut errors: Vec<Problem> = without.collect();
        let unknown = programs.iter().filter(|of| !self.may_run(of.node));
        errors.extend(unknown.map(|of| {
            Problem::new(Code::NODE_MISSING, format!("the topology has no node `{}`", of.node))
        }));
        let distinct = distinct(programs);
        for of in &distinct {
            if let Err(error) = self.check_features(&of.description.form.features) {
                let text = format!("{} (of `{}`)", without_code(&error), of.program);
                errors.push(Problem::new(error.code(), text));
            }
        }
        errors.extend(different_messages(&distinct));
        errors.extend(self.different_ports(programs, &distinct));
        errors
    }

    /// Returns an error for each service whose ports differ between the program of its own node and
    /// another program.
    fn different_ports(
        &self,
        programs: &[NodeProgram<'_>],
        distinct: &[&NodeProgram<'_>],
    ) -> Vec<Problem> {
        let places = self
            .placements()
            .flat_map(|(node, services)| services.into_iter().map(move |service| (service, node)));
        let mut errors = Vec::new();
        for (service, node) in places {
            let Some(own) = programs.iter().find(|of| of.node == node) else { continue };
            let Some(first) = ports(own.description, service) else { continue };
            let others = distinct.iter().filter_map(|other| {
                Some((other, ports(other.description, service).filter(|it| *it != first)?))
            });
            errors.extend(others.map(|(other, second)| {
                let text = format!(
                    "service `{service}` {first} in `{}`, which runs it in node `{node}`, but \
                     {second} in `{}`: build both programs from the same service",
                    own.program, other.program
                );
                Problem::new(Code::PROGRAMS_OF_TWO_SERVICES, text)
            }));
        }
        errors
    }
}

/// Returns one program for each distinct description.
fn distinct<'a, 'd>(programs: &'a [NodeProgram<'d>]) -> Vec<&'a NodeProgram<'d>> {
    let mut distinct = Vec::<&NodeProgram<'_>>::new();
    for of in programs {
        let is_known = |known: &&NodeProgram<'_>| {
            std::ptr::eq(known.description, of.description) || known.description == of.description
        };
        if !distinct.iter().any(is_known) {
            distinct.push(of);
        }
    }
    distinct
}

/// Returns an error for each topic that carries different messages in two programs.
fn different_messages(programs: &[&NodeProgram<'_>]) -> Vec<Problem> {
    let mut topics = BTreeMap::<(&str, &str), Vec<(&MessageForm, &str)>>::new();
    let mut errors = Vec::new();
    for of in programs {
        let form = &of.description.form;
        let ports = form.services.iter().flat_map(|it| {
            let ports = [&it.reads, &it.emits, &it.requests, &it.answers];
            ports.into_iter().flatten().filter(|port| !port.is_named)
        });
        let messages = ports.map(|port| (("topic", &*port.key), port.message));
        let answers =
            form.requests.iter().map(|it| (("the reply to requests of", &*it.topic), it.answer));
        let mut seen = BTreeMap::new();
        for (topic, message) in messages.chain(answers) {
            let Some(message) = form.messages.get(message) else { continue };
            // Ignores a second message of the same program: that is an error of its build.
            seen.entry(topic).or_insert(message);
        }
        for (of_topic, second) in seen {
            let known = topics.entry(of_topic).or_default();
            let (what, topic) = of_topic;
            let shown = |of: &MessageForm| {
                format!("`{}` (id {}, digest {})", of.layout.name, of.id, of.digest)
            };
            if let Some((first, program, difference)) = known
                .iter()
                .find_map(|(first, program)| Some((first, program, first.difference(second)?)))
            {
                let text = format!(
                    "{what} `{topic}` carries {} in `{program}`, but {} in `{}`: a topic has one \
                     message type, so build both programs from the same one, or add fields only at \
                     the end, each an `Option` or with a default; {difference}",
                    shown(first),
                    shown(second),
                    of.program
                );
                errors.push(Problem::new(Code::PROGRAMS_OF_TWO_MESSAGES, text));
            } else if known.iter().all(|(first, _)| first.digest != second.digest) {
                known.push((second, of.program));
            }
        }
    }
    errors
}

/// Returns the topics that a service reads and emits, with their messages, as a text to compare.
/// `None` if the program does not have the service.
fn ports(description: &Description, service: &str) -> Option<String> {
    let form = &description.form;
    let service = form.services.iter().find(|it| it.name == service)?;
    let kinds = [
        ("reads", &service.reads),
        ("emits", &service.emits),
        ("requests", &service.requests),
        ("answers", &service.answers),
    ];
    let kinds = kinds.iter().filter(|(_, ports)| !ports.is_empty()).map(|(kind, ports)| {
        let names = ports.iter().map(|port| {
            let message = form.messages.get(port.message);
            let message = message.map_or("?", |message| &message.layout.name);
            match port.is_named {
                true => format!("{message} as {}", port.key),
                false => port.key.clone(),
            }
        });
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        format!("{kind}({})", names.join(", "))
    });
    let kinds = kinds.collect::<Vec<_>>().join(" ");
    Some(if kinds.is_empty() { "has no ports".to_owned() } else { format!("has {kinds}") })
}

/// Combines errors with the same text into one. `of_all` means that no node could be built: if only
/// one error is left, its text then names no node.
fn merged(failed: Vec<(&NodeProgram<'_>, BuildError)>, of_all: bool) -> Vec<Problem> {
    let mut texts = BTreeMap::<(String, &str), usize>::new();
    let mut errors = Vec::<(Vec<String>, &str, BuildError)>::new();
    for (of, error) in failed {
        let place = *texts.entry((error.to_string(), of.program_name())).or_insert(errors.len());
        match errors.get_mut(place) {
            Some((nodes, ..)) => nodes.push(of.node.to_owned()),
            None => errors.push((vec![of.node.to_owned()], of.program, error)),
        }
    }
    let is_general = of_all && errors.len() == 1;
    let errors = errors.into_iter().map(|(nodes, program, error)| {
        let of = match &nodes[..] {
            _ if is_general => String::new(),
            [node] => format!(" (node `{node}` of `{program}`)"),
            nodes => format!(" (nodes `{}` of `{program}`)", nodes.join("`, `")),
        };
        Problem::new(error.code(), format!("{}{of}", without_code(&error)))
    });
    errors.collect()
}

/// Returns the text of an error without its code.
fn without_code(error: &dyn std::error::Error) -> String {
    Code::split(&error.to_string()).0.to_owned()
}

impl NodeProgram<'_> {
    /// Returns the program without its arguments: one program may run several nodes.
    fn program_name(&self) -> &str {
        self.program.split(' ').next().unwrap_or_default()
    }
}

/// Returns an error for each service that names an executor that its node cannot have.
fn unknown_executors(built: &Built<'_>) -> Vec<Problem> {
    let (plan, form) = (&built.node.plan, &built.of.description.form);
    let own = plan.settings.executor.as_deref();
    let mut known: Vec<&str> = form.executors.iter().map(|it| it.name.as_str()).collect();
    known.extend(own);
    let services = built.node.services.iter().filter_map(|service| {
        let executor = service.execution.executor.as_ref()?;
        Some((&service.name, executor)).filter(|_| !known.contains(&executor.as_str()))
    });
    let errors = services.filter_map(|(service, executor)| {
        // If the node has no key `executor`, its executor is known only at the start.
        let expected = match own {
            Some(_) => expected_instead_of(executor, &known),
            // The start may use an executor of this kind.
            None if KINDS.contains(&&**executor) => return None,
            None => {
                format!("which the program does not add: {}", expected_instead_of(executor, &known))
            }
        };
        let place = plan.places.of(Setting::Execution(service));
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        let text = format!("{place}service `{service}` names executor `{executor}`, {expected}");
        Some(Problem::new(Code::EXECUTOR_UNKNOWN, text))
    });
    errors.collect()
}
