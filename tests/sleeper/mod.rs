//! Forks a child that outlives its process for a while.
#![allow(unsafe_code)]

/// Forks a child that keeps all descriptors of this process open for this many seconds.
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
