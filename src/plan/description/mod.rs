//! The description of a program: its services, and everything that it sets for its node in code. A
//! program prints it as JSON; a tool reads it, and plans nodes of the program without running it.
//!
//! `form` is the JSON, `message` has the layouts of messages in it, `values` the settings. The
//! builder makes descriptions, and makes builders from them: `node/builder/described.rs`.
//!
//! A description comes from another process: nothing in it is believed before it is checked, and
//! no damaged one panics.

pub(crate) mod form;
mod intern;
pub(crate) mod message;
pub(crate) mod values;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};

use mycelium_core::Code;
use mycelium_transports::local::Schema;
use thiserror::Error;

use crate::support::lock::lock;
use form::DescriptionForm;

/// The description of a program: its services with their ports, and everything that it sets for its
/// node in code. [`Builder::describe`](crate::Builder::describe) makes it. Needs the feature
/// `describe`.
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
/// # Ok::<(), mycelium::overview::DescriptionError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    pub(crate) form: DescriptionForm,
    /// The messages, in the order of the form.
    pub(crate) schemas: Vec<Schema>,
}

impl Description {
    /// The version of the format that this library writes. It can read this version and older ones.
    pub const VERSION: u32 = 1;

    /// The most bytes of a description as JSON.
    pub const MOST_BYTES: usize = 16 << 20;

    /// The description as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Cannot fail, because the keys are texts, and the numbers are finite or absent.
        serde_json::to_string(&self.form).expect("a description is JSON")
    }

    /// Reads a description.
    ///
    /// # Errors
    /// If the text is not a description, or one of a newer version.
    pub fn from_json(text: &str) -> Result<Description, DescriptionError> {
        if text.len() > Description::MOST_BYTES {
            let (bytes, most) = (text.len(), Description::MOST_BYTES);
            return Err(DescriptionError::TooLong { bytes, most });
        }
        let damaged = |error: serde_json::Error| {
            let (line, column) = (error.line(), error.column());
            DescriptionError::Syntax { line, column, problem: without_place(&error.to_string()) }
        };
        // Another version may have other keys, so its number is read first.
        let form::Version { mycelium_description: found } =
            serde_json::from_str(text).map_err(damaged)?;
        match found {
            Some(Description::VERSION) => {}
            Some(found) if found > Description::VERSION => {
                let known = Description::VERSION;
                return Err(DescriptionError::Newer { found, known });
            }
            Some(_) | None => return Err(DescriptionError::NotOne),
        }
        let form: DescriptionForm = serde_json::from_str(text).map_err(damaged)?;
        let schemas = form.check().map_err(|problem| DescriptionError::Damaged { problem })?;
        Ok(Description { form, schemas })
    }

    /// The names of its services, in the order of the program.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.form.services.iter().map(|service| service.name.as_str())
    }

    /// The node that the program would run.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.form.node
    }

    /// Whether the program has a service.
    pub(crate) fn has(&self, service: &str) -> bool {
        self.services().any(|name| name == service)
    }
}

/// The descriptions that were read, by file. Each is read once, although one program may run many
/// nodes and a tool builds all of them.
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

/// Why a text is not a description.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// The text is too long.
    #[error("the description has {bytes} bytes: expected at most {most} [{code}]", code = self.code())]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The greatest length.
        most: usize,
    },
    /// The text is JSON of something else, or has no version.
    #[error(
        "the text is not a description of a program: expected JSON with the key \
         `mycelium_description`, as `Builder::describe_on_request` prints it [{code}]",
        code = self.code()
    )]
    NotOne,
    /// A newer version of the library has written the text.
    #[error(
        "the description has version {found}, and this program reads versions up to {known}: \
         expected a program with the same version of `mycelium`, or an older one [{code}]",
        code = self.code()
    )]
    Newer {
        /// The version of the text.
        found: u32,
        /// The newest version that can be read.
        known: u32,
    },
    /// The text is not JSON, or a key has another type of value.
    #[error("the description is damaged at {line}:{column}: {problem} [{code}]", code = self.code())]
    Syntax {
        /// The line; the first is 1.
        line: usize,
        /// The column; the first is 1.
        column: usize,
        /// The part that is damaged, and the expected one.
        problem: String,
    },
    /// The parts of the description contradict each other.
    #[error("the description is damaged: {problem} [{code}]", code = self.code())]
    Damaged {
        /// The part that is damaged, and the expected one.
        problem: String,
    },
}

mycelium_core::debug_as_display!(DescriptionError);

impl DescriptionError {
    /// Returns the code with which the text of the error ends. All ways in which a text cannot be
    /// read have one code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            DescriptionError::Newer { .. } => Code::DESCRIPTION_NEWER,
            DescriptionError::TooLong { .. }
            | DescriptionError::NotOne
            | DescriptionError::Syntax { .. }
            | DescriptionError::Damaged { .. } => Code::DESCRIPTION_DAMAGED,
        }
    }
}

/// The text of an error of `serde_json`, without the line and column at its end.
fn without_place(message: &str) -> String {
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message[..end].to_owned()
}
