//! Functions that run models, their twins and their threads.

use loom::thread::{self, JoinHandle};
use mycelium_core::sync::weaken;

/// Runs a model over all interleavings with a limit on preemptions.
pub fn bounded(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Runs a model with the ordering or the fence of one site weakened.
pub fn weakened(site: &'static str, model: fn()) {
    weaken(site);
    model();
}

/// Starts a thread of a model, with its own handle of the shared state.
pub fn beside<S: Clone + 'static, T: 'static>(
    shared: &S,
    work: impl FnOnce(S) -> T + 'static,
) -> JoinHandle<T> {
    let shared = shared.clone();
    thread::spawn(move || work(shared))
}

/// Creates the tests of models. A *twin* of a model is the same model with the memory ordering at
/// one site of the code weakened: it must fail.
///
/// ```text
/// publish_and_read [2] {
///     fails_with_a_relaxed_publish: "broadcast.publish",
///     fails_with_a_relaxed_look: "broadcast.look" => "text of the panic",
/// }
/// ```
///
/// This makes a test `holds`, which runs the model, and for each twin a test that it panics, with
/// the given text if there is one. The number is the limit on preemptions; a model without a number
/// calls loom itself. The model is the function of this name in the same file, or a call of another
/// function: `model [2] = function(arguments)`.
#[macro_export]
macro_rules! models {
    ($($(#[$doc:meta])* $model:ident $([$bound:tt])? $(= $function:ident $arguments:tt)? {
        $($twin:ident: $site:literal $(=> $reason:literal)?),* $(,)?
    })*) => {$(
        mod $model {
            $(#[$doc])*
            fn model() {
                $crate::run!([$($bound)?] $model $(, $function $arguments)?);
            }

            #[test]
            fn holds() {
                model();
            }
            $(
                #[test]
                #[should_panic $(= $reason)?]
                fn $twin() {
                    $crate::weakened($site, model);
                }
            )*
        }
    )*};
}

/// Runs a model from its module, with its limit.
#[macro_export]
macro_rules! run {
    ([] $($model:tt)*) => {
        $crate::call!($($model)*)
    };
    ([$bound:tt] $($model:tt)*) => {
        $crate::bounded($bound, || $crate::call!($($model)*))
    };
}

/// Calls a model from its module.
#[macro_export]
macro_rules! call {
    ($model:ident) => {
        super::$model()
    };
    ($model:ident, $function:ident $arguments:tt) => {{
        #[allow(clippy::wildcard_imports)]
        use super::*;
        $function $arguments
    }};
}
