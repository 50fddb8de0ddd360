//! Reading a topology: from a file or a text, with an environment.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use super::Topology;
use super::error::TopologyError;
use super::include::Reader;
use super::substitution::Environment;

impl Topology {
    /// Reads a topology file, and those that it includes.
    ///
    /// # Errors
    /// If a file cannot be read, or they are not a valid topology.
    pub fn load(path: impl AsRef<Path>) -> Result<Topology, TopologyError> {
        Topology::options().load(path)
    }

    /// Parses a topology. `path` is for errors, and for relative paths of the files of `[tls]`,
    /// which are in its directory.
    ///
    /// # Errors
    /// If the text is not a valid topology, or includes a file.
    pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Topology, TopologyError> {
        Topology::options().parse(path, text)
    }

    /// To read a topology with another environment than that of the process.
    #[must_use]
    pub fn options() -> TopologyOptions {
        TopologyOptions::new()
    }
}

/// How a topology is read: with which environment. [`Topology::options`] makes it.
///
/// ```
/// use mycelium::Topology;
///
/// let text = r#"
/// [node.main]
/// services = ["${ROLE}"]
/// [topic.ticks]
/// capacity = "${SLOTS:-4096}"
/// "#;
/// let options = Topology::options().environment(|name| (name == "ROLE").then_some("Feed"));
/// options.parse("app.toml", text)?;
///
/// let empty = Topology::options().environment(|_| None::<String>);
/// assert_eq!(
///     empty.parse("app.toml", text).unwrap_err().to_string(),
///     "app.toml:3:13: the environment has no variable `ROLE`: set it, or write a default, such \
///      as `${ROLE:-default}` [M0102]"
/// );
/// # Ok::<(), mycelium::TopologyError>(())
/// ```
pub struct TopologyOptions {
    environment: Box<dyn Environment + Send + Sync>,
}

impl TopologyOptions {
    pub(super) fn new() -> TopologyOptions {
        TopologyOptions { environment: Box::new(|name: &str| env::var_os(name)) }
    }

    /// Sets the environment, instead of that of the process: the value of each variable that is
    /// set.
    #[must_use]
    pub fn environment<V: Into<OsString>>(
        self,
        variable: impl Fn(&str) -> Option<V> + Send + Sync + 'static,
    ) -> TopologyOptions {
        TopologyOptions { environment: Box::new(move |name: &str| variable(name).map(Into::into)) }
    }

    /// Reads a topology file, and those that it includes.
    ///
    /// # Errors
    /// If a file cannot be read, or they are not a valid topology.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Topology, TopologyError> {
        let files = Reader::new(&*self.environment).load(path.as_ref())?;
        let (sections, parts) = files.sections()?;
        Topology::new(sections, parts, files.source)
    }

    /// Parses a topology. `path` is for errors, and for relative paths of the files of `[tls]`,
    /// which are in its directory.
    ///
    /// # Errors
    /// If the text is not a valid topology, or includes a file.
    pub fn parse(&self, path: impl AsRef<Path>, text: &str) -> Result<Topology, TopologyError> {
        let files = Reader::new(&*self.environment).parse(path.as_ref(), text.to_owned())?;
        let (sections, parts) = files.sections()?;
        Topology::new(sections, parts, files.source)
    }
}

impl fmt::Debug for TopologyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopologyOptions").finish_non_exhaustive()
    }
}
