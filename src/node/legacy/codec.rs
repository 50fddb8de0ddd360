//! The codec of a message type for the original system.

use std::fmt;

use mycelium_core::{Fixed, Message, decode};

/// Creates a message from a payload, or returns why this is impossible.
type Decode<M> = dyn Fn(&[u8]) -> Result<M, String> + Send + Sync;
/// Writes the payload of a message into an empty buffer.
type Encode<M> = dyn Fn(&M, &mut Vec<u8>) + Send + Sync;

/// The codec of one message type, which converts it from and to its payload in the original system;
/// for [`Builder::legacy`](crate::Builder::legacy).
///
/// The original system sends the memory of a `#[repr(C)]` struct, with padding, in little-endian
/// order. If a message has the same fields at the same offsets,
/// [`same_bytes`](LegacyCodec::same_bytes) is enough. Texts and lists differ: in the original
/// system they have six zero bytes after their count.
///
/// ```
/// use mycelium::fields::FixedStr;
/// use mycelium::legacy::LegacyCodec;
/// use mycelium::message;
///
/// #[message(topic = "texts", id = 1)]
/// struct Text {
///     sender: u64,
///     content: FixedStr<30>,
/// }
///
/// // There: struct { sender: u64, content: FixedStr<32> }, which is u16 count | 6 zero | 32 bytes.
/// let codec = LegacyCodec::new(
///     |payload: &[u8]| {
///         let payload: &[u8; 48] = payload.try_into()?;
///         let count = usize::from(u16::from_le_bytes([payload[8], payload[9]]));
///         let content = payload[16..].get(..count).ok_or("the count exceeds 32")?;
///         let sender = u64::from_le_bytes(payload[..8].try_into()?);
///         Ok(Text { sender, content: std::str::from_utf8(content)?.try_into()? })
///     },
///     |text: &Text, payload: &mut Vec<u8>| {
///         payload.extend(text.sender.to_le_bytes());
///         payload.extend((text.content.as_str().len() as u16).to_le_bytes());
///         payload.extend([0; 6]);
///         payload.extend(text.content.as_str().as_bytes());
///         payload.resize(48, 0);
///     },
/// );
/// # let _ = codec;
/// ```
pub struct LegacyCodec<M> {
    decode: Box<Decode<M>>,
    encode: Box<Encode<M>>,
}

impl<M: Message + Fixed> LegacyCodec<M> {
    /// Creates a codec whose payload has the same bytes as the message. A payload with another
    /// length or an invalid value is refused. Only for messages of one size: the original system
    /// knows no other bytes. Others need [`new`](LegacyCodec::new):
    ///
    /// ```compile_fail,E0277
    /// # use mycelium::legacy::LegacyCodec;
    /// # use mycelium::message;
    /// #[message(topic = "notes", id = 2)]
    /// struct Note {
    ///     text: String,
    /// }
    ///
    /// let codec = LegacyCodec::<Note>::same_bytes();
    /// ```
    ///
    /// ```
    /// use mycelium::legacy::LegacyCodec;
    /// use mycelium::message;
    ///
    /// // There: #[repr(C)] struct Swap { pool: u32, side: u8, price: u64 }, with padding.
    /// #[message(topic = "swaps", id = 1)]
    /// struct Swap {
    ///     pool: u32,
    ///     side: u8,
    ///     _padding: [u8; 3],
    ///     price: u64,
    /// }
    ///
    /// let codec = LegacyCodec::<Swap>::same_bytes();
    /// # let _ = codec;
    /// ```
    #[must_use]
    pub fn same_bytes() -> LegacyCodec<M> {
        LegacyCodec {
            decode: Box::new(|payload| decode::<M>(payload).map_err(|error| error.to_string())),
            encode: Box::new(|message, payload| payload.extend_from_slice(message.encoded())),
        }
    }
}

impl<M: Message> LegacyCodec<M> {
    /// Creates a codec that converts the payload. `decode` runs for each received frame, and may
    /// get any bytes; its error is logged. `encode` writes the payload of a message into an empty
    /// buffer; it runs once for each message, for all clients.
    ///
    /// If `decode` panics, the connection of the client ends. If `encode` panics, the message is
    /// tried once more, and then becomes a dead letter.
    #[must_use]
    pub fn new(
        decode: impl Fn(&[u8]) -> Result<M, Box<dyn std::error::Error>> + Send + Sync + 'static,
        encode: impl Fn(&M, &mut Vec<u8>) + Send + Sync + 'static,
    ) -> LegacyCodec<M> {
        LegacyCodec {
            decode: Box::new(move |payload| decode(payload).map_err(|error| error.to_string())),
            encode: Box::new(encode),
        }
    }

    pub(super) fn decode(&self, payload: &[u8]) -> Result<M, String> {
        (self.decode)(payload)
    }

    pub(super) fn encode(&self, message: &M, payload: &mut Vec<u8>) {
        (self.encode)(message, payload);
    }
}

impl<M> fmt::Debug for LegacyCodec<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegacyCodec").finish_non_exhaustive()
    }
}
