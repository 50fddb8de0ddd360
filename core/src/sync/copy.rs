//! Copies between words that other threads may access concurrently and words of this thread.
//!
//! Rust has atomic accesses of a word, but of nothing longer. These functions use longer ones where
//! the processor has them: two words at a time for a few words, 64 bytes at a time for many (twice
//! as fast as word by word on the measured processors, and for 32 KiB as fast as a `memcpy`). To
//! Rust these look like accesses from outside the program, which are allowed at any time because
//! all other accesses to these words are atomic. A reader that races with a writer may get any
//! mixture of old and new bytes.

use super::{AtomicUsize, Ordering};

/// Stores words to atomic words, relaxed and in order, in as few stores as the processor allows.
/// The cost of a store does not depend on its length, and the store buffer, in which stores wait
/// for cache lines of other cores, is small.
///
/// `W` is a wrapper of an atomic word, and `word` unwraps it.
///
/// # Panics
/// If there are more words than places.
#[inline(always)]
pub(crate) fn store_all<W>(places: &[W], word: impl Fn(&W) -> &AtomicUsize, words: &[usize]) {
    const { assert!(size_of::<W>() == size_of::<usize>()) };
    let places = &places[..words.len()];
    let done = wide::store(places, words);
    for (place, value) in places[done..].iter().zip(&words[done..]) {
        word(place).store(*value, Ordering::Relaxed);
    }
}

/// Loads as many atomic words as `words` has, relaxed, in as few loads as the processor allows. The
/// places may be mapped read-only.
///
/// # Panics
/// If there are fewer places.
#[inline(always)]
pub(crate) fn load_all<W>(places: &[W], word: impl Fn(&W) -> &AtomicUsize, words: &mut [usize]) {
    const { assert!(size_of::<W>() == size_of::<usize>()) };
    let places = &places[..words.len()];
    let done = wide::load(places, words);
    for (place, value) in places[done..].iter().zip(&mut words[done..]) {
        *value = word(place).load(Ordering::Relaxed);
    }
}

/// Accesses of several words. Both functions return how many words they copied, from the start.
///
/// Each `W` is an atomic word. There must be as many places as words.
#[cfg(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    target_feature = "sse2",
    not(miri),
    not(loom)
))]
mod wide {
    use core::arch::asm;
    use core::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_storeu_si128};

    use crate::sync::seen;

    /// From this number of words on, 64 bytes are copied at a time.
    const MANY: usize = 32;

    /// Returns how many pieces of 64 bytes are copied for this number of words.
    #[inline(always)]
    fn lines(words: usize) -> usize {
        if words < MANY { 0 } else { words / 8 }
    }

    #[inline(always)]
    pub(super) fn store<W>(places: &[W], words: &[usize]) -> usize {
        let first = lines(words.len());
        if first > 0 {
            seen!(Store, &places[..first * 8]);
            // SAFETY: as many words; the places may be written through a shared reference.
            unsafe { copy_lines(places.as_ptr().cast_mut().cast(), words.as_ptr(), first) };
        }
        // Not `chunks_exact(2).zip(..)`: that is a call which divides twice.
        let (mut next_places, mut next_words) = (&places[first * 8..], &words[first * 8..]);
        while let Some((pair, after)) = next_words.split_first_chunk::<2>()
            && let Some((places, more)) = next_places.split_first_chunk::<2>()
        {
            (next_places, next_words) = (more, after);
            // SAFETY: two words.
            let pair = unsafe { _mm_loadu_si128(pair.as_ptr().cast()) };
            seen!(Store, places);
            // SAFETY: two words, which may be written through a shared reference.
            unsafe {
                asm!(
                    "movups [{}], {}",
                    in(reg) places.as_ptr(),
                    in(xmm_reg) pair,
                    options(nostack, preserves_flags)
                );
            }
        }
        words.len() & !1
    }

    #[inline(always)]
    pub(super) fn load<W>(places: &[W], words: &mut [usize]) -> usize {
        let first = lines(words.len());
        if first > 0 {
            seen!(Load, &places[..first * 8]);
            // SAFETY: as many words; the places may be read at any time.
            unsafe { copy_lines(words.as_mut_ptr(), places.as_ptr().cast(), first) };
        }
        let done = words.len() & !1;
        let (mut next_places, mut next_words) = (&places[first * 8..], &mut words[first * 8..]);
        while let Some((pair, after)) = next_words.split_first_chunk_mut::<2>()
            && let Some((places, more)) = next_places.split_first_chunk::<2>()
        {
            (next_places, next_words) = (more, after);
            seen!(Load, places);
            let loaded: __m128i;
            // SAFETY: two words, which may be read at any time.
            unsafe {
                asm!(
                    "movups {}, [{}]",
                    out(xmm_reg) loaded,
                    in(reg) places.as_ptr(),
                    options(nostack, preserves_flags)
                );
            }
            // SAFETY: two words.
            unsafe { _mm_storeu_si128(pair.as_mut_ptr().cast(), loaded) };
        }
        done
    }

    /// Copies 64 bytes `count` times, at least once, in order.
    ///
    /// # Safety
    /// Both places have as many bytes, and do not overlap. The first may be written, the second
    /// read.
    #[inline]
    unsafe fn copy_lines(to: *mut usize, from: *const usize, count: usize) {
        // SAFETY: this function's contract.
        unsafe {
            asm!(
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
}

/// The same functions, for targets where a word is the longest access, and for the model checkers.
#[cfg(not(all(
    target_arch = "x86_64",
    target_pointer_width = "64",
    target_feature = "sse2",
    not(miri),
    not(loom)
)))]
mod wide {
    pub(super) fn store<W>(_: &[W], _: &[usize]) -> usize {
        0
    }

    pub(super) fn load<W>(_: &[W], _: &mut [usize]) -> usize {
        0
    }
}
