//! What the services send each other, and what clients and the server send each other.

use mycelium::message;
use serde::{Deserialize, Serialize};

/// Players have the ids below this one, coins those from here to [`ENTITIES`].
pub const PLAYERS: u16 = 640;
pub const ENTITIES: u16 = 704;
/// The sides of the world, which is a square.
pub const SIZE: f32 = 2400.0;

/// What a client wants. From `Network` to `World`.
#[message(topic = "commands")]
pub struct Command {
    /// The secret of the client, by which it gets its player back after it was away.
    pub session: u64,
    pub action: Action,
}

#[message]
pub enum Action {
    /// The client is there: sent when it comes, and again each second.
    Join,
    /// The client wants to move in this direction. A vector of length 1 is full speed.
    Steer {
        number: u32,
        way: [f32; 2],
    },
    Leave,
}

/// What a player has to do. From `World` to `Physics`, which creates the player if it is new.
#[message(topic = "orders")]
pub struct Order {
    pub player: Entity,
    pub action: Action,
}

/// The state of a player or a coin after a tick. From `Physics` to `Network` and `World`, which
/// read the newest one of each id.
#[message(topic = "entities")]
#[derive(Debug, PartialEq)]
pub struct Entity {
    /// The session of the player; 0 for a coin.
    pub session: u64,
    pub place: [f32; 2],
    /// The number of the last [`Action::Steer`] that was obeyed.
    pub steered: u32,
    pub id: u16,
    /// The coins that the player has collected.
    pub score: u16,
}

/// A tick, after its entities. From `Physics` to `Network`. Times are in microseconds.
#[message(topic = "ticks")]
#[derive(Debug)]
pub struct Tick {
    /// Begins with 0 at each start of `Physics`.
    pub number: u64,
    /// The number of ticks that were left out before this one, because the clock was late.
    pub skipped: u64,
    /// The time that it took to move the entities.
    pub work: u32,
    /// The time from the moment at which the tick was due until its entities were published.
    pub published: u32,
}

/// What a client sends, as JSON: [`Action::Steer`].
pub type Steer = (u32, [f32; 2]);

/// What a client gets, as JSON: the part of a frame that it sees.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct View {
    /// The number of the frame.
    pub frame: u32,
    /// The frames that were skipped for this client, in all.
    pub skipped: u32,
    pub steered: u32,
    /// Its player, once it has one.
    pub id: Option<u16>,
    /// Id, x, y and score of what it sees.
    pub entities: Vec<(u16, u16, u16, u16)>,
}
