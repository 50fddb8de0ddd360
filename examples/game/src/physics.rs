//! `Physics` moves the entities, 60 times a second.

use std::time::Duration;

use mycelium::{Context, Delivery, Result, service};

use crate::messages::{Action, ENTITIES, Entity, Order, PLAYERS, SIZE, Tick};

/// The time between two ticks, in nanoseconds.
pub const TICK: u64 = 16_666_667;
/// The most that a player moves in a tick.
const SPEED: f32 = 4.0;
/// The radius of a player, and of a coin.
pub const RADIUS: f32 = 10.0;

#[derive(Default)]
pub struct Physics {
    players: Vec<Player>,
    coins: Vec<Entity>,
}

struct Player {
    state: Entity,
    /// How far it moves in a tick, now and when it has done what its client wants.
    speed: [f32; 2],
    wanted: [f32; 2],
}

#[service(reads(Order), emits(Entity, Tick))]
impl Physics {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut orders = ctx.subscribe::<Order>()?;
        let coin = |id| Entity { session: 0, place: place(ctx), steered: 0, id, score: 0 };
        self.coins = (PLAYERS..ENTITIES).map(coin).collect();
        let (mut clock, begin) = (ctx.interval(Duration::from_nanos(TICK))?, ctx.now());
        let (mut number, mut states) = (0, Vec::new());
        loop {
            let skipped = clock.skipped();
            tokio::select! {
                delivery = orders.recv() => match delivery {
                    None => return Ok(()),
                    Some(Delivery::Gap(gap)) => ctx.warn("missed orders", gap),
                    Some(Delivery::Msg(order)) => self.obey(order.into_inner(), ctx),
                },
                Ok(()) = clock.tick() => {
                    let due = begin + Duration::from_nanos(TICK * (number + skipped + 1));
                    let started = ctx.now();
                    self.step(ctx);
                    let work = (ctx.now() - started).as_micros() as u32;
                    states.clear();
                    states.extend(self.players.iter().map(|player| player.state));
                    states.extend(&self.coins);
                    ctx.emit_batch(&states).await?;
                    let published = ctx.now().saturating_sub(due).as_micros() as u32;
                    ctx.emit(Tick { number, skipped, work, published }).await?;
                    number += 1;
                }
            }
        }
    }
}

impl Physics {
    fn obey(&mut self, Order { player: state, action }: Order, ctx: &mut Context<Self>) {
        let index = self.players.iter().position(|player| player.state.id == state.id);
        match (action, index) {
            (Action::Leave, Some(index)) => {
                self.players.swap_remove(index);
                ctx.forget::<Entity>(state.id);
            }
            (Action::Steer { number, way }, Some(index)) => {
                self.players[index].state.steered = number;
                self.players[index].wanted = way.map(|way| way * SPEED);
            }
            (Action::Join, None) => {
                self.players.push(Player { state, speed: [0.0; 2], wanted: [0.0; 2] });
            }
            // A player that joins is there already, or one that steers or leaves has gone.
            _ => {}
        }
    }

    /// Moves all entities by one tick.
    fn step(&mut self, ctx: &mut Context<Self>) {
        for Player { state, speed, wanted } in &mut self.players {
            for axis in 0..2 {
                speed[axis] += (wanted[axis] - speed[axis]) * 0.2;
                state.place[axis] += speed[axis];
            }
        }
        // 500 players are 125,000 pairs. The whole tick takes less than a millisecond.
        for index in 1..self.players.len() {
            let (others, rest) = self.players.split_at_mut(index);
            let one = &mut rest[0].state.place;
            for other in others.iter_mut().map(|other| &mut other.state.place) {
                let (way, distance) = way(one, other);
                if distance < 2.0 * RADIUS {
                    let half = RADIUS - distance / 2.0;
                    for axis in 0..2 {
                        one[axis] -= way[axis] * half;
                        other[axis] += way[axis] * half;
                    }
                }
            }
        }
        for Player { state, .. } in &mut self.players {
            state.place = state.place.map(|place| place.clamp(RADIUS, SIZE - RADIUS));
            for coin in &mut self.coins {
                if way(&state.place, &coin.place).1 < 2.0 * RADIUS {
                    coin.place = place(ctx);
                    state.score = state.score.saturating_add(1);
                }
            }
        }
    }
}

/// Returns the direction from one place to another, as a vector of length 1, and their distance.
pub fn way(one: &[f32; 2], other: &[f32; 2]) -> ([f32; 2], f32) {
    let (x, y) = (other[0] - one[0], other[1] - one[1]);
    let distance = x.hypot(y);
    // Between two players at one place any direction is right.
    (if distance > 0.0 { [x / distance, y / distance] } else { [1.0, 0.0] }, distance)
}

/// Returns a random place.
fn place(ctx: &mut Context<Physics>) -> [f32; 2] {
    [(); 2].map(|()| RADIUS + (ctx.random() % (SIZE - 2.0 * RADIUS) as u64) as f32)
}
