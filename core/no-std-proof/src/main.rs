//! A program without std, without an allocator and without libc, which shows that mycelium-core
//! needs none of them.
//!
//! It sends items through every ring and a channel, parks at a doorbell and is woken, connects two
//! links, writes a message as a frame and reads it back, and exits with 0 if all data is unchanged.
//! Each error has its own exit code. It runs on Linux on x86-64:
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

mod memory;
mod parts;

use core::{arch::asm, hint::black_box, panic::PanicInfo};

use mycelium_core::{
    Envelope, FixedStr, FixedVec, FrameView, Limits, Message, TraceContext, Words, from_words,
    message,
    ring::broadcast::{Broadcast, InlineStorage, Layout, Peek},
    to_words, write_message,
};

#[message]
#[repr(u8)]
#[derive(PartialEq)]
enum Side {
    Buy = 1,
    Sell = 2,
}

#[message(topic = "swaps", id = 1)]
#[derive(PartialEq)]
struct Swap {
    price: u64,
    pool: u32,
    side: Side,
    open: bool,
    symbol: FixedStr<8>,
    fills: FixedVec<u16, 3>,
}

/// Aligned to 8 bytes, like the buffer of a link.
#[repr(align(8))]
struct Buffer([u8; 256]);

/// The message after it passed through a ring on the stack.
fn through_a_ring(swap: &Swap) -> Result<Swap, i32> {
    const BYTES: usize = size_of::<Swap>();
    const LAYOUT: Layout = Layout::exact(2, BYTES);
    let storage = InlineStorage::<{ LAYOUT.words() }, 1>::new();
    let ring = Broadcast::new(storage, LAYOUT).map_err(|_| 18)?;
    let mut writer = Broadcast::producer(&ring).ok_or(19)?;
    let mut reader = Broadcast::gating(&ring).ok_or(20)?;
    writer.try_push(&to_words(swap), BYTES).map_err(|_| 21)?;
    let mut words = <Swap as Message>::Words::ZERO;
    match reader.peek(&mut words) {
        Peek::Message { sequence: 0, length: BYTES } => from_words(&words).map_err(|_| 22),
        _ => Err(23),
    }
}

fn proof() -> Result<(), i32> {
    parts::rings()?;
    parts::doorbell()?;
    parts::channel()?;
    parts::link()?;
    let swap = Swap {
        price: black_box(1_234_567_890_123),
        pool: 77,
        side: Side::Sell,
        open: true,
        symbol: FixedStr::try_from("ETH/USD").map_err(|_| 10)?,
        fills: FixedVec::from_slice(&[7, 300]).map_err(|_| 11)?,
    };
    let swap = through_a_ring(&swap)?;
    let envelope = Envelope {
        trace: Some(TraceContext::default()),
        deadline: Some(9),
        ..Envelope::of::<Swap>(3, 4)
    };

    let mut buffer = Buffer([0xa5; 256]);
    let len = write_message(&mut buffer.0, &envelope, &swap).map_err(|_| 12)?;
    let bytes = black_box(&buffer.0).get(..len).ok_or(13)?;
    let (frame, rest) = FrameView::parse(bytes, &Limits::default()).map_err(|_| 14)?;
    let read = frame.message::<Swap>().map_err(|_| 15)?;
    let words = from_words::<Swap>(&to_words(read)).map_err(|_| 16)?;

    let same = *read == swap && words == swap && frame.envelope() == envelope && rest.is_empty();
    if same { Ok(()) } else { Err(17) }
}

/// The entry point. The kernel jumps here with the stack aligned to 16 bytes, but a Rust function
/// expects a call: so this only makes the call.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn _start() -> ! {
    core::arch::naked_asm!("xor ebp, ebp", "call {run}", "ud2", run = sym run)
}

extern "C" fn run() -> ! {
    exit(match proof() {
        Ok(()) => 0,
        Err(code) => code,
    })
}

fn exit(code: i32) -> ! {
    // SAFETY: `exit_group` takes its argument in rdi and does not return.
    unsafe { asm!("syscall", in("rax") 231, in("rdi") code, options(noreturn)) }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(101)
}
