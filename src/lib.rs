//! Mycelium: one service source, any executor, any transport.
//!
//! A [`service`](macro@service) is a struct with an `async fn run` that reads and emits typed
//! messages. A [`Node`] makes services from factories, wires what they declared, supervises them,
//! and shuts them down. The caller chooses the executor. A [`Topology`] file sets capacities and
//! policies; by default nothing is lost.
//!
//! The files of this crate, from the bottom up: `log` writes log lines, `names` finds the name that
//! was meant; `execution`, `report`, `observe`, `error` and `topology` are values without a running
//! node; `plan` checks that services fit together; `shared` is the state that the parts of a
//! running node share; `links` connects the node with others; `service` is what a service is and
//! sees, `inbox` its subscriptions, `supervision` restarts it; `node` starts and ends all of them.
//! Files import only files below them. Rings and codecs are in `mycelium-core`, topics and links in
//! `mycelium-transports`, the executor trait in `mycelium-executor`.
//!
//! ```
//! use mycelium::{Context, Delivery, Node, Result, message, service};
//!
//! #[message(topic = "ticks", id = 1)]
//! struct Tick {
//!     price: u64,
//! }
//!
//! struct Feed;
//!
//! #[service(emits(Tick))]
//! impl Feed {
//!     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
//!         for price in 1..=100 {
//!             ctx.emit(Tick { price }).await?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! struct Sum(std::sync::mpsc::Sender<u64>);
//!
//! #[service(reads(Tick))]
//! impl Sum {
//!     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
//!         let mut ticks = ctx.subscribe::<Tick>()?;
//!         let mut sum = 0;
//!         while let Some(delivery) = ticks.recv().await {
//!             match delivery {
//!                 Delivery::Msg(tick) => sum += tick.price,
//!                 Delivery::Gap(gap) => ctx.warn("missed ticks", gap),
//!             }
//!         }
//!         self.0.send(sum)?;
//!         Ok(())
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let (result, sum) = std::sync::mpsc::channel();
//! let node = Node::builder("main")
//!     .service(|| Feed)
//!     .service(move || Sum(result.clone()))
//!     .build()?;
//! node.run(mycelium_tokio::Tokio::current()?).await?;
//! assert_eq!(sum.recv()?, 5050);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

// The macros write paths that start at `::mycelium`.
extern crate self as mycelium;

mod clock;
mod dead_letter;
mod emit;
mod error;
mod execution;
mod exit;
mod inbox;
mod kept;
mod latch;
mod launch;
#[cfg(unix)]
mod launcher;
mod links;
mod log;
mod members;
mod names;
mod node;
mod observe;
mod plan;
mod port;
mod report;
mod service;
mod shared;
mod stall;
mod supervision;
#[cfg(feature = "testing")]
pub mod testing;
mod topology;
mod wiring;

pub use mycelium_bundle::Restart;
pub use mycelium_core::wait::WaitStrategy;
pub use mycelium_core::{FixedStr, FixedVec, Message};
pub use mycelium_executor::{Class, Listener, PlacementFallback, Stream, ThreadError};
pub use mycelium_macros::{message, service};
pub use mycelium_transports::exchange::{Difference, LayoutMismatch};
pub use mycelium_transports::local::{
    Delivery, EmitError, Gap, GapReason, Policy, Publisher, Received, Refusal, TryRecv,
};
pub use mycelium_transports::{counters, private_directory};

pub use clock::{Clock, JoinHandle};
pub use dead_letter::DeadLetter;
pub use emit::Emit;
pub use error::{
    BuildError, Error, PublisherError, Result, ShuttingDown, StartError, SubscribeError, Unfinished,
};
pub use execution::Execution;
pub use inbox::Subscription;
pub use kept::Kept;
#[cfg(unix)]
pub use launcher::end_with_launcher;
#[cfg(feature = "logs")]
pub use log::init;
pub use node::builder::Builder;
pub use node::{Node, Placement, Running, StartReport};
pub use observe::Event;
pub use port::{EmitsOn, EmittedBy, HasPorts, Input, Output, Reads, ReadsOn};
pub use report::{Outcome, Report, ServiceReport, StartWarning};
pub use service::{Context, Service};
pub use topology::{Problem, Topology, TopologyError};

/// The examples of the page are tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
pub struct Embedding;

/// The examples of the page are tests.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../docs/testing-your-services.md")]
pub struct TestingYourServices;

/// What the macros use. Not for other code: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use mycelium_core as core;

    pub use crate::inbox::Inbox;
    pub use crate::launch::{
        FutureKind, IsLocal, IsSend, Launch, LocalTask, SendTask, Task, outcome,
    };
    pub use crate::plan::{Port, Ports};
    pub use crate::port::AnyPublisher;
    pub use crate::service::Life;
    pub use crate::supervision::supervise;
    pub use crate::wiring::Wiring;
}
