//! Two threads write one place without an order between them. ThreadSanitizer and Miri must say so.

use std::cell::UnsafeCell;

struct Shared(UnsafeCell<u64>);

// SAFETY: none, which is the point.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(UnsafeCell::new(0));

fn write() {
    for _ in 0..100 {
        // SAFETY: none, as above.
        unsafe { *SHARED.0.get() += 1 };
    }
}

fn main() {
    let threads = [std::thread::spawn(write), std::thread::spawn(write)];
    for thread in threads {
        thread.join().unwrap();
    }
}
