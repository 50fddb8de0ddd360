//! The laws of a queue, for each of ours.
#![cfg(feature = "alloc")]

use mycelium_core::channel::{Lanes, Mpmc, Spsc, Stamped};
use mycelium_core::queue_conformance;

mod spsc {
    super::queue_conformance!(super::Spsc);
}

mod stamped {
    super::queue_conformance!(super::Stamped);
}

mod mpmc {
    super::queue_conformance!(super::Mpmc);
}

mod lanes {
    super::queue_conformance!(super::Lanes<4>);
}
