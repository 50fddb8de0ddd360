//! The executor that runs the laws, here and in `tests/conformance.rs` of the workspace.

use std::sync::Arc;

use mycelium_executor::MakeDedicated;
use mycelium_executor::conformance::Subject;
use mycelium_glommio::Settings;

/// An executor of `mycelium_glommio::run`.
pub(crate) struct GlommioOne;

impl Subject for GlommioOne {
    const NAME: &'static str = "glommio";

    fn skip_reason() -> Option<String> {
        mycelium_glommio::check().err().map(|missing| missing.to_string())
    }

    fn run(body: MakeDedicated) {
        let body = |executor| body(Arc::new(executor));
        mycelium_glommio::run(&Settings::default(), body).unwrap();
    }
}
