//! The error codes of failures of services.

use mycelium_core::Code;

/// Returns the error code in the text of a service's error: the code of this library's error, or
/// the code for any other error.
pub(crate) fn code_of(text: &str) -> Code {
    Code::at_end(text).unwrap_or(Code::SERVICE_FAILED)
}
