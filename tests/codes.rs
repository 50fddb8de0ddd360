//! Each code is that of an error, and has an entry in `docs/errors.md`; no other code has one.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use mycelium::{Code, Error, StartError, SubscribeError};

/// The sources of a directory and below.
fn sources(directory: &Path, texts: &mut String) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("tests") {
            sources(&path, texts);
        } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
            texts.push_str(&fs::read_to_string(path).expect("a source"));
        }
    }
}

#[test]
fn each_code_has_an_error_and_an_entry() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/errors.md")).expect("the page");
    let entries = page.lines().filter_map(|line| line.strip_prefix("- **")?.split_once("** "));
    let entries: Vec<_> = entries.map(|(code, _)| code.to_owned()).collect();
    assert_eq!(entries, Code::ALL.iter().map(Code::to_string).collect::<Vec<_>>());

    let list = fs::read_to_string(root.join("core/src/code.rs")).expect("the list");
    let names = list.lines().filter_map(|line| {
        let (number, rest) = line.strip_prefix("    ")?.split_once(' ')?;
        number.parse::<u16>().is_ok().then(|| rest.split(' ').next().expect("a name"))
    });
    let names: BTreeSet<_> = names.collect();
    assert_eq!(names.len(), Code::ALL.len());
    let mut texts = String::new();
    for package in ["core", ".", "transports", "telemetry", "executors", "bundle", "cli"] {
        sources(&root.join(package).join("src"), &mut texts);
    }
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let used = texts.split("Code::").skip(1);
    let used: BTreeSet<_> =
        used.map(|text| text.split(|it| !is_of_name(it)).next().expect("a name")).collect();
    let unused: Vec<_> = names.difference(&used).collect();
    assert!(unused.is_empty(), "no error has these codes: {unused:?}");
}

#[test]
fn the_code_of_a_cause_is_the_end_of_a_text() {
    let cause = || SubscribeError::Ended { subscription: "Sum.ticks".to_owned() };
    let wrapped = Error::from(io::Error::other(cause()));
    assert_eq!(wrapped.code(), Some(Code::SUBSCRIPTION_ENDED));
    assert_eq!(wrapped.to_string(), cause().to_string());
    let failed = StartError::ServiceFailed {
        service: "Sum".to_owned(),
        error: wrapped.to_string(),
        restarts: 0,
        window: Duration::ZERO,
        supervisor: None,
    };
    assert_eq!(failed.code(), Code::SUBSCRIPTION_ENDED);
    let text = failed.to_string();
    assert!(text.ends_with("it cannot be taken again [M0211]"), "{text}");
    assert_eq!(text.matches("[M").count(), 1, "{text}");
}
