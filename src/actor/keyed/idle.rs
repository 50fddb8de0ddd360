//! The clock by which idle actors are passivated: one task and one timer for all keys.
//!
//! Each actor has a counter of the ticks in which it has handled nothing. The clock increments it.
//! The actor's task sets it to zero whenever it has handled messages and waits for more. So a
//! message costs nothing, and an idle actor needs no timer.

use std::hash::Hash;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{Either, select};
use mycelium_core::channel::Queue;
use mycelium_executor::{Executor, SendFuture, yield_now};

use super::map::Map;
use crate::actor::life::Actor;

/// The number of ticks without a message after which an actor is idle.
const TICKS: u8 = 4;

/// The shortest time between two ticks.
const SHORTEST: Duration = Duration::from_millis(1);

/// Returns the task of the clock. It ends when the last handle is gone.
pub(super) fn clock<K, A, Q>(map: &Arc<Map<K, A, Q>>, idle: Duration) -> SendFuture<()>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    A: Actor,
    Q: Queue,
{
    let (executor, is_released) = (map.plan.set.executor.clone(), map.is_released.clone());
    let (map, tick) = (Arc::downgrade(map), (idle / u32::from(TICKS)).max(SHORTEST));
    Box::pin(async move {
        let mut next = executor.now();
        loop {
            // Skips ticks that are already in the past.
            next = next.max(executor.now()).saturating_add(tick);
            let sleep = executor.sleep_until(next);
            if let Either::Left(_) = select(pin!(is_released.wait()), sleep).await {
                return;
            }
            if !pass(&map).await {
                return;
            }
        }
    })
}

/// Runs one tick. Returns whether the clock continues.
async fn pass<K, A, Q>(map: &Weak<Map<K, A, Q>>) -> bool
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    A: Actor,
    Q: Queue,
{
    let mut idle = Vec::new();
    let parts = map.upgrade().map(|map| map.parts()).unwrap_or_default();
    for part in parts {
        let Some(map) = map.upgrade() else { return false };
        map.visit(part, |(_, cell)| {
            if cell.core.tick(TICKS) {
                idle.push(cell.clone());
            }
        });
        // Notifies the actors after the lock is released, because each call wakes a task.
        idle.drain(..).for_each(|cell| cell.core.suggest_passivation());
        drop(map);
        yield_now().await;
    }
    map.upgrade().is_some_and(|map| !map.plan.set.is_closing())
}
