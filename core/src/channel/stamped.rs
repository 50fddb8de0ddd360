//! One sender, one receiver, over [`ring::stamped`](crate::ring::stamped): the faster one for messages, and for questions
//! that wait for their answer.
//!
//! ```
//! use mycelium_core::channel::stamped;
//!
//! static CHANNEL: stamped::Inline<[u64; 7], 16> = stamped::Inline::new();
//!
//! let (mut sender, mut receiver) = CHANNEL.split().expect("this is the only call");
//! sender.try_send([7; 7]).unwrap();
//! assert_eq!(receiver.try_recv(), Ok([7; 7]));
//! ```

super::single::channel!(stamped);
