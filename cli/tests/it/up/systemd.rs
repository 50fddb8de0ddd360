//! The unit file of the documents, with the systemd of this user. The job `systemd` starts one.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, id};

use rustix::process::Signal;

use crate::common::{Ended, kill, skip};
use crate::world::World;

/// Returns the unit file for the test's file and directory, with shorter times.
fn unit(world: &World) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/systemd/mycelium.service");
    let mut unit = fs::read_to_string(path).unwrap();
    let file = world.file();
    let directory = format!("Environment=XDG_RUNTIME_DIR={}", world.runtime().display());
    let changes = [
        ("/usr/bin/mycelium", env!("CARGO_BIN_EXE_mycelium")),
        ("/srv/app/app.toml", file.to_str().unwrap()),
        ("Environment=XDG_RUNTIME_DIR=/run/mycelium", &directory),
        ("WatchdogSec=10", "WatchdogSec=5"),
        ("RestartSec=1", "RestartSec=10ms"),
        // The manager of a user runs everything as that user.
        ("User=mycelium\n", ""),
        ("RuntimeDirectory=mycelium\nRuntimeDirectoryMode=0700\n", ""),
    ];
    for (from, to) in changes {
        assert!(unit.contains(from), "{from}");
        unit = unit.replace(from, to);
    }
    unit
}

#[test]
fn the_unit_file_is_valid() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        return skip("the_unit_file_is_valid", "there is no `systemd-analyze`");
    };
    assert!(version.status.success());
    let world = World::new();
    let copy = world.runtime().join("mycelium.service");
    fs::write(&copy, unit(&world)).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&copy).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !errors.contains("mycelium.service"), "{errors}");
}

/// A service of the user's manager, stopped and removed on drop.
struct Service {
    name: String,
    file: PathBuf,
}

impl Service {
    /// Returns `None` if no systemd manages this user's services.
    fn new(world: &World) -> Option<Service> {
        let state = systemctl(&["is-system-running"]);
        if !matches!(state.out.trim_end(), "running" | "degraded") {
            return None;
        }
        let name = format!("mycelium-test-{}.service", id());
        let units = PathBuf::from(env::var_os("XDG_RUNTIME_DIR")?).join("systemd/user");
        fs::create_dir_all(&units).unwrap();
        let file = units.join(&name);
        fs::write(&file, unit(world)).unwrap();
        assert_eq!(systemctl(&["daemon-reload"]).code, Some(0));
        Some(Service { name, file })
    }

    /// Runs a verb of `systemctl`, which returns when it is done.
    #[track_caller]
    fn run(&self, verb: &str) {
        let ran = systemctl(&[verb, &self.name]);
        assert_eq!(ran.code, Some(0), "{verb}: {}", self.property("Result"));
    }

    fn property(&self, name: &str) -> String {
        systemctl(&["show", "--value", "-p", name, &self.name]).out.trim_end().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        systemctl(&["stop", &self.name]);
        let _ = fs::remove_file(&self.file);
        systemctl(&["daemon-reload"]);
    }
}

/// Runs `systemctl`. Without it, the result has no exit code.
fn systemctl(arguments: &[&str]) -> Ended {
    let output = Command::new("systemctl").arg("--user").args(arguments).output();
    output.map(|output| Ended::of(&output)).unwrap_or_default()
}

#[test]
fn systemd_starts_reloads_restarts_and_stops_it() {
    let world = World::new();
    let Some(service) = Service::new(&world) else {
        return skip("systemd_starts_reloads_restarts_and_stops_it", "no systemd of this user");
    };
    world.nodes(&[("feed", "wait")], "");
    // `start` returns when the launcher has reported that all nodes are up.
    service.run("start");
    assert_eq!(world.status()["feed"].state, "running");
    assert_eq!(service.property("StatusText"), "1 of 1 nodes are up");

    world.nodes(&[("feed", "wait"), ("store", "wait")], "");
    let before = world.status();
    service.run("reload");
    let after = world.until_running("store");
    assert_eq!(after["feed"], before["feed"]);

    // The launcher is killed, and then stopped, which only the watchdog notices.
    for (restarts, signal) in [("1", Signal::KILL), ("2", Signal::STOP)] {
        let before = world
            .until(|nodes| nodes.len() == 2 && nodes.values().all(|node| node.state == "running"));
        kill(service.property("MainPID").parse().unwrap(), signal);
        let after = world.until(|nodes| {
            nodes
                .get("feed")
                .is_some_and(|it| it.state == "running" && it.pid != before["feed"].pid)
        });
        assert_ne!(after["store"].pid, before["store"].pid);
        assert_eq!(service.property("NRestarts"), restarts);
    }

    service.run("stop");
    assert_eq!(service.property("Result"), "success");
    world.nothing_is_left();

    // A restart does not mend this mistake.
    world.write("[node.feed]\n");
    assert_ne!(systemctl(&["start", &service.name]).code, Some(0));
    assert_eq!(service.property("ExecMainStatus"), "2");
    assert_eq!(service.property("NRestarts"), "0");
    world.until_nothing_runs();
}
