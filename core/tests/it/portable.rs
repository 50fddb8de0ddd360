//! The tests that run both on the host and on a microcontroller; this is the host (and Miri, with
//! any of its targets). `core/bare-metal` runs the same bodies in QEMU.

pub(crate) mod bodies;

macro_rules! tests {
    ($($(#[$when:meta])* $module:ident { $($body:ident),* $(,)? })*) => {$(
        $(#[$when])*
        mod $module {
            $(
                #[test]
                fn $body() {
                    super::bodies::$module::$body();
                }
            )*
        }
    )*};
}

bodies::each!(tests);
