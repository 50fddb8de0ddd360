//! Reading a topology: from a file or a text, with an environment.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use crate::topology::Topology;
use crate::topology::error::TopologyError;
use crate::topology::keys::sections::Sections;
use crate::topology::read::descriptions::descriptions;
use crate::topology::read::files::TopologyFiles;
use crate::topology::read::include::{Reader, unreadable_topology};
use crate::topology::read::parts::TopologyPart;
use crate::topology::read::substitution::Environment;
use crate::topology::source::Source;

impl Topology {
    /// Reads the descriptions that nodes name, unless the topology was parsed from a text. Checks
    /// that the sections do not contradict each other.
    fn new(
        sections: Sections,
        parts: Vec<TopologyPart>,
        mut file: Source,
        given: Option<&TopologyFiles>,
    ) -> Result<Topology, TopologyError> {
        let descriptions = match given {
            Some(given) => descriptions(&sections, &mut file, given)?,
            None => BTreeMap::new(),
        };
        let topology = Topology { file, sections, parts, descriptions, directory: None };
        topology.check_descriptions()?;
        topology.check_node_names()?;
        topology.check_owners()?;
        topology.check_actors()?;
        topology.check_hosts()?;
        topology.check_links()?;
        topology.check_own_features()?;
        topology.check_tls()?;
        topology.check_telemetry()?;
        topology.check_legacy()?;
        topology.check_recorder()?;
        topology.check_sockets()?;
        topology.check_executions()?;
        topology.check_commands()?;
        Ok(topology)
    }

    /// Reads a topology file and its included files. In a process of a launcher, uses the texts
    /// that the launcher passes to its processes, if it does: [`TopologyFiles`].
    ///
    /// # Errors
    /// [`TopologyError`]: a file cannot be read, or the files are not a valid topology.
    pub fn load(path: impl AsRef<Path>) -> Result<Topology, TopologyError> {
        Topology::options().load(path)
    }

    /// Parses a topology. `path` is used in errors, and its directory is the base of relative paths
    /// in `[tls]`.
    ///
    /// # Errors
    /// [`TopologyError`]: the text is not a valid topology, or includes a file.
    pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Topology, TopologyError> {
        Topology::options().parse(path, text)
    }

    /// Returns options, to read a topology with another environment than the process's, or with
    /// texts of its files that were read before.
    #[must_use]
    pub fn options() -> TopologyOptions {
        TopologyOptions::new()
    }

    /// Returns all keys of the file and of its included files, with their values, sorted. Two
    /// versions of a topology are equivalent for a node if the parts that concern the node are
    /// equal.
    ///
    /// ```
    /// use mycelium::Topology;
    ///
    /// let before = Topology::parse("app.toml", "[topic.swaps]\ncapacity = 64 # small")?;
    /// let after = Topology::parse("app.toml", "topic.swaps = { capacity = 64 }")?;
    /// assert!(before.parts().eq(after.parts()));
    /// let part = before.parts().next().unwrap();
    /// assert_eq!((&*part.section, &*part.name), ("topic", "swaps"));
    /// assert_eq!((&*part.key, &*part.value), ("capacity", "64"));
    /// # Ok::<(), mycelium::topology::TopologyError>(())
    /// ```
    pub fn parts(&self) -> impl Iterator<Item = &TopologyPart> {
        self.parts.iter()
    }
}

/// Options for reading a topology: the environment, and the texts of its files; created by
/// [`Topology::options`].
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
/// # Ok::<(), mycelium::topology::TopologyError>(())
/// ```
pub struct TopologyOptions {
    environment: Box<dyn Environment + Send + Sync>,
    /// `None` means the texts from the launcher.
    files: Option<TopologyFiles>,
}

impl TopologyOptions {
    pub(crate) fn new() -> TopologyOptions {
        TopologyOptions { environment: Box::new(|name: &str| env::var_os(name)), files: None }
    }

    /// Sets the environment variables and their values, instead of the environment of the process.
    #[must_use]
    pub fn environment<V: Into<OsString>>(
        mut self,
        variable: impl Fn(&str) -> Option<V> + Send + Sync + 'static,
    ) -> TopologyOptions {
        self.environment = Box::new(move |name: &str| variable(name).map(Into::into));
        self
    }

    /// Sets the files whose texts are taken from `files` instead of the disk. The default is the
    /// files from the launcher of this process ([`TopologyFiles::VARIABLE`]). With
    /// `TopologyFiles::default()`, all files are read from the disk.
    ///
    /// A file is found by the path by which it was read, or by its path without symlinks. Files
    /// that are not in `files` are read from the disk.
    #[must_use]
    pub fn files(mut self, files: TopologyFiles) -> TopologyOptions {
        self.files = Some(files);
        self
    }

    /// Reads a topology file and its included files.
    ///
    /// # Errors
    /// [`TopologyError`]: a file cannot be read, or the files are not a valid topology.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Topology, TopologyError> {
        let path = path.as_ref();
        let given = self.files.clone().map_or_else(TopologyFiles::of_launcher, Ok);
        let given = given.map_err(|error| unreadable_topology(path, &error))?;
        let files = Reader::new(&*self.environment, &given).load(path)?;
        let (sections, parts) = files.sections()?;
        Topology::new(sections, parts, files.source, Some(&given))
    }

    /// Parses a topology. `path` is used in errors, and its directory is the base of relative paths
    /// in `[tls]`.
    ///
    /// # Errors
    /// [`TopologyError`]: the text is not a valid topology, or includes a file.
    pub fn parse(&self, path: impl AsRef<Path>, text: &str) -> Result<Topology, TopologyError> {
        let given = TopologyFiles::default();
        let files =
            Reader::new(&*self.environment, &given).parse(path.as_ref(), text.to_owned())?;
        let (sections, parts) = files.sections()?;
        Topology::new(sections, parts, files.source, None)
    }
}

impl fmt::Debug for TopologyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopologyOptions").finish_non_exhaustive()
    }
}
