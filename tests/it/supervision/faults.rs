//! Panics in every hook of a service with a supervisor: in its factory, its run, the drop of what
//! its run holds, its own drop, the text and the drop of its error, a child task, and an observer.
//! None of them ends a task of the node, and siblings are restarted as after any failure.

use std::fmt;
use std::future::pending;
use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mycelium::actors::Actors;
use mycelium::execution::Executor;
use mycelium::observe::{Event, Outcome, Report};
use mycelium::supervision::Supervisor;
use mycelium::{Builder, Context, Error, Node, Result, actor, service};
use mycelium_executor::yield_now;
use mycelium_tokio::Tokio;

use crate::running::{Says, end, start};
use crate::supervision::worker::{Crew, Do, quick};

/// Where a service panics, at its first run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Factory,
    FirstPoll,
    LaterPoll,
    Drop,
    ErrorText,
    ErrorDrop,
    Payload,
    ChildTask,
}

struct Faulty {
    at: Option<At>,
}

impl Drop for Faulty {
    fn drop(&mut self) {
        assert!(self.at != Some(At::Drop) || std::thread::panicking(), "in drop");
    }
}

/// An error that panics when it is formatted or dropped.
#[derive(Debug)]
struct Evil(At);

impl fmt::Display for Evil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert_ne!(self.0, At::ErrorText, "in the text of an error");
        f.write_str("evil")
    }
}

impl std::error::Error for Evil {}

impl Drop for Evil {
    fn drop(&mut self) {
        let panics = matches!(self.0, At::ErrorDrop | At::Payload);
        assert!(!panics || std::thread::panicking(), "in the drop of an error");
    }
}

#[service(send)]
impl Faulty {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        // After an error the same instance runs again, so it must panic only once.
        let at = if self.at == Some(At::Drop) { self.at } else { self.at.take() };
        match at {
            Some(At::FirstPoll) => panic!("in the first poll"),
            Some(At::LaterPoll) => {
                ctx.yield_now().await;
                panic!("in a later poll");
            }
            Some(At::Drop) => panic!("before the drop"),
            Some(at @ (At::ErrorText | At::ErrorDrop)) => Err(Evil(at).into()),
            Some(At::Payload) => panic_any(Evil(At::Payload)),
            Some(At::ChildTask) => {
                let task = ctx.spawn(async { panic!("in a child task") });
                task.await.map_err(Into::into)
            }
            Some(At::Factory) | None => {
                ctx.shutdown_requested().await;
                Ok(())
            }
        }
    }
}

/// Runs two services under one supervisor, one of which panics once. Returns the report.
async fn run_once(at: At) -> Report {
    let restarted = Arc::new(event_listener::Event::new());
    let (listener, starts) = (restarted.listen(), Arc::new(AtomicU32::new(0)));
    let seen = starts.clone();
    let mut made = 0;
    let node = Node::builder("main")
        .named_service("Sound", || Faulty { at: None })
        .named_service("Faulty", move || {
            made += 1;
            assert!(at != At::Factory || made > 1, "in the factory");
            Faulty { at: (made == 1).then_some(at) }
        })
        .restart("Faulty", quick(10))
        .supervisor(Supervisor::one_for_all("top").named_service("Sound").named_service("Faulty"))
        .observe(move |event| {
            let (Event::ServiceStarted { .. } | Event::ServiceRestarted { .. }) = event else {
                return;
            };
            // The fourth start: both services have started and restarted.
            if seen.fetch_add(1, Ordering::SeqCst) == 3 {
                restarted.notify(usize::MAX);
            }
            panic!("in an observer");
        });
    let running = start(node);
    listener.await;
    end(running).await
}

#[tokio::test]
async fn a_panic_in_any_hook_is_a_failure_of_its_service_and_of_nothing_else() {
    for at in [
        At::Factory,
        At::FirstPoll,
        At::LaterPoll,
        At::Drop,
        At::ErrorText,
        At::ErrorDrop,
        At::Payload,
        At::ChildTask,
    ] {
        let report = run_once(at).await;
        for service in &report.services {
            assert_eq!((&service.outcome, service.starts), (&Outcome::Completed, 2), "{at:?}");
        }
        let faulty = &report.services[0];
        // A panic in the drop is counted as well.
        let failures = if at == At::Drop { 2 } else { 1 };
        assert_eq!(faulty.errors + faulty.panics, failures, "{at:?}");
        let text = faulty.last_failure.as_deref().unwrap();
        let has_place = text.contains("tests/it/supervision/faults.rs:");
        assert_eq!(has_place, faulty.panics > 0, "{at:?}: {text}");
    }
}

/// Holds a value across an await that panics on drop.
struct Keeps(u32);

struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "in the drop of what a run holds");
    }
}

#[service(send)]
impl Keeps {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let grenade = (self.0 == 1).then(|| Grenade);
        ctx.shutdown_requested().await;
        std::mem::forget(grenade);
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_in_the_drop_of_a_run_that_is_stopped_is_caught() {
    let mut made = 0;
    let keeps = move || {
        made += 1;
        Keeps(made)
    };
    let top = Supervisor::one_for_all("top").named_service("A").service::<Keeps>();
    let change = |builder: Builder| builder.service(keeps).supervisor(top);
    let mut crew = Crew::of("A", Arc::new(Tokio::current().unwrap()), change).await;
    crew.after('A', Do::Fail, "-A +A").await;
    let report = crew.end().await.unwrap();
    let keeps = report.services.iter().find(|service| service.name == "Keeps").unwrap();
    assert_eq!((&keeps.outcome, keeps.panics), (&Outcome::Completed, 1));
}

/// Panics on drop. Its run either ends, or holds a value that panics on drop.
struct Bomb {
    ends: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in the drop of an instance");
    }
}

#[service(send)]
impl Bomb {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        if self.ends {
            return Ok(());
        }
        let _grenade = Grenade;
        ctx.shutdown_requested().await;
        pending().await
    }
}

#[actor]
impl Bomb {
    #[tell]
    async fn hold(&mut self, _: u64) -> Result<()> {
        let _grenade = Grenade;
        pending().await
    }
}

/// Drops a service and an actor in the middle of their work.
async fn abandon(executor: impl Executor + Clone) {
    let actors = Actors::on(executor.clone());
    let mut bomb = actors.actor(|| Bomb { ends: false }).spawn().unwrap();
    bomb.tell(1).await.unwrap();
    let node = Node::builder("main").service(|| Bomb { ends: false }).build().unwrap();
    let running = node.start(executor).unwrap();
    yield_now().await;
    drop(running);
}

#[test]
fn panics_in_the_drops_of_what_is_abandoned_do_not_end_the_process() {
    mycelium_smol::run(1, async |executor| abandon(executor).await).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { abandon(Tokio::current().unwrap()).await });
}

#[tokio::test]
async fn a_panic_in_the_drop_of_an_instance_is_counted() {
    let node = Node::builder("main").service(|| Bomb { ends: true }).build().unwrap();
    let report = node.run(Tokio::current().unwrap()).await.unwrap();
    let [service] = &report.services[..] else { panic!("one service") };
    assert_eq!((&service.outcome, service.panics), (&Outcome::Completed, 1));
    let text = service.last_failure.as_deref().unwrap();
    text.begins("panic: in the drop of an instance (at tests/it/");
}

/// Its first instance fails with an error that panics when it is formatted.
struct Mute {
    number: u32,
    is_permanent: bool,
}

#[service(send)]
impl Mute {
    async fn run(&mut self, _: &mut Context<Self>) -> Result<()> {
        let error = Error::from(Evil(At::ErrorText));
        match (self.number, self.is_permanent) {
            (1, true) => Err(error.permanent()),
            (1, false) => Err(error),
            _ => Ok(()),
        }
    }
}

fn mute(is_permanent: bool) -> Node {
    let mut number = 0;
    let service = move || {
        number += 1;
        Mute { number, is_permanent }
    };
    Node::builder("main").service(service).restart("Mute", quick(10)).build().unwrap()
}

#[tokio::test]
async fn a_panic_in_the_text_of_an_error_makes_a_new_instance_and_keeps_the_error_permanent() {
    let report = mute(false).run(Tokio::current().unwrap()).await.unwrap();
    assert_eq!((report.services[0].starts, report.services[0].panics), (2, 1));
    let error = mute(true).run(Tokio::current().unwrap()).await.unwrap_err();
    error.begins("service `Mute` failed permanently: panic: ");
}
