//! Errors as people see them: `{:?}` prints the text too, because `main` and `unwrap` print errors
//! with it.
#![cfg(all(feature = "signals", feature = "topology", feature = "tracing"))]

mod permanent;
mod stderr;

use std::error::Error;
use std::io;
use std::path::PathBuf;
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
