//! Functions that run models and their twins.

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

/// Makes tests of models, which are functions in the same file: one test that the model holds, and
/// for each twin one that it fails with that site weakened (`=>` and the panic, if it matters which).
#[macro_export]
macro_rules! models {
    ($($model:ident { $($twin:ident: $site:literal $(=> $reason:literal)?),* $(,)? })*) => {$(
        mod $model {
            #[test]
            fn holds() {
                super::$model();
            }
            $(
                #[test]
                #[should_panic $(= $reason)?]
                fn $twin() {
                    $crate::weakened($site, super::$model);
                }
            )*
        }
    )*};
}
