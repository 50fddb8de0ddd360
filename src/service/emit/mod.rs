//! The waits of a service's emits: for room, until a shutdown. [`Waits`] is the state that all
//! emits of a service share. `emitter` is the port on which every emit begins, and its future.
//! `within` is an emit with a deadline, `traced` an emit with its own trace, `batch` an emit of
//! many messages.

pub(crate) mod batch;
pub(crate) mod emitter;
pub(crate) mod reserve;
pub(crate) mod traced;
pub(crate) mod within;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mycelium_core::{Code, Message};
use mycelium_executor::{DeadlineTimer, Executor, SendFuture};
use mycelium_transports::counters::{Line, ServiceValue};
use mycelium_transports::local::{Publisher, TaskBudget};

use crate::error::PublisherError;
use crate::shared::ServiceNode;
use crate::support::log;

/// The state for the waits of a service. One is enough: a service waits for one emit at a time.
pub(crate) struct Waits {
    pub(crate) service: Arc<str>,
    pub(crate) node: Arc<ServiceNode>,
    /// The service's counters; supervision and these waits run in one task.
    pub(crate) line: Line<ServiceValue>,
    /// The executor of the thread where the service runs.
    pub(crate) executor: Arc<dyn Executor>,
    /// The budget of the service's task.
    pub(crate) budget: Arc<TaskBudget>,
    pub(crate) random: fastrand::Rng,
    /// Whether the service has no subscriptions, and so ends at a shutdown.
    is_source: bool,
    /// Created at the first wait: most services never wait here.
    timers: Option<Box<Timers>>,
    /// Whether the next refused emit yields, because the last one did not.
    yields_next: bool,
    /// How many publishers the service has created in addition to its ports.
    publishers: usize,
}

/// How long a wait lasts before it is counted; it is counted once for each such period.
const STALL: Duration = Duration::from_secs(1);

/// The timers of a service's waits. Later waits reuse them, and do not allocate.
#[derive(Default)]
struct Timers {
    /// Completes when the duration of the present wait must be checked again.
    stall: Option<SendFuture<()>>,
    /// After this number of seconds the present wait is reported next.
    due: u64,
    deadline: DeadlineTimer,
    /// When the present wait began.
    since: Option<Duration>,
    shutdown: Option<SendFuture<()>>,
    /// The waker that was registered with `shutdown`. The same waker is not registered again,
    /// because that locks a list that all services share.
    shutdown_waker: Option<Waker>,
}

impl Waits {
    pub(crate) fn new(
        service: &str,
        node: Arc<ServiceNode>,
        executor: Arc<dyn Executor>,
        budget: Arc<TaskBudget>,
        is_source: bool,
    ) -> Waits {
        Waits {
            service: service.into(),
            line: node.topics.counters().line(&format!("service={service}")),
            random: fastrand::Rng::with_seed(executor.entropy()),
            node,
            executor,
            budget,
            is_source,
            timers: None,
            yields_next: false,
            publishers: 0,
        }
    }

    #[inline]
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.node.lifecycle.shutdown.is_set()
    }

    /// Creates another publisher of the service, named after the service with a `+` and a number.
    fn another_publisher<M: Message>(
        &mut self,
        topic: &str,
    ) -> Result<Publisher<M>, PublisherError> {
        self.publishers += 1;
        let name = format!("{}+{}", self.service, self.publishers);
        let publisher = self.node.topics.outside_publisher(topic, &name)?;
        self.node.observe_publisher(&self.service, &publisher);
        Ok(publisher)
    }

    /// Begins a wait: its duration counts from the next call of `watch`.
    pub(crate) fn begin(&mut self) {
        if let Some(timers) = &mut self.timers {
            timers.since = None;
        }
    }

    /// Returns whether a refused emit yields first. Every second one does: the first one fails
    /// immediately, and a loop that ignores the error still lets other tasks of the node run.
    fn yields(&mut self) -> bool {
        let yields = self.yields_next;
        self.yields_next = !yields;
        yields
    }

    /// Watches the present wait. If it lasts too long, calls `report` with the service's name and
    /// the seconds of the wait: after 1, 2, 4, 8 seconds and so on, and then once a minute.
    #[cold]
    pub(crate) fn watch(&mut self, context: &mut Context<'_>, report: impl FnOnce(&str, u64)) {
        let Waits { service, executor, timers, line, .. } = self;
        let Timers { stall, due, since, .. } = &mut **timers.get_or_insert_default();
        let now = executor.now();
        let since = *since.get_or_insert_with(|| {
            *due = 1;
            now
        });
        let timer = stall.get_or_insert_with(|| executor.sleep_until(now + STALL));
        let Poll::Ready(()) = timer.as_mut().poll(context) else { return };
        let seconds = now.saturating_sub(since).as_secs();
        if seconds > 0 {
            line.add(ServiceValue::Stalls, 1);
        }
        // Not `==`: the timer may be late and skip a second.
        if seconds >= *due {
            *due = if seconds < 32 { (seconds + 1).next_power_of_two() } else { seconds + 60 };
            report(service, seconds);
        }
        let mut next = executor.sleep_until(now + STALL);
        *stall = next.as_mut().poll(context).is_pending().then_some(next);
    }

    /// Logs a warning if `call` waits long until readers have finished messages of this service on
    /// `topic`.
    pub(crate) fn watch_readers(
        &mut self,
        context: &mut Context<'_>,
        call: &str,
        topic: &str,
        messages: usize,
    ) {
        self.watch(context, |service, seconds| {
            log::warn!(
                service,
                topic,
                messages,
                seconds,
                code = %Code::READER_WAITED_FOR,
                "the service waits in `{call}` for slow readers of its messages"
            );
        });
    }

    /// Logs a warning if `call` waits long for room in the ring of `topic`: `by` is the slowest
    /// reader.
    pub(crate) fn watch_room(
        &mut self,
        context: &mut Context<'_>,
        call: &str,
        topic: &str,
        by: impl FnOnce() -> Option<Arc<str>>,
    ) {
        self.watch(context, |service, seconds| {
            let by = by();
            let reader = by.as_deref().unwrap_or("?");
            log::warn!(
                service,
                topic,
                reader,
                seconds,
                code = %Code::READER_WAITED_FOR,
                "the service waits in `{call}` for room: this reader has not taken its messages"
            );
        });
    }

    /// Ready at the time `end`.
    fn poll_deadline(&mut self, context: &mut Context<'_>, end: Duration) -> Poll<()> {
        let Timers { deadline, .. } = &mut **self.timers.get_or_insert_default();
        deadline.poll(context, &*self.executor, end)
    }

    /// Ready if the service should end: it is a source, and the node shuts down.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_source {
            return Poll::Pending;
        }
        if self.is_shutting_down() {
            return Poll::Ready(());
        }
        let Timers { shutdown, shutdown_waker, .. } = &mut **self.timers.get_or_insert_default();
        if shutdown_waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            return Poll::Pending;
        }
        *shutdown_waker = Some(context.waker().clone());
        let lifecycle = &self.node.lifecycle;
        let shutdown = shutdown.get_or_insert_with(|| {
            let lifecycle = lifecycle.clone();
            Box::pin(async move { lifecycle.shutdown.wait().await })
        });
        shutdown.as_mut().poll(context)
    }
}
