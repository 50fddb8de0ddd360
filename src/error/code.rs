//! Codes of failures of services.

use mycelium_core::Code;

/// Returns the code of a service's error from its text: the code of this library's error, or else
/// the one for any error.
pub(crate) fn code_of(text: &str) -> Code {
    Code::at_end(text).unwrap_or(Code::SERVICE_FAILED)
}
