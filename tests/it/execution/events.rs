//! The events of a node: their order, and the threads on which observers are called.

use std::sync::{Arc, Mutex};
use std::thread;

use mycelium::execution::Execution;
use mycelium::observe::{Event, Outcome};
use mycelium::{Builder, Context, Error, Node, Result, service};
use mycelium_tokio::Tokio;

use crate::execution::services::{Hanging, Idle, end, start, within};
use crate::running::{Says, main_with, until};

/// The events as words, with the name of the thread of each call.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<(String, String)>>>);

impl Diary {
    /// Without changes of health: `tests/it/health.rs`.
    fn keep(&self, builder: Builder) -> Builder {
        let diary = self.clone();
        // The runtime is slow to print panics.
        builder.watchdog(std::time::Duration::ZERO).observe(move |event| match event {
            Event::HealthChanged { .. } => {}
            event => diary.write(&words(event)),
        })
    }

    fn write(&self, words: &str) {
        let thread = thread::current().name().unwrap_or_default().to_owned();
        self.0.lock().unwrap().push((words.to_owned(), thread));
    }

    fn read(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(words, _)| words.clone()).collect()
    }

    async fn has(&self, words: &str) {
        until(|| self.read().iter().any(|entry| entry == words)).await;
    }
}

fn words(event: &Event<'_>) -> String {
    match event {
        Event::ThreadStarted { thread, service } => format!("thread {thread} of {service} started"),
        Event::ThreadStopped { thread, service } => format!("thread {thread} of {service} stopped"),
        Event::ServiceStarted { service } => format!("{service} started"),
        Event::ServiceRestarted { service, error } => format!("{service} restarted: {error}"),
        Event::ServiceStopped { service, outcome } => format!("{service} stopped: {outcome:?}"),
        Event::NodeReady { node } => format!("{node} ready"),
        Event::NodeDraining { node } => format!("{node} draining"),
        Event::NodeStopped { node } => format!("{node} stopped"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn events_come_in_their_order_and_on_their_threads() {
    let diary = Diary::default();
    let at_the_end = diary.clone();
    let node = diary
        .keep(Node::builder("main"))
        .service(|| Idle)
        .execution("Idle", Execution::dedicated().thread("diary"))
        .on_stop(async move || at_the_end.write("stop hook"));
    let running = start(node);
    diary.has("main ready").await;
    running.shutdown();
    within(end(running)).await;
    let expected = [
        "thread diary of Idle started",
        "Idle started",
        "main ready",
        "main draining",
        "Idle stopped: Completed",
        "thread diary of Idle stopped",
        "stop hook",
        "main stopped",
    ];
    assert_eq!(diary.read(), expected);
    let entries = diary.0.lock().unwrap();
    for on_its_thread in [0, 1, 4, 5] {
        assert_eq!(entries[on_its_thread].1, "diary");
    }
}

/// Fails at its first runs, and then for good.
struct Fickle(u32);

#[service()]
impl Fickle {
    async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
        self.0 += 1;
        match self.0 {
            1 => Err(Error::msg("no luck")),
            2 => panic!("none either"),
            _ => Err(Error::msg("no hope").permanent()),
        }
    }
}

#[tokio::test]
async fn restarts_are_reported_with_their_error_and_a_failure_for_good_before_the_node_drains() {
    let diary = Diary::default();
    let runs = Arc::new(Mutex::new(0));
    let node = diary
        .keep(main_with("[service.Fickle]\nbackoff = \"1us\"\n"))
        .service(|| Idle)
        .service(move || {
            let mut runs = runs.lock().unwrap();
            *runs += 1;
            // A panic drops the count.
            Fickle(if *runs == 1 { 0 } else { 2 })
        });
    within(node.build().unwrap().run(Tokio::current().unwrap())).await.unwrap_err();
    let told = diary.read();
    let of_service: Vec<_> = told.iter().filter(|entry| entry.starts_with("Fickle")).collect();
    let outcome = Outcome::Failed { error: "no hope".to_owned(), restarts: 2 };
    let failed = format!("Fickle stopped: {outcome:?}");
    let panic = "Fickle restarted: panic: none either (at tests/it/execution/events.rs:96:18)";
    assert_eq!(of_service, ["Fickle started", "Fickle restarted: no luck", panic, &failed]);
    let position = |words: &str| told.iter().position(|entry| entry == words).unwrap();
    let draining = position("main draining");
    assert!(position(&failed) < draining && draining < position("Idle stopped: Completed"));
    assert_eq!(told.last().unwrap(), "main stopped");
}

#[tokio::test]
async fn an_observer_may_panic_or_shut_the_node_down() {
    let diary = Diary::default();
    let running = Arc::new(Mutex::new(None::<mycelium::Running>));
    let own = running.clone();
    let builder = Node::builder("main")
        .service(|| Idle)
        .observe(|event| panic!("at {event:?}"))
        .observe(move |event| {
            if let (Event::NodeReady { .. }, Some(running)) = (event, &*own.lock().unwrap()) {
                running.shutdown();
            }
        });
    let node = diary.keep(builder).build().unwrap();
    *running.lock().unwrap() = Some(node.start(Tokio::current().unwrap()).unwrap());
    diary.has("main stopped").await;
    let expected =
        ["Idle started", "main ready", "main draining", "Idle stopped: Completed", "main stopped"];
    assert_eq!(diary.read(), expected);
}

#[tokio::test]
async fn h1_an_abandoned_service_is_named_and_reported_once() {
    let diary = Diary::default();
    let (release, released) = std::sync::mpsc::channel();
    let mut released = Some(released);
    let text = "[node.main]\nshutdown = \"50ms\"\n[service.Hanging]\nrun = \"dedicated\"\n";
    let node = diary.keep(main_with(text)).service(move || Hanging(released.take()));
    let running = start(node);
    diary.has("Hanging started").await;
    running.shutdown();
    let error = within(running.join()).await.unwrap_err();
    error.begins("abandoned at the shutdown deadline of 50ms: Hanging; ");
    release.send(()).unwrap();
    diary.has("thread Hanging of Hanging stopped").await;
    let stops = diary.read().into_iter().filter(|entry| entry.starts_with("Hanging stopped"));
    assert_eq!(stops.collect::<Vec<_>>(), ["Hanging stopped: Abandoned"]);
}
