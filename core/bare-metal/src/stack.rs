//! The greatest depth of the stack: the start-up code fills the memory below it with a pattern;
//! words that still have the pattern were never used.

#![allow(unsafe_code)]

use core::ptr::{addr_of, read_volatile};

/// The pattern of `cortex-m-rt` (its feature `paint-stack`).
const PAINT: u32 = 0xcccc_cccc;

unsafe extern "C" {
    /// The end of the stack, its lowest address. Defined by the linker script, as the next symbol.
    static _stack_end: u32;
    /// The start of the stack, its highest address.
    static _stack_start: u32;
}

/// Returns the greatest number of bytes that were on the stack. Interrupts use the same stack.
pub(crate) fn deepest() -> usize {
    let (end, start) = (addr_of!(_stack_end), addr_of!(_stack_start));
    let words = (start.addr() - end.addr()) / size_of::<u32>();
    // SAFETY: the memory between the two symbols contains only the stack.
    let painted = |word: &usize| unsafe { read_volatile(end.wrapping_add(*word)) } == PAINT;
    let unused = (0..words).take_while(painted).count();
    assert!(unused > 0, "the stack overflowed");
    (words - unused) * size_of::<u32>()
}
