//! Topologies from files whose texts were read before: `Topology::files`.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt, symlink};

use mycelium::Topology;
use mycelium::topology::TopologyFiles;

use crate::running::Says;
use crate::topology::{Files, nodes};

/// Returns the files of a topology from a copy that was read before.
fn copied(directory: &Files, name: &str) -> TopologyFiles {
    let files = directory.load(name).unwrap().files();
    let copy = directory.path("copy");
    files.write(&copy).unwrap();
    let read = TopologyFiles::read(&copy).unwrap();
    assert_eq!(read, files);
    read
}

#[test]
fn files_that_change_are_as_they_were() {
    let files = [
        ("app.toml", "include = [\"common.toml\", \"nodes/${ONE}.toml\"]\n[node.a]\n"),
        ("common.toml", "[topic.ticks]\ncapacity = 8\n"),
        ("nodes/one.toml", "include = [\"two.toml\", \"../common.toml\"]\n[node.b]\n"),
        ("nodes/two.toml", "[node.c]\n"),
    ];
    let directory = Files::new("change", &files);
    let before = directory.load("app.toml").unwrap();
    let copy = copied(&directory, "app.toml");
    for (name, _) in files {
        directory.write(name, "[");
    }
    let after = directory.load_of("app.toml", &copy).unwrap();
    assert!(before.parts().eq(after.parts()));
    assert_eq!(after.files(), copy);
    for (name, _) in files {
        fs::remove_file(directory.path(name)).unwrap();
    }
    assert_eq!(nodes(directory.load_of("app.toml", &copy)), ["a", "b", "c"]);
    assert_eq!(nodes(directory.load_of("nodes/two.toml", &copy)), ["c"]);
    // With another variable, the topology includes another file, which is read from the disk.
    let other = Topology::options().environment(|_| Some("three")).files(copy);
    directory.write("nodes/three.toml", "[node.d]\n");
    assert_eq!(nodes(other.load(directory.path("app.toml"))), ["a", "d"]);
}

#[cfg(unix)]
#[test]
fn a_link_to_another_version_changes_nothing() {
    let directory = Files::new(
        "links",
        &[("1/app.toml", "include = [\"b.toml\"]\n"), ("1/b.toml", "[node.old]\n")],
    );
    directory.write("2/app.toml", "include = [\"b.toml\"]\n");
    directory.write("2/b.toml", "[node.new]\n");
    let now = directory.path("now");
    symlink("1", &now).unwrap();
    let copy = copied(&directory, "now/app.toml");
    directory.write("1/b.toml", "[");
    // By the launcher's path, by another path, and by a path without links.
    for name in ["now/app.toml", "2/../1/app.toml", "1/app.toml"] {
        assert_eq!(nodes(directory.load_of(name, &copy)), ["old"], "{name}");
    }
    fs::remove_file(&now).unwrap();
    symlink("2", &now).unwrap();
    assert_eq!(nodes(directory.load_of("now/app.toml", &copy)), ["old"]);
    assert_eq!(nodes(directory.load_of("2/app.toml", &copy)), ["new"]);
}

#[cfg(unix)]
#[test]
fn a_copy_is_for_its_user_and_replaces_the_one_before() {
    let directory = Files::new("mode", &[("app.toml", "[node.a]\n")]);
    copied(&directory, "app.toml");
    directory.write("app.toml", "[node.b]\n");
    let copy = copied(&directory, "app.toml");
    assert_eq!(nodes(directory.load_of("app.toml", &copy)), ["b"]);
    let path = directory.path("copy");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(copy.write(directory.path("none/copy")).is_err());
    let mut names: Vec<_> = fs::read_dir(directory.path("")).unwrap().flatten().collect();
    names.retain(|entry| entry.file_name() != "app.toml");
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn a_copy_that_cannot_be_read_is_an_error() {
    let directory = Files::new("bad", &[("app.toml", "[node.a]\n")]);
    assert!(TopologyFiles::read(directory.path("none")).is_err());
    TopologyFiles::read(directory.path("app.toml"))
        .unwrap_err()
        .says("it is not a copy of the files of a topology that this version can read");
}
