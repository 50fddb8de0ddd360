//! One file for each part of the core, and what holds for all models: that each named ordering has
//! a twin, and that the models were compiled.

#[cfg(loom)]
mod arena;
#[cfg(loom)]
mod broadcast;
#[cfg(loom)]
mod channel;
#[cfg(loom)]
mod doorbell;
#[cfg(not(loom))]
mod flag;
#[cfg(loom)]
mod mpmc;
#[cfg(loom)]
mod ready;
#[cfg(loom)]
mod reply;
#[cfg(loom)]
mod retained;
#[cfg(loom)]
mod shared;
#[cfg(loom)]
mod spsc;
#[cfg(loom)]
mod spsc_deferred;
mod twins;
#[cfg(loom)]
mod waiter_list;
