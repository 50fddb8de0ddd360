//! Checks that `docs/mistakes.md` quotes real messages: its compile errors come from
//! `core/macros/tests/ui`, its errors of nodes from the programs below, which it names by section
//! titles.

use std::error::Error;
use std::fs;
use std::path::Path;

use mycelium::{Builder, Context, Node, Result, Topology, message, service};
use mycelium_tokio::Tokio;

use crate::support::files_below;
use crate::topology::schema;

#[message(topic = "ticks", id = 1)]
struct Tick {
    price: u64,
}

#[message(topic = "ticks", id = 2)]
struct Quote {
    bid: u64,
    ask: u64,
}

struct Feed;

#[service(emits(Tick))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Tick { price: 1 }).await?;
        Ok(())
    }
}

struct Sum;

#[service(reads(Tick))]
impl Sum {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut ticks = ctx.subscribe::<Tick>()?;
        while ticks.recv().await.is_some() {}
        Ok(())
    }
}

struct Quotes;

#[service(emits(Quote))]
impl Quotes {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Quote { bid: 1, ask: 2 }).await?;
        Ok(())
    }
}

struct Local(std::rc::Rc<u64>);

#[service(emits(Tick))]
impl Local {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit(Tick { price: *self.0 }).await?;
        Ok(())
    }
}

struct Twice;

#[service(reads(Tick))]
impl Twice {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut first = ctx.subscribe::<Tick>()?;
        let mut second = ctx.subscribe::<Tick>()?;
        while first.recv().await.is_some() && second.recv().await.is_some() {}
        Ok(())
    }
}

struct Slow(std::sync::mpsc::Receiver<u64>);

#[service(emits(Tick))]
impl Slow {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        while let Ok(price) = self.0.recv() {
            ctx.emit(Tick { price }).await?;
        }
        Ok(())
    }
}

/// Returns the node of a section.
fn node(title: &str) -> Option<Builder> {
    let node = Node::builder("main");
    let node = match title {
        "Two services of one name" => node.service(|| Feed).service(|| Feed).service(|| Sum),
        "One topic for two messages" => node.service(|| Quotes).service(|| Sum),
        "A topic that nobody reads" => node.service(|| Feed),
        "A service with an `Rc` on a runtime of several threads" => {
            node.service(|| Local(1.into())).service(|| Sum)
        }
        "A misspelt name in the topology" => node.service(|| Feed).service(|| Sum),
        "A subscription that is taken twice" => node.service(|| Feed).service(|| Twice),
        _ => return None,
    };
    Some(node)
}

/// A section of the page: its title, and the lines of its blocks without their margins.
struct Mistake {
    title: String,
    code: Vec<String>,
    topology: String,
    text: Vec<String>,
}

fn page() -> Vec<Mistake> {
    let sections = include_str!("../../docs/mistakes.md").split("\n### ").skip(1);
    let mistakes = sections.map(|section| {
        let block = |kind: &str| {
            let (_, block) = section.split_once(&format!("```{kind}\n"))?;
            Some(block.split("```").next().unwrap_or_default())
        };
        Mistake {
            title: section.lines().next().unwrap_or_default().to_owned(),
            code: trimmed(block("rust").unwrap_or_default()),
            topology: block("toml").unwrap_or_default().to_owned(),
            text: trimmed(block("text").expect("a section quotes what is printed")),
        }
    });
    mistakes.collect()
}

fn trimmed(text: &str) -> Vec<String> {
    text.trim_end().lines().map(|line| line.trim().to_owned()).collect()
}

/// Returns whether a text contains this code.
fn has_code(text: &str, code: &[String]) -> bool {
    trimmed(text).join("\n").contains(&code.join("\n"))
}

#[test]
fn the_page_of_mistakes_quotes_what_the_compiler_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).expect("a readable file");
    let files = files_below(&root.join("core/macros/tests/ui"), "stderr").into_iter();
    let cases: Vec<_> = files.map(|it| (read(&it.with_extension("rs")), read(&it))).collect();
    let mut found = 0;
    for Mistake { title, code, text, .. } in page().iter().filter(|it| is_of_compiler(it)) {
        let is_case = |(source, printed): &&(String, String)| {
            // The page may leave out lines, but keeps their order.
            let mut all = trimmed(printed).into_iter();
            has_code(source, code) && text.iter().all(|line| all.any(|other| other == *line))
        };
        assert!(cases.iter().any(|case| is_case(&case)), "{title}: no case of this error");
        found += 1;
    }
    assert!(found >= 8, "{found} compile errors are on the page");
}

fn is_of_compiler(mistake: &Mistake) -> bool {
    mistake.text[0].starts_with("error")
}

/// Returns the output of a program whose `main` returns the error.
async fn printed(title: &str, topology: &str) -> Result<String, Box<dyn Error>> {
    let topology = match topology {
        "" => None,
        text => Some(Topology::parse("app.toml", text)?),
    };
    let builder = node(title).expect("a node for the section");
    let builder = topology.into_iter().fold(builder, Builder::topology);
    let running = builder.build()?.start(Tokio::current()?)?;
    let warnings = running.start_report().warnings.iter();
    let lines = warnings.map(|warning| format!("mycelium: warning: node `main`: {warning}"));
    let lines = lines.collect::<Vec<_>>().join("\n");
    running.join().await?;
    Ok(lines)
}

/// Errors that need other nodes, threads or processes must begin as in `docs/errors.md`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_mistakes_quotes_what_a_node_prints() {
    let mut found = 0;
    for mistake in page().iter().filter(|mistake| !is_of_compiler(mistake)) {
        let title = &mistake.title;
        assert!(has_code(include_str!("mistakes.rs"), &mistake.code), "{title}: other code");
        if node(title).is_some() {
            // The schema does not know the program, so it accepts the topology.
            schema::check(&mistake.topology, Path::new("docs/mistakes.md"));
            let printed = printed(title, &mistake.topology).await;
            let printed = printed.unwrap_or_else(|error| format!("Error: {error:?}"));
            assert_eq!(mistake.text, trimmed(&printed), "{title}");
        } else {
            let errors = include_str!("../../docs/errors.md");
            let text = mistake.text.join(" ");
            let code = text.trim_end_matches(']').rsplit('[').next().unwrap_or_default();
            let entry = errors.split(&format!("- **{code}** ")).nth(1);
            let begin = entry.and_then(|entry| entry.split_once(".\n")).map(|(begin, _)| begin);
            assert!(begin.is_some_and(|begin| text.contains(begin)), "{title}: another text");
        }
        found += 1;
    }
    assert!(found >= 6, "{found} errors of nodes are on the page");
}
