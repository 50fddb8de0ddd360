//! How the watchdog observes fast handlers: each publisher of a topic with fast handlers has a
//! [`PollMark`], and beside it the index of the running handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mycelium_transports::local::{HandlerMark, HandlerWatch};

use super::poll_mark::{PollMark, Subject, WatchdogHandle, WatchedHandlers};

/// Makes the fast handlers of topics visible to the watchdog.
pub(crate) struct HandlersToWatch(pub(crate) Arc<WatchdogHandle>);

impl HandlerWatch for HandlersToWatch {
    fn mark(&self, topic: &str, publisher: &str, handlers: &[Arc<str>]) -> Box<dyn HandlerMark> {
        let watched = Arc::new(WatchedHandlers {
            topic: topic.into(),
            publisher: publisher.into(),
            handlers: handlers.into(),
            running: AtomicUsize::new(0),
        });
        Box::new(PublisherMark(self.0.watch(Subject::Handlers(watched.clone())), watched))
    }
}

/// The mark of one publisher.
struct PublisherMark(Arc<PollMark>, Arc<WatchedHandlers>);

impl HandlerMark for PublisherMark {
    fn begins(&self, handler: usize) {
        // Stores the handler before the mark, which is `Release`: a thread that sees the mark also
        // sees the handler.
        self.1.running.store(handler, Ordering::Relaxed);
        self.0.enter();
    }

    fn ends(&self) {
        self.0.leave();
    }
}
