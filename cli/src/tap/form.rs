//! What the forms of output have in common.

use std::time::SystemTime;

use mycelium::untyped::{Layout, UntypedDelivery, UntypedMessage};

use crate::shared::exit::Failure;

/// What a form of output gets.
pub(super) struct Line<'a> {
    /// When the delivery was printed.
    pub(super) time: SystemTime,
    pub(super) node: &'a str,
    /// The fields that are printed; all if there are none.
    pub(super) fields: &'a [String],
}

/// A form of output.
pub(super) trait Output {
    /// Messages of this layout follow.
    fn layout(
        &mut self,
        _out: &mut Vec<u8>,
        _line: &Line<'_>,
        _layout: &Layout,
    ) -> Result<(), Failure> {
        Ok(())
    }

    /// A message.
    fn message(&mut self, out: &mut Vec<u8>, line: &Line<'_>, message: &UntypedMessage<'_>);

    /// All but a message.
    fn other(&mut self, out: &mut Vec<u8>, line: &Line<'_>, delivery: &UntypedDelivery<'_>);
}

/// Bytes in hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A time, UTC, in microseconds.
pub(super) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}
