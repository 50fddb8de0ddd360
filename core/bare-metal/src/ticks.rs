//! The interrupt: a timer that runs a test's step repeatedly, each time after another number of
//! instructions.

use core::{
    cell::{Cell, RefCell},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use cortex_m::{
    Peripherals,
    interrupt::{Mutex, free},
    peripheral::{SYST, syst::SystClkSource},
};
use cortex_m_rt::exception;

static TIMER: Mutex<RefCell<Option<SYST>>> = Mutex::new(RefCell::new(None));
static STEP: Mutex<Cell<fn()>> = Mutex::new(Cell::new(|| {}));
static DICE: Mutex<Cell<u32>> = Mutex::new(Cell::new(0x2545_f491));
/// Whether the program is inside a call that is tested.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// How often an interrupt came while the program was inside a call that is tested.
static PREEMPTED: AtomicUsize = AtomicUsize::new(0);

/// A value that the interrupt uses while a test runs.
pub(crate) struct Shared<T>(Mutex<RefCell<Option<T>>>);

impl<T: Send> Shared<T> {
    pub(crate) const fn new() -> Shared<T> {
        Shared(Mutex::new(RefCell::new(None)))
    }

    pub(crate) fn put(&self, value: T) {
        free(|token| *self.0.borrow(token).borrow_mut() = Some(value));
    }

    pub(crate) fn take(&self) -> T {
        free(|token| self.0.borrow(token).take()).expect("nothing was put here")
    }

    /// Calls `use_it` with the value. For the interrupt, which is not interrupted itself.
    pub(crate) fn with(&self, use_it: impl FnOnce(&mut T)) {
        free(|token| {
            use_it(self.0.borrow(token).borrow_mut().as_mut().expect("nothing was put here"))
        });
    }
}

/// A pseudo-random number, from xorshift.
pub(crate) fn dice() -> u32 {
    free(|token| {
        let dice = DICE.borrow(token);
        let mut number = dice.get();
        number ^= number << 13;
        number ^= number >> 17;
        number ^= number << 5;
        dice.set(number);
        number
    })
}

/// Runs `call`, and records whether the interrupt occurred meanwhile.
pub(crate) fn inside<R>(call: impl FnOnce() -> R) -> R {
    INSIDE.store(1, SeqCst);
    let result = call();
    INSIDE.store(0, SeqCst);
    result
}

/// Runs `test` while the interrupt runs `step`. The interrupt must come inside tested calls.
pub(crate) fn during(step: fn(), test: impl FnOnce()) {
    free(|token| STEP.borrow(token).set(step));
    PREEMPTED.store(0, SeqCst);
    with_timer(|timer| {
        timer.set_clock_source(SystClkSource::Core);
        timer.enable_interrupt();
    });
    start(REST);
    test();
    with_timer(|timer| {
        timer.disable_counter();
        timer.disable_interrupt();
    });
    let preempted = PREEMPTED.load(SeqCst);
    assert!(preempted > 100, "{preempted} interrupts inside");
}

#[exception]
fn SysTick() {
    // The timer stops meanwhile: otherwise a slow step would leave no time to the program.
    with_timer(|timer| timer.disable_counter());
    // Not an atomic addition, which some processors lack: nothing else adds to it.
    PREEMPTED.store(PREEMPTED.load(SeqCst) + INSIDE.load(SeqCst), SeqCst);
    free(|token| STEP.borrow(token).get())();
    start(REST + dice() % VARIATION);
}

/// Sets the ticks until the next interrupt, each of some instructions.
fn start(ticks: u32) {
    with_timer(|timer| {
        timer.set_reload(ticks);
        timer.clear_current();
        timer.enable_counter();
    });
}

fn with_timer(use_it: impl FnOnce(&mut SYST)) {
    free(|token| {
        let mut timer = TIMER.borrow(token).borrow_mut();
        use_it(timer.get_or_insert_with(|| Peripherals::take().expect("the only one").SYST));
    });
}

/// The fewest ticks between two interrupts.
const REST: u32 = 10;
/// How many ticks more there may be, at random.
const VARIATION: u32 = 50;
