//! Other users that take the place of a launcher, or of its directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::common::{Ended, Process, skip};
use crate::roles::ENTER;
use crate::world::World;

const OTHER: u32 = 65534;

/// Starts a process of another user that listens at `control` in its own directory.
fn forger() -> (Process, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    chown(&directory, Some(OTHER), None).unwrap();
    // It may not reach the directory that tests are built in. A process that starts in another
    // test must not inherit a descriptor that writes to the program.
    let program = directory.path().join("program");
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
    assert!(copied.unwrap().success());
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&program);
    let socket = format!("node={}", directory.path().join("control").display());
    command.args(ENTER).args(["role=forge", &socket]);
    let mut process = Process::run(command.current_dir("/").uid(OTHER).gid(OTHER));
    while process.line() != "listens" {}
    (process, directory)
}

#[test]
fn a_launcher_of_another_user_is_not_asked() {
    if !geteuid().is_root() {
        return skip("a_launcher_of_another_user_is_not_asked", "only root can run its process");
    }
    let world = World::of(&[("feed", "wait")]);
    world.up();
    let socket = world.bundle().unwrap().join("control");
    let launchers = socket.with_extension("launcher");
    fs::rename(&socket, &launchers).unwrap();
    let (forger, directory) = forger();
    fs::rename(directory.path().join("control"), &socket).unwrap();
    let expected = format!(
        "process {} of user {OTHER} listens at `{}`: expected user 0 [M0088]\n",
        forger.pid(),
        socket.display()
    );
    for verb in ["up", "status", "down"] {
        let ended = world.run(&[verb, "app.toml"]).expect(3);
        assert!(ended.err.ends_with(&expected), "{verb}: {ended:?}");
    }
    fs::rename(&launchers, &socket).unwrap();
}

/// Without `XDG_RUNTIME_DIR`, any user can make the directory first.
#[test]
fn a_directory_that_another_user_has_made_is_refused() {
    if !geteuid().is_root() {
        return skip(
            "a_directory_that_another_user_has_made_is_refused",
            "only root can give it away",
        );
    }
    let world = World::of(&[("feed", "wait")]);
    let taken = world.runtime().join("mycelium-0-up-mine");
    fs::DirBuilder::new().mode(0o700).create(&taken).unwrap();
    chown(&taken, Some(OTHER), None).unwrap();
    for verb in ["up", "status", "down"] {
        let mut tool = match verb {
            "up" => world.tool(&[verb, "app.toml", "--name", "mine"]),
            _ => world.tool(&[verb, "--name", "mine"]),
        };
        tool.env_remove("XDG_RUNTIME_DIR").env("TMPDIR", world.runtime());
        let ended = Ended::of(&tool.output().unwrap()).expect(3);
        let expected = format!(
            "error: directory `{}` belongs to another user: expected user 0, found {OTHER}; ",
            taken.display()
        );
        assert!(ended.err.starts_with(&expected), "{verb}: {ended:?}");
        assert!(ended.err.ends_with(" [M0082]\n"), "{verb}: {ended:?}");
    }
    fs::remove_dir(&taken).unwrap();
}
