//! Mistakes of the command line.

use super::world::World;

/// The first line of the error.
fn error(world: &World, arguments: &[&str]) -> String {
    let ended = world.run(arguments);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{arguments:?}: {}", ended.err);
    world.nothing_is_left();
    ended.err.lines().next().unwrap().to_owned()
}

#[test]
fn each_mistake_has_a_message() {
    let world = World::of(&[("feed", "wait")]);
    let time = "expected a number and a unit, such as `250ms` or `5s`";
    let wrong = |option: &str| format!("error: invalid value 'soon' for '--{option}': {time}");
    let mistakes: [(&[&str], String); 13] = [
        (&["up"], "error: the following required arguments were not provided:".into()),
        (&["down"], "error: the following required arguments were not provided:".into()),
        (&["status"], "error: the following required arguments were not provided:".into()),
        (&["up", "app.toml", "--timeout", "soon"], wrong("timeout <TIME>")),
        (&["down", "app.toml", "--timeout", "soon"], wrong("timeout <TIME>")),
        (
            &["up", "app.toml", "--foreground", "--no-wait"],
            "error: the argument '--foreground' cannot be used with '--no-wait'".into(),
        ),
        (
            &["up", "app.toml", "--foreground", "--timeout", "1s"],
            "error: the argument '--foreground' cannot be used with '--timeout <TIME>'".into(),
        ),
        (
            &["up", "app.toml", "other.toml"],
            "error: unexpected argument 'other.toml' found".into(),
        ),
        (
            &["up", "app.toml", "--name", "../up"],
            "error: invalid name of a bundle `../up`: expected 1 to 32 letters, digits, `-` and `_`"
                .into(),
        ),
        (
            &["status", "--name", ""],
            "error: invalid name of a bundle ``: expected 1 to 32 letters, digits, `-` and `_`"
                .into(),
        ),
        (
            &["status", "app.toml", "-o", "xml"],
            "error: invalid value 'xml' for '--output <OUTPUT>'".into(),
        ),
        (
            &["up", "nowhere/app.toml"],
            "error: the topology file `nowhere/app.toml`: No such file or directory (os error 2)"
                .into(),
        ),
        (
            &["up", "app.toml", "--host", "moon"],
            format!("error: {}: unknown host `moon`", world.file().display()),
        ),
    ];
    for (arguments, message) in mistakes {
        let found = error(&world, arguments);
        assert!(found.starts_with(&message), "{arguments:?}: {found}");
    }
    // A terminal gets no control characters from the names of files.
    let escaped = r"`\u{1b}[31mred.toml`";
    let found = world.run(&["status", "\u{1b}[31mred.toml"]).err;
    assert_eq!(found, format!("error: nothing of {escaped} runs\n"));
    let found = world.run(&["down", "\u{1b}[31mred.toml"]).out;
    assert_eq!(found, format!("nothing of {escaped} runs\n"));
    world.write("[node.feed]\n");
    let found = error(&world, &["up", "app.toml", "--", "sleep", "{nodes}"]);
    assert!(found.contains("unknown placeholder `nodes`"), "{found}");
}
