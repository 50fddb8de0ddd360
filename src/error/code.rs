//! Codes of failures of services.

use mycelium_core::Code;

/// The code of the text of a service's error: that of an error of this library, or else of any.
pub(crate) fn code_of(text: &str) -> Code {
    Code::at_end(text).unwrap_or(Code::SERVICE_FAILED)
}
