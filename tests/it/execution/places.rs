//! The threads on which services run, and how services wait there.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, channel};

use mycelium::error::StartError;
use mycelium::execution::{Execution, WaitStrategy};
use mycelium::{Context, Result, service};
use mycelium_tokio::Tokio;

use crate::execution::services::{LONG, LocalSquarer, Source, sink, squares, start, within};
use crate::running::main_with;

#[tokio::test]
async fn all_services_may_have_threads_and_the_topology_wins_over_the_program() {
    let (sender, received) = channel();
    let text = "[service.Source]\nrun = \"dedicated\"\nwait = \"spin-then-park(100)\"\n\
                [service.LocalSquarer]\nwait = \"spin-then-park(3000)\"\nthread = \"file\"\n\
                [service.Sink]\nrun = \"shared\"\n";
    let node = main_with(text)
        .service(|| Source::of(3_000))
        .service(|| LocalSquarer)
        .named_service("Sink", move || sink(&sender))
        .execution("LocalSquarer", Execution::dedicated().thread("program").budget(7))
        .execution("Sink", Execution::pinned([100_000]).thread("nowhere"));
    let running = start(node);
    let squarer = &running.start_report().placements[1];
    let asked =
        Execution::dedicated().thread("file").budget(7).wait(WaitStrategy::SpinThenPark(3_000));
    assert_eq!((&squarer.asked, squarer.thread.as_deref()), (&asked, Some("file")));
    assert_eq!(running.start_report().placements[2].asked, Execution::shared());
    within(running.join()).await.unwrap();
    assert_eq!(received.iter().collect::<Vec<_>>(), squares(3_000));
}

/// Leaves a task on its thread that ends later than the service.
struct Littering(Option<Receiver<()>>);

struct Litter(Option<Receiver<()>>);

impl Drop for Litter {
    fn drop(&mut self) {
        _ = self.0.take().map(|gone| gone.recv_timeout(LONG));
    }
}

#[service()]
impl Littering {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        thread_local! {
            static LITTER: RefCell<Litter> = const { RefCell::new(Litter(None)) };
        }
        LITTER.with_borrow_mut(|litter| litter.0 = self.0.take());
        Ok(())
    }
}

#[tokio::test]
async fn a_thread_that_does_not_end_is_named() {
    let (release, released) = channel();
    let mut released = Some(released);
    let node = main_with("[node.main]\nshutdown = \"50ms\"\n")
        .service(move || Littering(released.take()))
        .execution("Littering", Execution::dedicated().thread("full"))
        .build()
        .unwrap();
    let error = within(node.run(Tokio::current().unwrap())).await.unwrap_err();
    assert!(matches!(&error, StartError::Threads { threads } if threads == &["full"]), "{error}");
    release.send(()).unwrap();
}
