//! Errors print the same text with `{:?}` as with `{}`, so that `main` and `unwrap` show it.

use std::error::Error;

use mycelium_core::frame::{ExtensionError, FrameError};
use mycelium_core::link::{CloseReason, LinkError};
use mycelium_core::ring::PushError;

/// A type without `Debug`.
struct Opaque;

#[test]
fn debug_prints_the_text() {
    let errors: [&dyn Error; 3] = [
        &PushError::Full(Opaque),
        &FrameError::Extension(ExtensionError::Reserved),
        &LinkError::PeerClosed(CloseReason::Other(99)),
    ];
    for error in errors {
        assert_eq!(format!("{error:?}"), error.to_string());
    }
}
