//! The executors that run the laws, here and in `tests/conformance.rs` of the workspace.

use std::sync::Arc;

use mycelium_executor::MakeDedicated;
use mycelium_executor::conformance::Subject;
use mycelium_smol::Smol;

/// One thread, with local tasks.
pub(crate) struct SmolOne;

impl Subject for SmolOne {
    const NAME: &'static str = "smol-1";

    fn run(body: MakeDedicated) {
        let body = |executor: Smol| body(Arc::new(executor));
        async_io::block_on(mycelium_smol::local(body));
    }
}

/// Two threads with work stealing.
pub(crate) struct SmolMany;

impl Subject for SmolMany {
    const NAME: &'static str = "smol-2";

    fn run(body: MakeDedicated) {
        let body = |executor: Smol| body(Arc::new(executor));
        mycelium_smol::run(2, body).unwrap();
    }
}
