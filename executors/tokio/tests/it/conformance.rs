//! The laws of executors on both kinds of runtime and on a dedicated thread.

use mycelium_executor::conformance::{Dedicated, Paused};

use crate::subjects::{TokioMany, TokioOne};

mycelium_executor::conformance! {
    mod current_thread: TokioOne,
    mod multi_thread: TokioMany,
    mod dedicated: Dedicated<TokioMany>,
    mod paused_time: Paused<TokioOne>,
}
