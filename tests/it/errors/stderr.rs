//! What a program without a `tracing` subscriber prints to standard error, and that one with a
//! subscriber prints nothing twice. Each program is a process: this test binary, in another role.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use mycelium::execution::{Execution, PlacementFallback};
use mycelium::observe::Event;
use mycelium::{Context, DeadLetter, Delivery, Error, Node, Policy, Result, Topology, service};
use mycelium_bundle::{Bundle, Member};
use mycelium_tokio::Tokio;

use crate::node::services::{ENDLESS, Number, Square};
use crate::running::{end, main_with, run, start};
use crate::support::in_role;

const ROLE: &str = "MYCELIUM_TEST_ROLE";
/// The longest wait for a line.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns this program in another role, with its standard error in a pipe.
fn program(role: &str) -> Child {
    let mut program = in_role("errors::stderr::program_in_a_role");
    program.env(ROLE, role);
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Returns the lines of the runtime that a role prints to standard error, without panics.
fn lines(role: &str) -> Vec<String> {
    let output = program(role).wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    text.lines().filter(|line| line.contains("mycelium")).map(str::to_owned).collect()
}

#[tokio::test]
#[ignore = "not a test: the program that the tests start"]
async fn program_in_a_role() {
    match &*env::var(ROLE).unwrap_or_default() {
        "faulty" => faulty().await,
        #[cfg(feature = "logs")]
        "faulty-with-logs" => {
            assert!(mycelium::init());
            assert!(!mycelium::init(), "a second call does nothing");
            faulty().await;
        }
        "lonely" => lonely().await,
        "held" => held().await,
        "deaf" => deaf().await,
        "late" => late().await,
        "unread" => unread().await,
        "idle" => idle().await,
        "bundle" => {
            let member = Member::new("sink", || Command::new("/nowhere/sink"));
            Bundle::new().member(member).run().unwrap_err();
        }
        #[cfg(feature = "logs")]
        "logs-after-another" => {
            tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::new())
                .unwrap();
            assert!(!mycelium::init());
            faulty().await;
        }
        _ => {}
    }
}

/// Logs, fails, panics, fails for ever.
struct Source {
    runs: u32,
}

#[service(emits(Number))]
impl Source {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        self.runs += 1;
        if self.runs == 1 {
            ctx.info("nobody sees this", ());
            ctx.warn("missed ticks", 3);
            ctx.error("the exchange is silent", ());
            return Err(Error::msg("no luck,\nfor now"));
        }
        ctx.emit(Number { value: 7 }).await?;
        Ok(())
    }
}

struct Sink;

#[service(reads(Number))]
impl Sink {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        match numbers.recv().await {
            Some(Delivery::Msg(_)) => panic!("cannot count"),
            _ => Ok(()),
        }
    }
}

/// Waits for the dead letter, then fails for ever.
struct Undertaker;

#[service(reads(DeadLetter))]
impl Undertaker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut letters = ctx.subscribe::<DeadLetter>()?;
        letters.recv().await;
        ctx.subscribe::<DeadLetter>()?;
        Ok(())
    }
}

async fn faulty() {
    let topology = "[service.Source]\nbackoff = \"1us\"\n[service.Sink]\nbackoff = \"1us\"\n";
    let warn = PlacementFallback::Warn;
    let node = main_with(topology)
        .service(|| Source { runs: 0 })
        .service(|| Sink)
        .service(|| Undertaker)
        .execution("Undertaker", Execution::pinned([100_000]).if_refused(warn));
    start(node).join().await.unwrap_err();
}

/// A pause differs each time, and a place with each edit.
fn without(mark: &str, line: &str) -> String {
    match line.split_once(mark) {
        Some((start, rest)) => format!("{start}(..){}", rest.split_once(')').unwrap().1),
        None => line.to_owned(),
    }
}

#[test]
fn without_a_subscriber_each_warning_and_error_is_one_plain_line() {
    let mut lines: Vec<_> = lines("faulty").iter().map(|line| without("(pause=", line)).collect();
    // Services run in any order.
    lines.sort();
    let cores = lines.iter().position(|line| line.contains("100000")).unwrap();
    let refused = lines.remove(cores);
    let start = "mycelium: warning: service `Undertaker` runs on thread `Undertaker` of `tokio`";
    let is_whole = refused.starts_with(start) && refused.contains("; refused: core 100000 does");
    assert!(is_whole, "{refused}");
    assert_eq!(
        lines,
        [
            "mycelium: error: service `Sink` failed at each delivery of a message, which is now a dead letter \
             (topic=numbers, publisher=Source, sequence=0) [M0338]",
            "mycelium: error: service `Source`: the exchange is silent",
            "mycelium: error: service `Undertaker` failed permanently, and the node shuts down: \
             subscription `Undertaker.mycelium.dead-letters` is taken: call `subscribe` once and keep its result, \
             or drop that before you subscribe again [M0210]",
            "mycelium: warning: service `Sink` failed and will be restarted (..): panic: cannot count \
             (at tests/it/errors/stderr.rs:98:39) [M0054]",
            "mycelium: warning: service `Sink` failed and will be restarted (..): panic: cannot count \
             (at tests/it/errors/stderr.rs:98:39) [M0054]",
            "mycelium: warning: service `Source` failed and will be restarted (..): no luck,\\nfor now [M0054]",
            "mycelium: warning: service `Source`: missed ticks (details=3)",
        ]
    );
}

#[test]
#[cfg(feature = "logs")]
fn with_a_subscriber_nothing_is_printed_twice() {
    let lines = lines("faulty-with-logs");
    assert!(!lines.iter().any(|line| line.starts_with("mycelium: ")), "{lines:#?}");
    for text in ["missed ticks", "the exchange is silent", "nobody sees this", "no luck"] {
        let with = lines.iter().filter(|line| line.contains(text)).count();
        assert_eq!(with, 1, "{text}: {lines:#?}");
    }
    assert!(!lines.concat().contains('\u{1b}'), "no colours in a pipe");
}

#[test]
#[cfg(feature = "logs")]
fn a_subscriber_that_drops_everything_is_respected() {
    assert_eq!(lines("logs-after-another"), [""; 0]);
}

/// Fails once during a shutdown, and ends without its last message.
async fn late() {
    struct Late(bool);
    #[service(reads(Number))]
    impl Late {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            ctx.shutdown_requested().await;
            if std::mem::take(&mut self.0) {
                return Err(Error::msg("no luck"));
            }
            ctx.subscribe::<Number>()?.recv().await;
            Ok(())
        }
    }
    tokio::time::pause();
    let topology = "[service.Late]\nbackoff = \"1h\"\nmax_backoff = \"1h\"\n";
    let running = start(main_with(topology).service(|| Late(true)));
    let mut numbers = running.publisher::<Number>("outside").unwrap();
    numbers.try_emit(Number { value: 1 }).unwrap();
    numbers.try_emit(Number { value: 2 }).unwrap();
    end(running).await;
}

#[test]
fn lines_of_a_shutdown_have_the_pause_and_each_message_that_is_left() {
    assert_eq!(
        lines("late")[1..],
        [
            "mycelium: warning: service `Late` failed and will be restarted (pause=100ms): no luck [M0054]",
            "mycelium: warning: service `Late` ended without receiving all messages \
             (subscription=Late.numbers, left=1)",
        ]
    );
}

/// A topic that only code outside the services reads, subscribed after the start, and one that
/// nobody reads.
async fn unread() {
    struct Writes;
    #[service(emits(Number, Square))]
    impl Writes {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            ctx.shutdown_requested().await;
            ctx.emit(Number { value: 7 }).await.unwrap_err();
            Ok(())
        }
    }
    tokio::time::pause();
    let running = start(Node::builder("main").service(|| Writes));
    let numbers = running.subscribe::<Number>("outside", Policy::Block).unwrap();
    // The time is paused: it jumps to this moment.
    tokio::time::sleep(Duration::from_secs(60)).await;
    end(running).await;
    drop(numbers);
}

#[test]
fn a_topic_without_a_reader_is_reported_unless_code_outside_the_services_reads_it() {
    assert_eq!(
        lines("unread"),
        ["mycelium: warning: node `main`: topic `squares` has no reader: `Writes` publishes it, \
             but no service that a node runs subscribes to it: add one with `reads(Square)`, or \
             call `Node::subscribe`"]
    );
}

/// Does not take its subscription, and has a task that panics.
async fn idle() {
    struct Idle;
    #[service(reads(Number))]
    impl Idle {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let task = ctx.spawn(async { panic!("no price") });
            ctx.sleep(Duration::from_secs(6)).await?;
            let ended: Result<(), _> = task.await;
            ctx.warn("the task", ended.unwrap_err());
            Ok(())
        }
    }
    tokio::time::pause();
    run(Node::builder("main").service(|| Source { runs: 1 }).service(|| Idle)).await;
}

#[test]
fn a_subscription_that_is_not_taken_and_a_task_that_panics_are_reported() {
    let lines: Vec<_> = lines("idle").iter().map(|line| without("(place=", line)).collect();
    assert_eq!(
        lines,
        [
            "mycelium: error: service `Idle`: a task of the service panicked (..): no price [M0054]",
            "mycelium: warning: subscription `Idle.numbers` was declared, but not taken within 5s: \
             its publishers wait when its rings are full; call `subscribe` in `run`, or do not declare it",
            "mycelium: warning: service `Idle`: the task (details=the work panicked, or was dropped \
             before it finished [M0064])",
            "mycelium: warning: service `Idle` ended without receiving all messages \
             (subscription=Idle.numbers, left=1)",
        ]
    );
}

/// Reads from a node that does not run. A poll of it hangs until that was reported.
async fn lonely() {
    struct Lonely(Option<std::sync::mpsc::Receiver<()>>);
    #[service(reads(Number))]
    impl Lonely {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            self.0.take().unwrap().recv()?;
            let mut numbers = ctx.subscribe::<Number>()?;
            numbers.recv().await;
            Ok(())
        }
    }
    let topology = "[node.far]\nservices = [\"Source\"]\nsocket = \"/no/such/directory/far.sock\"\n\
                    [node.near]\nservices = [\"Lonely\"]\nwatchdog = \"1ms\"\n";
    let (report, reported) = channel();
    let mut reported = Some(reported);
    let node = Node::builder("near")
        .topology(Topology::parse("t.toml", topology).unwrap())
        .service(|| Source { runs: 0 })
        .service(move || Lonely(reported.take()))
        .execution("Lonely", Execution::dedicated())
        .observe(move |event| {
            if let Event::PollHangs { .. } = event {
                report.send(()).unwrap();
            }
        });
    run(node).await;
}

/// Fills the queue of a reader that takes nothing.
async fn held() {
    struct Keeps;
    #[service(reads(Number))]
    impl Keeps {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let _numbers = ctx.subscribe::<Number>()?;
            std::future::pending().await
        }
    }
    run(Node::builder("main").named_service("Fills", || ENDLESS).service(|| Keeps)).await;
}

/// A program that does not end by itself prints lines with these starts.
fn prints(role: &str, mut expected: Vec<&str>) {
    let mut program = program(role);
    let stderr = BufReader::new(program.stderr.take().unwrap());
    let (send, printed) = channel();
    let reading = std::thread::spawn(move || {
        stderr.lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
    });
    while let Ok(line) = printed.recv_timeout(PATIENCE) {
        if let Some(place) = expected.iter().position(|start| line.starts_with(start)) {
            expected.remove(place);
        }
        if expected.is_empty() {
            break;
        }
        assert!(!line.contains("panicked"), "{line}");
    }
    program.kill().unwrap();
    program.wait().unwrap();
    reading.join().unwrap();
    assert_eq!(expected, [""; 0], "these lines are missing");
}

#[test]
fn links_and_the_watchdog_print_lines_too() {
    let hangs = "mycelium: warning: service `Lonely`: a poll of the service hangs: nothing else \
                 runs on its thread (limit=1ms) [M0065]";
    let ended = "mycelium: warning: service `Lonely`: a poll of the service has ended, after it \
                 hung (";
    let far = "mycelium: warning: node `near`: cannot connect to node `far`: no process listens at \
               `/no/such/directory/far.sock`: No such file or directory (os error 2); next attempt \
               in ";
    prints("lonely", vec![hangs, ended, far]);
}

#[test]
fn a_reader_that_is_waited_for_is_named_again_with_the_time() {
    let first = "mycelium: warning: service `Fills` waits in `emit` for room: this reader has not \
                 taken its messages (topic=numbers, reader=Keeps, seconds=1) [M0229]";
    let again = "mycelium: warning: service `Fills` waits in `emit` for room: this reader has not \
                 taken its messages (topic=numbers, reader=Keeps, seconds=";
    prints("held", vec![first, again]);
}

#[test]
fn a_bundle_that_nobody_observes_prints_failures() {
    assert_eq!(
        lines("bundle"),
        [
            "mycelium: warning: member `sink` did not start: \
             cannot run `/nowhere/sink`: No such file or directory (os error 2)",
            "mycelium: error: member `sink` failed permanently",
        ]
    );
}

/// Ignores the shutdown.
#[expect(clippy::print_stderr, reason = "the test reads it")]
async fn deaf() {
    struct Deaf;
    #[service()]
    impl Deaf {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            ctx.warn("running", ());
            ctx.shutdown_requested().await;
            ctx.warn("asked to end", ());
            std::future::pending().await
        }
    }
    let node = Node::builder("main").service(|| Deaf).build().unwrap();
    let error = node.run(Tokio::current().unwrap()).await.unwrap_err();
    eprintln!("mycelium ended: {error:?}");
}

#[test]
fn a_second_signal_is_the_deadline_and_the_error_says_so() {
    let mut program = program("deaf");
    let interrupt = |program: &Child| {
        let status = Command::new("kill").args(["-INT", &program.id().to_string()]).status();
        assert!(status.unwrap().success());
    };
    let mut lines = BufReader::new(program.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut until = |text: &str| {
        let found = lines.find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("the program does not print `{text}`"))
    };
    until("service `Deaf`: running");
    interrupt(&program);
    until("service `Deaf`: asked to end");
    // Those that come too soon are the same request.
    while program.try_wait().unwrap().is_none() {
        interrupt(&program);
    }
    let line = until("mycelium ended");
    assert!(line.starts_with("mycelium ended: abandoned at the second signal: Deaf;"), "{line}");
    assert!(program.wait().unwrap().success());
}

#[cfg(all(target_os = "linux", feature = "logs"))]
#[test]
fn lines_that_cannot_be_written_change_nothing() {
    for role in ["faulty", "faulty-with-logs"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut program = in_role("errors::stderr::program_in_a_role");
        program.env(ROLE, role).stdin(Stdio::null()).stdout(Stdio::null());
        assert!(program.stderr(full).status().unwrap().success(), "{role}");
    }
}
