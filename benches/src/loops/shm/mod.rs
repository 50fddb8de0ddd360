//! Services of nodes in two processes whose link goes through shared memory, and the same services
//! in one node. The process of the run is one side; the other one is a job
//! ([`processes`](crate::processes)).

pub(crate) mod nodes;
mod services;
