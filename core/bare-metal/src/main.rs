//! The core's tests on a microcontroller: a Cortex-M4, emulated by QEMU, without an operating
//! system and a heap.
//!
//! It runs the same bodies as the tests on the host (`core/tests/it/portable`), then rings and
//! doorbells that an interrupt shares with the interrupted program (`preempted`, `sleeping`). It
//! prints the name and result of each test and the greatest depth of the stack, and ends QEMU with
//! 0, or with 1 at the first test that fails: a panic on a microcontroller cannot be caught.
//!
//! ```text
//! cd core/bare-metal
//! RUSTFLAGS="-Clink-arg=-Tlink.x" cargo build --release --target thumbv7em-none-eabi
//! qemu-system-arm -cpu cortex-m4 -machine lm3s6965evb -nographic -icount shift=3 -singlestep \
//!     -semihosting-config enable=on,target=native \
//!     -kernel target/thumbv7em-none-eabi/release/mycelium-bare-metal
//! ```
//!
//! With `-singlestep` an interrupt can occur between any two instructions; without it only between
//! blocks of them. `-icount` counts instructions instead of time, so that every run is the same.
#![no_std]
#![no_main]
// The words that tests share with their interrupt are not shared memory of the core.
#![allow(clippy::disallowed_types)]

#[path = "../../tests/it/portable/bodies/mod.rs"]
mod bodies;
mod preempted;
#[cfg(target_has_atomic = "ptr")]
mod sleeping;
mod stack;
mod ticks;

use core::panic::PanicInfo;

use cortex_m_rt::{ExceptionFrame, entry, exception};
use cortex_m_semihosting::{
    debug::{EXIT_FAILURE, EXIT_SUCCESS, exit},
    hprint, hprintln,
};

type Test = (&'static str, fn());

macro_rules! list {
    ($($(#[$when:meta])* $module:ident { $($body:ident),* $(,)? })*) => {
        /// Every body, with its name.
        const BODIES: &[&[Test]] = &[$(
            $(#[$when])*
            &[$((concat!(stringify!($module), "::", stringify!($body)), bodies::$module::$body)),*],
        )*];
    };
}

bodies::each!(list);

/// The tests that need an interrupt.
const OTHERS: &[&[Test]] = &[
    preempted::TESTS,
    #[cfg(target_has_atomic = "ptr")]
    sleeping::TESTS,
    PROBES,
];

#[entry]
fn main() -> ! {
    let mut count = 0;
    for (name, test) in BODIES.iter().chain(OTHERS).copied().flatten() {
        hprint!("test {} ... ", name);
        test();
        hprintln!("ok");
        count += 1;
    }
    hprintln!("test result: ok. {} passed; 0 failed", count);
    hprintln!("stack: {} bytes at its deepest", stack::deepest());
    exit(EXIT_SUCCESS);
    unreachable!("QEMU has ended");
}

/// Faults on purpose: the script that runs this program must detect them.
const PROBES: &[Test] = &[
    #[cfg(feature = "probe-assert")]
    ("probe_assert", || assert_eq!(1 + 1, core::hint::black_box(3))),
    #[cfg(feature = "probe-fault")]
    ("probe_fault", || cortex_m::asm::udf()),
];

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("FAILED\n{}", info);
    end()
}

/// An access to an invalid address, or an invalid instruction.
#[exception]
#[allow(unsafe_code)] // only the processor calls it, and it never returns
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    hprintln!("FAILED\nhard fault at {:#010x}", frame.pc());
    end()
}

fn end() -> ! {
    loop {
        exit(EXIT_FAILURE);
    }
}
