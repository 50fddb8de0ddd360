//! The trace context of a message: its trace, and the span that sent it.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The trace context of a message, with the fields of [W3C Trace Context]; ids are in the byte
/// order of `traceparent`.
///
/// As text it is a `traceparent` of version 00, for HTTP headers and logs:
///
/// ```
/// use mycelium_core::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace: TraceContext = text.parse()?;
/// assert!(trace.is_sampled());
/// assert_eq!(trace.span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
/// assert_eq!(trace.to_string(), text);
/// # Ok::<(), mycelium_core::TraceParseError>(())
/// ```
///
/// [W3C Trace Context]: https://www.w3.org/TR/trace-context/
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C)]
pub struct TraceContext {
    /// The id of the trace. Not all zero in a [valid](TraceContext::is_valid) context.
    pub trace_id: [u8; 16],
    /// The id of the span that sent the message. Not all zero in a [valid](TraceContext::is_valid)
    /// context.
    pub span_id: [u8; 8],
    /// Bit 0: the trace is sampled.
    pub flags: u8,
}

impl TraceContext {
    /// The bit of [`flags`](TraceContext::flags) that says that the trace is sampled.
    pub const SAMPLED: u8 = 1;

    /// Returns whether both ids are valid, which means not all zero. A peer can send any bytes.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.trace_id != [0; 16] && self.span_id != [0; 8]
    }

    /// Returns whether the spans of this trace are recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & TraceContext::SAMPLED != 0
    }

    /// Returns the same trace, sent by another span.
    #[must_use]
    pub fn with_span(self, span_id: [u8; 8]) -> TraceContext {
        TraceContext { span_id, ..self }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceContext { trace_id, span_id, flags } = self;
        let (trace, span) = (u128::from_be_bytes(*trace_id), u64::from_be_bytes(*span_id));
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

/// Why a text is not a `traceparent`.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TraceParseError {
    /// The fields are not in their places.
    #[error(
        "expected a `traceparent` as in 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01: \
         four fields of 2, 32, 16 and 2 lower-case hexadecimal digits"
    )]
    Form,
    /// The version `ff` is invalid.
    #[error("the version of a `traceparent` is not ff")]
    Version,
    /// The id of the trace, or of the span, is all zero.
    #[error("the ids of a `traceparent` are not all zero")]
    Zero,
}

crate::debug_as_display!(TraceParseError);

/// Parses a `traceparent`. If its version is later than 00, only the fields of version 00 are read.
impl FromStr for TraceContext {
    type Err = TraceParseError;

    fn from_str(text: &str) -> Result<TraceContext, TraceParseError> {
        let mut rest = text.as_bytes();
        let [version] = field(&mut rest)?;
        let trace_id = separated(&mut rest)?;
        let span_id = separated(&mut rest)?;
        let [flags] = separated(&mut rest)?;
        if version == 0xff {
            return Err(TraceParseError::Version);
        }
        // Only a later version may have more bytes: further fields, after a `-`.
        if !rest.is_empty() && (version == 0 || rest[0] != b'-') {
            return Err(TraceParseError::Form);
        }
        let trace = TraceContext { trace_id, span_id, flags };
        if trace.is_valid() { Ok(trace) } else { Err(TraceParseError::Zero) }
    }
}

fn separated<const N: usize>(text: &mut &[u8]) -> Result<[u8; N], TraceParseError> {
    *text = text.strip_prefix(b"-").ok_or(TraceParseError::Form)?;
    field(text)
}

/// Parses `N` bytes in hexadecimal at the start of a text.
fn field<const N: usize>(text: &mut &[u8]) -> Result<[u8; N], TraceParseError> {
    let mut bytes = [0; N];
    for byte in &mut bytes {
        let ([high, low], rest) = text.split_first_chunk().ok_or(TraceParseError::Form)?;
        *byte = digit(*high)? << 4 | digit(*low)?;
        *text = rest;
    }
    Ok(bytes)
}

fn digit(letter: u8) -> Result<u8, TraceParseError> {
    match letter {
        b'0'..=b'9' => Ok(letter - b'0'),
        b'a'..=b'f' => Ok(letter - b'a' + 10),
        _ => Err(TraceParseError::Form),
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_its_standard_says() {
        let later = TEXT.replace("00-4", "01-4") + "-what-the-future-brings";
        assert_eq!(later.parse::<TraceContext>().unwrap().to_string(), TEXT);
        let unsampled: TraceContext = TEXT.replace("-01", "-00").parse().unwrap();
        assert!(!unsampled.is_sampled() && unsampled.is_valid());
    }

    #[test]
    fn other_texts_are_refused() {
        use TraceParseError::{Form, Version, Zero};

        let replaced = |from: &str, to: &str| TEXT.replace(from, to);
        for (text, error) in [
            (std::string::String::new(), Form),
            (TEXT[..54].to_string(), Form),
            (TEXT.to_string() + "-01", Form),
            (replaced("4b", "4B"), Form),
            (replaced("4b", "4g"), Form),
            (replaced("36-", "36_"), Form),
            (replaced("01", "01é"), Form),
            (replaced("00-4", "01-4") + "x", Form),
            (replaced("00-4", "ff-4"), Version),
            (replaced("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), Zero),
            (replaced("00f067aa0ba902b7", &"0".repeat(16)), Zero),
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(error), "{text}");
        }
    }
}
