//! Topics that are work queues: the server gives each message to one of the nodes that read it.
//!
//! A node asks for some messages, of which two at most are in the ring of its readers; the others can
//! be given to another node. A message that was delivered before is with the readers alone, and how
//! many processes have died of it is stored: so one that kills its readers takes no others with it.

use std::collections::VecDeque;
use std::fmt;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::pull::{self, BatchConfig};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::{AckKind, PublishMessage};
use async_nats::jetstream::stream::{Config, LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{self, Message};
use async_nats::{StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use mycelium_transports::engine::{Finished, PacketError, Warnings, Worker, key_part};
use mycelium_transports::local::{Topic, Undelivered};
use mycelium_transports::seam::Engine;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::connection::{ANSWER, Connection};
use crate::stored::{
    JetStream, PLACES, RETRY, STORED, open_own_stream, open_places, open_stream, or_pending,
};

/// The stream with dead letters, and the first part of their subjects.
const DEAD: &str = "mycelium-dead-letters";
/// How long the server hears nothing of a message that was delivered before it gives it to another
/// node.
const SILENT: Duration = Duration::from_secs(10);
/// How long a request for messages waits at the server.
const WAIT: Duration = Duration::from_millis(500);
/// How often a node looks whether its readers are slow.
const LOOK: Duration = Duration::from_millis(50);
/// The most dead letters on their way to their stream.
const BURYING: usize = 64;

/// The readers of a work queue in this node.
pub(crate) struct Queue {
    connection: Rc<Connection>,
    context: jetstream::Context,
    consumer: PullConsumer,
    /// When the stream was created.
    created: i128,
    /// Where messages come to.
    inbox: Subject,
    messages: Subscriber,
    /// How many more messages were asked for, and how long the request is open.
    asked: Option<(usize, Duration)>,
    worker: Worker<Job>,
    /// What waits for the readers, in order.
    waiting: VecDeque<Job>,
    /// How many processes have died of the first of them, while the server is asked.
    counting: Option<Counting>,
    /// The readers have a message that perhaps kills them.
    is_alone: bool,
    /// Has how many processes have died of each message.
    deaths: Stream,
    burying: FuturesUnordered<Burying>,
    /// When the server has heard last that messages are not forgotten.
    beat_at: Duration,
    warnings: Warnings,
}

/// A message that was delivered.
struct Job {
    message: Message,
    delivered: i64,
    /// How many processes have died of it, if this was asked.
    deaths: Option<u32>,
    state: JobState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum JobState {
    /// It is that of this node.
    Own,
    /// The server has perhaps given it to another node.
    Late,
    /// It is in a stream that is gone.
    Gone,
}

/// A dead letter on its way to its stream.
type Burying = Pin<Box<dyn Future<Output = Buried>>>;

struct Buried {
    job: Job,
    reason: String,
    /// The dead letter for readers in this node, if they have not had it.
    letter: Option<Undelivered>,
    /// Where it is.
    stored: Result<u64, String>,
}

/// A queue that is opened again, and when its stream was created.
type Opening = Pin<Box<dyn Future<Output = Result<(PullConsumer, i128), String>>>>;
/// How many processes have died of a message. It is stored that one more may.
type Counting = Pin<Box<dyn Future<Output = Result<u32, String>>>>;

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
        let (consumer, created) = open_consumer(context, topic).await?;
        open_dead_letters(context).await?;
        let inbox: Subject = connection.client.new_inbox().into();
        let messages = connection.client.subscribe(inbox.clone()).await;
        let worker = Worker::new(topic.clone(), JetStream::NAME, ends.executor().entropy());
        let mut queue = Queue {
            connection: connection.clone(),
            context: context.clone(),
            consumer,
            created,
            inbox,
            messages: messages.map_err(|error| error.to_string())?,
            asked: None,
            worker: worker.map_err(|error| error.to_string())?,
            waiting: VecDeque::new(),
            counting: None,
            is_alone: false,
            deaths: open_places(context).await?,
            burying: FuturesUnordered::new(),
            beat_at: ends.executor().now(),
            warnings: Warnings::default(),
        };
        queue.check_permissions().await?;
        Ok(queue)
    }

    /// Asks the server for all that a worker needs. The connection notes what it refuses.
    async fn check_permissions(&mut self) -> Result<(), String> {
        let info = self.consumer.cached_info();
        let ack = format!("$JS.ACK.{}.{}.check", info.stream_name, info.name);
        let acknowledged = self.connection.client.publish(ack, Bytes::new()).await;
        acknowledged.map_err(|error| error.to_string())?;
        // No stream has this name, so nothing is stored.
        let letter = PublishMessage::build().expected_stream("-");
        let stored =
            async { self.context.send_publish(format!("{DEAD}.check"), letter).await?.await };
        let _ = timeout(ANSWER, stored).await;
        self.ask(1).await
    }

    /// Passes messages on until the services have ended.
    pub(crate) async fn run(mut self) {
        let connection = self.connection.clone();
        let ends = &connection.ends;
        let mut leaving = pin!(ends.shutting_down());
        let mut draining = pin!(ends.draining());
        let mut reconnected = connection.opened.subscribe();
        let mut beat = interval(self.ack_wait() / 3);
        let mut look = interval(LOOK);
        for tick in [&mut beat, &mut look] {
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut opening = None::<Opening>;
        let (mut leaves, mut has_warned) = (false, false);
        loop {
            let mut problem = None;
            if opening.is_none() && !leaves {
                problem = self.ask_for_more().await.err();
            }
            if self.counting.is_none() {
                self.counting = self.count_deaths();
            }
            let is_waiting = !self.waiting.is_empty();
            let asked_until = self.asked.map(|(_, until)| until);
            tokio::select! {
                () = &mut draining => break,
                // The services finish what they have, and then end.
                () = &mut leaving, if !leaves => leaves = true,
                _ = reconnected.changed() => {
                    (self.asked, opening) = (None, Some(self.open_at(Duration::ZERO)));
                }
                opened = or_pending(&mut opening) => {
                    opening = None;
                    match opened {
                        Ok((consumer, created)) => self.begin(consumer, created),
                        Err(error) => problem = Some(error),
                    }
                }
                () = until(&connection, asked_until) => self.asked = None,
                step = poll_fn(|task| self.step(task)) => match step {
                    Step::Taken(Ok(())) => {}
                    Step::Taken(Err((job, error))) => self.bury(job, error.to_string(), None),
                    Step::Finished(finished) => self.finish(finished).await,
                    Step::Buried(buried) => self.note_buried(buried).await,
                    Step::Counted(counted) => self.note_deaths(counted).await,
                    Step::Arrived(message) => {
                        has_warned &= message.status.is_some();
                        problem = self.accept(message).err();
                    }
                },
                _ = beat.tick() => {
                    self.keep().await;
                    if opening.is_none() && self.worker.has_jobs() {
                        // Perhaps there is another stream, with other messages at their positions.
                        opening = Some(self.open_at(Duration::ZERO));
                    }
                }
                _ = look.tick(), if is_waiting => {
                    if self.worker.is_slow(ends.executor().now()) {
                        self.give_back_waiting().await;
                    }
                }
            }
            if !self.worker.is_read() && !ends.is_leaving() {
                self.give_back_all().await;
            }
            if let Some(problem) = problem {
                if !has_warned {
                    let name = self.worker.topic().name();
                    ends.warn(&format!("cannot read the work queue `{name}`: {problem}"));
                    has_warned = true;
                }
                (self.asked, opening) = (None, Some(self.open_at(RETRY)));
            }
        }
        self.end().await;
    }

    /// Gives back what is not finished.
    async fn end(mut self) {
        // What the server sends before it has ended the request would be lost for `SILENT`.
        while let Some((_, until)) = self.asked
            && self.is_connected()
        {
            let rest = until.saturating_sub(self.connection.ends.executor().now());
            match timeout(rest, self.messages.next()).await {
                Ok(Some(message)) => drop(self.accept(message)),
                _ => self.asked = None,
            }
        }
        self.give_back_all().await;
        while let Ok(Some(buried)) = timeout(ANSWER, self.burying.next()).await {
            self.note_buried(buried).await;
        }
        // If the server does not answer, it gives what was finished last to others.
        let _ = self.connection.round_trip().await;
    }

    /// Asks for more messages, if the readers want some.
    async fn ask_for_more(&mut self) -> Result<(), String> {
        let has_place = self.burying.len() < BURYING && self.is_connected();
        if self.asked.is_some() || !has_place {
            return Ok(());
        }
        match self.worker.wants(self.waiting.len()) {
            0 => Ok(()),
            most => self.ask(most).await,
        }
    }

    async fn ask(&mut self, batch: usize) -> Result<(), String> {
        let request = BatchConfig { batch, expires: Some(WAIT), ..BatchConfig::default() };
        let asked = self.consumer.request_batch(request, self.inbox.clone()).await;
        asked.map_err(|error| error.to_string())?;
        let until = self.connection.ends.executor().now() + 3 * WAIT;
        self.asked = Some((batch, until));
        Ok(())
    }

    /// Takes what came from the server: a message, or why none comes.
    fn accept(&mut self, message: async_nats::Message) -> Result<(), String> {
        match message.status {
            None => {}
            Some(StatusCode::IDLE_HEARTBEAT) => return Ok(()),
            Some(status) => {
                self.asked = None;
                if matches!(status, StatusCode::TIMEOUT | StatusCode::NOT_FOUND) {
                    return Ok(());
                }
                return Err(message.description.unwrap_or_else(|| status.to_string()));
            }
        }
        let message = Message { message, context: self.context.clone() };
        self.asked = self.asked.map(|(left, until)| (left - 1, until)).filter(|it| it.0 > 0);
        let delivered = message.info().map_or(1, |info| info.delivered);
        self.waiting.push_back(Job { message, delivered, deaths: None, state: JobState::Own });
        Ok(())
    }

    /// Opens the queue again, after this time.
    fn open_at(&self, after: Duration) -> Opening {
        let (context, topic) = (self.context.clone(), self.worker.topic().clone());
        Box::pin(async move {
            sleep(after).await;
            open_consumer(&context, &topic).await
        })
    }

    fn begin(&mut self, consumer: PullConsumer, created: i128) {
        self.consumer = consumer;
        self.drop_late();
        if created != self.created {
            // Others have the positions of these messages there.
            self.created = created;
            self.forget_waiting();
            self.worker.jobs().for_each(|job| job.state = JobState::Gone);
        }
    }

    /// Forgets what waits, if the server has heard nothing for so long that it has given it to others.
    fn drop_late(&mut self) {
        let now = self.connection.ends.executor().now();
        if now > self.beat_at.saturating_add(self.ack_wait()) {
            self.forget_waiting();
            for job in self.worker.jobs().filter(|job| job.state == JobState::Own) {
                job.state = JobState::Late;
            }
        }
    }

    /// Begins to count the processes that have died of the first waiting message, if it was delivered
    /// before and the readers have nothing else.
    fn count_deaths(&mut self) -> Option<Counting> {
        let first = self.waiting.front()?;
        let is_new = first.delivered <= 1 || first.deaths.is_some();
        if is_new || self.worker.has_jobs() {
            return None;
        }
        let (deaths, context) = (self.deaths.clone(), self.context.clone());
        let subject = self.deaths_subject(&first.message);
        Some(Box::pin(async move {
            let count = async {
                let counted = match deaths.get_last_raw_message_by_subject(&subject).await {
                    Ok(found) => str::from_utf8(&found.payload).ok().and_then(|it| it.parse().ok()),
                    Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => None,
                    Err(error) => return Err(error.to_string()),
                };
                let counted: u32 = counted.unwrap_or(0);
                let next = counted.saturating_add(1).to_string();
                let stored = async { context.publish(subject, next.into()).await?.await };
                stored.await.map_err(|error| error.to_string())?;
                Ok(counted)
            };
            timeout(ANSWER, count).await.unwrap_or_else(|error| Err(error.to_string()))
        }))
    }

    /// Notes how many processes have died of the first waiting message.
    async fn note_deaths(&mut self, counted: Result<u32, String>) {
        let Some(mut job) = self.waiting.pop_front() else { return };
        let deaths = match counted {
            Ok(deaths) => deaths,
            Err(problem) => {
                self.warn(&format!("cannot count the deaths of readers: {problem}"));
                let _ = job.message.ack_with(AckKind::Nak(Some(RETRY))).await;
                return;
            }
        };
        job.deaths = Some(deaths);
        let most = self.worker.topic().work_queue().and_then(|queue| queue.most_deaths);
        // Perhaps the first process had died of it, too.
        if most.is_none_or(|most| deaths.saturating_add(1) < most) {
            return self.waiting.push_front(job);
        }
        let node = self.connection.ends.node();
        let letter = self.worker.dead_letter(&job.message.payload, node);
        let reason = format!("{} processes have died of it", deaths + 1);
        self.bury(job, reason, letter);
    }

    /// Returns the subject of the number of processes that have died of a message.
    fn deaths_subject(&self, message: &Message) -> String {
        // No key part begins so.
        let queue = key_part(self.worker.topic().name());
        let position = message.info().map_or(0, |info| info.stream_sequence);
        format!("{PLACES}.%queue.{queue}.{}.{position}", self.created)
    }

    /// Returns what has happened next.
    fn step(&mut self, task: &mut Context<'_>) -> Poll<Step> {
        let now = self.connection.ends.executor().now();
        self.is_alone &= self.worker.has_jobs();
        let has_room = self.worker.has_room() && !self.is_alone;
        let is_next = |job: &mut Job| job.delivered <= 1 || job.deaths.is_some();
        if has_room && let Some(job) = self.waiting.pop_front_if(is_next) {
            let is_redelivered = job.delivered > 1;
            let packet = job.message.payload.clone();
            let mut job = Some(job);
            let take = || job.take().expect("it is taken once");
            let taken = self.worker.take(&packet, is_redelivered, take, now, task.waker());
            match (taken, job) {
                (Poll::Ready(Err(error)), Some(job)) => {
                    return Poll::Ready(Step::Taken(Err((job, error))));
                }
                (_, Some(job)) => self.waiting.push_front(job),
                (_, None) => {
                    self.is_alone = is_redelivered;
                    return Poll::Ready(Step::Taken(Ok(())));
                }
            }
        }
        if let Poll::Ready(finished) = self.worker.finished(now, task.waker()) {
            return Poll::Ready(Step::Finished(finished));
        }
        if let Poll::Ready(Some(buried)) = self.burying.poll_next_unpin(task) {
            return Poll::Ready(Step::Buried(buried));
        }
        if let Some(counting) = &mut self.counting
            && let Poll::Ready(counted) = counting.poll_unpin(task)
        {
            self.counting = None;
            return Poll::Ready(Step::Counted(counted));
        }
        match self.messages.poll_next_unpin(task) {
            Poll::Ready(Some(message)) => Poll::Ready(Step::Arrived(message)),
            _ => Poll::Pending,
        }
    }

    /// Tells the server that a message is finished, and is gone.
    async fn finish(&mut self, Finished { of: job, is_dead }: Finished<Job>) {
        if job.state == JobState::Gone {
            return;
        }
        if is_dead {
            return self.bury(job, "its reader has failed at it twice".to_owned(), None);
        }
        let _ = job.message.ack().await;
        self.forget_deaths(&job).await;
    }

    async fn forget_deaths(&self, job: &Job) {
        if job.deaths.is_some() {
            let purge = self.deaths.purge().filter(self.deaths_subject(&job.message));
            let _ = timeout(ANSWER, purge).await;
        }
    }

    /// Begins to move a message to the stream of dead letters.
    fn bury(&mut self, job: Job, reason: String, letter: Option<Undelivered>) {
        let (context, most) = (self.context.clone(), self.connection.most_bytes());
        self.burying.push(Box::pin(async move {
            let message = &job.message;
            let subject = message.subject.strip_prefix(STORED).unwrap_or_default();
            let id = message.info().map_or_else(
                |_| String::new(),
                |info| {
                    format!("{}-{}", info.stream_sequence, info.published.unix_timestamp_nanos())
                },
            );
            let copy = PublishMessage::build()
                .payload(message.payload.slice(..message.payload.len().min(most)))
                .message_id(format!("{subject}-{id}"))
                .header("Mycelium-Reason", &*reason);
            let stored =
                async { context.send_publish(format!("{DEAD}{subject}"), copy).await?.await };
            let stored = match timeout(ANSWER, stored).await {
                Ok(Ok(stored)) => Ok(stored.sequence),
                Ok(Err(error)) => {
                    if error.kind() == PublishErrorKind::StreamNotFound {
                        let _ = timeout(ANSWER, open_dead_letters(&context)).await;
                    }
                    Err(error.to_string())
                }
                Err(_) => Err(format!("no answer within {ANSWER:?}")),
            };
            Buried { job, reason, letter, stored }
        }));
    }

    /// Notes whether a message is in the stream of dead letters. If not, it is delivered again, later
    /// each time.
    async fn note_buried(&mut self, Buried { job, reason, letter, stored }: Buried) {
        match stored {
            Ok(position) => {
                let _ = job.message.ack_with(AckKind::Term).await;
                self.forget_deaths(&job).await;
                letter.iter().for_each(|letter| self.connection.ends.dead_letter(letter));
                let process = job.message.subject.rsplit('.').next().unwrap_or_default();
                let problem = format!("a message is at {position} of `{DEAD}`: {reason}");
                self.warn_of(process, &problem);
            }
            Err(problem) => {
                let delay = RETRY * 2_u32.pow(job.delivered.clamp(0, 8) as u32);
                let _ = job.message.ack_with(AckKind::Nak(Some(delay))).await;
                self.warn(&format!("cannot store a dead letter in `{DEAD}`: {problem}"));
            }
        }
    }

    fn warn(&mut self, problem: &str) {
        self.warn_of("", problem);
    }

    /// Warns of messages of a process.
    fn warn_of(&mut self, process: &str, problem: &str) {
        let warning = self.warnings.of(self.worker.topic(), process, problem);
        warning.iter().for_each(|warning| self.connection.ends.warn(warning));
    }

    /// Tells the server that messages are not forgotten.
    async fn keep(&mut self) {
        self.drop_late();
        if !self.is_connected() {
            return;
        }
        for job in self.worker.jobs().map(|job| &*job).chain(&self.waiting) {
            if job.state == JobState::Own {
                let _ = job.message.ack_with(AckKind::Progress).await;
            }
        }
        self.beat_at = self.connection.ends.executor().now();
    }

    /// Returns what waits for the readers, which do not get it.
    fn forget_waiting(&mut self) -> VecDeque<Job> {
        self.counting = None;
        std::mem::take(&mut self.waiting)
    }

    /// Gives what waits for the readers to other nodes.
    async fn give_back_waiting(&mut self) {
        for job in self.forget_waiting() {
            self.give_back(job).await;
        }
    }

    /// Gives all that the readers have not finished to other nodes.
    async fn give_back_all(&mut self) {
        let now = self.connection.ends.executor().now();
        while let Poll::Ready(finished) = self.worker.finished(now, Waker::noop()) {
            self.finish(finished).await;
        }
        for job in self.worker.give_up() {
            self.give_back(job).await;
        }
        self.give_back_waiting().await;
    }

    async fn give_back(&mut self, job: Job) {
        if job.state == JobState::Own {
            if let Some(deaths) = job.deaths {
                // This process does not die of it.
                let subject = self.deaths_subject(&job.message);
                let _ = self.context.publish(subject, deaths.to_string().into()).await;
            }
            let _ = job.message.ack_with(AckKind::Nak(None)).await;
        }
    }

    fn is_connected(&self) -> bool {
        self.connection.client.connection_state() == State::Connected
    }

    /// Returns how long the server may hear nothing of a message.
    fn ack_wait(&self) -> Duration {
        self.consumer.cached_info().config.ack_wait
    }
}

enum Step {
    /// The readers have taken a message, or it is not valid.
    Taken(Result<(), (Job, PacketError)>),
    Finished(Finished<Job>),
    Buried(Buried),
    Counted(Result<u32, String>),
    Arrived(async_nats::Message),
}

/// Waits until this time of the executor, if there is one.
async fn until(connection: &Connection, time: Option<Duration>) {
    match time {
        Some(time) => sleep(time.saturating_sub(connection.ends.executor().now())).await,
        None => pending().await,
    }
}

/// Opens what the nodes that read a topic with this layout have in common, and creates it if it is
/// missing. Returns it, and when its stream was created.
async fn open_consumer(
    context: &jetstream::Context,
    topic: &Topic,
) -> Result<(PullConsumer, i128), String> {
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
    let expected = [
        (found.ack_policy == AckPolicy::Explicit, "ack_policy", "explicit"),
        (found.filter_subject == subjects, "filter_subject", &*subjects),
        (found.ack_wait >= Duration::from_secs(1), "ack_wait", "at least 1 s"),
        (found.max_deliver <= 0, "max_deliver", "no limit"),
        (found.backoff.is_empty(), "backoff", "none"),
        (!found.headers_only, "headers_only", "false"),
        (found.max_batch <= 0, "max_batch", "no limit"),
        (found.max_bytes <= 0, "max_bytes", "no limit"),
        (found.max_expires.is_zero() || found.max_expires >= WAIT, "max_expires", "no limit"),
    ];
    if let Some((_, key, expected)) = expected.iter().find(|(is_right, ..)| !is_right) {
        return Err(failed(&format!(
            "its `{key}` is not that of a work queue: expected {expected}"
        )));
    }
    Ok((consumer, stream.cached_info().created.unix_timestamp_nanos()))
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
