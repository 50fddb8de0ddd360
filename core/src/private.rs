//! What the code that `#[message]` generates uses. Private: it changes without notice.

#[path = "private/layout.rs"]
mod layout;
#[path = "private/pad.rs"]
mod pad;
#[path = "private/text.rs"]
mod text;

pub use ::zerocopy as real_zerocopy;
pub use layout::{FieldLayout, HasLayout, Layout, is_refused, layout_error};
pub use pad::{Pad, count_without_empty, gap, gap_at_end, without_empty};
pub use text::ConstText;

/// The crate as its derives see it.
///
/// The derive of `IntoBytes` computes the padding with a macro of the crate, and reports it in
/// many errors. Here another macro takes its place.
pub mod zerocopy {
    pub use ::zerocopy::*;

    pub use crate::__padding_unless_reported as struct_padding;
}

/// The padding of a struct as zerocopy computes it; 0 if [`layout_error`] finds an error in the
/// struct, which then does not compile. So there is one error.
#[doc(hidden)]
#[macro_export]
macro_rules! __padding_unless_reported {
    ($t:ty, $align:expr, $packed:expr, $fields:tt) => {
        if $crate::__private::is_refused(<$t as $crate::__private::HasLayout>::LAYOUT) {
            0
        } else {
            $crate::__private::real_zerocopy::struct_padding!($t, $align, $packed, $fields)
        }
    };
}
