//! Fast handlers: functions that are called with each message of a topic, in the poll of its
//! publisher, before the message is committed. A [`Handled`] holds the handlers of one publisher.
//!
//! It also holds the publisher's end of the ring. The [`Writer`](crate::local::writer::Writer) has
//! none then, so its fast path pushes nothing. Topics without handlers have no cost.

use std::any::Any;
use std::cell::RefCell;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use mycelium_core::message::{Message, with_message};
use mycelium_core::ring::broadcast::Producer;

use crate::local::retained::Retainer;
use crate::local::ring::shared::Ring;
use crate::local::values::HandlerFailure;

/// Observes the fast handlers of a topic while they run, to name a handler that blocks.
pub trait HandlerWatch: Send + Sync {
    /// Creates the mark of a publisher. Called before the publisher's first message is handled.
    /// `handlers` are the names of the handlers.
    fn mark(&self, topic: &str, publisher: &str, handlers: &[Arc<str>]) -> Box<dyn HandlerMark>;
}

/// Observes the fast handlers of one publisher.
pub trait HandlerMark: Send + Sync {
    /// Called when the handler at this place in the list begins.
    fn begins(&self, handler: usize);
    /// Called when the handler has ended.
    fn ends(&self);
}

/// One fast handler of a topic.
#[derive(Clone)]
pub(crate) struct FastHandler {
    pub(crate) name: Arc<str>,
    /// Handles the bytes of a message.
    #[expect(clippy::type_complexity, reason = "it is written once")]
    call: Arc<dyn Fn(&[u8]) -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync>,
}

impl FastHandler {
    pub(crate) fn new<M: Message>(
        name: &str,
        handler: impl Fn(&M) -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    ) -> FastHandler {
        let call = move |bytes: &[u8]| with_message(bytes, &handler)?;
        FastHandler { name: name.into(), call: Arc::new(call) }
    }
}

/// The fast handlers of one publisher, and its end of the ring.
pub(crate) struct Handled {
    /// The end of the ring; `None` after the end of the publisher.
    pub(crate) producer: Option<Producer<Ring>>,
    handlers: Vec<FastHandler>,
    /// Retains each message that the handlers have not refused.
    pub(crate) retainer: Option<Retainer>,
    watch: Arc<OnceLock<Arc<dyn HandlerWatch>>>,
    mark: Option<Box<dyn HandlerMark>>,
}

impl Handled {
    /// Creates the handlers of a publisher, and takes its end of the ring. If there are no
    /// handlers, returns `None` and leaves the end.
    pub(crate) fn new(
        handlers: Vec<FastHandler>,
        retainer: Option<Retainer>,
        watch: &Arc<OnceLock<Arc<dyn HandlerWatch>>>,
        producer: &mut Option<Producer<Ring>>,
    ) -> Option<Box<Handled>> {
        if handlers.is_empty() && retainer.is_none() {
            return None;
        }
        let (producer, watch) = (producer.take(), watch.clone());
        Some(Box::new(Handled { producer, handlers, retainer, watch, mark: None }))
    }

    /// Runs the handlers in their order, until one refuses the message. `topic` is a unique number
    /// of the topic.
    pub(crate) fn run(
        &mut self,
        topic: usize,
        names: (&str, &str),
        message: &[u8],
    ) -> Result<(), (Arc<str>, HandlerFailure)> {
        if self.handlers.is_empty() {
            return Ok(());
        }
        if let (None, Some(watch)) = (&self.mark, self.watch.get()) {
            let handlers: Vec<_> = self.handlers.iter().map(|it| it.name.clone()).collect();
            self.mark = Some(watch.mark(names.0, names.1, &handlers));
        }
        let Handled { handlers, mark, .. } = self;
        let running = match Running::begin(topic) {
            Ok(running) => running,
            Err(outer) => {
                let name = handlers.get(outer).or(handlers.last()).map(|it| it.name.clone());
                return Err((name.unwrap_or_default(), HandlerFailure::Reentered));
            }
        };
        for (place, FastHandler { name, call }) in handlers.iter().enumerate() {
            running.is_at(place);
            mark.iter().for_each(|mark| mark.begins(place));
            let result = catch_unwind(AssertUnwindSafe(|| call(message)));
            mark.iter().for_each(|mark| mark.ends());
            let failure = match result {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => HandlerFailure::Error(error.into()),
                Err(panic) => HandlerFailure::Panic(panic_text(&*panic).into()),
            };
            return Err((name.clone(), failure));
        }
        Ok(())
    }
}

/// Returns the text of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

thread_local! {
    /// The topics whose handlers run on this thread, from the outermost one, each with the index of
    /// its running handler. A handler that publishes to another topic runs the handlers of that
    /// topic.
    static RUNNING: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
}

/// When dropped, marks the topic's handlers as no longer running on this thread.
struct Running(());

impl Running {
    /// Marks the topic as running. Fails if this thread already runs the topic's handlers: returns
    /// the index of the running one.
    fn begin(topic: usize) -> Result<Running, usize> {
        RUNNING.with_borrow_mut(|running| {
            if let Some((_, place)) = running.iter().find(|(other, _)| *other == topic) {
                return Err(*place);
            }
            running.push((topic, 0));
            Ok(Running(()))
        })
    }

    fn is_at(&self, place: usize) {
        RUNNING.with_borrow_mut(|running| running.iter_mut().last().map(|it| it.1 = place));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(Vec::pop);
    }
}
