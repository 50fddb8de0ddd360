//! Topics that are work queues: the server gives each message to one of the nodes that read it.
//!
//! At most two messages of a node are in the ring of its readers; the rest can still go to another
//! node. A redelivered message is passed only into an empty ring, and the number of processes that
//! have died with it is stored. So two of them are never in a ring, and only a message that was not
//! delivered before can die with one that kills its readers.

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
use async_nats::jetstream::message::{AckKind, PublishMessage};
use async_nats::jetstream::stream::{Config, LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{self, Message};
use async_nats::{StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use mycelium_transports::engine::{Finished, PacketError, Worker, key_part};
use mycelium_transports::local::{Topic, Undelivered};
use mycelium_transports::seam::Engine;
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::connection::{ANSWER, Connection};
use crate::stored::{JetStream, PLACES, RETRY, open_places, or_pending};
use crate::streams::{
    self, MISSING, STORED, check_right, open_own_stream, open_stream, publish, time_at,
};

/// The stream with dead letters, and the first part of their subjects.
const DEAD_LETTERS: &str = "mycelium-dead-letters";
/// The time without progress after which the server gives a message to another node.
const SILENT: Duration = Duration::from_secs(10);
/// How long a request for messages waits at the server.
const WAIT: Duration = Duration::from_millis(500);
/// How often a node looks whether its readers are slow.
const SLOW_CHECK: Duration = Duration::from_millis(50);
/// A message that is finished within this time is acknowledged at once. Another one is looked up
/// before: an acknowledgement names a position, and an operator who deletes a stream, or brings an
/// older one back, puts other messages there.
const SURE: Duration = Duration::from_secs(1);
/// The most dead letters on their way to their stream.
const MOST_LETTERS: usize = 64;

/// The readers of a work queue in this node.
pub(crate) struct Queue {
    connection: Rc<Connection>,
    context: jetstream::Context,
    consumer: PullConsumer,
    /// The stream of the topic.
    stream: Stream,
    /// Where messages come to.
    inbox: Subject,
    messages: Subscriber,
    /// The open request: the messages still to come, and when to stop waiting for it.
    asked: Option<(usize, Duration)>,
    worker: Worker<Job>,
    /// What waits for the readers, in order.
    waiting: VecDeque<Job>,
    /// The request for the number of processes that have died of the first of them.
    counting: Option<Counting>,
    /// The stream with the numbers of processes that have died of messages.
    deaths: Stream,
    letters: FuturesUnordered<Storing>,
    /// What was finished without a connection, and what the server is to be told of it.
    untold: Vec<(Job, AckKind)>,
    /// When the server was told last that messages are in progress.
    progress_at: Duration,
    /// The server does not count deaths, or store dead letters, and this was logged.
    has_warned_of: [bool; 2],
    /// When a dead letter was logged last, and the number of dead letters since.
    logged: (Duration, u64),
}

/// The two things that a server may refuse, in `has_warned_of`.
const DEATHS: usize = 0;
const LETTERS: usize = 1;

/// A message that was delivered.
#[derive(Clone)]
struct Job {
    message: Message,
    /// Its place in the stream, and when it was stored.
    position: u64,
    stored_at: i128,
    /// How often it was delivered.
    delivered: i64,
    /// How many processes have died of it, if this was asked.
    deaths: Option<u32>,
    /// When its stream was created.
    created: i128,
    /// When it came, and the number of reconnections then.
    arrived_at: Duration,
    reconnections: u64,
    /// The server may have given it to another node.
    is_late: bool,
}

/// A dead letter on its way to its stream.
type Storing = Pin<Box<dyn Future<Output = Letter>>>;

struct Letter {
    job: Job,
    reason: String,
    /// The dead letter for readers in this node, if they have not had it.
    letter: Option<Undelivered>,
    /// Where it is.
    stored: Result<u64, String>,
}

/// A queue that is opened again.
type Opening = Pin<Box<dyn Future<Output = Result<(PullConsumer, Stream), String>>>>;
/// Reads how many processes have died of a message, and stores one more, because this one may.
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
        let (consumer, stream) = open_consumer(context, topic).await?;
        open_dead_letters(context).await?;
        let inbox: Subject = connection.client.new_inbox().into();
        let messages = connection.client.subscribe(inbox.clone()).await;
        let worker = Worker::new(topic.clone(), JetStream::NAME, ends.executor().entropy());
        let mut queue = Queue {
            connection: connection.clone(),
            context: context.clone(),
            consumer,
            stream,
            inbox,
            messages: messages.map_err(|error| error.to_string())?,
            asked: None,
            worker: worker.map_err(|error| error.to_string())?,
            waiting: VecDeque::new(),
            counting: None,
            deaths: open_places(context).await?,
            letters: FuturesUnordered::new(),
            untold: Vec::new(),
            progress_at: ends.executor().now(),
            has_warned_of: [false; 2],
            logged: (Duration::ZERO, 0),
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
        for subject in [format!("{DEAD_LETTERS}.check"), format!("{PLACES}.%queue.check")] {
            check_right(&self.context, subject).await;
        }
        self.ask(1).await
    }

    /// Passes messages on until the services have ended.
    pub(crate) async fn run(mut self) {
        let connection = self.connection.clone();
        let ends = &connection.ends;
        let mut leaving = pin!(ends.shutting_down());
        let mut draining = pin!(ends.draining());
        let mut reconnected = connection.reconnections.subscribe();
        let mut progress = interval(self.ack_wait() / 3);
        let mut slow_check = interval(SLOW_CHECK);
        for tick in [&mut progress, &mut slow_check] {
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
                        Ok((consumer, stream)) => {
                            self.begin(consumer, stream).await;
                            let period = self.ack_wait() / 3;
                            if period != progress.period() {
                                progress = interval(period);
                            }
                        }
                        Err(error) => problem = Some(error),
                    }
                }
                () = until(&connection, asked_until) => self.asked = None,
                step = poll_fn(|task| self.step(task)) => match step {
                    Step::Taken(Ok(())) => {}
                    Step::Taken(Err((job, error))) => self.reject(job, error.to_string(), None),
                    Step::Finished(finished) => self.finish(finished).await,
                    Step::Stored(letter) => self.note_stored(letter).await,
                    Step::Counted(counted) => self.note_deaths(counted).await,
                    Step::Arrived(message) => {
                        problem = self.accept(message).err();
                        has_warned &= problem.is_some();
                    }
                },
                _ = progress.tick() => {
                    self.send_progress().await;
                    if opening.is_none() && self.worker.has_jobs() {
                        // Perhaps there is another stream, with other messages at their positions.
                        opening = Some(self.open_at(Duration::ZERO));
                    }
                }
                _ = slow_check.tick(), if is_waiting => {
                    if self.worker.is_slow(ends.executor().now()) {
                        self.give_back_waiting().await;
                    }
                }
            }
            if !self.worker.topic().is_read() && !ends.is_leaving() {
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
        // Otherwise messages that are still on their way would wait for `SILENT`.
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
        while let Ok(Some(letter)) = timeout(ANSWER, self.letters.next()).await {
            self.note_stored(letter).await;
        }
        self.tell().await;
        // If the server does not answer, it gives what was finished last to others.
        let _ = self.connection.round_trip().await;
    }

    /// Asks for more messages, if the readers want some.
    async fn ask_for_more(&mut self) -> Result<(), String> {
        let has_place = self.letters.len() < MOST_LETTERS && self.is_connected();
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
        // What is not from a stream was sent by somebody else.
        let Ok(info) = message.info() else { return Ok(()) };
        let (position, delivered, stored_at) =
            (info.stream_sequence, info.delivered, info.published.unix_timestamp_nanos());
        self.asked = self.asked.map(|(left, until)| (left - 1, until)).filter(|it| it.0 > 0);
        self.waiting.push_back(Job {
            message,
            position,
            stored_at,
            delivered,
            deaths: None,
            created: streams::created(&self.stream),
            arrived_at: self.connection.ends.executor().now(),
            reconnections: *self.connection.reconnections.borrow(),
            is_late: false,
        });
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

    async fn begin(&mut self, consumer: PullConsumer, stream: Stream) {
        let is_other = streams::created(&stream) != streams::created(&self.stream);
        (self.consumer, self.stream) = (consumer, stream);
        self.drop_late().await;
        self.progress_at = self.connection.ends.executor().now();
        if is_other {
            // Others have the positions of these messages there.
            self.take_waiting().await;
            self.warn(
                "its stream was deleted, and there is a new one: the messages that nobody had \
                 finished are gone",
            );
        }
        self.tell().await;
    }

    /// Forgets what waits, if the server has heard nothing for so long that it has given it to
    /// others.
    async fn drop_late(&mut self) {
        let now = self.connection.ends.executor().now();
        if now > self.progress_at.saturating_add(self.ack_wait()) {
            self.take_waiting().await;
            self.worker.jobs().for_each(|job| job.is_late = true);
        }
    }

    /// Begins to count the processes that have died of the first waiting message, if it was
    /// delivered before and the readers have nothing else.
    fn count_deaths(&mut self) -> Option<Counting> {
        let first = self.waiting.front()?;
        let is_new = first.delivered <= 1 || first.deaths.is_some();
        if is_new || self.worker.has_jobs() {
            return None;
        }
        let (deaths, context) = (self.deaths.clone(), self.context.clone());
        let subject = self.deaths_subject(first);
        Some(Box::pin(async move {
            let count = async {
                let counted = match deaths.get_last_raw_message_by_subject(&subject).await {
                    Ok(found) => str::from_utf8(&found.payload).ok().and_then(|it| it.parse().ok()),
                    Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => None,
                    Err(error) => return Err(error.to_string()),
                };
                // No number is stored: it was delivered once before, and not given back, which is a
                // death.
                let counted: u32 = counted.unwrap_or(1);
                let next = counted.saturating_add(1).to_string();
                let stored = async { context.publish(subject, next.into()).await?.await };
                stored.await.map_err(|error| error.to_string())?;
                Ok(counted)
            };
            let counted = timeout(ANSWER, count).await;
            let counted = counted.unwrap_or_else(|error| Err(error.to_string()));
            if counted.is_err() {
                // Somebody has deleted the stream, perhaps.
                let _ = timeout(ANSWER, open_places(&context)).await;
            }
            counted
        }))
    }

    /// Notes how many processes have died of the first waiting message.
    async fn note_deaths(&mut self, counted: Result<u32, String>) {
        let Some(mut job) = self.waiting.pop_front() else { return };
        let deaths = match counted {
            Ok(deaths) => {
                self.has_warned_of[DEATHS] = false;
                deaths
            }
            Err(problem) => {
                self.warn_of(DEATHS, &format!("cannot count the deaths of its readers: {problem}"));
                let _ = job.message.ack_with(AckKind::Nak(Some(RETRY))).await;
                return;
            }
        };
        job.deaths = Some(deaths);
        let most = self.worker.topic().work_queue().and_then(|queue| queue.most_deaths);
        if most.is_none_or(|most| deaths < most) {
            return self.waiting.push_front(job);
        }
        let node = self.connection.ends.node();
        let letter = self.worker.dead_letter(&job.message.payload, node);
        let reason = format!("{deaths} processes have died of it");
        self.reject(job, reason, letter);
    }

    /// Returns the subject of the number of processes that have died of a message.
    fn deaths_subject(&self, job: &Job) -> String {
        // No node has this name: in a key part, `%` is followed by two digits.
        let queue = key_part(self.worker.topic().name());
        format!("{PLACES}.%queue.{queue}.{}.{}", job.created, job.position)
    }

    /// Returns what has happened next.
    fn step(&mut self, task: &mut Context<'_>) -> Poll<Step> {
        let now = self.connection.ends.executor().now();
        let is_next = |job: &mut Job| job.delivered <= 1 || job.deaths.is_some();
        if self.worker.has_room()
            && let Some(job) = self.waiting.pop_front_if(is_next)
        {
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
                    return Poll::Ready(Step::Taken(Ok(())));
                }
            }
        }
        if let Poll::Ready(finished) = self.worker.finished(now, task.waker()) {
            return Poll::Ready(Step::Finished(finished));
        }
        if let Poll::Ready(Some(letter)) = self.letters.poll_next_unpin(task) {
            return Poll::Ready(Step::Stored(letter));
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

    /// Acknowledges a finished message, or moves it to the dead letters.
    async fn finish(&mut self, Finished { of: job, is_dead }: Finished<Job>) {
        if is_dead {
            return self.reject(job, "its reader has failed at it twice".to_owned(), None);
        }
        self.acknowledge(&job, AckKind::Ack).await;
        self.forget_deaths(&job);
    }

    /// Tells the server what becomes of a message. If the connection is lost, it does so when there
    /// is another one.
    async fn acknowledge(&mut self, job: &Job, kind: AckKind) {
        if !self.is_connected() {
            self.untold.push((job.clone(), kind));
        } else if self.is_there(job).await {
            let _ = job.message.ack_with(kind).await;
        }
    }

    /// Tells the server what it could not be told without a connection.
    async fn tell(&mut self) {
        for (job, kind) in std::mem::take(&mut self.untold) {
            self.acknowledge(&job, kind).await;
        }
    }

    /// Whether the stream has a message at its position. If the server does not say so, this
    /// returns false, and the server delivers the message again.
    async fn is_there(&self, job: &Job) -> bool {
        let age = self.connection.ends.executor().now().saturating_sub(job.arrived_at);
        if job.created != streams::created(&self.stream) {
            return false;
        }
        if age < SURE && job.reconnections == *self.connection.reconnections.borrow() {
            return true;
        }
        time_at(&self.stream, job.position).await == Ok(Some(job.stored_at))
    }

    fn forget_deaths(&self, job: &Job) {
        if job.delivered > 1 {
            let (deaths, subject) = (self.deaths.clone(), self.deaths_subject(job));
            spawn_local(async move { _ = timeout(ANSWER, deaths.purge().filter(subject)).await });
        }
    }

    /// Begins to move a message to the stream of dead letters.
    fn reject(&mut self, job: Job, reason: String, letter: Option<Undelivered>) {
        let (context, most) = (self.context.clone(), self.connection.most_bytes());
        self.letters.push(Box::pin(async move {
            let message = &job.message;
            let subject = message.subject.strip_prefix(STORED).unwrap_or_default();
            let copy = PublishMessage::build()
                .payload(message.payload.slice(..message.payload.len().min(most)))
                .message_id(format!("{subject}-{}-{}", job.position, job.stored_at))
                .header("Mycelium-Reason", &*reason);
            let subject = format!("{DEAD_LETTERS}{subject}");
            let stored = publish(&context, subject, copy, open_dead_letters(&context)).await;
            let stored = stored.map_err(|problem| problem.unwrap_or_else(|| MISSING.to_owned()));
            Letter { job, reason, letter, stored }
        }));
    }

    /// Notes whether a message is in the stream of dead letters. If not, it is delivered again,
    /// later each time.
    async fn note_stored(&mut self, Letter { job, reason, letter, stored }: Letter) {
        match stored {
            Ok(position) => {
                self.has_warned_of[LETTERS] = false;
                self.acknowledge(&job, AckKind::Term).await;
                self.forget_deaths(&job);
                letter.iter().for_each(|letter| self.connection.ends.dead_letter(letter));
                self.log_letter(position, &reason);
            }
            Err(problem) => {
                let delay = RETRY * 2_u32.pow(job.delivered.clamp(0, 8) as u32);
                self.acknowledge(&job, AckKind::Nak(Some(delay))).await;
                self.warn_of(
                    LETTERS,
                    &format!("cannot store a message in `{DEAD_LETTERS}`: {problem}"),
                );
            }
        }
    }

    /// Logs a dead letter, at most one a second: others may cause any number of them.
    fn log_letter(&mut self, position: u64, reason: &str) {
        let now = self.connection.ends.executor().now();
        let (at, others) = self.logged;
        if at > Duration::ZERO && now < at.saturating_add(Duration::from_secs(1)) {
            self.logged.1 += 1;
            return;
        }
        self.logged = (now, 0);
        let more = if others > 0 { format!(" ({others} more before)") } else { String::new() };
        self.warn(&format!(
            "message moved to position {position} of `{DEAD_LETTERS}`: {reason}{more}"
        ));
    }

    /// Warns of what the server refuses, until it does not refuse it any more.
    fn warn_of(&mut self, what: usize, problem: &str) {
        if !std::mem::replace(&mut self.has_warned_of[what], true) {
            self.warn(problem);
        }
    }

    fn warn(&self, problem: &str) {
        let name = self.worker.topic().name();
        self.connection.ends.warn(&format!("topic `{name}`: {problem}"));
    }

    /// Tells the server that messages are in progress.
    async fn send_progress(&mut self) {
        self.drop_late().await;
        if !self.is_connected() {
            return;
        }
        let created = streams::created(&self.stream);
        for job in self.worker.jobs().map(|job| &*job).chain(&self.waiting) {
            if job.created == created && !job.is_late {
                let _ = job.message.ack_with(AckKind::Progress).await;
            }
        }
        self.progress_at = self.connection.ends.executor().now();
    }

    /// Takes what waits for the readers: they do not get it.
    async fn take_waiting(&mut self) -> VecDeque<Job> {
        if let Some(counting) = self.counting.take()
            && let Ok(deaths) = counting.await
            && let Some(first) = self.waiting.front_mut()
        {
            first.deaths = Some(deaths);
        }
        std::mem::take(&mut self.waiting)
    }

    /// Gives what waits for the readers to other nodes.
    async fn give_back_waiting(&mut self) {
        for job in self.take_waiting().await {
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

    /// Gives a message to another node at once, and stores that this process has not died of it.
    /// Without a connection the server notices by itself.
    async fn give_back(&mut self, job: Job) {
        if job.is_late || !self.is_connected() {
            return;
        }
        let is_new = job.delivered <= 1;
        if let Some(deaths) = job.deaths.or(is_new.then_some(0)) {
            let subject = self.deaths_subject(&job);
            let _ = self.context.publish(subject, deaths.to_string().into()).await;
        }
        self.acknowledge(&job, AckKind::Nak(None)).await;
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
    Stored(Letter),
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
/// missing. Returns it, and its stream.
async fn open_consumer(
    context: &jetstream::Context,
    topic: &Topic,
) -> Result<(PullConsumer, Stream), String> {
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
    Ok((consumer, stream))
}

async fn open_dead_letters(context: &jetstream::Context) -> Result<(), String> {
    let config = Config {
        name: DEAD_LETTERS.to_owned(),
        description: Some("messages of work queues that no reader could finish".to_owned()),
        subjects: vec![format!("{DEAD_LETTERS}.>")],
        ..Config::default()
    };
    open_own_stream(context, config).await.map(drop)
}
