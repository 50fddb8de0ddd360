//! Variables of the environment in the values of the file.

use mycelium::Topology;
use mycelium::topology::TopologyError;

use crate::running::Says;
use crate::topology::without_code;

/// Parses a file with these variables.
fn parse(text: &str, variables: &'static [(&str, &str)]) -> Result<Topology, TopologyError> {
    let variable = |name: &str| {
        let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
        Some(*value)
    };
    Topology::options().environment(variable).parse("t.toml", text)
}

#[test]
fn values_of_all_types_may_have_variables() {
    let text = r#"
        [host."${NOT}"]
        address = ["${HOST}", "${NONE:-fd00::1}"]
        [node.main]
        host = "$${NOT}"
        services = ["Feed", "${SECOND}"]
        port = "${PORT}"
        huge_pages = "${HUGE:-false}"
        memory = "${SIZE}"
        users = ["${USER}", 2]
        shutdown = "${SECONDS}s"
        [topic.ticks]
        capacity = "${NONE:-4096}"
        dead_letter_after = "${DEATHS}"
        on_stall = { evict_after = "${SECONDS}s" }
        [topic.quotes]
        retain = { key = "${KEY}", keys = "${NONE:-2}", when_full = "${NONE:-refuse}" }
        [topic.orders]
        retain = "${DEATHS}"
        [service.Feed]
        thread = "feed-${USER}"
        run = "dedicated"
    "#;
    let variables = &[
        ("HOST", "10.0.0.1"),
        ("SECOND", "2"),
        ("PORT", " 7400 "),
        ("SIZE", "1 GiB"),
        ("USER", "1000"),
        ("SECONDS", "5"),
        ("DEATHS", "3"),
        ("KEY", "symbol"),
    ];
    // Variables in keys are not replaced. `"$${NOT}"` is the text `${NOT}`.
    let topology = parse(text, variables).unwrap();
    assert_eq!(topology.nodes_of(&["${NOT}"]).unwrap(), ["main"]);
}

#[test]
fn a_variable_that_is_not_set_is_an_error_with_its_place() {
    let error = parse("[node.main]\nservices = [\"Feed\", \"a-${NAME}\"]", &[]).unwrap_err();
    without_code(error).says(
        "t.toml:2:21: the environment has no variable `NAME`: set it, or write a default, such as \
         `${NAME:-default}`",
    );
}

#[test]
fn an_invalid_value_has_the_place_and_the_text_of_the_file() {
    let error_of = |text: &str, value: &'static str| {
        let options = Topology::options().environment(move |name| (name == "X").then_some(value));
        let error = without_code(options.parse("t.toml", text).expect_err(text));
        error.strip_suffix("; the file has \"${X}\"").expect(&error).to_owned()
    };
    error_of("[topic.a]\ncapacity = \"${X}\"", "1000")
        .says("t.toml:2:12: invalid capacity 1000: expected a power of two from 2 to 1073741824");
    error_of("[node.a]\nhuge_pages = \"${X}\"", "yes")
        .says("t.toml:2:14: invalid value, string \"yes\": expected true or false");
    error_of("[node.a]\nshutdown = \"${X}\"", "5")
        .says("t.toml:2:12: invalid duration `5`: expected a number and a unit, such as `250ms`");
    error_of("[node.a]\nservices = \"${X}\"", "[\"A\"]")
        .says("t.toml:2:12: invalid value, string \"[\\\"A\\\"]\": expected a list in brackets, such as [\"a\", \"b\"]");
    // This mistake is found by a later check.
    error_of("[node.a]\nhost = \"${X}\"", "one")
        .says("t.toml:2:8: unknown host `one`: there is none");
}
