//! Each error has a code, each code an error that is made here, and a section in `docs/errors.md`
//! with a real message. `UPDATE_ERRORS=1 cargo test -p mycelium --test codes` writes the messages
//! there.
#![cfg(all(target_os = "linux", feature = "describe", feature = "otlp"))]

#[path = "codes/below.rs"]
mod below;
#[path = "codes/library.rs"]
mod library;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use std::{env, fs, io};

use mycelium::{Code, Error, StartError, SubscribeError};

/// An error, as a user sees it.
struct Sample {
    /// Its type and variant.
    variant: String,
    code: Code,
    text: String,
}

/// Samples of errors whose texts end with their codes.
macro_rules! shown {
    ($($error:expr),+ $(,)?) => { vec![$({
        let error = $error;
        crate::Sample::new(stringify!($error), error.code(), error.to_string())
    }),+] };
}

/// Samples of errors that are parts of others: their texts have no code.
macro_rules! part {
    ($($error:expr),+ $(,)?) => { vec![$({
        let error = $error;
        let text = error.to_string();
        assert_eq!(mycelium::Code::at_end(&text), None, "{text}");
        let text = format!("{text} [{}]", error.code());
        crate::Sample::new(stringify!($error), error.code(), text)
    }),+] };
}

use {part, shown};

impl Sample {
    fn new(expression: &str, code: Code, text: String) -> Sample {
        let end = expression.find([' ', '{', '(']).unwrap_or(expression.len());
        Sample { variant: expression[..end].to_owned(), code, text }
    }
}

fn samples() -> Vec<Sample> {
    let of_library = [library::build(), library::start(), library::topology(), library::calls()];
    let of_nodes = [library::programs(), library::actors()];
    let of_others = [
        below::threads_and_sockets(),
        below::topics(),
        below::memory(),
        below::links(),
        below::untyped(),
        below::messages(),
        below::counters(),
        below::collectors(),
        below::bundles(),
    ];
    of_library.into_iter().chain(of_nodes).chain(of_others).flatten().collect()
}

/// Codes of several variants, which mean the same to a user.
const SHARED: &[Code] = &[
    // Of a port, or of a topic that is read without its type.
    Code::TOPIC_NAME,
    // Found by the program, or in the topology.
    Code::TOPIC_TYPE,
    Code::SOCKET_PATH_TOO_LONG,
    // Found by the node that listens, or by one that connects.
    Code::SOCKET_DIRECTORY,
    Code::NODE_MISSING,
    Code::SOCKET_UNREACHABLE,
    Code::LINK_WITHOUT_MEMORY,
    // Found by its reader, or when the topology is planned.
    Code::DESCRIPTION_DAMAGED,
    // Of the socket, or of a TCP address.
    Code::ADDRESS_IN_USE,
    // Found by the bind, or while the node runs.
    Code::SOCKET_REPLACED,
    // At the start of a thread, or of a task on one.
    Code::NO_THREAD,
    // All that the node refuses while it shuts down.
    Code::SHUTTING_DOWN,
    // Of one actor, or of one of a key.
    Code::ACTOR_FULL,
    // Found at the start, by the reader, or by the publisher.
    Code::OTHER_LAYOUT,
    // All that a peer sends against the protocol, or passes.
    Code::LINK_PROTOCOL,
    Code::MEMORY_OF_PEER,
    // Found here, or said by the peer.
    Code::LINK_VERSION,
    Code::LINK_HANDSHAKE,
    Code::PEER_UNREACHABLE,
    Code::TOPIC_REFUSED,
    Code::LINK_TOO_MANY,
    Code::LINK_SHUTDOWN,
    Code::LINK_NOT_ALLOWED,
    Code::CONTROL_THREAD,
    // All that the counters of a process contradict.
    Code::COUNTERS_DAMAGED,
    // Of traces, or of metrics.
    Code::COLLECTOR_URL,
    Code::COLLECTOR_HEADER,
    Code::COLLECTOR_TIMEOUT,
];

#[test]
fn a_text_ends_with_its_code_and_has_it_once() {
    for Sample { variant, code, text } in samples() {
        assert!(text.ends_with(&format!(" [{code}]")), "{variant}: {text}");
        assert_eq!(text.matches("[M").count(), 1, "{variant}: {text}");
    }
}

#[test]
fn each_code_is_that_of_an_error_and_several_share_one_only_where_it_is_stated() {
    let mut variants = BTreeMap::<Code, Vec<String>>::new();
    for sample in samples() {
        variants.entry(sample.code).or_default().push(sample.variant);
    }
    for &code in Code::ALL {
        // The log states it, about an error without a code.
        let is_of_log = library::failures().iter().any(|(of_log, _)| *of_log == code);
        let of_code = variants.get(&code).map_or(&[][..], |variants| variants);
        assert!(is_of_log || !of_code.is_empty(), "no error has {code}");
        let is_shared = of_code.iter().any(|variant| variant != &of_code[0]);
        assert_eq!(is_shared, SHARED.contains(&code), "{code}: {of_code:?}");
    }
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

#[test]
fn the_page_has_a_section_for_each_code_with_a_real_message() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    let page = fs::read_to_string(&path).expect("the page");
    let mut messages = BTreeMap::from(library::failures());
    for sample in samples() {
        messages.entry(sample.code).or_insert(sample.text);
    }
    let mut parts = page.split("\n### ");
    let mut written = parts.next().expect("a head").to_owned();
    let mut codes = Code::ALL.iter();
    for part in parts {
        let (title, text) = part.split_once('\n').expect("a title");
        let code = *codes.next().expect("a code for each section");
        assert_eq!(title, format!("{code}: {}", code.meaning()), "the sections are in order");
        let text = match text.split_once("\n```text\n") {
            Some((_, rest)) => rest.split_once("```\n").expect("an end of the message").1,
            None => text,
        };
        let paragraphs: Vec<_> = text.trim().split("\n\n").collect();
        let [happened, why, instead, ..] = &*paragraphs else { panic!("{title}: three parts") };
        assert!(!happened.starts_with("**"), "{title}: what happened");
        assert!(why.starts_with("**Why.** "), "{title}: why it is refused");
        assert!(instead.starts_with("**Instead.** "), "{title}: how to mend it");
        let message = &messages[&code];
        written.push_str(&format!("\n### {title}\n\n```text\n{message}\n```\n{text}"));
    }
    assert_eq!(codes.next(), None, "each code has a section");
    if env::var_os("UPDATE_ERRORS").is_some() {
        fs::write(path, written).expect("a writable page");
        return;
    }
    let differs = page.lines().zip(written.lines()).find(|(old, new)| old != new);
    assert!(page == written, "UPDATE_ERRORS=1 writes the messages; the first: {differs:?}");
}
