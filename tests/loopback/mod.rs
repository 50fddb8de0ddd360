//! Addresses of this machine that no other test uses.

use std::sync::atomic::{AtomicU8, Ordering};

/// Returns an address of the loopback interface, which has 16 million of them; each test process
/// and each call takes another one.
pub(crate) fn host() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{low}.{}", high | 0x80, NEXT.fetch_add(1, Ordering::Relaxed))
}
