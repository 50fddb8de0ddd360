//! The streams of the server: how they are opened, and what is at their positions.

use std::fmt;
use std::future::Future;
use std::time::{Duration, SystemTime};

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_nats::subject::ToSubject;
use futures_util::StreamExt;
use mycelium_transports::engine::key_part;
use mycelium_transports::local::Topic;
use tokio::time::timeout;

use crate::connection::ANSWER;

/// The first part of the subjects of stored packets.
pub(crate) const STORED: &str = "mycelium-stored";
/// Why something was not stored at first.
pub(crate) const MISSING: &str = "its stream was missing, and was created again";
/// How long the server keeps the consumer of a reader that is gone.
pub(crate) const INACTIVE: Duration = Duration::from_secs(60);

/// Opens the stream of a topic, and creates it if it is missing.
pub(crate) async fn open_stream(
    context: &jetstream::Context,
    topic: &Topic,
) -> Result<Stream, String> {
    let (name, part) = (topic.name(), key_part(topic.name()));
    let subjects = format!("{STORED}.{part}.>");
    let retention = match topic.work_queue() {
        Some(_) => RetentionPolicy::WorkQueue,
        None => RetentionPolicy::Limits,
    };
    let config = Config {
        name: format!("{STORED}-{part}"),
        description: Some(format!("messages of topic {name}")),
        subjects: vec![subjects.clone()],
        retention,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        ..Config::default()
    };
    let stream = context.get_or_create_stream(config).await;
    let stream =
        stream.map_err(|error| format!("cannot open the stream of topic `{name}`: {error}"))?;
    let found = &stream.cached_info().config;
    if found.no_ack {
        return Err(format!("stream `{}` has `no_ack`, so it confirms nothing", found.name));
    }
    if found.retention != retention || !found.subjects.contains(&subjects) {
        let (stream, other, subjects_found) = (&found.name, found.retention, &found.subjects);
        return Err(format!(
            "stream `{stream}` cannot have topic `{name}`: it has the retention {other:?} and \
             the subjects {subjects_found:?}, expected {retention:?} and `{subjects}`"
        ));
    }
    Ok(stream)
}

/// Opens a stream that is for no topic, and creates it if it is missing.
pub(crate) async fn open_own_stream(
    context: &jetstream::Context,
    config: Config,
) -> Result<Stream, String> {
    let (name, subjects) = (config.name.clone(), config.subjects.clone());
    let stream = context.get_or_create_stream(config).await;
    let stream = stream.map_err(|error| format!("cannot open the stream `{name}`: {error}"))?;
    let found = &stream.cached_info().config.subjects;
    if subjects.iter().any(|subject| !found.contains(subject)) {
        return Err(format!("stream `{name}` has the subjects {found:?}, expected {subjects:?}"));
    }
    Ok(stream)
}

/// Asks the server whether the node may store messages with this subject. The connection notes its
/// refusal.
pub(crate) async fn check_right(context: &jetstream::Context, subject: impl ToSubject) {
    // No stream has this name, so nothing is stored.
    let message = PublishMessage::build().expected_stream("-");
    let stored = async { context.send_publish(subject, message).await?.await };
    let _ = timeout(ANSWER, stored).await;
}

/// Sends a message to a stream, and returns its position there.
///
/// # Errors
/// The problem; `None` if the stream was missing and `open` has created it again, so that the next
/// attempt may succeed.
pub(crate) async fn publish<T>(
    context: &jetstream::Context,
    subject: impl ToSubject,
    message: PublishMessage,
    open: impl Future<Output = Result<T, String>>,
) -> Result<u64, Option<String>> {
    let stored = async { context.send_publish(subject, message).await?.await };
    match timeout(ANSWER, stored).await {
        Ok(Ok(stored)) => Ok(stored.sequence),
        Ok(Err(error)) if error.kind() == PublishErrorKind::StreamNotFound => {
            match timeout(ANSWER, open).await {
                Ok(Ok(_)) => Err(None),
                Ok(Err(problem)) => Err(Some(problem)),
                Err(_) => Err(Some(error.to_string())),
            }
        }
        Ok(Err(error)) => Err(Some(error.to_string())),
        Err(_) => Err(Some(format!("no answer within {ANSWER:?}"))),
    }
}

/// Returns the position of the first packet that was stored at this time or later.
pub(crate) async fn position_at(stream: &Stream, time: SystemTime) -> Result<u64, String> {
    let failed = |error: &dyn fmt::Display| format!("cannot find the start of a stream: {error}");
    let consumer = stream.create_consumer(pull::Config {
        deliver_policy: DeliverPolicy::ByStartTime { start_time: time.into() },
        ack_policy: AckPolicy::None,
        inactive_threshold: INACTIVE,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    });
    let found = async {
        let consumer = consumer.await.map_err(|error| failed(&error))?;
        let first = consumer.fetch().max_messages(1).messages().await;
        let first = first.map_err(|error| failed(&error))?.next().await;
        first.transpose().map_err(|error| failed(&error))
    };
    match timeout(ANSWER, found).await.map_err(|error| failed(&error))?? {
        Some(first) => Ok(first.info().map_err(|error| failed(&error))?.stream_sequence),
        None => Ok(stream.cached_info().state.last_sequence + 1),
    }
}

/// Returns the time at which the message at a position was stored; `None` if there is none.
pub(crate) async fn time_at(stream: &Stream, position: u64) -> Result<Option<i128>, String> {
    match timeout(ANSWER, stream.get_raw_message(position)).await {
        Ok(Ok(found)) => Ok(Some(found.time.unix_timestamp_nanos())),
        Ok(Err(error)) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns when a stream was created, which tells it from another one with its name.
pub(crate) fn created(stream: &Stream) -> i128 {
    stream.cached_info().created.unix_timestamp_nanos()
}
