//! Each mistake on the command line, with its exact message.

use std::process::{Command, Stdio};

use super::process::{ONE_NODE, Place, feed};

/// Returns the error for these arguments, which must have the exit code of wrong usage.
fn mistake(place: &Place, args: &[&str]) -> String {
    let (code, output, errors) = place.tapped(args);
    assert_eq!((code, &*output), (2, ""), "{errors}");
    // A hint of clap follows the error.
    errors.split("\n\n").next().unwrap().trim_end().to_owned()
}

#[test]
fn mistakes_without_a_node() {
    let place = Place::new();
    place.write(ONE_NODE);
    let file = place.topology();
    let file = file.to_str().unwrap();
    let missing = place.path().join("missing");
    let missing = missing.to_str().unwrap();
    let none = format!("error: {missing}: No such file or directory (os error 2)");
    let table: [(&[&str], &str); 5] = [
        (
            &["swaps", "--where", "side"],
            "error: invalid `--where side`: expected a field and a value, such as `side=Buy`",
        ),
        (
            &["swaps", "--topology", file, "--node", "feet"],
            "error: unknown node `feet`: did you mean `feed`?",
        ),
        (
            &["swaps", "--topology", file, "--as", "viewer"],
            "error: unknown node `viewer`: expected one of: feed",
        ),
        (
            &["swaps", "--topology", file, "--as", "feed"],
            "error: node `feed` may run services, and their publishers would wait for a program \
             with its name: use the name of a node with `services = []`, such as `[node.viewer]`, \
             and name it in the `readers` of topics that have them",
        ),
        (&["swaps", "--directory", missing], &none),
    ];
    for (args, expected) in table {
        assert_eq!(mistake(&place, args), expected, "{args:?}");
    }
}

#[test]
fn mistakes_that_a_node_shows() {
    let (place, _node) = feed(ONE_NODE);
    assert_eq!(
        mistake(&place, &["swaps", "--fields", "numbr"]),
        "error: unknown field `numbr`: did you mean `number`?"
    );
    assert_eq!(
        mistake(&place, &["swaps", "--where", "colour=7"]),
        "error: unknown field `colour`: expected one of: number, size"
    );
    assert_eq!(
        mistake(&place, &["all-types", "--fields", "order.sid"]),
        "error: unknown field `order.sid`: did you mean `order.side`?"
    );
}

/// With each limit of descriptors, the tool either prints the message or reports that it has too
/// few. A process needs one to start.
#[test]
fn too_few_descriptors_are_an_error() {
    let (place, mut node) = feed(ONE_NODE);
    node.emit(1);
    let prints = |most: &u32| {
        let tap = place.tap(&["swaps", "--from", "oldest", "--count", "1"]);
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -n \"$0\"; exec \"$@\"", &most.to_string()]);
        limited.arg(tap.get_program()).args(tap.get_args()).env("XDG_RUNTIME_DIR", place.path());
        let output = limited.stdin(Stdio::null()).output().unwrap();
        let (code, errors) = (output.status.code(), String::from_utf8_lossy(&output.stderr));
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
    let (place, _node) = feed(ONE_NODE);
    let table = [
        ("unsigned=abc", "field `unsigned` is a u64, which cannot be `abc`"),
        ("byte=256", "field `byte` is a u8, which cannot be `256`"),
        ("tiny=-129", "field `tiny` is an i8, which cannot be `-129`"),
        ("single=one", "field `single` is an f32, which cannot be `one`"),
        ("yes=1", "field `yes` is a bool, which cannot be `1`"),
        ("side=Sel", "field `side` is an enum, which cannot be `Sel`: did you mean `Sell`?"),
        (
            "order.side=x",
            "field `order.side` is an enum, which cannot be `x`: expected one of: Buy, Sell",
        ),
        (
            "text=longer than 14 bytes",
            "field `text` is a text of at most 14 bytes, which cannot be `longer than 14 bytes`",
        ),
        (
            "pair=[1]",
            "field `pair` is an array of 2 items, such as `[1, 2]`, which cannot be `[1]`",
        ),
        (
            "amounts=[1, 2, 3]",
            "field `amounts` is a list of at most 2 items, such as `[1, 2]`, which cannot be `[1, 2, 3]`",
        ),
        ("paid=1e9", "field `paid` is an i128, which cannot be `1e9`"),
        (
            "price=115792089237316195423570985008687907853269984665640564039457584007913129639936",
            "field `price` is a u256, which cannot be \
             `115792089237316195423570985008687907853269984665640564039457584007913129639936`",
        ),
        ("order=7", "field `order` is a struct, such as `{a=1 b=2}`, which cannot be `7`"),
    ];
    for (condition, problem) in table {
        let expected = format!("error: invalid `--where {condition}`: {problem}");
        assert_eq!(mistake(&place, &["all-types", "--where", condition]), expected);
    }
}
