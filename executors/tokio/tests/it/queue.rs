//! tokio's channel as a queue keeps the laws of all queues.

use mycelium_core::queue_conformance;
use mycelium_tokio::TokioMpsc;

queue_conformance!(TokioMpsc);
