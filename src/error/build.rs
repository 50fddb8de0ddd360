//! Why a node cannot be built from its services. These errors are found before anything runs.

use mycelium_core::{Code, debug_as_display};
use mycelium_transports::local::TopicError;
use thiserror::Error;

use crate::topology::{Problem, TopologyError};

/// Why a node cannot be built from its services.
#[derive(Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A name, a setting or a port is invalid, or conflicts with another one; the code says how.
    #[error("{}{problem} [{code}]", at(place.as_deref()))]
    Refused {
        /// The code of the error.
        code: Code,
        /// Where the mistake is in the topology, if it is there: file, line and column.
        place: Option<String>,
        /// The reason, and what was expected.
        problem: String,
    },
    /// The topology file is invalid, or conflicts with the services.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The traces of the node cannot be sent as the program requests.
    #[cfg(feature = "otlp")]
    #[error("`Builder::otlp`: {0} [{code}]", code = self.code())]
    Otlp(#[from] mycelium_telemetry::otlp::OtlpError),
    /// The metrics of the node cannot be pushed as the program requests.
    #[cfg(feature = "otlp")]
    #[error("`Builder::otlp_metrics`: {0} [{code}]", code = self.code())]
    OtlpMetrics(#[source] mycelium_telemetry::otlp::OtlpError),
    /// A topic differs from what a service declares.
    #[error("{0} [{code}]", code = self.code())]
    Topic(#[from] TopicError),
}

debug_as_display!(BuildError);

impl From<Problem> for BuildError {
    fn from(Problem { code, text }: Problem) -> BuildError {
        BuildError::new(code, text)
    }
}

impl BuildError {
    pub(crate) fn new(code: Code, problem: impl Into<String>) -> BuildError {
        BuildError::at(None, code, problem)
    }

    /// Creates an error about this place of the topology.
    pub(crate) fn at(place: Option<String>, code: Code, problem: impl Into<String>) -> BuildError {
        BuildError::Refused { code, place, problem: problem.into() }
    }

    /// Creates the error of two services with the same name.
    pub(crate) fn service_twice(name: &str) -> BuildError {
        let problem = format!(
            "two services are called `{name}`: give one of them another name \
             (`Builder::named_service`)"
        );
        BuildError::new(Code::SERVICE_TWICE, problem)
    }

    /// Creates the error of two messages with the same id; `first` and `second` are their module
    /// paths.
    pub(crate) fn id_twice(id: u16, first: &str, second: &str) -> BuildError {
        let name = first.split("::").next().unwrap_or_default();
        let apart = match first == second {
            false => "give one of them another id (`#[message(id = ..)]`), or none".to_owned(),
            true => format!(
                "these are two types of one path, as if crate `{name}` were there in two versions, \
                 which `cargo tree --duplicates` lists: use one of them"
            ),
        };
        let problem = format!("messages `{first}` and `{second}` both have id {id}: {apart}");
        BuildError::new(Code::MESSAGE_ID_TWICE, problem)
    }

    /// Returns the error code at the end of the error's text. `mycelium explain` and
    /// `docs/errors.md` explain it.
    ///
    /// ```
    /// use mycelium::Node;
    /// use mycelium::error::Code;
    ///
    /// let error = Node::builder("main").backpressure_threshold("ticks", 80).build().unwrap_err();
    /// assert_eq!(error.code(), Code::BACKPRESSURE_THRESHOLD);
    /// assert!(error.to_string().ends_with(&format!("[{}]", error.code())));
    /// ```
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            BuildError::Refused { code, .. } => *code,
            BuildError::Topology(error) => error.code(),
            #[cfg(feature = "otlp")]
            BuildError::Otlp(error) => error.code(),
            #[cfg(feature = "otlp")]
            BuildError::OtlpMetrics(error) => error.code(),
            BuildError::Topic(error) => error.code(),
        }
    }

    /// Returns whether another attempt would fail in the same way. True for all errors except the
    /// limits of a topic, where a later attempt may succeed.
    ///
    /// ```
    /// use mycelium::Node;
    ///
    /// let error = Node::builder("main").backpressure_threshold("ticks", 80).build().unwrap_err();
    /// assert!(error.is_permanent());
    /// ```
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        if let BuildError::Topic(error) = self { is_bug_of_topic(error) } else { true }
    }
}

/// Returns whether another attempt would fail in the same way: types and capacities do not change
/// while a program runs, but a full topic can get room later.
pub(super) fn is_bug_of_topic(error: &TopicError) -> bool {
    matches!(error, TopicError::Schema { .. } | TopicError::Capacity { .. })
}

pub(super) fn at(place: Option<&str>) -> String {
    place.map(|place| format!("{place}: ")).unwrap_or_default()
}
