//! Errors as people see them: `{:?}` prints the text too, because `main` and `unwrap` print errors
//! with it.
#![cfg(all(feature = "signals", feature = "topology", feature = "tracing"))]

mod permanent;
mod stderr;

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mycelium::{
    BuildError, EmitError, PublisherError, Refusal, ShuttingDown, StartError, SubscribeError,
    ThreadError, Topology, Unfinished,
};
use mycelium_bundle::BundleError;
use mycelium_executor::SpawnError;
use mycelium_transports::endpoint::{BindError, PathTooLong};
use mycelium_transports::exchange::TopicClientError;
use mycelium_transports::local::{RemotePublishError, TopicError};
use mycelium_transports::stream::DriveError;

#[test]
fn debug_prints_the_text() {
    let name = || "Sum".to_owned();
    let unknown = Topology::parse("t.toml", "[nodes.main]").unwrap_err();
    let path = || PathBuf::from("/run/x.sock");
    let readers = TopicError::Readers { topic: name(), most: 64 };
    let topic = "ticks".into();
    let errors: [&dyn Error; 19] = [
        &EmitError::new(topic, 7, Refusal::ShuttingDown),
        &PublisherError::Refused(BuildError::DuplicateService { name: name() }),
        &ShuttingDown,
        &Unfinished,
        &SubscribeError::Refused { reason: name() },
        &BuildError::DuplicateService { name: name() },
        &StartError::ServiceFailed {
            service: name(),
            error: name(),
            restarts: 1,
            window: Duration::from_secs(1),
            supervisor: None,
        },
        &unknown,
        unknown.problem(),
        &ThreadError::Start { error: name() },
        &SpawnError::Ended,
        &mycelium_tokio::NoRuntime,
        &BindError::InUse { path: path() },
        &PathTooLong { path: path(), found: 300 },
        &TopicClientError::Name { topic: name() },
        &readers,
        &RemotePublishError::Full,
        &DriveError::Io(io::Error::other("no")),
        &BundleError::Duplicate { member: name() },
    ];
    for error in errors {
        assert_eq!(format!("{error:?}"), error.to_string());
    }
    let error = mycelium::Error::from(io::Error::other(BuildError::Topic(readers)));
    assert_eq!(format!("{error:?}"), error.to_string());
    assert!(error.to_string().contains("its rings have 64"), "{error}");
}

/// An error without this is found here, also if no test makes one.
#[test]
fn no_error_of_a_library_derives_debug() {
    let mut errors = 0;
    for crate_sources in [
        "src",
        "core/src",
        "transports/src",
        "executors/src",
        "executors/tokio/src",
        "executors/smol/src",
        "executors/glommio/src",
        "bundle/src",
    ] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        each_file(&root.join(crate_sources), &mut |path, text| {
            for derives in text.split("#[derive(").skip(1) {
                let (derives, item) = derives.split_once(")]").unwrap();
                let derives: Vec<_> = derives.split(',').map(str::trim).collect();
                if derives.iter().any(|derive| derive.ends_with("Error")) || is_error(text, item) {
                    errors += 1;
                    assert!(
                        !derives.contains(&"Debug"),
                        "{}: this error derives Debug: expected `debug_as_display!`{}",
                        path.display(),
                        item.get(..200).unwrap_or(item)
                    );
                }
            }
        });
    }
    assert!(errors > 30, "found {errors} errors only");
}

/// Whether the item that `rest` begins with implements `Error` by hand.
fn is_error(text: &str, rest: &str) -> bool {
    let item = rest.split(['{', ';']).next().unwrap_or_default();
    let mut words = item.split_whitespace().skip_while(|word| !["enum", "struct"].contains(word));
    let Some(name) = words.nth(1) else { return false };
    let name = name.split(['<', '(']).next().unwrap_or(name);
    let mut impls = text.split("Error for ").skip(1);
    impls.any(|after| after.split([' ', '<', '{']).next() == Some(name))
}

#[test]
fn an_error_by_hand_is_found() {
    let text = "#[derive(Debug)]\npub enum Wrong<M> { A(M) }\nimpl<M> Error for Wrong<M> {}";
    let item = text.split_once(")]").unwrap().1;
    assert!(is_error(text, item));
    assert!(!is_error(&text.replace("Error for", "Display for"), item));
}

fn each_file(directory: &Path, visit: &mut dyn FnMut(&Path, &str)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_file(&path, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            visit(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}
