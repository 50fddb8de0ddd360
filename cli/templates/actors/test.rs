//! An actor in a test: without threads, and without waiting.

use __NAME__::{Account, node};
use mycelium::Topology;
use mycelium::testing::TestActors;

#[test]
fn an_account_has_never_less_than_nothing() {
    let actors = TestActors::new();
    let mut account = actors.spawn(|| Account { cents: 7 });
    assert_eq!(account.call(|account| account.book(3)), Ok(Some(10)));
    assert_eq!(account.call(|account| account.book(-11)), Ok(None));
    assert_eq!(account.call(|account| account.book(-10)), Ok(Some(0)));
}

#[test]
fn the_topology_fits_the_services() {
    node("main", Topology::load("main.toml").unwrap()).build().unwrap();
}
