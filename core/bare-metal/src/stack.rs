//! How deep the stack went: the start-up code paints the memory below it, and what kept its colour was never used.

#![allow(unsafe_code)]

use core::ptr::{addr_of, read_volatile};

/// What `cortex-m-rt` paints with (its feature `paint-stack`).
const PAINT: u32 = 0xcccc_cccc;

unsafe extern "C" {
    /// From the linker script: where the stack ends, which is the lowest address that it may grow to...
    static _stack_end: u32;
    /// ...and where it starts.
    static _stack_start: u32;
}

/// The most bytes that were ever on the stack. Interrupts use the same one.
pub(crate) fn deepest() -> usize {
    let (end, start) = (addr_of!(_stack_end), addr_of!(_stack_start));
    let words = (start.addr() - end.addr()) / size_of::<u32>();
    // SAFETY: between the two symbols there is memory, and nothing in it but the stack.
    let painted = |word: &usize| unsafe { read_volatile(end.wrapping_add(*word)) } == PAINT;
    let unused = (0..words).take_while(painted).count();
    assert!(unused > 0, "the stack overflowed");
    (words - unused) * size_of::<u32>()
}
