//! Mistakes on the command line of `up`, `down` and `status`.

use crate::world::World;

/// Returns the first line of the error.
fn error(world: &World, arguments: &[&str]) -> String {
    let error = world.run(arguments).expect_failure(2);
    world.nothing_is_left();
    error.lines().next().unwrap().to_owned()
}

#[test]
fn each_mistake_has_a_message() {
    let world = World::of(&[("feed", "wait")]);
    let moon = format!("error: {}: unknown host `moon`", world.file().display());
    let nowhere = "error: the topology file `nowhere/app.toml`: No such file or directory";
    for (arguments, message) in
        [(&["up", "nowhere/app.toml"][..], nowhere), (&["up", "app.toml", "--host", "moon"], &moon)]
    {
        let found = error(&world, arguments);
        assert!(found.starts_with(message), "{arguments:?}: {found}");
    }
    // Control characters in file names must not reach a terminal.
    let escaped = r"`\u{1b}[31mred.toml`";
    let found = world.run(&["status", "\u{1b}[31mred.toml"]).err;
    assert_eq!(found, format!("error: nothing of {escaped} runs\n"));
    let found = world.run(&["down", "\u{1b}[31mred.toml"]).out;
    assert_eq!(found, format!("nothing of {escaped} runs\n"));
    world.write("[node.feed]\n");
    let found = error(&world, &["up", "app.toml", "--", "sleep", "{nodes}"]);
    assert!(found.contains("unknown placeholder `nodes`"), "{found}");
}
