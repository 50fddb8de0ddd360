//! Each code belongs to an error and has an entry in `docs/errors.md`, which has no other entries.
#![cfg(all(target_os = "linux", feature = "describe", feature = "metrics", feature = "signals"))]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use mycelium::Error;
use mycelium::actors::{KeyedTellError, SpawnActorError};
use mycelium::emit::{BatchError, EmitError, Refusal};
use mycelium::error::{BuildError, Code, StartError, SubscribeError, ThreadError};
use mycelium::route::OutError;
use mycelium_core::link::ConfigError;
use mycelium_executor::SpawnError;
use mycelium_transports::counters::{AttachError, ViewError};
use mycelium_transports::memory::MemoryError;
use mycelium_transports::stream::DriveError;
use mycelium_transports::untyped::UntypedError;

use crate::node::services::Number;
use crate::support::files_below;

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
        for path in files_below(&root.join(package).join("src"), "rs") {
            let file = path.strip_prefix(root).expect("below the root");
            if !file.ends_with("tests.rs") && !file.iter().any(|part| part == "tests") {
                texts.push_str(&fs::read_to_string(path).expect("a source"));
            }
        }
    }
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let used = texts.split("Code::").skip(1);
    let used: BTreeSet<_> =
        used.map(|text| text.split(|it| !is_of_name(it)).next().expect("a name")).collect();
    let unused: Vec<_> = names.difference(&used).collect();
    assert!(unused.is_empty(), "no error has these codes: {unused:?}");
}

#[test]
fn an_error_has_the_code_of_its_cause_once_at_the_end() {
    let text = str::to_owned;
    let sum = || text("Sum");
    let ended = || SubscribeError::Ended { subscription: text("Sum.ticks") };
    let wrapped = Error::from(io::Error::other(ended()));
    assert_eq!(wrapped.code(), Some(Code::SUBSCRIPTION_ENDED));
    assert_eq!(wrapped.to_string(), ended().to_string());
    let limit = || SpawnActorError::Limit { actor: "Pool", limit: 1000 };
    let full = || Refusal::Full { by: "Slow.ticks".into() };
    let problem = || text("two services are called `Sum`");
    let build =
        || BuildError::Refused { code: Code::SERVICE_TWICE, place: None, problem: problem() };
    macro_rules! shown {
        ($($error:expr => $code:ident),+ $(,)?) => { [$({
            let error = $error;
            (error.code(), Code::$code, error.to_string())
        }),+] };
    }
    let errors = shown![
        StartError::ServiceFailed {
            service: sum(), error: wrapped.to_string(), restarts: 0, window: Duration::ZERO,
            supervisor: None,
        } => SUBSCRIPTION_ENDED,
        StartError::Spawn { service: sum(), error: SpawnError::Ended } => EXECUTOR_GONE,
        StartError::Thread {
            service: sum(), place: None,
            error: ThreadError::Core { core: 4000, allowed: vec![0, 1] },
        } => NO_CORE,
        StartError::Build(build()) => SERVICE_TWICE,
        OutError::Refused(EmitError::new("ticks".into(), Number { value: 7 }, full()))
            => TOPIC_FULL,
        BatchError::new("ticks".into(), 3, full()) => TOPIC_FULL,
        SpawnActorError::Executor { actor: "Pool", error: SpawnError::LocalUnsupported }
            => TASK_NOT_SEND,
        KeyedTellError::NotSpawned { message: 7, error: limit() } => ACTOR_LIMIT,
        UntypedError::Config(ConfigError::MaxFrame { least: 64 }) => LINK_SETTINGS,
        UntypedError::Spawn(Arc::new(SpawnError::Ended)) => EXECUTOR_GONE,
        UntypedError::Lost(Arc::new(DriveError::Closed)) => CONNECTION_CLOSED,
        UntypedError::Closed { error: Arc::new(DriveError::Closed), words: text("`bye`") }
            => CONNECTION_CLOSED,
        AttachError::Memory { process: 4711, descriptor: 9, error: MemoryError::Unsupported }
            => MEMORY_UNSUPPORTED,
        AttachError::View {
            process: 4711, descriptor: 9, error: ViewError::Version { expected: 5, found: 6 },
        } => COUNTERS_VERSION,
    ];
    for (code, expected, text) in errors {
        assert_eq!(code, expected, "{text}");
        assert!(text.ends_with(&format!(" [{code}]")), "{text}");
        assert_eq!(text.matches("[M").count(), 1, "{text}");
    }
}
