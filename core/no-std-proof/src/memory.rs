//! The four functions that compiled code may call to copy, fill or compare bytes. Usually libc has
//! them; on a microcontroller they are in Rust's own `compiler_builtins`.
//!
//! They are single instructions, because a loop in Rust could be compiled into a call of the
//! function that contains it.

use core::arch::asm;

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller guarantees `len` bytes at both; the direction flag is clear between
    // functions.
    unsafe {
        asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= len {
        // SAFETY: the caller guarantees both, and in this direction no byte is written before it is
        // read.
        return unsafe { memcpy(to, from, len) };
    }
    // SAFETY: as above, but backwards, from the last byte on (`len` is above 0, so it exists).
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") len => _,
            inout("rdi") to.wrapping_add(len - 1) => _, inout("rsi") from.wrapping_add(len - 1) => _,
            options(nostack));
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // SAFETY: the caller guarantees `len` bytes; the direction flag is clear between functions.
    unsafe {
        asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") byte as u8,
            options(nostack, preserves_flags));
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    let (a, b): (u32, u32);
    // SAFETY: the caller guarantees `len` bytes at both. Nothing is read if `len` is 0; otherwise
    // the last pair that was compared is one byte before the place where the instruction stopped.
    unsafe {
        asm!("xor eax, eax", "xor edx, edx", "test rcx, rcx", "jz 2f", "repe cmpsb",
            "movzx eax, byte ptr [rdi - 1]", "movzx edx, byte ptr [rsi - 1]", "2:",
            inout("rcx") len => _, inout("rdi") left => _, inout("rsi") right => _,
            out("eax") a, out("edx") b, options(nostack, readonly));
    }
    a.cast_signed() - b.cast_signed()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's promise is the same.
    unsafe { memcmp(left, right, len) }
}
