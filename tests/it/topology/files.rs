//! Topologies of files whose texts were read before: `Topology::files`.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use mycelium::{Problem, Topology, TopologyError, TopologyFiles};

use crate::topology::without_code;

/// A directory that is removed.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str, files: &[(&str, &str)]) -> Directory {
        let name = format!("mycelium-files-{test}-{}", std::process::id());
        let directory = Directory(std::env::temp_dir().join(name));
        for (name, text) in files {
            directory.write(name, text);
        }
        directory
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn load(&self, name: &str, files: &TopologyFiles) -> Result<Topology, TopologyError> {
        let options = Topology::options().environment(|name| (name == "ONE").then_some("one"));
        options.files(files.clone()).load(self.0.join(name))
    }

    /// The files of a topology, from a copy of them.
    fn copy(&self, name: &str) -> TopologyFiles {
        let files = self.load(name, &TopologyFiles::default()).unwrap().files();
        let copy = self.0.join("copy");
        files.write(&copy).unwrap();
        let read = TopologyFiles::read(&copy).unwrap();
        assert_eq!(read, files);
        read
    }

    /// The error of a file, without the directory.
    fn error(&self, name: &str, files: &TopologyFiles) -> String {
        let error = without_code(self.load(name, files).expect_err(name));
        error.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

fn nodes(topology: Result<Topology, TopologyError>) -> Vec<String> {
    topology.unwrap().nodes().map(str::to_owned).collect()
}

#[test]
fn files_that_change_are_as_they_were() {
    let files = [
        ("app.toml", "include = [\"common.toml\", \"nodes/${ONE}.toml\"]\n[node.a]\n"),
        ("common.toml", "[topic.ticks]\ncapacity = 8\n"),
        ("nodes/one.toml", "include = [\"two.toml\", \"../common.toml\"]\n[node.b]\n"),
        ("nodes/two.toml", "[node.c]\n"),
    ];
    let directory = Directory::new("change", &files);
    let before = directory.load("app.toml", &TopologyFiles::default()).unwrap();
    let copy = directory.copy("app.toml");
    for (name, _) in files {
        directory.write(name, "[");
    }
    let after = directory.load("app.toml", &copy).unwrap();
    assert!(before.parts().eq(after.parts()));
    assert_eq!(after.files(), copy);
    for (name, _) in files {
        fs::remove_file(directory.0.join(name)).unwrap();
    }
    assert_eq!(nodes(directory.load("app.toml", &copy)), ["a", "b", "c"]);
    assert_eq!(nodes(directory.load("nodes/two.toml", &copy)), ["c"]);
    // Another environment includes another file, which is on the disk.
    let other = Topology::options().environment(|_| Some("three")).files(copy);
    directory.write("nodes/three.toml", "[node.d]\n");
    assert_eq!(nodes(other.load(directory.0.join("app.toml"))), ["a", "d"]);
}

#[test]
fn other_files_are_read_from_the_disk() {
    let directory = Directory::new(
        "other",
        &[("app.toml", "[node.a]\n"), ("other.toml", "include = [\"app.toml\"]\n[node.b]\n")],
    );
    let copy = directory.copy("app.toml");
    directory.write("app.toml", "[node.c]\n");
    assert_eq!(nodes(directory.load("other.toml", &copy)), ["a", "b"]);
    assert_eq!(nodes(directory.load("app.toml", &copy)), ["a"]);
    let disk = TopologyFiles::default();
    assert_eq!(nodes(directory.load("app.toml", &disk)), ["c"]);
    directory.write("other.toml", "[node.d]\n");
    assert_eq!(nodes(directory.load("other.toml", &copy)), ["d"]);
    assert!(directory.error("none.toml", &copy).starts_with("none.toml: cannot read the topology"));
    let parsed = Topology::parse(directory.0.join("app.toml"), "[node.e]\n").unwrap();
    assert_eq!(parsed.files(), disk);
}

#[test]
fn errors_have_their_places() {
    let directory = Directory::new(
        "errors",
        &[
            ("app.toml", "include = [\"common.toml\"]\n"),
            ("common.toml", "\n[topic.ticks]\ncapacity = \"${SLOTS:-8}\"\n"),
        ],
    );
    let copy = directory.copy("app.toml");
    directory.write("common.toml", "");
    let options = Topology::options().environment(|_| Some("7")).files(copy);
    let error = options.load(directory.0.join("app.toml")).unwrap_err();
    assert_eq!((error.file(), error.line()), (&*directory.0.join("common.toml"), 3));
    assert!(without_code(error).ends_with(
        "common.toml:3:12: invalid capacity 7: expected a power of two from 2 to 1073741824; \
             the file has \"${SLOTS:-8}\""
    ));
    // Circles are found among files of the copy and others.
    directory.write("b.toml", "include = [\"./c.toml\"]\n");
    directory.write("c.toml", "[node.a]\n");
    let copy = directory.copy("b.toml");
    directory.write("b.toml", "[");
    directory.write("c.toml", "");
    assert_eq!(nodes(directory.load("b.toml", &copy)), ["a"]);
    directory.write("d.toml", "include = [\"e.toml\", \"b.toml\"]\n");
    directory.write("e.toml", "include = [\"b.toml\", \"./d.toml\"]\n");
    assert_eq!(
        directory.error("d.toml", &copy),
        "e.toml:1:22: cannot include `./d.toml`: files include each other: d.toml -> e.toml -> \
         ./d.toml"
    );
}

#[cfg(unix)]
#[test]
fn a_link_to_another_version_changes_nothing() {
    let directory = Directory::new(
        "links",
        &[("1/app.toml", "include = [\"b.toml\"]\n"), ("1/b.toml", "[node.old]\n")],
    );
    directory.write("2/app.toml", "include = [\"b.toml\"]\n");
    directory.write("2/b.toml", "[node.new]\n");
    let now = directory.0.join("now");
    symlink("1", &now).unwrap();
    let copy = directory.copy("now/app.toml");
    directory.write("1/b.toml", "[");
    // By the path that the launcher has used, by another one, and without links.
    for name in ["now/app.toml", "2/../1/app.toml", "1/app.toml"] {
        assert_eq!(nodes(directory.load(name, &copy)), ["old"], "{name}");
    }
    fs::remove_file(&now).unwrap();
    symlink("2", &now).unwrap();
    assert_eq!(nodes(directory.load("now/app.toml", &copy)), ["old"]);
    assert_eq!(nodes(directory.load("2/app.toml", &copy)), ["new"]);
}

#[cfg(unix)]
#[test]
fn a_copy_is_for_its_user_and_replaces_the_one_before() {
    let directory = Directory::new("mode", &[("app.toml", "[node.a]\n")]);
    directory.copy("app.toml");
    directory.write("app.toml", "[node.b]\n");
    let copy = directory.copy("app.toml");
    assert_eq!(nodes(directory.load("app.toml", &copy)), ["b"]);
    let path = directory.0.join("copy");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(copy.write(directory.0.join("none/copy")).is_err());
    let mut names: Vec<_> = fs::read_dir(&directory.0).unwrap().flatten().collect();
    names.retain(|entry| entry.file_name() != "app.toml");
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn a_copy_that_cannot_be_read_is_an_error() {
    let directory = Directory::new("bad", &[("app.toml", "[node.a]\n")]);
    assert!(TopologyFiles::read(directory.0.join("none")).is_err());
    let error = TopologyFiles::read(directory.0.join("app.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it is not a copy of the files of a topology that this version can read"
    );
    let missing = Topology::load(directory.0.join("none.toml")).unwrap_err();
    assert!(matches!(missing.problem(), Problem::Unreadable { .. }));
}
