//! Nodes as their users see them: services, faults, shutdown, on every kind of tokio runtime.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use mycelium::{
    BuildError, Context, DeadLetter, Delivery, Error, Kept, Node, Outcome, Policy, Received,
    Result, Running, SubscribeError, Subscription, Topology, message, service,
};
use mycelium_tokio::Tokio;

#[message(topic = "numbers", id = 1)]
#[derive(Debug, PartialEq)]
struct Number {
    value: u64,
}

#[message(topic = "squares", id = 2)]
#[derive(Debug, PartialEq)]
struct Square {
    value: u64,
}

/// Emits the numbers below `count`.
struct Source {
    count: u64,
}

#[service(emits(Number))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in 0..self.count {
            ctx.emit(Number { value }).await?;
        }
        Ok(())
    }
}

/// Squares numbers; `fault` is called with each message before and after its emit.
struct Squarer<F> {
    fault: F,
}

#[service(send, reads(Number), emits(Square))]
impl<F: FnMut(&Received<Number>, bool) -> Result<()> + Send + 'static> Squarer<F> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while let Some(delivery) = numbers.recv().await {
            let Delivery::Msg(number) = delivery else { panic!("no gaps at a block subscription") };
            (self.fault)(&number, false)?;
            ctx.emit(Square { value: number.value * number.value }).await?;
            (self.fault)(&number, true)?;
        }
        Ok(())
    }
}

struct Sink(Sender<u64>);

#[service(reads(Square))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut squares = ctx.subscribe::<Square>()?;
        while let Some(delivery) = squares.recv().await {
            if let Delivery::Msg(square) = delivery {
                self.0.send(square.value)?;
            }
        }
        Ok(())
    }
}

fn squares(count: u64) -> Vec<u64> {
    (0..count).map(|value| value * value).collect()
}

/// Quick restarts, as many as it takes.
fn patient() -> Topology {
    let services = ["Source", "Squarer", "Sink"]
        .map(|name| format!("[service.{name}]\nrestarts = 1000\nbackoff = \"1us\"\n"));
    Topology::parse("patient.toml", &services.concat()).unwrap()
}

fn patient_with(service: &str) -> Topology {
    let text = format!("[service.{service}]\nrestarts = 1000\nbackoff = \"1us\"\n");
    Topology::parse("patient.toml", &text).unwrap()
}

fn pipeline<F>(count: u64, fault: F) -> (mycelium::Builder, Receiver<u64>)
where
    F: FnMut(&Received<Number>, bool) -> Result<()> + Send + Clone + 'static,
{
    let (sender, receiver) = channel();
    let builder = Node::builder("main")
        .topology(patient())
        .service(move || Source { count })
        .service(move || Squarer { fault: fault.clone() })
        .service(move || Sink(sender.clone()));
    (builder, receiver)
}

async fn run(builder: mycelium::Builder) -> mycelium::Report {
    builder.build().unwrap().run(Tokio::current().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_pipeline_ends_when_its_source_has_on_one_thread() {
    let (builder, received) = pipeline(10_000, |_, _| Ok(()));
    let report = run(builder).await;
    assert_eq!(received.iter().collect::<Vec<_>>(), squares(10_000));
    assert!(report.services.iter().all(|service| service.outcome == Outcome::Completed));
    conserved(&report.counters);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_ends_when_its_source_has_on_many_threads() {
    for _ in 0..20 {
        let (builder, received) = pipeline(10_000, |_, _| Ok(()));
        let report = run(builder).await;
        assert_eq!(received.iter().collect::<Vec<_>>(), squares(10_000));
        conserved(&report.counters);
    }
}

/// Sent since it joined is what was taken and dropped, for each pair, once all is over and nothing is left in a ring.
fn conserved(counters: &[mycelium::counters::Reading]) {
    use mycelium::counters::Kind;
    let feeds = counters.iter().filter(|line| line.kind == Kind::Feed);
    for feed in feeds {
        let sent = counters
            .iter()
            .find(|line| {
                line.kind == Kind::Publisher
                    && line.label("publisher") == feed.label("publisher")
                    && line.label("epoch") == feed.label("epoch")
                    && line.label("topic") == feed.label("topic")
            })
            .unwrap()
            .value("sent");
        let gone: u64 = ["taken", "overwritten", "skipped", "dead_lettered", "left"]
            .map(|value| feed.value(value))
            .iter()
            .sum();
        assert_eq!(sent - feed.value("joined_at"), gone, "{}", feed.label);
    }
}

/// One failure at each of these messages, once.
fn at(
    points: &'static [(u64, bool)],
    fail: fn() -> Result<()>,
) -> impl FnMut(&Received<Number>, bool) -> Result<()> + Send + Clone {
    let done = Kept::new(Vec::new());
    move |number, after| {
        let point = (number.value, after);
        if points.contains(&point)
            && done.commit(|done| {
                !done.contains(&point) && {
                    done.push(point);
                    true
                }
            })
        {
            assert!(!number.redelivered() || after);
            return fail();
        }
        Ok(())
    }
}

#[tokio::test]
async fn after_errors_and_panics_the_message_in_hand_comes_again() {
    const POINTS: &[(u64, bool)] = &[(0, false), (7, true), (100, false), (499, true)];
    let faults: [fn() -> Result<()>; 2] = [|| Err(Error::msg("injected")), || panic!("injected")];
    for (fault, counter) in faults.into_iter().zip(["errors", "panics"]) {
        let (builder, received) = pipeline(500, at(POINTS, fault));
        let report = run(builder).await;
        let mut values: Vec<_> = received.iter().collect();
        assert_eq!(values.len(), 502, "a fault after the emit repeats it: at least once");
        values.dedup();
        assert_eq!(values, squares(500));
        let squarer = report.services.iter().find(|service| service.name == "Squarer").unwrap();
        let faults = if counter == "errors" { squarer.errors } else { squarer.panics };
        assert_eq!((squarer.starts, faults), (5, 4));
        conserved(&report.counters);
    }
}

struct Undertaker(Sender<DeadLetter>);

#[service(reads(DeadLetter))]
impl Undertaker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut letters = ctx.subscribe::<DeadLetter>()?;
        while let Some(delivery) = letters.recv().await {
            self.0.send(delivery.message().expect("no gaps"))?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_message_that_always_fails_becomes_a_dead_letter_and_the_rest_arrives() {
    let (sender, letters) = channel();
    let (builder, received) = pipeline(10, |number, _| match number.value {
        4 => Err(Error::msg("cannot square this")),
        _ => Ok(()),
    });
    let report = run(builder.service(move || Undertaker(sender.clone()))).await;
    let expected: Vec<_> = squares(10).into_iter().filter(|value| *value != 16).collect();
    assert_eq!(received.iter().collect::<Vec<_>>(), expected);
    let letter = letters.recv().unwrap();
    assert_eq!((letter.topic.as_str(), letter.sequence, letter.type_id), ("numbers", 4, 1));
    assert_eq!((letter.reader.as_str(), letter.publisher.as_str()), ("Squarer", "Source"));
    assert_eq!(letter.payload.as_slice(), 4u64.to_le_bytes());
    assert!(letters.try_recv().is_err(), "one letter");
    conserved(&report.counters);
}

#[tokio::test]
async fn a_service_that_fails_too_often_ends_the_node_with_its_error() {
    let topology = "[service.Source]\nrestarts = 2\nbackoff = \"1us\"\n";
    struct Broken;
    #[service(emits(Number))]
    impl Broken {
        async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
            Err(Error::msg("no luck"))
        }
    }
    let node = Node::builder("main")
        .topology(Topology::parse("t.toml", topology).unwrap())
        .named_service("Source", || Broken)
        .build()
        .unwrap();
    let error = node.run(Tokio::current().unwrap()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "service `Source` failed for good after 2 restarts within 60s: no luck"
    );
}

#[tokio::test]
async fn a_permanent_error_is_not_tried_again() {
    let (builder, _received) = pipeline(1, |_, _| Err(Error::msg("wrong for ever").permanent()));
    let error = builder.build().unwrap().run(Tokio::current().unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "service `Squarer` failed for good: wrong for ever");
}

/// Emits for ever.
struct Endless;

#[service(emits(Number))]
impl Endless {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in 0.. {
            ctx.emit(Number { value }).await?;
            if ctx.is_shutting_down() {
                break;
            }
        }
        Ok(())
    }
}

fn start(builder: mycelium::Builder) -> Running {
    builder.build().unwrap().start(Tokio::current().unwrap()).unwrap()
}

#[tokio::test]
async fn shutdown_drains_what_was_accepted_and_a_tight_loop_starves_nobody() {
    let (sender, received) = channel();
    let running = start(
        Node::builder("main")
            .service(|| Endless)
            .service(|| Squarer { fault: |_: &_, _| Ok(()) })
            .service(move || Sink(sender.clone())),
    );
    let first = loop {
        match received.try_recv() {
            Ok(first) => break first,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    running.shutdown();
    running.shutdown();
    let report = running.join().await.unwrap();
    let rest: Vec<_> = received.iter().collect();
    assert_eq!([vec![first], rest.clone()].concat(), squares(rest.len() as u64 + 1));
    conserved(&report.counters);
    let sent = report.counters.iter().find(|line| line.label("topic") == "numbers").unwrap();
    assert_eq!(sent.value("sent"), rest.len() as u64 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_ignores_the_shutdown_is_abandoned_by_name() {
    struct Deaf;
    #[service()]
    impl Deaf {
        async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
            std::future::pending().await
        }
    }
    let running = start(Node::builder("main").service(|| Deaf));
    running.shutdown();
    let error = running.join().await.unwrap_err();
    assert_eq!(error.to_string(), "abandoned at the shutdown deadline of 10s: Deaf");
}

#[tokio::test(start_paused = true)]
async fn sleep_is_cut_short_by_a_shutdown_that_came_before_or_comes_after() {
    struct Sleeper(bool);
    #[service()]
    impl Sleeper {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            if self.0 {
                ctx.shutdown();
            }
            ctx.sleep(Duration::from_secs(3600)).await?;
            panic!("woke up as if nothing had happened");
        }
    }
    for before in [true, false] {
        let begin = tokio::time::Instant::now();
        let running = start(Node::builder("main").service(move || Sleeper(before)));
        tokio::task::yield_now().await;
        running.shutdown();
        running.join().await.unwrap();
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}

#[tokio::test]
async fn the_run_ends_tasks_and_blocking_work_comes_back() {
    struct Parent(Sender<&'static str>);
    struct OnDrop(Sender<&'static str>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            let _ = self.0.send("task dropped");
        }
    }
    #[service()]
    impl Parent {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let guard = OnDrop(self.0.clone());
            let endless = ctx.spawn(async move {
                let _guard = guard;
                std::future::pending::<()>().await
            });
            assert_eq!(ctx.blocking(|| 6 * 7).await?, 42);
            assert!(ctx.blocking(|| panic!("in the blocking pool")).await.is_err());
            assert_eq!(ctx.spawn(async { 7 }).await?, 7);
            assert!(ctx.spawn(async { panic!("in a task") }).await.is_err());
            drop(endless);
            Ok(())
        }
    }
    let (sender, events) = channel();
    start(Node::builder("main").service(move || Parent(sender.clone()))).join().await.unwrap();
    while events.try_recv() != Ok("task dropped") {
        tokio::task::yield_now().await;
    }
}

/// Holds an `Rc` over an await: stays on its thread.
struct Local(Sender<u64>);

#[service(reads(Number))]
impl Local {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let sum = std::rc::Rc::new(std::cell::Cell::new(0));
        let mut numbers = ctx.subscribe::<Number>()?;
        while let Some(delivery) = numbers.recv().await {
            sum.set(sum.get() + delivery.message().map_or(0, |number| number.value));
        }
        self.0.send(sum.get())?;
        Ok(())
    }
}

#[tokio::test]
async fn a_local_service_runs_where_local_tasks_do_and_is_refused_elsewhere() {
    let (sender, sum) = channel();
    let build = || {
        let sender = sender.clone();
        Node::builder("main")
            .service(|| Source { count: 101 })
            .service(move || Local(sender.clone()))
            .build()
            .unwrap()
    };
    let refused = build().start(Tokio::current().unwrap()).unwrap_err().to_string();
    assert!(refused.contains("Local") && refused.contains("not Send"), "{refused}");
    mycelium_tokio::local(|executor| build().run(executor)).await.unwrap().unwrap();
    assert_eq!(sum.recv().unwrap(), 5050);
}

#[tokio::test]
async fn a_subscription_goes_on_where_its_handle_was_dropped() {
    struct Careless(Sender<u64>);
    #[service(reads(Number))]
    impl Careless {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            loop {
                let mut numbers = ctx.subscribe::<Number>()?;
                let taken = ctx.subscribe::<Number>();
                assert!(matches!(taken, Err(SubscribeError::Taken { .. })));
                match numbers.recv().await {
                    Some(delivery) => self.0.send(delivery.message().unwrap().value)?,
                    None => return Ok(()),
                }
            }
        }
    }
    let (sender, received) = channel();
    let builder = Node::builder("main")
        .service(|| Source { count: 50 })
        .service(move || Careless(sender.clone()));
    run(builder).await;
    assert_eq!(received.iter().collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn people_outside_the_services_can_listen_and_speak() {
    let (sender, received) = channel();
    let running = start(
        Node::builder("main")
            .service(|| Squarer { fault: |_: &_, _| Ok(()) })
            .service(move || Sink(sender.clone())),
    );
    let mut squares = running.subscribe::<Square>("outside", Policy::Block).unwrap();
    let mut numbers = running.publisher::<Number>("outside").unwrap();
    numbers.emit(Number { value: 12 }).await.unwrap();
    assert_eq!(squares.recv().await.unwrap().message(), Some(Square { value: 144 }));
    drop(squares);
    running.shutdown();
    running.join().await.unwrap();
    assert_eq!(received.recv().unwrap(), 144);
}

#[test]
fn what_does_not_fit_together_is_refused_before_anything_runs() {
    let twice = Node::builder("main").service(|| Endless).service(|| Endless).build();
    assert!(matches!(twice, Err(BuildError::DuplicateService { name }) if name == "Endless"));

    #[message(topic = "other", id = 1)]
    struct SameId {
        value: u32,
    }
    struct Emitter;
    #[service(emits(SameId))]
    impl Emitter {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            Ok(ctx.emit(SameId { value: 0 }).await?)
        }
    }
    let same_id = Node::builder("main").service(|| Endless).service(|| Emitter).build();
    let error = same_id.unwrap_err().to_string();
    assert_eq!(error, "messages `Number` and `SameId` both have id 1");

    #[message(topic = "numbers", id = 9)]
    struct SameTopic {
        value: u32,
    }
    struct Confused;
    #[service(emits(SameTopic))]
    impl Confused {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            Ok(ctx.emit(SameTopic { value: 0 }).await?)
        }
    }
    let same_topic = Node::builder("main").service(|| Endless).service(|| Confused).build();
    let error = same_topic.unwrap_err().to_string();
    assert!(error.contains("Number") && error.contains("SameTopic"), "{error}");

    let small = Topology::parse("t.toml", "[node.main]\nmemory = \"1 KiB\"\n").unwrap();
    let too_much = Node::builder("main").topology(small).service(|| Endless).build();
    assert!(matches!(too_much, Err(BuildError::Memory { budget: 1024, .. })));
}

/// The other way round: makes a circle with `Squarer`.
struct Root;

#[service(reads(Square), emits(Number))]
impl Root {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut squares = ctx.subscribe::<Square>()?;
        ctx.emit(Number { value: 1 }).await?;
        while let Some(delivery) = squares.recv().await {
            if let Delivery::Msg(_) = delivery {
                ctx.emit(Number { value: 2 }).await?;
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_circle_must_drop_somewhere_and_then_ends_at_shutdown() {
    let circle = |topology: &str| {
        Node::builder("main")
            .topology(Topology::parse("t.toml", topology).unwrap())
            .service(|| Squarer { fault: |_: &_, _| Ok(()) })
            .service(|| Root)
    };
    let error = circle("").build().unwrap_err().to_string();
    assert!(error.contains("Squarer -> squares -> Root -> numbers -> Squarer"), "{error}");
    let running = start(circle("[subscription.\"Root.squares\"]\npolicy = \"drop-oldest\"\n"));
    while running.counters().iter().all(|line| line.value("sent") < 1000) {
        tokio::task::yield_now().await;
    }
    running.shutdown();
    running.join().await.unwrap();
}

#[tokio::test]
async fn stop_hooks_run_in_reverse_order_after_the_services_and_despite_a_panic() {
    let (sender, events) = channel();
    let (first, second, sink) = (sender.clone(), sender.clone(), sender);
    let builder = Node::builder("main")
        .on_stop(|| async move { first.send(1_000_001).unwrap() })
        .on_stop(|| async { panic!("in a hook") })
        .on_stop(|| async move { second.send(1_000_002).unwrap() })
        .service(|| Source { count: 3 })
        .service(|| Squarer { fault: |_: &_, _| Ok(()) })
        .service(move || Sink(sink.clone()));
    run(builder).await;
    assert_eq!(events.iter().collect::<Vec<_>>(), [0, 1, 4, 1_000_002, 1_000_001]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_hook_that_hangs_is_left_at_the_deadline() {
    let begin = tokio::time::Instant::now();
    let builder = Node::builder("main").on_stop(std::future::pending::<()>);
    run(builder.service(|| Source { count: 1 })).await;
    assert_eq!(begin.elapsed().as_secs(), 10);
}

/// Keeps its subscription over its runs, and fails at one message so often.
struct Keeper {
    numbers: Option<Subscription<Number>>,
    failures: u32,
    seen: Sender<(u64, bool)>,
}

#[service(reads(Number))]
impl Keeper {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let numbers = match &mut self.numbers {
            Some(numbers) => numbers,
            none => none.insert(ctx.subscribe::<Number>()?),
        };
        while let Some(Delivery::Msg(number)) = numbers.recv().await {
            if number.value == 3 && self.failures > 0 {
                self.failures -= 1;
                return Err(Error::msg("with a message in hand"));
            }
            self.seen.send((number.value, number.redelivered()))?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_handle_that_outlives_its_run_loses_no_message_in_hand() {
    let keeper =
        |failures, seen: Sender<_>| move || Keeper { numbers: None, failures, seen: seen.clone() };
    let (sender, seen) = channel();
    let builder = Node::builder("main").topology(patient_with("Keeper"));
    let report = run(builder.service(|| Source { count: 6 }).service(keeper(1, sender))).await;
    let expected = [(0, false), (1, false), (2, false), (3, true), (4, false), (5, false)];
    assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
    conserved(&report.counters);

    let ((sender, seen), (letters_to, letters)) = (channel(), channel());
    let builder = Node::builder("main").topology(patient_with("Keeper"));
    let builder = builder.service(|| Source { count: 6 }).service(keeper(2, sender));
    let report = run(builder.service(move || Undertaker(letters_to.clone()))).await;
    assert_eq!(seen.iter().map(|(value, _)| value).collect::<Vec<_>>(), [0, 1, 2, 4, 5]);
    assert_eq!(letters.iter().map(|letter| letter.sequence).collect::<Vec<_>>(), [3]);
    conserved(&report.counters);
}

#[tokio::test]
async fn what_a_reader_leaves_behind_is_counted() {
    struct Hasty;
    #[service(reads(Number))]
    impl Hasty {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let mut numbers = ctx.subscribe::<Number>()?;
            numbers.recv().await;
            numbers.recv().await;
            Ok(())
        }
    }
    let report =
        run(Node::builder("main").service(|| Source { count: 50 }).service(|| Hasty)).await;
    let feed = report.counters.iter().find(|line| line.label("reader") == "Hasty").unwrap();
    assert_eq!(feed.value("taken"), 1);
    let sent = report.counters.iter().find(|line| line.label("publisher") == "Source").unwrap();
    assert_eq!(sent.value("sent"), 50);
    assert_eq!(feed.value("left") + sent.value("unheard") + 1, 50);
}

#[test]
fn a_runtime_that_ends_first_is_an_error_that_names_the_services() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let running = runtime.block_on(async { start(Node::builder("main").service(|| Endless)) });
    drop(runtime);
    let waiting = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = waiting.block_on(running.join()).unwrap_err().to_string();
    assert_eq!(error, "the executor ended before these services had: Endless");
}

/// Fails at its first run.
struct Fickle<const READS: bool>(Kept<u32>);

#[service(emits(Square))]
impl Fickle<false> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        self.0.commit(|runs| *runs += 1);
        ctx.try_emit(Square { value: 1 })?;
        Err(Error::msg("no luck"))
    }
}

#[service(reads(Number))]
impl Fickle<true> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        if self.0.commit(|runs| {
            *runs += 1;
            *runs
        }) == 1
        {
            return Err(Error::msg("no luck"));
        }
        let mut numbers = ctx.subscribe::<Number>()?;
        while numbers.recv().await.is_some() {}
        Ok(())
    }
}

/// The pause after a failure, longer than the shutdown's deadline.
fn slow(service: &str) -> Topology {
    let text = format!("[service.{service}]\nbackoff = \"1h\"\nlongest_backoff = \"1h\"\n");
    Topology::parse("slow.toml", &text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_cuts_the_pause_of_a_source_which_then_ends_well() {
    let runs = Kept::new(0);
    let factory_runs = runs.clone();
    let builder = Node::builder("main").topology(slow("Fickle"));
    let running = start(builder.service(move || Fickle::<false>(factory_runs.clone())));
    while runs.read(|runs| *runs) == 0 {
        tokio::task::yield_now().await;
    }
    running.shutdown();
    let report = running.join().await.unwrap();
    assert_eq!(report.services[0].outcome, Outcome::Completed);
    assert_eq!(runs.read(|runs| *runs), 1, "no other try");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_cuts_the_pause_of_a_reader_which_then_drains() {
    let runs = Kept::new(0);
    let factory_runs = runs.clone();
    let builder = Node::builder("main").topology(slow("Fickle"));
    let builder = builder.service(|| Source { count: 10 });
    let running = start(builder.service(move || Fickle::<true>(factory_runs.clone())));
    while runs.read(|runs| *runs) == 0 {
        tokio::task::yield_now().await;
    }
    running.shutdown();
    let report = running.join().await.unwrap();
    let feed = report.counters.iter().find(|line| line.label("reader") == "Fickle").unwrap();
    assert_eq!((feed.value("taken"), feed.value("left")), (10, 0));
}

#[tokio::test]
async fn dead_letters_are_read_to_the_end_of_a_shutdown() {
    let (sender, letters) = channel();
    let (builder, _received) = pipeline(0, |_, _| Err(Error::msg("cannot square anything")));
    let running = start(builder.service(move || Undertaker(sender.clone())));
    let mut numbers = running.publisher::<Number>("outside").unwrap();
    for value in 0..3 {
        numbers.try_emit(Number { value }).unwrap();
    }
    running.shutdown();
    running.join().await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.sequence).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn one_file_serves_several_nodes() {
    let text = "[node.a]\nservices = [\"Source\"]\n[node.b]\nservices = [\"Squarer\", \"Sink\"]\n\
                [topic.squares]\ncapacity = 8\n[subscription.\"Sink.squares\"]\npolicy = \"latest\"\n";
    for node in ["a", "b"] {
        let (sender, _received) = channel();
        Node::builder(node)
            .topology(Topology::parse("t.toml", text).unwrap())
            .service(|| Source { count: 1 })
            .service(|| Squarer { fault: |_: &_, _| Ok(()) })
            .service(move || Sink(sender.clone()))
            .build()
            .unwrap();
    }
}

#[test]
fn names_that_labels_cannot_hold_are_refused() {
    for name in ["", "my feed", "a=b", "a\nb"] {
        let refused = Node::builder("main").named_service(name, || Endless).build();
        assert!(matches!(refused, Err(BuildError::Name { .. })), "{name:?}");
    }
}
