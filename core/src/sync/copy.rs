//! Copies between words that other threads may access concurrently and words of this thread.
//!
//! Rust has atomic accesses of a word, but of nothing longer. These functions use longer ones where
//! the processor has them: two words at a time for a few words, 64 bytes at a time for more, and
//! one instruction from 2 KiB on. That instruction need not read the lines that it
//! replaces, which halves the time of a writer whose reader is on another core. It may store its
//! words in any order, but before all later stores. To Rust these look like accesses from outside
//! the program, which are allowed at any time because all other accesses to these words are atomic.
//! A reader that races with a writer may get any mixture of old and new bytes.

use super::{AtomicUsize, Ordering, repeat};

/// Stores words to atomic words, relaxed, in as few stores as the processor allows. The cost of a
/// store does not depend on its length, and the store buffer, in which stores wait for cache lines
/// of other cores, is small.
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

/// Words that threads store and load at any time, each word by itself and relaxed, in as few
/// accesses as the processor allows.
///
/// ```
/// use mycelium_core::SharedWords;
///
/// let shared = SharedWords::default();
/// assert_eq!(shared.load(), [0; 3]);
/// shared.store(&[1, 2, 3]);
/// assert_eq!(shared.load(), [1, 2, 3]);
/// ```
#[derive(Debug)]
pub struct SharedWords<const N: usize>([AtomicUsize; N]);

impl<const N: usize> SharedWords<N> {
    /// Stores the words. A thread that loads them meanwhile gets any mixture of old and new bytes.
    #[inline]
    pub fn store(&self, words: &[usize; N]) {
        store_all(&self.0, |word| word, words);
    }

    /// Loads the words.
    #[inline]
    #[must_use]
    pub fn load(&self) -> [usize; N] {
        let mut words = [0; N];
        load_all(&self.0, |word| word, &mut words);
        words
    }
}

impl<const N: usize> Default for SharedWords<N> {
    fn default() -> SharedWords<N> {
        SharedWords(repeat!(AtomicUsize::new(0); N))
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

    /// From this number of words on, one instruction copies them. It begins slowly.
    const LONG: usize = 256;

    /// Returns how many of this number of words [`copy_many`] copies: a multiple of eight.
    #[inline(always)]
    fn many(words: usize) -> usize {
        if words < MANY { 0 } else { words & !7 }
    }

    #[inline(always)]
    pub(super) fn store<W>(places: &[W], words: &[usize]) -> usize {
        let first = many(words.len());
        if first > 0 {
            seen!(Store, &places[..first]);
            // SAFETY: as many words; the places may be written through a shared reference.
            unsafe { copy_many(places.as_ptr().cast_mut().cast(), words.as_ptr(), first) };
        }
        // Not `chunks_exact(2).zip(..)`: that is a call which divides twice.
        let (mut next_places, mut next_words) = (&places[first..], &words[first..]);
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
        let first = many(words.len());
        let done = words.len() & !1;
        if first > 0 {
            seen!(Load, &places[..first]);
            // SAFETY: as many words; the places may be read at any time.
            unsafe { copy_many(words.as_mut_ptr(), places.as_ptr().cast(), first) };
        }
        let (mut next_places, mut next_words) = (&places[first..], &mut words[first..]);
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

    /// Copies this number of words, which is a multiple of eight and not 0.
    ///
    /// # Safety
    /// Both places have as many words, and do not overlap. The first may be written, the second
    /// read.
    #[inline]
    unsafe fn copy_many(to: *mut usize, from: *const usize, count: usize) {
        if count < LONG {
            // SAFETY: this function's contract.
            return unsafe { copy_lines(to, from, count) };
        }
        // SAFETY: this function's contract, for the first words.
        unsafe { copy_lines(to, from, 8) };
        // The processor is a third slower if it does not begin at a line.
        let done = to.align_offset(64);
        let (to, from) = (to.wrapping_add(done), from.wrapping_add(done));
        // SAFETY: this function's contract, for the other words: `done` is less than eight.
        unsafe {
            asm!(
                "rep movsq",
                inout("rdi") to => _,
                inout("rsi") from => _,
                inout("rcx") count - done => _,
                options(nostack, preserves_flags)
            );
        }
    }

    /// Does the same with 64 bytes at a time.
    ///
    /// # Safety
    /// As above.
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
                "sub {count}, 8",
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
