//! How services are executed, and what happens when a reader is too slow.

use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{Class, PlacementFallback};
use mycelium_transports::local::OnStall;

use super::*;
use crate::execution::{Execution, Run};

fn execution(section: &str, coded: Execution) -> Execution {
    let text = format!("[service.A]\n{section}");
    Topology::parse("t.toml", &text).unwrap().execution("A", coded).unwrap()
}

#[test]
fn a_service_is_executed_as_its_section_says() {
    let said = execution(
        "run = \"pinned(1, 3)\"\nwait = \"spin-then-park(500)\"\nthread = \"engine\"\nclass = \"fifo(10)\"\n\
         if_refused = \"warn\"\nbudget = 16\nexecutor = \"smol\"\nshares = 70\nlatency = \"2ms\"\n",
        Execution::default(),
    );
    let coded = Execution::pinned([1, 3])
        .wait(WaitStrategy::SpinThenPark(500))
        .thread("engine")
        .class(Class::Fifo(10))
        .if_refused(PlacementFallback::Warn)
        .budget(16)
        .on("smol")
        .shares(70)
        .latency(Duration::from_millis(2));
    assert_eq!(said, coded);
    assert_eq!(execution("", coded.clone()), coded);
    // What an execution shows is what a section says.
    assert_eq!(
        execution(
            &coded.to_string().replace(", ", "\n").replace("1\n3", "1, 3"),
            Execution::default()
        ),
        coded
    );
}

#[test]
fn a_threshold_is_a_percentage() {
    let of = |value: &str| format!("[topic.ticks]\nbackpressure_threshold = {value}\n");
    for (value, percent) in [("\"80%\"", 80), ("\"1 %\"", 1), ("\"100%\"", 100)] {
        let topology = Topology::parse("t.toml", &of(value)).unwrap();
        assert_eq!(topology.threshold("ticks"), Threshold::percent(percent));
        assert_eq!(topology.threshold("others"), None);
    }
    for value in ["\"0%\"", "\"80\"", "\"-1%\"", "80", "0.8"] {
        assert!(Topology::parse("t.toml", &of(value)).is_err(), "{value}");
    }
}

#[test]
fn a_stall_rule_is_a_word_or_a_time() {
    let of = |value: &str| format!("[topic.ticks]\non_stall = {value}\n");
    let rule = |value| Topology::parse("t.toml", &of(value)).unwrap().on_stall("ticks");
    assert_eq!(rule("\"block\""), Some(OnStall::Block));
    let time = Duration::from_millis(1_500);
    assert_eq!(rule("{ evict_after = \"1500ms\" }"), Some(OnStall::EvictAfter(time)));
    assert_eq!(Topology::parse("t.toml", "").unwrap().on_stall("ticks"), None);
    for value in ["\"5s\"", "5", "{}", "{ evict_after = \"5s\", block = 1 }"] {
        assert!(Topology::parse("t.toml", &of(value)).is_err(), "{value}");
    }
}

#[test]
fn the_file_wins_over_the_program_key_by_key() {
    let coded =
        Execution::pinned([1]).wait(WaitStrategy::Spin).thread("engine").class(Class::Fifo(10));
    let said = execution("run = \"dedicated\"\nbudget = 7\n", coded.clone());
    assert_eq!(said, Execution { run: Run::Dedicated, budget: 7, ..coded.clone() });
    let said = execution("wait = \"park\"\nclass = \"normal\"\n", coded.clone());
    assert_eq!(said, Execution::pinned([1]).thread("engine"));
    // Without an own thread, the settings for that thread are gone.
    assert_eq!(
        execution("run = \"shared\"\n", coded).wait(WaitStrategy::Park),
        Execution::shared()
    );
}

#[test]
fn executions_that_make_no_sense_are_refused_with_their_place() {
    for (key, value) in [("thread", "x"), ("class", "fifo(1)"), ("if_refused", "warn")] {
        let text = format!("[service.A]\nrun = \"shared\"\n{key} = \"{value}\"\n");
        assert!(error(&text).starts_with("t.toml:3:"));
        let topology = text.replace("run = \"shared\"\n", "");
        let topology = Topology::parse("t.toml", &topology).unwrap();
        assert_eq!(topology.execution("A", Execution::shared()).unwrap_err().line(), 2);
        assert!(topology.execution("A", Execution::dedicated()).is_ok(), "the program says where");
    }
}
