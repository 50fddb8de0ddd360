//! A program without std, without an allocator and without libc, which shows that mycelium-bus-core
//! needs none of them.
//!
//! It runs the tests of `core/tests/it/portable`, sends an item through a channel, connects two
//! links, and exits with 0; a panic ends it with 101. It runs on Linux on x86-64:
//!
//! ```text
//! cd core/no-std-proof
//! RUSTFLAGS="-Clink-arg=-nostartfiles -Clink-arg=-nodefaultlibs -Clink-arg=-static \
//!     -Crelocation-model=static" \
//!     cargo build --release --target x86_64-unknown-linux-gnu
//! target/x86_64-unknown-linux-gnu/release/mycelium-no-std-proof
//! nm -C target/x86_64-unknown-linux-gnu/release/mycelium-no-std-proof |
//!     grep -E ' (std|alloc)::|malloc|__rust_alloc'
//! ```
//!
//! The last line must find nothing. The real check is the linker: code that needs std or an
//! allocator does not link.
#![no_std]
#![no_main]
// The core's own atomics are for memory that loom must see; the counters of a test may be plain
// ones.
#![allow(clippy::disallowed_types)]

#[path = "../../tests/it/portable/bodies/mod.rs"]
mod bodies;
mod memory;
mod parts;

use core::{arch::asm, panic::PanicInfo};

macro_rules! run_all {
    ($($(#[$when:meta])* $module:ident { $($body:ident),* $(,)? })*) => {
        fn run_bodies() {
            $($(#[$when])* { $(bodies::$module::$body();)* })*
        }
    };
}

bodies::each!(run_all);

/// The entry point. The kernel jumps here with the stack aligned to 16 bytes, but a Rust function
/// expects to be called: so this only makes that call.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn _start() -> ! {
    core::arch::naked_asm!("xor ebp, ebp", "call {run}", "ud2", run = sym run)
}

extern "C" fn run() -> ! {
    run_bodies();
    parts::channel();
    parts::link();
    exit(0)
}

fn exit(code: i32) -> ! {
    // SAFETY: `exit_group` takes its argument in rdi and does not return.
    unsafe { asm!("syscall", in("rax") 231, in("rdi") code, options(noreturn)) }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(101)
}
