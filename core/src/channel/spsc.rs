//! One sender, one receiver, over [`ring::spsc`](crate::ring::spsc): the faster one for batches and for items of a few
//! bytes.
//!
//! ```
//! use mycelium_core::channel::spsc;
//!
//! static CHANNEL: spsc::Inline<u32, 16> = spsc::Inline::new();
//!
//! let (mut sender, mut receiver) = CHANNEL.split().expect("this is the only call");
//! # let run = async {
//! sender.send(1).await?;
//! sender.reserve().await.unwrap().send(2);
//! sender.send_many(&mut [3, 4].into_iter()).await.unwrap();
//! drop(sender);
//! assert_eq!(receiver.recv().await, Some(1));
//! let mut rest = Vec::new();
//! assert_eq!(receiver.recv_many(&mut rest, 10).await, 3);
//! assert_eq!(rest, [2, 3, 4]);
//! assert_eq!(receiver.recv().await, None);
//! # Ok::<(), mycelium_core::channel::SendError<u32>>(())
//! # };
//! # let mut context = core::task::Context::from_waker(core::task::Waker::noop());
//! # assert_eq!(core::pin::pin!(run).poll(&mut context), core::task::Poll::Ready(Ok(())));
//! ```

super::single::channel!(spsc);
