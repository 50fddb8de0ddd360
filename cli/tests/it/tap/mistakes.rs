//! Each mistake on the command line, with its exact message.

use super::process::{ONE_NODE, feed};
use crate::common::Ended;
use crate::world::World;

/// Returns the error for these arguments, which must have the exit code of wrong usage.
fn mistake(world: &World, args: &[&str]) -> String {
    let errors = world.tapped(args).expect_failure(2);
    // A hint of clap follows the error.
    errors.split("\n\n").next().unwrap().trim_end().to_owned()
}

#[test]
fn mistakes_without_a_node() {
    let world = World::new();
    world.write(ONE_NODE);
    let table: [(&[&str], &str); 5] = [
        (
            &["swaps", "--where", "side"],
            "error: invalid `--where side`: expected a field and a value, such as `side=Buy`",
        ),
        (
            &["swaps", "--topology", "app.toml", "--node", "feet"],
            "error: unknown node `feet`: did you mean `feed`?",
        ),
        (
            &["swaps", "--topology", "app.toml", "--as", "viewer"],
            "error: unknown node `viewer`: expected one of: feed",
        ),
        (
            &["swaps", "--topology", "app.toml", "--as", "feed"],
            "error: node `feed` may run services, and their publishers would wait for a program \
             with its name: use the name of a node with `services = []`, such as `[node.viewer]`, \
             and name it in the `readers` of topics that have them",
        ),
        (
            &["swaps", "--directory", "missing"],
            "error: missing: No such file or directory (os error 2)",
        ),
    ];
    for (args, expected) in table {
        assert_eq!(mistake(&world, args), expected, "{args:?}");
    }
}

#[test]
fn mistakes_that_a_node_shows() {
    let (world, _node) = feed(ONE_NODE);
    for (args, expected) in [
        (["swaps", "--fields", "numbr"], "`numbr`: did you mean `number`?"),
        (["swaps", "--where", "colour=7"], "`colour`: expected one of: number, size"),
        (["all-types", "--fields", "order.sid"], "`order.sid`: did you mean `order.side`?"),
    ] {
        assert_eq!(mistake(&world, &args), format!("error: unknown field {expected}"));
    }
}

/// With each limit of descriptors, the tool either prints the message or reports that it has too
/// few. A process needs one to start.
#[test]
fn too_few_descriptors_are_an_error() {
    let (world, mut node) = feed(ONE_NODE);
    node.emit(1);
    let prints = |most: &u32| {
        let arguments = ["tap", "swaps", "--from", "oldest", "--count", "1"];
        let mut limited = world.limited(&format!("-n {most}"), &arguments);
        let Ended { code, err: errors, .. } = Ended::of(&limited.output().unwrap());
        if code != Some(0) {
            assert_eq!(code, Some(3), "{most}: {errors}");
            let text = "Too many open files (os error 24)";
            assert!(errors.contains(text) && !errors.contains("panicked"), "{most}: {errors}");
        }
        code == Some(0)
    };
    let enough = (4..64).find(prints).expect("the tool needs fewer than 64");
    assert!(enough > 7, "the tool has three streams, and needs more than four others");
}

#[test]
fn values_that_a_field_cannot_have() {
    let (world, _node) = feed(ONE_NODE);
    let big =
        "price=115792089237316195423570985008687907853269984665640564039457584007913129639936";
    let table = [
        ("unsigned=abc", "a u64", ""),
        ("byte=256", "a u8", ""),
        ("tiny=-129", "an i8", ""),
        ("single=one", "an f32", ""),
        ("yes=1", "a bool", ""),
        ("side=Sel", "an enum", ": did you mean `Sell`?"),
        ("order.side=x", "an enum", ": expected one of: Buy, Sell"),
        ("text=longer than 14 bytes", "a text of at most 14 bytes", ""),
        ("pair=[1]", "an array of 2 items, such as `[1, 2]`", ""),
        ("amounts=[1, 2, 3]", "a list of at most 2 items, such as `[1, 2]`", ""),
        ("paid=1e9", "an i128", ""),
        (big, "a u256", ""),
        ("order=7", "a struct, such as `{a=1 b=2}`", ""),
    ];
    for (condition, what, hint) in table {
        let (field, value) = condition.split_once('=').unwrap();
        let problem = format!("field `{field}` is {what}, which cannot be `{value}`{hint}");
        let expected = format!("error: invalid `--where {condition}`: {problem}");
        assert_eq!(mistake(&world, &["all-types", "--where", condition]), expected);
    }
}
