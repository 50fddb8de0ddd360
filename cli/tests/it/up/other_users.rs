//! Other users that take the place of a launcher, or of its directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;

use super::world::World;
use crate::common::{Ended, Process};

const OTHER: u32 = 65534;

/// A process of another user that listens in its own directory.
struct Forger {
    process: Process,
    directory: PathBuf,
}

impl Forger {
    fn start() -> Forger {
        let name = format!("mycelium-forger-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o755).create(&directory).unwrap();
        chown(&directory, Some(OTHER), None).unwrap();
        // It may not reach the directory that tests are built in. A process that starts in another
        // test must not inherit a descriptor that writes to the program.
        let program = directory.join("program");
        let copied =
            Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
        assert!(copied.unwrap().success());
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(&program);
        command.args(["--exact", "--nocapture", "--test-threads=1", "--", "up::roles::enter"]);
        command.args(["role=forge", &format!("node={}", directory.join("control").display())]);
        let mut process = Process::run(command.current_dir("/").uid(OTHER).gid(OTHER));
        while process.line() != "listens" {}
        Forger { process, directory }
    }

    /// Moves its socket to this path.
    fn take(&self, socket: &Path) {
        fs::rename(self.directory.join("control"), socket).unwrap();
    }
}

impl Drop for Forger {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
fn a_launcher_of_another_user_is_not_asked() {
    if !geteuid().is_root() {
        return eprintln!("skipped: only root can run processes of other users");
    }
    let world = World::of(&[("feed", "wait")]);
    world.up();
    let socket = world.bundle().unwrap().join("control");
    let launchers = socket.with_extension("launcher");
    fs::rename(&socket, &launchers).unwrap();
    let forger = Forger::start();
    forger.take(&socket);
    let expected = format!(
        "process {} of user {OTHER} listens at `{}`: expected user 0 [M0088]\n",
        forger.process.pid(),
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
#[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
fn a_directory_that_another_user_has_made_is_refused() {
    if !geteuid().is_root() {
        return eprintln!("skipped: only root can give a directory to another user");
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
