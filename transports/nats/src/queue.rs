//! Topics that are work queues: the server gives each message to one of the nodes that read it.

use std::fmt;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_nats::jetstream::consumer::pull::{self, Batch};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::{AckKind, PublishMessage};
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, Message};
use futures_util::{FutureExt, StreamExt};
use mycelium_transports::engine::{Finished, PacketError, Warnings, Worker, key_part};
use mycelium_transports::local::Topic;
use mycelium_transports::seam::Engine;
use tokio::time::{interval, sleep, timeout};

use crate::connection::{ANSWER, Connection};
use crate::stored::{JetStream, RETRY, STORED, open_own_stream, open_stream, or_pending};

/// The stream with dead letters, and the first part of their subjects.
const DEAD: &str = "mycelium-dead-letters";
/// How long the server hears nothing of a message that was delivered before it gives it to another
/// node.
const SILENT: Duration = Duration::from_secs(10);
/// How long a request for messages waits at the server.
const WAIT: Duration = Duration::from_secs(1);

/// The readers of a work queue in this node.
pub(crate) struct Queue {
    connection: Rc<Connection>,
    context: jetstream::Context,
    worker: Worker<Message>,
    /// How often the server hears of messages that are not finished.
    beat: Duration,
    warnings: Warnings,
}

impl Queue {
    pub(crate) async fn open(
        connection: &Rc<Connection>,
        context: &jetstream::Context,
        topic: &Arc<Topic>,
    ) -> Result<Queue, String> {
        let (name, ends) = (topic.name(), &connection.ends);
        let subscriptions = topic.subscriptions();
        let problem = if ends.sends().iter().any(|sent| Arc::ptr_eq(sent, topic)) {
            "is emitted in this node, too, and its readers here would get all of these messages"
        } else if subscriptions.len() > 1 {
            "has several subscriptions in this node, which would get the same messages"
        } else if subscriptions.iter().any(|it| !it.policy.is_gating()) {
            "has a subscription that loses messages: expected the policy `block` or `reject`"
        } else {
            ""
        };
        if !problem.is_empty() {
            return Err(format!("topic `{name}` is a work queue, and {problem}"));
        }
        let consumer = open_consumer(context, topic).await?;
        open_dead_letters(context).await?;
        let worker = Worker::new(topic.clone(), JetStream::NAME, ends.executor().entropy());
        Ok(Queue {
            connection: connection.clone(),
            context: context.clone(),
            worker: worker.map_err(|error| error.to_string())?,
            beat: consumer.cached_info().config.ack_wait.max(Duration::from_secs(1)) / 3,
            warnings: Warnings::default(),
        })
    }

    /// Passes messages on until the services have ended.
    pub(crate) async fn run(mut self) {
        let connection = self.connection.clone();
        let mut leaving = pin!(connection.ends.shutting_down());
        let mut draining = pin!(connection.ends.draining());
        let mut reconnected = connection.opened.subscribe();
        let mut beat = interval(self.beat);
        let mut opening = Some(self.open_at(Duration::ZERO));
        let (mut consumer, mut asking) = (None::<PullConsumer>, None::<Asking>);
        let (mut batch, mut held) = (None::<Batch>, None::<Message>);
        let (mut leaves, mut has_warned) = (false, false);
        loop {
            let is_idle = asking.is_none() && batch.is_none() && held.is_none();
            let room = if is_idle && !leaves { self.worker.room() } else { 0 };
            if room > 0 {
                asking = consumer.clone().map(|consumer| ask(consumer, room));
            }
            let mut problem = None;
            tokio::select! {
                () = &mut draining => break,
                // The services finish what they have, and then end.
                () = &mut leaving, if !leaves => leaves = true,
                _ = reconnected.changed() => {
                    (consumer, asking, batch) = (None, None, None);
                    opening = Some(self.open_at(Duration::ZERO));
                }
                opened = or_pending(&mut opening) => {
                    opening = None;
                    match opened {
                        Ok(opened) => consumer = Some(opened),
                        Err(error) => problem = Some(error),
                    }
                }
                asked = or_pending(&mut asking) => {
                    asking = None;
                    match asked {
                        Ok(asked) => batch = Some(asked),
                        Err(error) => problem = Some(error),
                    }
                }
                message = next(&mut batch), if held.is_none() => match message {
                    Some(Ok(message)) if leaves => give_back(&message).await,
                    Some(Ok(message)) => {
                        held = self.check(message).await;
                        has_warned = false;
                    }
                    Some(Err(error)) => problem = Some(error),
                    None => batch = None,
                },
                step = poll_fn(|task| self.step(held.as_ref(), task)) => match step {
                    Step::Taken(Ok(())) => held = None,
                    Step::Taken(Err(error)) => {
                        if let Some(message) = held.take() {
                            self.bury(&message, &error.to_string()).await;
                        }
                    }
                    Step::Finished(finished) => self.finish(finished).await,
                },
                _ = beat.tick() => self.keep(held.as_ref()).await,
            }
            if let Some(problem) = problem {
                if !has_warned {
                    let name = self.worker.topic().name();
                    let problem = format!("cannot read the work queue `{name}`: {problem}");
                    connection.ends.warn(&problem);
                    has_warned = true;
                }
                (consumer, asking, batch) = (None, None, None);
                opening = Some(self.open_at(RETRY));
            }
        }
        let mut task = Context::from_waker(Waker::noop());
        while let Poll::Ready(Step::Finished(finished)) = self.step(None, &mut task) {
            self.finish(finished).await;
        }
        for message in self.worker.give_up().chain(held) {
            give_back(&message).await;
        }
        while let Some(Some(Ok(message))) = batch.as_mut().and_then(|it| it.next().now_or_never()) {
            give_back(&message).await;
        }
        // The server knows then what is finished. If it does not answer, it gives some to others.
        let _ = connection.round_trip().await;
    }

    /// Opens the queue, after this time.
    fn open_at(
        &self,
        after: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<PullConsumer, String>>>> {
        let (context, topic) = (self.context.clone(), self.worker.topic().clone());
        Box::pin(async move {
            sleep(after).await;
            open_consumer(&context, &topic).await
        })
    }

    /// Returns the next thing that the readers have done: they have room for the message that is
    /// held, or have finished one.
    fn step(&mut self, held: Option<&Message>, task: &mut Context<'_>) -> Poll<Step> {
        let (ends, waker) = (&self.connection.ends, task.waker());
        let now = ends.executor().now();
        if let Some(message) = held {
            let is_redelivered = message.info().is_ok_and(|info| info.delivered > 1);
            let packet = &message.payload;
            let job = || message.clone();
            if let Poll::Ready(taken) = self.worker.take(packet, is_redelivered, job, now, waker) {
                return Poll::Ready(Step::Taken(taken));
            }
        }
        let finished = ready!(self.worker.finished(ends.is_leaving(), now, waker));
        Poll::Ready(Step::Finished(finished))
    }

    /// Returns the message, unless it was delivered too often: then it is a dead letter.
    async fn check(&mut self, message: Message) -> Option<Message> {
        let delivered = message.info().map_or(1, |info| info.delivered);
        let most = self.worker.topic().work_queue().and_then(|queue| queue.most_deliveries);
        if most.is_none_or(|most| delivered <= most.into()) {
            return Some(message);
        }
        let times = delivered - 1;
        let reason = format!("it was delivered {times} times, and no reader has finished it");
        if self.bury(&message, &reason).await {
            let ends = &self.connection.ends;
            let letter = self.worker.dead_letter(&message.payload, ends.node());
            letter.iter().for_each(|letter| ends.dead_letter(letter));
        }
        None
    }

    /// Tells the server that a message is finished, and is gone.
    async fn finish(&mut self, finished: Finished<Message>) {
        let Finished { of: message, is_dead } = finished;
        if is_dead {
            self.bury(&message, "its reader has failed at it twice").await;
        } else {
            let _ = message.ack().await;
        }
    }

    /// Moves a message to the stream of dead letters. Returns whether it is there; if not, it is
    /// delivered again.
    async fn bury(&mut self, message: &Message, reason: &str) -> bool {
        let subject = message.subject.strip_prefix(STORED).unwrap_or_default();
        let process = subject.rsplit('.').next().unwrap_or_default();
        // The server gives an acknowledgement the name of the stream and the number of the message.
        let number = message.info().map_or(0, |info| info.stream_sequence);
        let copy = PublishMessage::build()
            .payload(message.payload.clone())
            .message_id(format!("{subject}.{number}"))
            .header("Mycelium-Reason", reason);
        let stored =
            async { self.context.send_publish(format!("{DEAD}{subject}"), copy).await?.await };
        let problem = match timeout(ANSWER, stored).await {
            Ok(Ok(stored)) => {
                let _ = message.ack_with(AckKind::Term).await;
                let position = stored.sequence;
                let problem = format!("a message is at {position} of `{DEAD}`: {reason}");
                self.warn(process, &problem);
                return true;
            }
            Ok(Err(error)) => {
                if error.kind() == PublishErrorKind::StreamNotFound {
                    let _ = timeout(ANSWER, open_dead_letters(&self.context)).await;
                }
                error.to_string()
            }
            Err(_) => format!("no answer within {ANSWER:?}"),
        };
        let _ = message.ack_with(AckKind::Nak(Some(RETRY))).await;
        self.warn(process, &format!("cannot store a dead letter in `{DEAD}`: {problem}"));
        false
    }

    fn warn(&mut self, process: &str, problem: &str) {
        let warning = self.warnings.of(self.worker.topic(), process, problem);
        warning.iter().for_each(|warning| self.connection.ends.warn(warning));
    }

    /// Tells the server that messages are not forgotten, or gives them back if nobody reads them any
    /// more.
    async fn keep(&mut self, held: Option<&Message>) {
        let is_unread = self.worker.topic().subscriptions().is_empty();
        if is_unread && !self.connection.ends.is_leaving() {
            for message in self.worker.give_up() {
                give_back(&message).await;
            }
        }
        for message in self.worker.jobs().chain(held) {
            let _ = message.ack_with(AckKind::Progress).await;
        }
    }
}

enum Step {
    /// The message that was held is taken, or is not valid.
    Taken(Result<(), PacketError>),
    Finished(Finished<Message>),
}

/// A request for messages that is on its way.
type Asking = Pin<Box<dyn Future<Output = Result<Batch, String>>>>;

fn ask(consumer: PullConsumer, messages: usize) -> Asking {
    Box::pin(async move {
        let batch = consumer.batch().max_messages(messages).expires(WAIT).messages();
        batch.await.map_err(|error| error.to_string())
    })
}

/// Waits for the next message of a batch that there may be. Returns `None` at its end.
async fn next(batch: &mut Option<Batch>) -> Option<Result<Message, String>> {
    let Some(batch) = batch else { return pending().await };
    batch.next().await.map(|message| message.map_err(|error| error.to_string()))
}

/// Gives a message to another node, at once.
async fn give_back(message: &Message) {
    let _ = message.ack_with(AckKind::Nak(None)).await;
}

/// Opens what the nodes that read a topic with this layout have in common, and creates it if it is
/// missing.
async fn open_consumer(
    context: &jetstream::Context,
    topic: &Topic,
) -> Result<PullConsumer, String> {
    let (name, digest) = (topic.name(), topic.schema().digest);
    let stream = open_stream(context, topic).await?;
    let workers = format!("workers-{digest}");
    let subjects = format!("{STORED}.{}.{digest}.>", key_part(name));
    let config = pull::Config {
        durable_name: Some(workers.clone()),
        description: Some(format!("nodes that read topic {name}")),
        ack_policy: AckPolicy::Explicit,
        ack_wait: SILENT,
        max_ack_pending: -1,
        filter_subject: subjects.clone(),
        ..pull::Config::default()
    };
    let failed = |error: &dyn fmt::Display| {
        format!("cannot open the consumer `{workers}` of topic `{name}`: {error}")
    };
    let consumer = timeout(ANSWER, stream.get_or_create_consumer(&workers, config)).await;
    let consumer = consumer.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let found = &consumer.cached_info().config;
    if found.ack_policy != AckPolicy::Explicit || found.filter_subject != subjects {
        let (policy, filter) = (found.ack_policy, &found.filter_subject);
        return Err(failed(&format!(
            "it has the acknowledgements {policy:?} and the filter `{filter}`, expected Explicit and \
             `{subjects}`"
        )));
    }
    Ok(consumer)
}

async fn open_dead_letters(context: &jetstream::Context) -> Result<(), String> {
    let config = Config {
        name: DEAD.to_owned(),
        description: Some("messages of work queues that no reader could finish".to_owned()),
        subjects: vec![format!("{DEAD}.>")],
        ..Config::default()
    };
    open_own_stream(context, config).await.map(drop)
}
