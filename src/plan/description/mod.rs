//! The description of a program: its services, and all settings of its node in code. A program
//! prints it as JSON; a tool reads it, and plans nodes of the program without running it.
//!
//! `form` is the JSON format, `message` has the layouts of messages in it, `values` the settings.
//! The builder creates descriptions, and is created from them: `node/builder/described.rs`.
//!
//! A description comes from another process: everything in it is checked before use, and a damaged
//! one causes no panic.

pub(crate) mod form;
mod intern;
pub(crate) mod message;
pub(crate) mod values;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};

use mycelium_core::Code;
use mycelium_transports::local::Schema;

use crate::support::lock::lock;
use crate::support::problem::Problem;
use form::DescriptionForm;

/// The description of a program: its services with their ports, and all settings of its node in
/// code; created by [`Builder::describe`](crate::Builder::describe). Needs the feature `describe`.
///
/// ```
/// use mycelium::overview::Description;
/// use mycelium::{Context, Node, Result, message, service};
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
/// let description = Node::builder("main").service(|| Feed).describe();
/// let text = description.to_json();
/// assert!(text.starts_with(r#"{"mycelium_description":1,"#));
/// assert_eq!(Description::from_json(&text)?, description);
/// assert_eq!(description.services().collect::<Vec<_>>(), ["Feed"]);
/// # Ok::<(), mycelium::error::Problem>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    pub(crate) form: DescriptionForm,
    /// The messages, in the order of the JSON.
    pub(crate) schemas: Vec<Schema>,
}

impl Description {
    /// The version of the format that this library writes. It can read this version and older ones.
    pub const VERSION: u32 = 1;

    /// The maximum size of a description as JSON, in bytes.
    pub const MOST_BYTES: usize = 16 << 20;

    /// Returns the description as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Cannot fail: the keys are texts, and the numbers are finite or absent.
        serde_json::to_string(&self.form).expect("a description is JSON")
    }

    /// Reads a description.
    ///
    /// # Errors
    /// [`Problem`]: the text is not a description, or a description of a newer version.
    pub fn from_json(text: &str) -> Result<Description, Problem> {
        if text.len() > Description::MOST_BYTES {
            let (bytes, most) = (text.len(), Description::MOST_BYTES);
            let text = format!("the description has {bytes} bytes: expected at most {most}");
            return Err(damaged(text));
        }
        let syntax = |error: serde_json::Error| {
            let (line, column) = (error.line(), error.column());
            let problem = without_place(&error.to_string());
            damaged(format!("the description is damaged at {line}:{column}: {problem}"))
        };
        // Another version may have other keys, so the version number is read first.
        let form::Version { mycelium_description: found } =
            serde_json::from_str(text).map_err(syntax)?;
        match found {
            Some(Description::VERSION) => {}
            Some(found) if found > Description::VERSION => {
                let text = format!(
                    "the description has version {found}, and this program reads versions up to \
                     {}: expected a program with the same version of `mycelium`, or an older one",
                    Description::VERSION
                );
                return Err(Problem::new(Code::DESCRIPTION_NEWER, text));
            }
            Some(_) | None => {
                let text = "the text is not a description of a program: expected JSON with the key \
                            `mycelium_description`, as `Builder::describe_on_request` prints it";
                return Err(damaged(text));
            }
        }
        let form: DescriptionForm = serde_json::from_str(text).map_err(syntax)?;
        let schemas = form.check();
        let schemas = schemas.map_err(|it| damaged(format!("the description is damaged: {it}")))?;
        Ok(Description { form, schemas })
    }

    /// Returns the names of the services, in the order in which the program adds them.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.form.services.iter().map(|service| service.name.as_str())
    }

    /// Returns the name of the node that the program would run.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.form.node
    }

    /// Returns whether the program has a service.
    pub(crate) fn has(&self, service: &str) -> bool {
        self.services().any(|name| name == service)
    }
}

/// The descriptions that were read, by file. Each is read once, even if one program runs many nodes
/// and a tool builds all of them.
#[derive(Clone, Default)]
pub(crate) struct Descriptions(Arc<Mutex<BTreeMap<usize, Arc<Description>>>>);

impl Descriptions {
    /// Returns the description in the file with this number. `read` reads it, at most once.
    pub(crate) fn of<E>(
        &self,
        file: usize,
        read: impl FnOnce() -> Result<Description, E>,
    ) -> Result<Arc<Description>, E> {
        Ok(match lock(&self.0).entry(file) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => new.insert(Arc::new(read()?)).clone(),
        })
    }
}

/// Returns the problem that a description is damaged; `text` says how.
fn damaged(text: impl Into<String>) -> Problem {
    Problem::new(Code::DESCRIPTION_DAMAGED, text)
}

/// Returns the text of a `serde_json` error without the line and column at its end.
fn without_place(message: &str) -> String {
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message[..end].to_owned()
}
