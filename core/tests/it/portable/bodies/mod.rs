//! Tests as plain functions that need neither std nor a heap, so that a host and a microcontroller
//! run the same code. Each panics if it fails. Memory is static or on the stack, and small: the
//! device has 64 KiB.
//!
//! A program that includes this calls the functions by [`each!`], which is also the list: a
//! function that is missing there is dead code, and the compiler reports it.

#[cfg(target_has_atomic = "ptr")]
pub(crate) mod broadcast;
#[cfg(target_endian = "little")]
pub(crate) mod codec;
#[cfg(target_has_atomic = "ptr")]
pub(crate) mod doorbell;
pub(crate) mod drops;
pub(crate) mod fixed;
pub(crate) mod frames;
mod pair;
#[cfg(target_has_atomic = "ptr")]
pub(crate) mod waker;

// For the list: one name for each module.
#[cfg(not(miri))]
pub(crate) use pair::positions;
pub(crate) use pair::{spsc, stamped};

/// Calls the macro `$then` with all bodies, by module.
macro_rules! each {
    ($then:ident) => {
        $then! {
            fixed {
                text_has_a_capacity,
                lists_have_a_capacity,
            }
            frames {
                a_frame_comes_back,
                broken_headers_are_refused,
                broken_extensions_are_refused,
            }
            #[cfg(target_endian = "little")]
            codec {
                a_message_comes_back_through_a_frame,
            }
            spsc {
                wraps_around_many_times,
                grants_are_committed_in_part_or_dropped,
                either_side_closes,
                ends_are_handed_over,
                what_is_left_is_dropped,
            }
            stamped {
                wraps_around_many_times,
                grants_are_committed_in_part_or_dropped,
                either_side_closes,
                ends_are_handed_over,
                what_is_left_is_dropped,
            }
            #[cfg(not(miri))]
            positions {
                half_of_all_in_batches,
            }
            #[cfg(target_has_atomic = "ptr")]
            broadcast {
                an_observer_gets_the_exact_number_of_missed_messages,
                invalid_layouts_are_refused,
            }
            #[cfg(target_has_atomic = "ptr")]
            doorbell {
                a_parked_waiter_is_woken_once,
            }
        }
    };
}
pub(crate) use each;
