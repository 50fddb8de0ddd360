//! Memory that processes share, and the control socket over which they pass it.
//!
//! - [`Mapping`]: memory that its owner writes and other processes read. Seals make sure that the
//!   owner cannot make a reader's access fail.
//! - [`ControlThread`]: one thread of a node that owns its control socket and all control
//!   connections. It passes descriptors and wakes sleeping tasks of other processes, and it notices
//!   the death of a peer's process.
//! - [`WakeSocket`]: wakes a task of this process through its executor, without the control
//!   thread.
//! - [`Handler`]: gets the events of a connection. [`Connection`]: sends to the peer from any
//!   thread.
//!
//! This module does not depend on streams, rings or links. It checks everything that a peer sends
//! or passes before use, and closes the connection of a peer that breaks the protocol.
//!
//! A process connects with a token that it got in another way, such as over a link. The process
//! that listens has assigned the token to a handler:
//!
//! ```
//! # #[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
//! # fn main() {}
//! # #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::os::fd::{AsFd, OwnedFd};
//! use std::sync::{Arc, mpsc};
//!
//! use mycelium_core::ring::region::Memory;
//! use mycelium_transports::endpoint::unix::Access;
//! use mycelium_transports::memory::{
//!     Connection, ControlLimits, ControlThread, Gone, Handler, Mapping, Packet, PacketKind,
//! };
//!
//! /// Passes a region to the peer that connects.
//! struct Publisher;
//!
//! impl Handler for Publisher {
//!     fn connected(&self, connection: &Arc<Connection>) {
//!         let (_own, descriptor) = Mapping::create(512, "ring of ticks", false).unwrap();
//!         let region = Packet::new(PacketKind::Region, 1, [512, 0, 0, 0]);
//!         connection.send(region, Some(descriptor.as_fd())).unwrap();
//!     }
//!     fn packet(&self, _: &Arc<Connection>, _: Packet, _: Option<OwnedFd>) {}
//!     fn wake(&self) {}
//!     fn gone(&self, _: Gone) {}
//! }
//!
//! /// Reports the size of each region that it gets.
//! struct Reader(mpsc::Sender<usize>);
//!
//! impl Handler for Reader {
//!     fn connected(&self, _: &Arc<Connection>) {}
//!     fn packet(&self, _: &Arc<Connection>, _: Packet, descriptor: Option<OwnedFd>) {
//!         let region = Mapping::attach(descriptor.expect("a region has one"), 512, false);
//!         let _ = self.0.send(region.unwrap().words().len());
//!     }
//!     fn wake(&self) {}
//!     fn gone(&self, _: Gone) {}
//! }
//!
//! let directory = std::env::temp_dir().join(format!("control-{}", std::process::id()));
//! let path = directory.join("node.sock.shm");
//! let (here, there) = (
//!     ControlThread::start("here", ControlLimits::default())?,
//!     ControlThread::start("there", ControlLimits::default())?,
//! );
//! here.listen(path.clone(), Access::default())?;
//! here.expect([7; 16], None, Arc::new(Publisher));
//! let (sender, sizes) = mpsc::channel();
//! there.connect(&path, &Access::default(), [7; 16], Arc::new(Reader(sender)))?;
//! assert_eq!(sizes.recv()?, 512);
//! here.stop();
//! there.stop();
//! # std::fs::remove_dir_all(directory)?;
//! # Ok(())
//! # }
//! ```

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod control;
mod error;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod mapping;
#[cfg_attr(
    not(all(target_os = "linux", target_pointer_width = "64")),
    expect(dead_code, reason = "packets are neither sent nor received there")
)]
mod packet;
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
mod unsupported;
#[cfg(feature = "metrics")]
mod words;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use self::control::{
    Connection, ControlLimits, ControlThread, Handler, WakeSocket, random_token,
};
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use self::mapping::{Mapping, cursor_region, data_region};
pub use error::{ControlError, Gone, MemoryError, SendError};
pub use packet::{Packet, PacketError, PacketKind, RefusedHello, Token, VERSION};
#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
pub use unsupported::{
    Connection, ControlLimits, ControlThread, Handler, Mapping, WakeSocket, cursor_region,
    data_region, random_token,
};
#[cfg(feature = "metrics")]
pub(crate) use words::{Found, PAGE_WORDS, Part, Words};
