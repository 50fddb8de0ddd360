//! The fast handlers of a node: functions that publishers call with each message of a topic before
//! it is sent. The builder collects them; `plan` and the topics use them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use mycelium_core::{Code, Message};
use mycelium_transports::local::{Schema, Topic, TopicError};

use crate::error::{BuildError, Error, Result};
use crate::observe::report::StartWarning;
use crate::plan::BoundPorts;
use crate::support::names::nearest;
use crate::topology::check_topic;

/// The fast handlers of a node, in the order in which they were added.
#[derive(Default)]
pub(crate) struct FastHandlers(Vec<RegisteredHandler>);

struct RegisteredHandler {
    name: String,
    topic: String,
    schema: Schema,
    #[expect(clippy::type_complexity, reason = "it is written once")]
    add: Box<dyn Fn(&Topic) -> Result<(), TopicError> + Send + Sync>,
}

impl FastHandlers {
    pub(crate) fn add<M: Message>(
        &mut self,
        topic: &str,
        name: &str,
        handler: impl Fn(&M) -> Result<()> + Send + Sync + 'static,
    ) {
        let handler = Arc::new(handler);
        let own = name.to_owned();
        let add = move |topic: &Topic| {
            let handler = handler.clone();
            topic.add_fast_handler(&own, move |message: &M| {
                handler(message).map_err(Error::into_source)
            })
        };
        self.0.push(RegisteredHandler {
            name: name.to_owned(),
            topic: topic.to_owned(),
            schema: Schema::of::<M>(),
            add: Box::new(add),
        });
    }

    /// Adds a fast handler of another process; it is planned and never runs.
    #[cfg(feature = "describe")]
    pub(crate) fn add_described(&mut self, topic: &str, name: &str, schema: Schema) {
        let (name, topic) = (name.to_owned(), topic.to_owned());
        self.0.push(RegisteredHandler { name, topic, schema, add: Box::new(|_| Ok(())) });
    }

    /// Returns the name, the topic and the message of each handler.
    #[cfg(feature = "describe")]
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, &str, Schema)> {
        self.0.iter().map(|handler| (&*handler.name, &*handler.topic, handler.schema))
    }

    /// Checks the names, and that each topic carries the message of its handler. Returns a warning
    /// for each handler whose topic no service publishes. `all` are the services of the program.
    pub(crate) fn check(
        &self,
        all: &[(String, BoundPorts)],
    ) -> Result<Vec<StartWarning>, BuildError> {
        let reads = all.iter().flat_map(|(_, ports)| &ports.reads);
        let emits = || all.iter().flat_map(|(_, ports)| &ports.emits);
        let carried = reads.chain(emits()).map(|port| (&*port.topic, port.schema));
        let carried: BTreeMap<&str, Schema> = carried.collect();
        let mut names = BTreeSet::new();
        for RegisteredHandler { name, topic, schema, .. } in &self.0 {
            let is_bad = |c: char| c.is_control() || " =".contains(c);
            let other = carried.get(topic.as_str()).filter(|carried| *carried != schema);
            let problem = if name.is_empty() || name.contains(is_bad) {
                "invalid name: expected at least one character, and no space, `=` or control \
                 character"
                    .to_owned()
            } else if !names.insert(name) {
                "two fast handlers have this name: give one of them another name".to_owned()
            } else if let Err(problem) = check_topic(topic) {
                problem.text
            } else if let Some(carried) = other {
                format!("topic `{topic}` carries {carried}, not {schema}")
            } else {
                continue;
            };
            let name = name.escape_debug();
            let problem = format!("fast handler `{name}` (`Builder::fast_handler`): {problem}");
            return Err(BuildError::new(Code::FAST_HANDLER, problem));
        }
        let published: BTreeSet<&str> = emits().map(|port| &*port.topic).collect();
        let known: Vec<&str> = published.iter().copied().collect();
        let unused = self.0.iter().filter(|handler| !published.contains(handler.topic.as_str()));
        let warning = |handler: &RegisteredHandler| StartWarning::UnusedFastHandler {
            handler: handler.name.clone(),
            topic: handler.topic.clone(),
            message: handler.schema.name(),
            nearest: nearest(&handler.topic, &known).map(str::to_owned),
        };
        Ok(unused.map(warning).collect())
    }

    /// Registers the handlers for `topic` with it.
    pub(crate) fn add_to(&self, topic: &Topic) -> Result<(), TopicError> {
        let mut handlers = self.0.iter().filter(|handler| handler.topic == topic.name());
        handlers.try_for_each(|handler| (handler.add)(topic))
    }
}

impl fmt::Debug for FastHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|handler| &handler.name)).finish()
    }
}
