//! A library of actors, which is a column.

use super::state::Plan;
use crate::affinity::Cores;

/// The threads of a runtime.
#[derive(Clone, Debug)]
pub(crate) enum Threads {
    /// One, with everything on it.
    One,
    /// Two workers, each on a core, that take each other's tasks.
    Workers(Cores),
}

/// A library of actors, or what a program uses in its place.
pub(crate) trait Library: 'static {
    /// The name of its columns.
    const NAME: &'static str;

    /// The set in which actors are spawned.
    type World: Send + Sync + 'static;

    /// The address of an actor that counts.
    type Counter: Clone + Send + 'static;

    /// Runs `body` as a task of a runtime that this library is made for, and returns its result.
    /// Actors that are left end with the runtime.
    fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        threads: Threads,
        body: impl FnOnce(Self::World) -> F + Send + 'static,
    ) -> Option<T>;

    /// Starts an actor that counts, on the threads of `world`.
    fn spawn(world: &Self::World, plan: Plan)
    -> impl Future<Output = Option<Self::Counter>> + Send;

    /// Requests the end of an actor. No other address of it is left.
    fn stop(counter: Self::Counter) -> impl Future<Output = ()> + Send;
}

/// Sends numbers, for which no reply is awaited.
pub(crate) trait Tells: Library {
    /// False if the actor has ended.
    fn tell(counter: &mut Self::Counter, number: u64) -> impl Future<Output = bool> + Send;
}

/// Sends numbers and waits for each to be returned.
pub(crate) trait Asks: Library {
    fn ask(counter: &mut Self::Counter, number: u64) -> impl Future<Output = Option<u64>> + Send;
}
