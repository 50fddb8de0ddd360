//! Errors print the same text with `{:?}` as with `{}`, so that `main` and `unwrap` show it.

use std::error::Error;

use mycelium_core::{
    DecodeError, FrameError, Invalid, InvalidReason, NoRoom, TooLong, TooMany, WriteError,
    channel::SendError,
    frame::ExtensionError,
    link::{CloseReason, ConfigError, LinkError, RejectReason},
    ring::{CapacityError, GrantError, PopError, PushError},
};

/// A type without `Debug`.
struct Opaque;

#[test]
fn debug_prints_the_text() {
    let reason = InvalidReason::Count { capacity: 2, found: 3 };
    let extension = ExtensionError::Reserved;
    let errors: [&dyn Error; 19] = [
        &DecodeError::Size { message: "Tick", expected: 8, found: 7 },
        &DecodeError::Invalid(Invalid { message: "Tick", field: "name", reason }),
        &reason,
        &TooLong { capacity: 2, found: 3 },
        &TooMany { capacity: 2, found: 3 },
        &NoRoom(Opaque),
        &FrameError::Padding,
        &FrameError::Extension(extension),
        &extension,
        &WriteError::Space { needed: 8, available: 7 },
        &CapacityError::Invalid { given: 3 },
        &PushError::Full(Opaque),
        &PopError::Empty,
        &GrantError::Closed,
        &SendError(Opaque),
        &LinkError::PeerClosed(CloseReason::Shutdown),
        &CloseReason::Other(99),
        &RejectReason::Unknown,
        &ConfigError::Silence,
    ];
    for error in errors {
        assert_eq!(format!("{error:?}"), error.to_string());
    }
}
