//! The trait of all forms of output.

use std::time::SystemTime;

use mycelium::untyped::{Layout, UntypedDelivery, UntypedMessage};

use crate::shared::exit::Failure;

/// The part of a line that is the same for all forms of output.
pub(super) struct Line<'a> {
    /// When the delivery was printed.
    pub(super) time: SystemTime,
    pub(super) node: &'a str,
    /// The fields to print; if there are none, all fields are printed.
    pub(super) fields: &'a [String],
}

/// A form of output.
pub(super) trait Output {
    /// Begins a layout: the next messages have it.
    fn layout(
        &mut self,
        _out: &mut Vec<u8>,
        _line: &Line<'_>,
        _layout: &Layout,
    ) -> Result<(), Failure> {
        Ok(())
    }

    /// Writes a message.
    fn message(&mut self, out: &mut Vec<u8>, line: &Line<'_>, message: &UntypedMessage<'_>);

    /// Writes a delivery that is not a message.
    fn other(&mut self, out: &mut Vec<u8>, line: &Line<'_>, delivery: &UntypedDelivery<'_>);
}

/// Returns a time in UTC, in microseconds; 1970 for every earlier time.
pub(super) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time.max(SystemTime::UNIX_EPOCH)).to_string()
}
