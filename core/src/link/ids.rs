//! Ids of topics and streams. An id names one entry of a table as long as the entry exists, and no
//! entry after that.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            place: u16,
            number: u32,
        }

        impl $name {
            /// A small number. No other entry of its kind has it as long as this entry exists.
            #[must_use]
            pub fn place(self) -> usize {
                self.place.into()
            }
        }

        impl Id for $name {
            fn new(place: u16, number: u32) -> Self {
                $name { place, number }
            }

            fn parts(self) -> (usize, u32) {
                (self.place.into(), self.number)
            }
        }
    )*};
}

ids! {
    /// A topic that this side subscribes to.
    InterestId
    /// A topic that the peer subscribes to.
    ExportId
    /// A stream that this side receives.
    IncomingId
    /// A stream that this side sends.
    OutgoingId
}

/// The place of an entry in its table, and the number that distinguishes it from earlier entries
/// there.
pub(super) trait Id: Copy {
    fn new(place: u16, number: u32) -> Self;
    fn parts(self) -> (usize, u32);
}

/// A place alone: for entries whose ids do not outlive the call that found them.
impl Id for u16 {
    fn new(place: u16, _: u32) -> Self {
        place
    }

    fn parts(self) -> (usize, u32) {
        (self.into(), 0)
    }
}
