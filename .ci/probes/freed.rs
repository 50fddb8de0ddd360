//! Reads memory that was given back. AddressSanitizer must say so.

fn main() {
    let pointer = Box::into_raw(Box::new(7u64));
    // SAFETY: it came from `into_raw` and is given back once.
    drop(unsafe { Box::from_raw(pointer) });
    // SAFETY: none, which is the point.
    let read = unsafe { std::ptr::read_volatile(pointer) };
    std::process::exit(i32::from(read == 1));
}
