//! Replacement of the metrics without the feature `metrics`: the same interface, which does nothing
//! and compiles to nothing.

use std::marker::PhantomData;
use std::time::Duration;

use crate::support::problem::Problem;

/// The metrics of a service. Without the feature `metrics` there are none.
#[derive(Debug)]
pub struct Metrics<'c>(pub(crate) PhantomData<&'c mut ()>);

macro_rules! handles {
    ($($(#[$meta:meta])* $handle:ident of $name:ident and $with:ident;)*) => {
        impl Metrics<'_> {$(
            /// Returns a handle that does nothing.
            ///
            /// # Errors
            /// None without the feature `metrics`.
            #[inline]
            pub fn $name(&mut self, _name: &str) -> Result<$handle, Problem> {
                Ok($handle(()))
            }

            /// Returns a handle that does nothing.
            ///
            /// # Errors
            /// None without the feature `metrics`.
            #[inline]
            pub fn $with(
                &mut self,
                _name: &str,
                _labels: &[(&str, &str)],
            ) -> Result<$handle, Problem> {
                Ok($handle(()))
            }
        )*}

        $(
            $(#[$meta])*
            #[derive(Debug)]
            #[must_use = "it has what is recorded in it"]
            pub struct $handle(());

            // Empty, so that a handle has a `Drop` with and without the feature `metrics`. With the
            // feature, dropping a handle releases its words of the counters.
            impl Drop for $handle {
                #[inline]
                fn drop(&mut self) {}
            }
        )*
    };
}

handles! {
    /// A counter that counts nothing.
    Counter of counter and counter_with;
    /// A gauge without a value.
    Gauge of gauge and gauge_with;
    /// A histogram that records nothing.
    Histogram of histogram and histogram_with;
}

impl Counter {
    /// Does nothing.
    #[inline(always)]
    pub fn add(&mut self, _count: u64) {}

    /// Does nothing.
    #[inline(always)]
    pub fn increment(&mut self) {}
}

impl Gauge {
    /// Does nothing.
    #[inline(always)]
    pub fn set(&mut self, _value: i64) {}

    /// Does nothing.
    #[inline(always)]
    pub fn add(&mut self, _difference: i64) {}
}

impl Histogram {
    /// Does nothing.
    #[inline(always)]
    pub fn record(&mut self, _value: u64) {}

    /// Does nothing.
    #[inline(always)]
    pub fn record_duration(&mut self, _duration: Duration) {}
}
