//! The laws of a queue, for each of our queues.

use mycelium_core::channel::{Mpmc, Mpsc, Spsc, Stamped};
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

mod mpsc {
    super::queue_conformance!(super::Mpsc);
}
