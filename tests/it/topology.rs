//! The topology file: each possible mistake has a test of its exact message, with file, line and
//! column. `mistakes` and `values` test what is found when the file is read, `nodes` what is found
//! when a node is built or starts. `environment` tests variables in values, `include` files that
//! include others, `files` files that were read before, `queues` the task queues that a file sets.
//! `schema` tests the schema for editors, and writes the tables of docs/topology.md.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

mod environment;
mod files;
mod include;
mod mistakes;
mod nodes;
mod queues;
pub(crate) mod schema;
mod values;

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;

use mycelium::Topology;
use mycelium::error::Code;
use mycelium::topology::{TopologyError, TopologyFiles};

use crate::support::Directory;

/// Returns the error of a file, from its line and column on.
#[track_caller]
fn error_of(text: &str) -> String {
    let error = without_code(Topology::parse("t.toml", text).expect_err(text));
    error.strip_prefix("t.toml:").expect(&error).to_owned()
}

/// Returns the text of an error without its code.
fn without_code(error: impl Display) -> String {
    let text = error.to_string();
    let (text, code) = Code::split(&text);
    assert!(code.is_some(), "{text} has a code");
    text.to_owned()
}

/// Returns the error as [`error_of`] does. The schema refuses the file, too, so that editors show
/// the mistake.
#[track_caller]
fn error_in_editors(text: &str) -> String {
    assert!(!schema::accepts(text), "the schema accepts:\n{text}");
    error_of(text)
}

/// A directory with topology files.
struct Files(Directory);

impl Files {
    fn new(test: &str, files: &[(&str, &str)]) -> Files {
        let directory = Files(Directory::new(&format!("files-{test}")));
        files.iter().for_each(|(name, text)| directory.write(name, text));
        directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.0.join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn load(&self, name: &str) -> Result<Topology, TopologyError> {
        self.load_of(name, &TopologyFiles::default())
    }

    /// Loads a topology from files whose texts were read before.
    fn load_of(&self, name: &str, files: &TopologyFiles) -> Result<Topology, TopologyError> {
        let options = Topology::options().environment(|name| (name == "ONE").then_some("one"));
        options.files(files.clone()).load(self.path(name))
    }

    /// Returns the text of an error without the directory.
    fn text_of(&self, error: TopologyError) -> String {
        without_code(error).replace(&format!("{}/", self.0.0.display()), "")
    }
}

fn nodes(topology: Result<Topology, TopologyError>) -> Vec<String> {
    topology.unwrap().nodes().map(str::to_owned).collect()
}
