//! `World` knows who plays.
//!
//! Its state is soft: a client is there as long as its `Join` is repeated, and each of them goes on
//! to `Physics`. So each service may lose its state, and gets it back within a second.

use std::collections::HashMap;
use std::time::Duration;

use mycelium::{Context, Delivery, Result, service};

use crate::messages::{Action, Command, Entity, Order, PLAYERS, SIZE};

/// A player whose client has not been there for this long is removed.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct World {
    /// By session: the player, as it was at most a second ago, and when its client was there.
    players: HashMap<u64, (Entity, Duration)>,
}

#[service(reads(Command, Entity), emits(Order))]
impl World {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut commands = ctx.subscribe::<Command>()?;
        let mut entities = ctx.subscribe::<Entity>()?;
        let mut second = ctx.interval(Duration::from_secs(1))?;
        let mut ignored = ctx.metrics().counter("commands_ignored")?;
        // After a restart the players are those that `Physics` has. Their states are retained, so
        // all of them come at once, with those of the coins. Before them may be a gap: what the
        // last process has missed.
        let mut state = entities.recv().await;
        while let Some(Delivery::Gap(_)) = state {
            state = entities.recv().await;
        }
        while let Some(delivery) = state {
            if let Some(entity) = delivery.message().filter(|entity| entity.id < PLAYERS) {
                self.players.insert(entity.session, (entity, ctx.now()));
            }
            state = entities.try_recv().delivery();
        }
        loop {
            tokio::select! {
                delivery = commands.recv() => match delivery {
                    None => break,
                    Some(Delivery::Gap(gap)) => ctx.warn("missed commands", gap),
                    Some(Delivery::Msg(command)) => match self.obey(command.into_inner(), ctx) {
                        Some(order) => ctx.emit(order).await?,
                        None => ignored.increment(),
                    },
                },
                Ok(()) = second.tick() => {
                    while let Some(delivery) = entities.try_recv().delivery() {
                        let Some(entity) = delivery.message() else { continue };
                        if let Some((player, _)) = self.players.get_mut(&entity.session) {
                            *player = entity;
                        }
                    }
                    let last = ctx.now().saturating_sub(GRACE);
                    for (_, (player, _)) in self.players.extract_if(|_, (_, at)| *at < last) {
                        ctx.emit(Order { player, action: Action::Leave }).await?;
                    }
                }
            }
        }
        entities.unsubscribe();
        Ok(())
    }
}

impl World {
    /// Returns the order to `Physics`; `None` if the player is unknown, or the world is full.
    fn obey(&mut self, command: Command, ctx: &mut Context<Self>) -> Option<Order> {
        let Command { session, action } = command;
        match action {
            Action::Join if !self.players.contains_key(&session) => {
                let is_free = |id: &u16| self.players.values().all(|(player, _)| player.id != *id);
                let id = (0..PLAYERS).find(is_free)?;
                let place = [(); 2].map(|()| (ctx.random() % SIZE as u64) as f32);
                let player = Entity { session, place, steered: 0, id, score: 0 };
                self.players.insert(session, (player, ctx.now()));
            }
            Action::Join => self.players.get_mut(&session)?.1 = ctx.now(),
            Action::Steer { .. } => {}
            Action::Leave => {
                let (player, _) = self.players.remove(&session)?;
                return Some(Order { player, action });
            }
        }
        let (player, _) = *self.players.get(&session)?;
        Some(Order { player, action })
    }
}
