//! Services in tests: without threads, and without waiting.

use __NAME__::{Average, Mean, Price, node};
use mycelium::Topology;
use mycelium::testing::ServiceTest;

#[test]
fn ten_prices_make_an_average() {
    let mut test = ServiceTest::new(|| Mean);
    test.send_all((1..=19).map(|cents| Price { cents }));
    assert_eq!(test.receive::<Average>(), Some(Average { cents: 5 }));
    assert_eq!(test.receive::<Average>(), None);
    test.finish().unwrap();
}

#[test]
fn the_topology_fits_the_services() {
    for name in ["market", "mean", "chart"] {
        node(name, Topology::load("processes.toml").unwrap()).build().unwrap();
    }
}
