//! How services are executed.

use mycelium_core::wait::WaitStrategy;
use mycelium_executor::{Class, PlacementFallback};

use super::*;
use crate::supervise::execution::Execution;

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
    // An execution is shown in the form of a section.
    let shown = coded.to_string().replace(", ", "\n").replace("1\n3", "1, 3");
    assert_eq!(execution(&shown, Execution::default()), coded);
}
