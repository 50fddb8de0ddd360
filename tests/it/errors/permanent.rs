//! A bug of the program ends its service at the first error. Transient errors are retried.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};

use mycelium::error::{BuildError, SubscribeError};
use mycelium::observe::Event;
use mycelium::{Context, Error, Result, Subscription, Topology, service};
use mycelium_transports::local::{Schema, TopicError};

use crate::node::services::{Number, Source, Square};
use crate::running::{Says, main_with, run};

/// A task of the previous run may still drop its handle, so another try may succeed.
#[tokio::test]
async fn a_subscription_that_an_earlier_run_has_kept_is_tried_again() {
    struct Reader(Option<Subscription<Number>>, Arc<AtomicU32>, Sender<String>);
    #[service(reads(Number))]
    impl Reader {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            match ctx.subscribe::<Number>() {
                Ok(all) if self.1.fetch_add(1, Ordering::Relaxed) == 0 => self.0 = Some(all),
                Ok(_) => return Ok(()),
                Err(error) => {
                    self.0 = None;
                    self.2.send(error.to_string())?;
                    return Err(error.into());
                }
            }
            Err(Error::msg("once"))
        }
    }
    let takes = Arc::new(AtomicU32::new(0));
    let own = takes.clone();
    let (sender, errors) = channel();
    let reader = move || Reader(None, own.clone(), sender.clone());
    let restarts = Arc::new(AtomicU32::new(0));
    let counted = restarts.clone();
    let builder = main_with("[service.Reader]\nbackoff = \"1us\"\n").service(reader);
    let node = builder.service(|| Source::of(1)).observe(move |event| {
        if let Event::ServiceRestarted { .. } = event {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    run(node).await;
    assert_eq!(restarts.load(Ordering::Relaxed), 2);
    assert_eq!(takes.load(Ordering::Relaxed), 2);
    let [error] = &errors.try_iter().collect::<Vec<_>>()[..] else { panic!("one error") };
    let expected =
        "subscription `Reader.numbers` is still taken by an earlier run of its service: ";
    error.begins(expected);
}

#[test]
fn bugs_are_found_in_errors_that_wrap_them() {
    #[derive(Debug, thiserror::Error)]
    #[error("no prices")]
    struct NoPrices(#[source] Box<dyn std::error::Error + Send + Sync>);

    let name = || "ticks".to_owned();
    let taken = || SubscribeError::Taken { subscription: name() };
    let (carries, asked) = (Schema::of::<Number>(), Schema::of::<Square>());
    let schema = || TopicError::Schema { topic: name(), carries, asked: Box::new(asked) };
    let full = || TopicError::Readers { topic: name(), most: 64 };
    let bugs = [
        Error::from(taken()),
        Error::from(NoPrices(taken().into())),
        Error::from(io::Error::other(taken())),
        Error::from(NoPrices(io::Error::other(schema()).into())),
        Error::from(SubscribeError::Topic(schema())),
        Error::from(BuildError::Topic(schema())),
        Error::from(Topology::parse("t.toml", "[nodes]").unwrap_err()),
    ];
    for error in bugs {
        assert!(error.is_permanent(), "{error}");
    }
    let passing = [
        Error::from(SubscribeError::Topic(full())),
        Error::from(BuildError::Topic(full())),
        Error::from(SubscribeError::HeldByEarlierRun { subscription: name() }),
        Error::from(NoPrices(io::Error::other("the line is busy").into())),
        Error::msg("any"),
    ];
    for error in passing {
        assert!(!error.is_permanent(), "{error}");
    }
}
