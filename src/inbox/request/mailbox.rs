//! The queue in which the requests of one topic wait for a service of this node.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use mycelium_core::Request;
use mycelium_core::channel::mpmc::{self, Receiver, Sender};
use mycelium_core::channel::reply::Replying;
use mycelium_core::ring::CapacityError;
use mycelium_transports::local::{TraceCell, Tracer};

use super::call::{Call, Failure};
use super::slot::Owner;
use super::state::MailboxState;
use super::traces::RequestTraces;
use crate::support::lock::lock;

/// A request in a mailbox. If it is dropped there, its requester gets an error.
pub(crate) struct Queued<C: Call>(pub(super) Option<Replying<Owner, C, C::Reply>>);

impl<C: Call> Queued<C> {
    pub(crate) fn new(request: Replying<Owner, C, C::Reply>) -> Queued<C> {
        Queued(Some(request))
    }

    /// Returns the trace of the request.
    pub(crate) fn trace(&self) -> Option<&TraceCell> {
        self.0.as_ref().map(|request| &request.owner().trace)
    }

    /// Ends a request that nobody handles. Returns whether it was told: nobody waits for its reply.
    #[cfg(feature = "actors")]
    pub(crate) fn bury(&mut self) -> bool {
        self.0.take().and_then(|request| request.abandon(Failure::Gone as u8)) == Some(true)
    }

    /// Discards a request that was not sent, without reporting an outcome.
    pub(super) fn withdraw(mut self) {
        self.0 = None;
    }
}

impl<C: Call> Drop for Queued<C> {
    // Inlined, so that a request that was taken costs no call.
    #[inline]
    fn drop(&mut self) {
        #[cold]
        fn abandon<C: Call>(request: Replying<Owner, C, C::Reply>) {
            request.abandon(Failure::Gone as u8);
        }

        if let Some(request) = self.0.take() {
            abandon(request);
        }
    }
}

/// The receiving end of a mailbox. When the last taker is dropped, its fields are dropped in order:
/// the first marks the mailbox as unread, the second drops the waiting requests.
#[derive(Clone)]
pub(super) struct Taker<Q: Request> {
    _reading: Arc<Reading>,
    receiver: Receiver<Queued<Q>>,
}

struct Reading(Arc<MailboxState>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.end_reading();
    }
}

impl<Q: Request> Deref for Taker<Q> {
    type Target = Receiver<Queued<Q>>;

    fn deref(&self) -> &Receiver<Queued<Q>> {
        &self.receiver
    }
}

impl<Q: Request> DerefMut for Taker<Q> {
    fn deref_mut(&mut self) -> &mut Receiver<Queued<Q>> {
        &mut self.receiver
    }
}

/// The mailbox of a topic. It closes when all requesting services have ended, or all answering
/// ones.
pub(crate) struct Mailbox<Q: Request> {
    /// The topic of `Q`, or the topic to which a port is bound.
    pub(super) topic: Arc<str>,
    /// The sender that closes the mailbox; each requester has a copy of it.
    sender: Mutex<Sender<Queued<Q>>>,
    /// A taker that keeps the mailbox open until the node starts.
    taker: Mutex<Option<Taker<Q>>>,
    requesters: Mutex<Requesters>,
    state: Arc<MailboxState>,
    /// Begins the traces of the mailbox's requests.
    pub(super) tracer: Option<Arc<Tracer>>,
}

/// The number of requesters: the mailbox closes when the last one has ended. If no service
/// requests, it stays open until a shutdown, for requesters that are created later.
#[derive(Default)]
struct Requesters {
    /// The requesting services that have not ended.
    services: usize,
    /// The requesters outside the services.
    outside: usize,
    had_services: bool,
}

impl<Q: Request> Mailbox<Q> {
    fn new(
        topic: &Arc<str>,
        capacity: usize,
        tracer: Option<Arc<Tracer>>,
    ) -> Result<Mailbox<Q>, CapacityError> {
        let (sender, receiver) = mpmc::bounded(capacity)?;
        let state = Arc::<MailboxState>::default();
        let taker = Taker { _reading: Arc::new(Reading(state.clone())), receiver };
        let (sender, taker) = (Mutex::new(sender), Mutex::new(Some(taker)));
        let (topic, requesters) = (topic.clone(), Mutex::default());
        Ok(Mailbox { topic, sender, taker, requesters, state, tracer })
    }

    pub(super) fn sender(&self) -> Sender<Queued<Q>> {
        lock(&self.sender).clone()
    }

    /// Returns a taker for an answering service.
    pub(super) fn taker(&self) -> Taker<Q> {
        let taker = lock(&self.taker);
        taker.clone().expect("services are wired before the node starts")
    }

    pub(crate) fn state(&self) -> &Arc<MailboxState> {
        &self.state
    }

    /// Returns the traces of one requester's requests, if the topic is traced.
    pub(super) fn traces(&self) -> Option<RequestTraces> {
        self.tracer.clone().map(|tracer| RequestTraces::new(&self.topic, tracer))
    }

    pub(super) fn add_requester(&self, is_service: bool) {
        let mut requesters = lock(&self.requesters);
        match is_service {
            true => {
                (requesters.services, requesters.had_services) = (requesters.services + 1, true)
            }
            false => requesters.outside += 1,
        }
    }

    /// Notes that a requester has ended: the last one closes the mailbox.
    pub(super) fn end_requester(&self, is_service: bool) {
        let mut requesters = lock(&self.requesters);
        match is_service {
            true => requesters.services -= 1,
            false => requesters.outside -= 1,
        }
        let Requesters { services, outside, had_services } = *requesters;
        drop(requesters);
        if had_services && services == 0 && outside == 0 {
            lock(&self.sender).close_channel();
        }
    }
}

/// A mailbox of any request type, for the node.
pub(crate) trait AnyMailbox: Any + Send + Sync {
    /// Notifies the mailbox that the node starts: it closes if no service answers.
    fn start(&self);
    /// Closes the mailbox at a shutdown: answering services get the waiting requests, and then
    /// `None`.
    fn close(&self);
}

impl<Q: Request> AnyMailbox for Mailbox<Q> {
    fn start(&self) {
        let taker = lock(&self.taker).take();
        // Drops requests that were made before the start if no service answers.
        drop(taker);
    }

    fn close(&self) {
        self.state.set_shuts_down();
        lock(&self.sender).close_channel();
    }
}

/// The mailboxes of a node, by topic.
#[derive(Default)]
pub(crate) struct Mailboxes(Mutex<ByTopic>);

#[derive(Default)]
struct ByTopic {
    mailboxes: BTreeMap<Arc<str>, Arc<dyn AnyMailbox>>,
    have_started: bool,
}

impl Mailboxes {
    /// Returns the mailbox of `topic` for requests `Q`; creates it if it does not exist. `None` if
    /// the topic has another request type.
    pub(crate) fn of<Q: Request>(
        &self,
        topic: &str,
        capacity: usize,
        tracer: impl FnOnce() -> Option<Arc<Tracer>>,
    ) -> Result<Option<Arc<Mailbox<Q>>>, CapacityError> {
        let mut topics = lock(&self.0);
        let mailbox = match topics.mailboxes.get(topic) {
            Some(mailbox) => mailbox.clone(),
            None => {
                let topic = Arc::from(topic);
                let mailbox = Mailbox::<Q>::new(&topic, capacity, tracer())?;
                let mailbox: Arc<dyn AnyMailbox> = Arc::new(mailbox);
                if topics.have_started {
                    mailbox.start();
                }
                topics.mailboxes.insert(topic, mailbox.clone());
                mailbox
            }
        };
        Ok((mailbox as Arc<dyn Any + Send + Sync>).downcast().ok())
    }

    /// Notifies all mailboxes that the node starts.
    pub(crate) fn start(&self) {
        let mut topics = lock(&self.0);
        topics.have_started = true;
        topics.mailboxes.values().for_each(|mailbox| mailbox.start());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use futures_util::FutureExt;
    use mycelium_core::wait::WaitStrategy;
    use mycelium_core::{Message, message};
    use mycelium_executor::Executor;
    use mycelium_executor::conformance::WakeCounter;
    use mycelium_tokio::Tokio;
    use mycelium_transports::counters::Region;

    use super::*;
    use crate::inbox::request::{PendingReply, RequestError, Requester, Role, Taken};

    #[message(topic = "doubles", id = 1, reply = Double)]
    struct Ask {
        value: u64,
    }

    #[message(topic = "doubled", id = 2)]
    #[derive(Debug, PartialEq)]
    struct Double {
        value: u64,
    }

    fn pair() -> (Arc<Mailbox<Ask>>, Requester<Ask>) {
        pair_that(WaitStrategy::default())
    }

    fn pair_that(wait: WaitStrategy) -> (Arc<Mailbox<Ask>>, Requester<Ask>) {
        let mailbox = Arc::new(Mailbox::<Ask>::new(&Ask::TOPIC.into(), 4, None).unwrap());
        let executor: Arc<dyn Executor> = Arc::new(Tokio::current().unwrap());
        let line = Region::new(4).line("topic=doubles requester=test");
        let role = Role::Outside(executor);
        let requester = Requester::new(mailbox.clone(), "test", Arc::new(line), wait, role);
        (mailbox, requester)
    }

    #[tokio::test]
    async fn a_request_that_is_sent_while_the_last_service_ends_is_gone() {
        let (mailbox, mut requester) = pair();
        // Another requester has claimed a slot of the queue and not filled it yet.
        let mut other = mailbox.sender();
        let Some(Ok(slot)) = other.reserve().now_or_never() else { panic!() };
        let reply = requester.request(Ask { value: 1 });
        mailbox.start();
        let outcome = reply.now_or_never().expect("it does not hang");
        assert_eq!(outcome, Err(RequestError::Gone { actor: None }));
        drop(slot);
    }

    #[tokio::test]
    async fn requests_behind_a_push_that_does_not_finish_are_gone_with_the_last_service() {
        let (mailbox, mut requester) = pair();
        let taker = mailbox.taker();
        mailbox.start();
        // Another requester is paused between the claim of a slot and its push.
        let mut other = mailbox.sender();
        let Some(Ok(slot)) = other.reserve().now_or_never() else { panic!() };
        let mut requests = [1, 2].map(|value| tokio::spawn(requester.request(Ask { value })));
        // Lets both requests wait.
        tokio::task::yield_now().await;
        assert!(requests.iter().all(|request| !request.is_finished()));
        drop(taker);
        for request in &mut requests {
            let within = Duration::from_secs(10);
            let outcome = tokio::time::timeout(within, request).await.expect("it waits for ever");
            assert_eq!(outcome.unwrap(), Err(RequestError::Gone { actor: None }));
        }
        drop(slot);
    }

    #[tokio::test]
    async fn each_wait_for_a_reply_spins_as_often_as_the_strategy_says() {
        let spins = 2 * WaitStrategy::SPINS;
        let (mailbox, mut requester) = pair_that(WaitStrategy::SpinThenPark(spins));
        let mut taker = mailbox.taker();
        // Both requests use the same slot.
        for _ in 0..2 {
            let mut reply = requester.request(Ask { value: 1 });
            let wakes = Arc::<WakeCounter>::default();
            let waker = Waker::from(wakes.clone());
            let mut wakes_after_poll = || {
                assert!(reply.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
                wakes.0.load(Ordering::Relaxed)
            };
            // The second poll parks, and does not ask to be polled again.
            assert_eq!([wakes_after_poll(), wakes_after_poll()], [1, 1]);
            drop(taker.try_recv());
        }
    }

    #[test]
    fn the_future_of_a_reply_has_two_words() {
        assert_eq!(size_of::<PendingReply<Ask>>(), 2 * size_of::<usize>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_taken_request_is_cancelled_once_its_deadline_has_passed() {
        let (mailbox, mut requester) = pair();
        let (mut taker, within) = (mailbox.taker(), Duration::from_secs(1));
        let error = RequestError::Deadline { taken: Taken::Yes, within, actor: None };
        for replies in [false, true] {
            let reply = requester.request(Ask { value: 1 }).within(within);
            let asked = taker.try_recv().unwrap().accept(0).unwrap();
            assert!(!asked.is_cancelled());
            tokio::time::advance(within).await;
            assert!(asked.is_cancelled());
            match replies {
                true => assert!(!asked.reply(Double { value: 2 }), "it is late"),
                false => drop(asked),
            }
            assert_eq!(reply.await, Err(error.clone()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_told_has_no_deadline_any_more() {
        let (mailbox, mut requester) = pair();
        let (mut taker, within) = (mailbox.taker(), Duration::from_secs(1));
        requester.request(Ask { value: 1 }).within(within).tell().await.unwrap();
        tokio::time::advance(within).await;
        let asked = taker.try_recv().unwrap().accept(0).unwrap();
        assert_eq!((asked.time_left(), asked.is_cancelled()), (u64::MAX, false));
    }

    #[tokio::test]
    async fn a_request_without_a_deadline_follows_one_that_had() {
        let (mailbox, mut requester) = pair();
        let mut taker = mailbox.taker();
        let mut time_left = |deadline: Option<Duration>| {
            let reply = requester.request(Ask { value: 1 });
            let reply = match deadline {
                Some(deadline) => reply.within(deadline),
                None => reply,
            };
            let asked = taker.try_recv().unwrap().accept(0).unwrap();
            drop(reply);
            asked.time_left()
        };
        let (one, other) = (time_left(Some(Duration::from_secs(9))), time_left(None));
        assert!((1..=9_000_000_000).contains(&one), "{one}");
        assert_eq!(other, u64::MAX, "the second request has the slot of the first one");
    }
}
