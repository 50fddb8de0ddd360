//! `up`, `up` again, `status` and `down`.

use crate::world::World;

#[test]
fn up_status_and_down() {
    let world = World::of(&[("feed", "wait"), ("store", "wait")]);
    let error = world.run(&["status", "app.toml"]).expect_failure(3);
    assert_eq!(error, "error: nothing of `app.toml` runs\n");
    assert_eq!(world.up(), ["feed: started", "store: started"]);
    let before = world.until_they_wait(&["feed", "store"]);
    assert_eq!(world.up(), ["feed: unchanged", "store: unchanged"]);
    assert_eq!(world.until_they_wait(&["feed", "store"]), before);
    let table = world.run(&["status", "app.toml"]).out;
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NODE", "STATE", "PID", "SINCE", "RESTARTS", "LAST", "EXIT"]);
    let out = world.run(&["down", "app.toml"]).expect_success();
    assert!(out.contains("completed") && out.contains("exit status: 0"));
    world.nothing_is_left();
    // The second `down` has nothing to do.
    let out = world.run(&["down", "app.toml"]).expect_success();
    assert_eq!(out, "nothing of `app.toml` runs\n");
}

#[test]
fn only_nodes_whose_part_of_the_file_changed_start_again() {
    let world = World::new();
    let nodes = [("feed", "wait"), ("store", "wait"), ("view", "wait")];
    world.nodes(&nodes, "memory = \"1 MiB\"\n");
    world.up();
    let before = world.until_they_wait(&["feed", "store", "view"]);
    world.nodes(&nodes, "memory = \"2 MiB\"\n");
    let restarted = "view: restarted: [node.view] changed";
    assert_eq!(world.up(), ["feed: unchanged", "store: unchanged", restarted]);
    let after = world.until(|status| {
        status
            .get("view")
            .is_some_and(|shown| shown.pid != before["view"].pid && shown.pid.is_some())
    });
    for node in ["feed", "store"] {
        assert_eq!(after[node], before[node]);
    }
    // Comments and the order of keys are no changes.
    world.nodes(&nodes, "# more\nmemory = '2 MiB'\n");
    assert_eq!(world.up(), ["feed: unchanged", "store: unchanged", "view: unchanged"]);
    world.nodes(&[("feed", "wait"), ("new", "wait"), ("view", "wait")], "memory = \"2 MiB\"\n");
    let stopped = "store: stopped: no longer a node of this host";
    assert_eq!(world.up(), ["feed: unchanged", "new: started", stopped, "view: unchanged"]);
    let last = world.until_they_wait(&["feed", "new", "view"]);
    assert_eq!(last["feed"], before["feed"]);
}

#[test]
fn up_returns_after_the_change() {
    let world = World::new();
    let mut before = 0;
    for round in 0..5 {
        world.pipeline(&[], &[&format!("round={round}")]);
        let out = world.up_and_ready();
        let row = out.lines().find(|line| line.starts_with("store ")).unwrap();
        let row: Vec<&str> = row.split_whitespace().collect();
        let pid: u32 = row[2].parse().expect(&out);
        assert!(row[1] == "ready" && pid != before, "{before}: {out}");
        before = pid;
    }
}

#[test]
fn nodes_that_complete_at_once_are_no_failure() {
    let world = World::of(&[("feed", "complete"), ("store", "complete")]);
    for _ in 0..10 {
        world.up_and_ready();
        // A bundle ends when its nodes have completed.
        world.nothing_is_left();
    }
}

#[test]
fn a_completed_node_that_starts_again_meets_its_peers() {
    let world = World::new();
    let write = |count: u64| {
        let feed = world.section("feed", "Feed", &[&format!("count={count}")]);
        let store = world.section("store", "Store", &["stays=1"]);
        let wait = world.command(&["wait"]);
        let other = format!("[node.other]\ncommand = {wait}\nservices = []\n");
        world.write(&[feed, store, other].concat());
    };
    write(3);
    world.up();
    world.until(|nodes| nodes.get("feed").is_some_and(|feed| feed.state == "completed"));
    world.until(|_| world.logs().contains("stored 3\n"));
    write(4);
    // The topics of `other` are unknown, so it may be a peer.
    assert_eq!(
        world.up(),
        [
            "feed: restarted: its command changed",
            "other: restarted: `feed` had completed, and starts again",
            "store: restarted: `feed` had completed, and starts again"
        ]
    );
    world.until(|_| world.logs().contains("stored 4\n"));
}

#[test]
fn the_command_line_has_the_command_of_nodes_without_one() {
    let world = World::new();
    world.write("[node.one]\n[node.two]\ncommand = [\"sleep\", \"1000\"]\n");
    let up = |script| world.run(&["up", "app.toml", "--no-wait", "--", "sh", "-c", script]);
    up("echo {node}; sleep 1000").expect(0);
    let status = world
        .until(|status| status.len() == 2 && status.values().all(|shown| shown.state == "running"));
    world.until(|_| world.logs().contains("one.log:\none\n"));
    // Another command is a change.
    let ended = up("echo {node}; sleep 2000");
    assert!(ended.out.starts_with("one: restarted: its command changed\ntwo: unchanged\n"));
    let after = world.until(|after| after["one"].pid != status["one"].pid);
    assert_eq!(after["two"], status["two"]);
    world.run(&["down", "app.toml"]);
}

#[test]
fn one_file_runs_under_several_names_in_several_directories() {
    let world = World::new();
    let directory = &["directory={directory}"];
    world.pipeline(directory, directory);
    let names: [&[&str]; 3] = [&[], &["--name", "left"], &["--name", "right"]];
    let run = |verb: &[&str], name: &[&str]| world.run(&[verb, name].concat()).expect_success();
    for name in names {
        run(&["up", "app.toml"], name);
    }
    for name in names {
        // With a name, no file is needed.
        let file: &[&str] = if name.is_empty() { &["app.toml"] } else { &[] };
        assert!(run(&[&["status"], file].concat(), name).contains("ready"));
        run(&[&["down"], file, &["--timeout", "20s"]].concat(), name);
    }
}
