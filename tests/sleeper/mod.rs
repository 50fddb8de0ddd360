//! A child of a process that is about to die.
#![allow(unsafe_code)]

/// A child that keeps all descriptors of this process for this many seconds.
pub(crate) fn fork_a_sleeper(seconds: u32) {
    // SAFETY: the child calls nothing else than the functions below, which the child of a process
    // with threads may call.
    if unsafe { libc::fork() } == 0 {
        // SAFETY: as above. `SIGALRM` ends the child.
        unsafe { libc::alarm(seconds) };
        loop {
            // SAFETY: as above.
            unsafe { libc::pause() };
        }
    }
}
