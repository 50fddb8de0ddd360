//! A message that kills its reader each time: it becomes a dead letter at the third death, and all
//! other messages arrive.

use std::collections::BTreeMap;
use std::fs;
use std::process::abort;
use std::sync::Arc;
use std::time::Duration;

use mycelium::supervision::Restart;
use mycelium::{Context, DeadLetter, Delivery, Node, Result, Topology, message, service};
use mycelium_bundle::{BundleEvent, MemberPhase};
use mycelium_tokio::Tokio;

use super::launch::{self, PATIENCE};
use super::records::{Log, Record, file, read};
use super::roles::{self, Me};
use crate::support::Directory;

const TOPOLOGY: &str = r#"
[node.feed]
services = ["Feed", "Undertaker"]
[node.eater]
services = ["Eater"]
[topic.food]
capacity = 64
dead_letter_after = 3
[link.default]
retry = "5ms"
window = "8KiB"
"#;

const COUNT: u64 = 1000;
/// The message that kills the eater.
const POISON: u64 = 321;

#[message(topic = "food", id = 10)]
struct Food {
    number: u64,
}

struct Feed;

#[service(emits(Food))]
impl Feed {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for number in 0..COUNT {
            ctx.emit(Food { number }).await?;
        }
        ctx.confirmed().await;
        Ok(())
    }
}

struct Eater(Arc<Log>);

#[service(reads(Food))]
impl Eater {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut food = ctx.subscribe::<Food>()?;
        while let Some(delivery) = food.recv().await {
            self.0.delivery(&delivery, |food: &Food| (0, food.number, true))?;
            if matches!(&delivery, Delivery::Msg(food) if food.number == POISON) {
                abort();
            }
        }
        self.0.put(Record::End)?;
        Ok(())
    }
}

/// Records dead letters.
struct Undertaker(Arc<Log>);

#[service(reads(DeadLetter))]
impl Undertaker {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut letters = ctx.subscribe::<DeadLetter>()?;
        while let Some(delivery) = letters.recv().await {
            let Some(letter) = delivery.message() else { continue };
            self.0.put(Record::Sent(letter.sequence))?;
        }
        Ok(())
    }
}

/// Runs a member of this bundle, if this process is one; returns at once in the test run itself.
#[test]
fn enter() {
    let Some(me) = Me::of_environment() else { return };
    let log = me.log("food");
    let topology = Topology::parse("poison.toml", TOPOLOGY).unwrap();
    let topology = topology.in_directory(roles::sockets(&me.place));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let letters = log.clone();
        let node = Node::builder(&me.member)
            .topology(topology)
            .service(|| Feed)
            .service(move || Undertaker(letters.clone()))
            .service(move || Eater(log.clone()));
        node.build().unwrap().run(Tokio::current().unwrap()).await.unwrap();
    });
}

#[test]
fn only_the_message_that_kills_its_reader_is_dead_lettered() {
    let Directory(place) = &Directory::new("poison");
    fs::create_dir(place).unwrap();
    let (mut bundle, events) = launch::observed();
    let (backoff, longest) = (Duration::from_millis(5), Duration::from_millis(20));
    let restart = Restart { limit: 10, window: PATIENCE, backoff, longest };
    for name in ["feed", "eater"] {
        let member = launch::member(place, name, "crashes::poison::enter");
        bundle = bundle.member(member.restart(restart));
    }
    let report = bundle.run().unwrap();
    let completed = report.members.iter().all(|member| member.phase == MemberPhase::Completed);
    assert!(completed, "{report:?}");
    let is_death = |event: &BundleEvent| matches!(event, BundleEvent::Exited { status, .. } if !status.success());
    assert_eq!(events.try_iter().filter(is_death).count(), 3);

    let letters = read(&file(place, "feed", 0, "food"), 0);
    assert_eq!(letters, [Record::Sent(POISON)]);
    let mut came: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut next, mut missed) = (0, Vec::new());
    for life in 0..4 {
        let mut last = None;
        for record in read(&file(place, "eater", life, "food"), 0) {
            match record {
                Record::Got { number, again, .. } => {
                    assert!(last.is_none_or(|last| number > last), "{number} after {last:?}");
                    assert!(again || number >= next, "{number} again without a mark");
                    last = Some(number);
                    *came.entry(number).or_default() += 1;
                }
                Record::Gap { count, exact, .. } => missed.push((life, count, exact)),
                _ => {}
            }
        }
        next = last.map_or(next, |last| next.max(last + 1));
    }
    assert_eq!(missed, [(3, 1, true)], "a gap reports it to the process after the third death");
    assert_eq!(came.keys().copied().collect::<Vec<_>>(), (0..COUNT).collect::<Vec<_>>());
    assert_eq!(came[&POISON], 3);
}
