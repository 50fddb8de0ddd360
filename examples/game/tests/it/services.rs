//! `World` and `Physics` alone, in virtual time.

use std::time::Duration;

use game::messages::{Action, Command, Entity, Order, PLAYERS, SIZE, Tick};
use game::physics::{Physics, RADIUS, way};
use game::world::World;
use mycelium::testing::ServiceTest;

const SECOND: Duration = Duration::from_millis(1001);

fn player(id: u16, place: [f32; 2]) -> Entity {
    Entity { session: id.into(), place, steered: 0, id, score: 0 }
}

/// The newest state of each player and coin, by id.
fn states(test: &mut ServiceTest) -> std::collections::BTreeMap<u16, Entity> {
    test.receive_all::<Entity>().into_iter().map(|entity| (entity.id, entity)).collect()
}

#[test]
fn players_move_collide_collect_coins_and_stay_within_the_walls() {
    let mut test = ServiceTest::new(Physics::default);
    test.advance(SECOND);
    assert_eq!(test.receive_all::<Tick>().len(), 60);
    let coin = states(&mut test)[&PLAYERS];

    // Two are at one place, one runs into a wall, and one comes to a coin.
    let places = [[500.0; 2], [500.0; 2], [SIZE - 50.0, 500.0], coin.place];
    for (id, place) in (0..).zip(places) {
        test.send(Order { player: player(id, place), action: Action::Join });
    }
    let action = Action::Steer { number: 7, way: [1.0, 0.0] };
    test.send(Order { player: player(2, [0.0; 2]), action });
    test.advance(SECOND);
    let now = states(&mut test);
    assert!(way(&now[&0].place, &now[&1].place).1 >= 2.0 * RADIUS - 0.01, "{now:?}");
    assert_eq!((now[&2].place, now[&2].steered), ([SIZE - RADIUS, 500.0], 7));
    assert_eq!(now[&3].score, 1);
    assert_ne!(now[&PLAYERS].place, coin.place, "the coin is elsewhere");

    // A player that exists is not put back to its start.
    test.send(Order { player: player(2, [0.0; 2]), action: Action::Join });
    test.send(Order { player: player(0, [0.0; 2]), action: Action::Leave });
    test.receive_all::<Entity>();
    test.advance(SECOND);
    let now = states(&mut test);
    assert_eq!(now[&2].place, [SIZE - RADIUS, 500.0]);
    assert!(!now.contains_key(&0));
    test.finish().unwrap();
}

#[test]
fn the_world_knows_players_of_before_and_forgets_silent_ones() {
    let mut test = ServiceTest::new(World::default);
    let join = |session| Command { session, action: Action::Join };
    // `Physics` has a player with a score, and coins.
    let known = Entity { score: 5, ..player(3, [100.0; 2]) };
    test.send_all([known, player(PLAYERS, [0.0; 2])]);
    test.send(join(known.session));
    assert_eq!(test.expect::<Order>().player, known);
    test.send(join(9));
    let new = test.expect::<Order>().player;
    assert_eq!((new.session, new.id, new.score), (9, 0, 0));

    // Where the player is then, is where a new `Physics` gets it.
    test.send(Entity { place: [200.0; 2], score: 6, ..known });
    for _ in 0..6 {
        test.advance(SECOND);
        test.send(join(known.session));
    }
    let orders = test.receive_all::<Order>();
    let last = orders.last().map(|order| (order.player.place, order.player.score));
    assert_eq!(last, Some(([200.0; 2], 6)));
    let gone = orders.iter().filter(|order| matches!(order.action, Action::Leave));
    assert_eq!(gone.map(|order| order.player.session).collect::<Vec<_>>(), [9]);

    // A command of a player that is unknown has no effect.
    test.send(Command { session: 9, action: Action::Steer { number: 1, way: [1.0, 0.0] } });
    assert!(test.receive::<Order>().is_none());
    test.finish().unwrap();
}
