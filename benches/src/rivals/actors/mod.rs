//! Libraries of actors, and tasks with a channel.

mod actix;
mod channel;
mod compio;
mod kameo;
mod ractor;

pub(crate) use actix::Actix;
pub(crate) use channel::{Channel, ChannelAndOneshot};
pub(crate) use compio::Compio;
pub(crate) use kameo::Kameo;
pub(crate) use ractor::Ractor;
