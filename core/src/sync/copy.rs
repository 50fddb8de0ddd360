//! Copies between words that other threads may access at the same time and words of this thread.
//!
//! Rust has atomic accesses of a word, but of nothing longer. Where the processor has longer ones,
//! these functions use them: for a few words two at a time, for many 64 bytes at a time (twice as
//! fast as word by word on the processors that were measured, and for 32 KiB as fast as a
//! `memcpy`). For Rust they are not accesses of this thread, but of something outside, which may
//! happen at any time because all other accesses to these words are atomic. A reader that races
//! with a writer may get any mixture of old and new bytes.

#[allow(unused_imports)] // In builds without long accesses.
use super::seen;
use super::{AtomicUsize, Ordering};

/// Whether the code for this processor is used. The model checkers get words.
macro_rules! if_wide {
    ($wide:block else $words:block) => {{
        #[cfg(all(
            target_arch = "x86_64",
            target_pointer_width = "64",
            target_feature = "sse2",
            not(miri),
            not(loom)
        ))]
        {
            $wide
        }
        #[cfg(not(all(
            target_arch = "x86_64",
            target_pointer_width = "64",
            target_feature = "sse2",
            not(miri),
            not(loom)
        )))]
        {
            $words
        }
    }};
}

/// From this number of words on, they are copied 64 bytes at a time.
#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    target_feature = "sse2",
    not(miri),
    not(loom)
))]
const MANY: usize = 32;

/// Stores words to atomic words, relaxed and in order, in as few stores as the processor allows:
/// the cost of a store does not depend on its length, and the store buffer, in which stores wait
/// for cache lines of other cores, is limited.
///
/// `W` is a wrapper of an atomic word, and `word` unwraps it.
///
/// # Panics
/// If there are more words than places.
#[inline(always)]
pub(crate) fn store_all<W>(places: &[W], word: impl Fn(&W) -> &AtomicUsize, words: &[usize]) {
    const { assert!(size_of::<W>() == size_of::<usize>()) };
    let places = &places[..words.len()];
    let done = if_wide! {{
        let first = if words.len() < MANY { 0 } else { words.len() / 8 };
        if first > 0 {
            seen!(Store, &places[..first * 8]);
            // SAFETY: as many words; the places may be written through a shared reference.
            unsafe { copy_lines(places.as_ptr().cast_mut().cast(), words.as_ptr(), first) };
        }
        let (places, words) = (&places[first * 8..], &words[first * 8..]);
        for (places, pair) in places.chunks_exact(2).zip(words.chunks_exact(2)) {
            // SAFETY: two words.
            let pair = unsafe { core::arch::x86_64::_mm_loadu_si128(pair.as_ptr().cast()) };
            seen!(Store, places);
            // SAFETY: two words, which may be written through a shared reference.
            unsafe {
                core::arch::asm!(
                    "movups [{}], {}",
                    in(reg) places.as_ptr(),
                    in(xmm_reg) pair,
                    options(nostack, preserves_flags)
                );
            }
        }
        first * 8 + (words.len() & !1)
    } else { 0 }};
    for (place, value) in places[done..].iter().zip(&words[done..]) {
        word(place).store(*value, Ordering::Relaxed);
    }
}

/// Loads atomic words, relaxed, in as few loads as the processor allows, as many as there are in
/// `words`. The places may be mapped read-only.
///
/// # Panics
/// If there are fewer places.
#[inline(always)]
pub(crate) fn load_all<W>(places: &[W], word: impl Fn(&W) -> &AtomicUsize, words: &mut [usize]) {
    const { assert!(size_of::<W>() == size_of::<usize>()) };
    let places = &places[..words.len()];
    let done = if_wide! {{
        let first = if words.len() < MANY { 0 } else { words.len() / 8 };
        if first > 0 {
            seen!(Load, &places[..first * 8]);
            // SAFETY: as many words; the places may be read at any time.
            unsafe { copy_lines(words.as_mut_ptr(), places.as_ptr().cast(), first) };
        }
        let (places, words) = (&places[first * 8..], &mut words[first * 8..]);
        for (places, pair) in places.chunks_exact(2).zip(words.chunks_exact_mut(2)) {
            seen!(Load, places);
            let loaded: core::arch::x86_64::__m128i;
            // SAFETY: two words, which may be read at any time.
            unsafe {
                core::arch::asm!(
                    "movups {}, [{}]",
                    out(xmm_reg) loaded,
                    in(reg) places.as_ptr(),
                    options(nostack, preserves_flags)
                );
            }
            // SAFETY: two words.
            unsafe { core::arch::x86_64::_mm_storeu_si128(pair.as_mut_ptr().cast(), loaded) };
        }
        first * 8 + (words.len() & !1)
    } else { 0 }};
    for (place, value) in places[done..].iter().zip(&mut words[done..]) {
        *value = word(place).load(Ordering::Relaxed);
    }
}

/// Copies 64 bytes `count` times, at least once, in order.
///
/// # Safety
/// Both places have as many bytes, and do not overlap. The first may be written, the second read.
#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    target_feature = "sse2",
    not(miri),
    not(loom)
))]
#[inline]
unsafe fn copy_lines(to: *mut usize, from: *const usize, count: usize) {
    // SAFETY: this function's contract.
    unsafe {
        core::arch::asm!(
            "2:",
            "movups {a}, [{from}]",
            "movups {b}, [{from} + 16]",
            "movups {c}, [{from} + 32]",
            "movups {d}, [{from} + 48]",
            "movups [{to}], {a}",
            "movups [{to} + 16], {b}",
            "movups [{to} + 32], {c}",
            "movups [{to} + 48], {d}",
            "add {from}, 64",
            "add {to}, 64",
            "sub {count}, 1",
            "jnz 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            count = inout(reg) count => _,
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            options(nostack)
        );
    }
}
