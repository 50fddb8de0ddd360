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
    /// Reads the descriptions that nodes name, but not if the topology was parsed from a text, and
    /// checks that the sections do not contradict each other.
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
        topology.check_sockets()?;
        topology.check_executions()?;
        topology.check_commands()?;
        Ok(topology)
    }

    /// Reads a topology file, and those that it includes. In a process of a launcher these are the
    /// texts that the launcher has read, if it gives them to its processes: [`TopologyFiles`].
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

    /// To read a topology with another environment than that of the process, or with texts of its
    /// files that were read before.
    #[must_use]
    pub fn options() -> TopologyOptions {
        TopologyOptions::new()
    }

    /// All keys of the file and of those that it includes, with their values, sorted. Two versions
    /// of a topology mean the same to a node if the parts that concern it are equal.
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

/// How a topology is read: with which environment, and with which texts of its files.
/// [`Topology::options`] makes it.
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
    /// `None`: those that the launcher has given.
    files: Option<TopologyFiles>,
}

impl TopologyOptions {
    pub(crate) fn new() -> TopologyOptions {
        TopologyOptions { environment: Box::new(|name: &str| env::var_os(name)), files: None }
    }

    /// Sets the environment, instead of that of the process: the value of each variable that is
    /// set.
    #[must_use]
    pub fn environment<V: Into<OsString>>(
        mut self,
        variable: impl Fn(&str) -> Option<V> + Send + Sync + 'static,
    ) -> TopologyOptions {
        self.environment = Box::new(move |name: &str| variable(name).map(Into::into));
        self
    }

    /// Sets the files whose texts are taken from here and not from the disk, instead of those that
    /// the launcher of this process has given to it ([`TopologyFiles::VARIABLE`]). With
    /// `TopologyFiles::default()`, all files are read from the disk.
    ///
    /// A file is found by the path that it was read by, or by its path without links. Files that
    /// are not among these are read from the disk.
    #[must_use]
    pub fn files(mut self, files: TopologyFiles) -> TopologyOptions {
        self.files = Some(files);
        self
    }

    /// Reads a topology file, and those that it includes.
    ///
    /// # Errors
    /// If a file cannot be read, or they are not a valid topology.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Topology, TopologyError> {
        let path = path.as_ref();
        let given = self.files.clone().map_or_else(TopologyFiles::of_launcher, Ok);
        let given = given.map_err(|error| unreadable_topology(path, error))?;
        let files = Reader::new(&*self.environment, &given).load(path)?;
        let (sections, parts) = files.sections()?;
        Topology::new(sections, parts, files.source, Some(&given))
    }

    /// Parses a topology. `path` is for errors, and for relative paths of the files of `[tls]`,
    /// which are in its directory.
    ///
    /// # Errors
    /// If the text is not a valid topology, or includes a file.
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
