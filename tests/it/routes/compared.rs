//! The functions that `instructions.rs` compares: calls by `routes!`, and the same calls by hand.
//! They are compiled with optimisations, as in a user's program.

use mycelium::route::{Handler, Out};
use mycelium::{Error, Result, routes};

pub struct Tick {
    pub price: u64,
    pub size: u64,
}

/// Defines four handlers with state; each does different work and may fail.
macro_rules! handlers {
    ($($name:ident, $tick:ident, $state:ident => $changed:expr, $fails:expr;)*) => {$(
        #[derive(Default)]
        pub struct $name {
            state: u64,
        }

        impl Handler<Tick> for $name {
            #[inline]
            fn handle(&mut self, $tick: &Tick, _: &mut Out<'_>) -> Result<()> {
                let $state = self.state;
                self.state = $changed;
                if $fails { Err(Error::msg(stringify!($name))) } else { Ok(()) }
            }
        }
    )*};
}

handlers! {
    Strategy, tick, state => state + tick.price, tick.price > 1_000;
    Risk, tick, state => state ^ tick.size, state > 77;
    Volume, tick, state => state.max(tick.size), tick.size == 13;
    Count, _tick, state => state + 1, state == u64::MAX;
}

routes! { pub Four: { Tick => [Strategy, Risk, Volume, Count] } }

pub struct FourByHand {
    strategy: Strategy,
    risk: Risk,
    volume: Volume,
    count: Count,
}

#[unsafe(no_mangle)]
#[inline(never)]
pub fn route_four(four: &mut Four, tick: &Tick, out: &mut Out<'_>) -> Result<()> {
    four.route_to(tick, out)
}

#[unsafe(no_mangle)]
#[inline(never)]
pub fn call_four(four: &mut FourByHand, tick: &Tick, out: &mut Out<'_>) -> Result<()> {
    four.strategy.handle(tick, out)?;
    four.risk.handle(tick, out)?;
    four.volume.handle(tick, out)?;
    four.count.handle(tick, out)
}

/// Handlers that are looked up at run time, for comparison.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn call_by_list(
    list: &mut [Box<dyn Handler<Tick>>],
    tick: &Tick,
    out: &mut Out<'_>,
) -> Result<()> {
    list.iter_mut().try_for_each(|handler| handler.handle(tick, out))
}
