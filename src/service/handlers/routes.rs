//! Handlers: plain structs that are called with messages. [`routes!`](macro@crate::routes) combines
//! several handlers in one struct, and compiles its lists of handlers to direct calls.

use crate::error::Result;
use crate::service::handlers::out::Out;

/// Handles messages of one type: a plain struct, which is called directly.
///
/// [`routes!`](macro@crate::routes) calls several handlers for a message; in a service,
/// [`Context::handle`](crate::Context::handle) calls one for each message of a subscription. The
/// same struct can be used in both ways.
///
/// ```
/// use mycelium::route::{Handler, Out};
/// use mycelium::{Error, Result};
///
/// struct Tick {
///     price: u64,
/// }
///
/// struct Risk {
///     most: u64,
/// }
///
/// impl Handler<Tick> for Risk {
///     fn handle(&mut self, tick: &Tick, _: &mut Out<'_>) -> Result<()> {
///         if tick.price <= self.most { Ok(()) } else { Err(Error::msg("the price is too high")) }
///     }
/// }
///
/// assert!(Risk { most: 9 }.handle(&Tick { price: 7 }, &mut Out::none()).is_ok());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle `{M}`",
    label = "not a handler of `{M}`",
    note = "write `impl Handler<{M}> for {Self} {{ fn handle(&mut self, message: &{M}, out: &mut \
            Out<'_>) -> Result<()> {{ .. }} }}`; if it is an `AsyncHandler`, list it as `async {Self}`"
)]
pub trait Handler<M> {
    /// Handles a message. Messages that the handler emits to the bus go to `out`.
    ///
    /// # Errors
    /// The error of the handler. Later handlers in the list are not called.
    fn handle(&mut self, message: &M, out: &mut Out<'_>) -> Result<()>;
}

/// A [`Handler`] that can wait: marked `async` in the lists of [`routes!`](macro@crate::routes).
///
/// ```
/// use mycelium::route::{AsyncHandler, Out};
/// use mycelium::{Result, message};
///
/// struct Tick {
///     price: u64,
/// }
///
/// #[message(topic = "orders", id = 1)]
/// struct Order {
///     price: u64,
/// }
///
/// struct Strategy;
///
/// impl AsyncHandler<Tick> for Strategy {
///     async fn handle(&mut self, tick: &Tick, out: &mut Out<'_>) -> Result<()> {
///         // Waits while a `block` subscription of the orders is full.
///         Ok(out.emit(Order { price: tick.price }).await?)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle `{M}` asynchronously",
    label = "not an async handler of `{M}`",
    note = "write `impl AsyncHandler<{M}> for {Self} {{ async fn handle(&mut self, message: &{M}, \
            out: &mut Out<'_>) -> Result<()> {{ .. }} }}`; if it is a `Handler`, list it without `async`"
)]
pub trait AsyncHandler<M> {
    /// Handles a message. Messages that the handler emits to the bus go to `out`.
    ///
    /// If the future is dropped before it completes, the handler has done part of its work, and
    /// later handlers are not called.
    ///
    /// # Errors
    /// The error of the handler. Later handlers in the list are not called.
    fn handle(&mut self, message: &M, out: &mut Out<'_>) -> impl Future<Output = Result<()>>;
}

/// A struct of [`routes!`](macro@crate::routes) with a list of [`Handler`]s for `M`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not route `{M}` by calls that do not wait",
    note = "list its handlers in `routes!`: `{M} => [..]`; if the list has an `async` handler, \
            write `.route_async_to(..).await`"
)]
pub trait Routes<M> {
    /// Calls the handlers.
    #[doc(hidden)]
    fn call(&mut self, message: &M, out: &mut Out<'_>) -> Result<()>;

    /// Calls the handlers, and passes the message to the bus if the list says so.
    #[doc(hidden)]
    fn route_to(&mut self, message: &M, out: &mut Out<'_>) -> Result<()>;
}

/// A struct of [`routes!`](macro@crate::routes) with a list of handlers for `M`, some of which may
/// be [`AsyncHandler`]s.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not route `{M}`",
    note = "list its handlers in `routes!`: `{M} => [..]`"
)]
pub trait RoutesAsync<M> {
    #[doc(hidden)]
    fn route_async_to(
        &mut self,
        message: &M,
        out: &mut Out<'_>,
    ) -> impl Future<Output = Result<()>>;
}

/// A struct of [`routes!`](macro@crate::routes) whose list for `M` does not pass it to the bus.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not route `{M}` without a bus",
    note = "list its handlers in `routes!`: `{M} => [..]`; if the list ends with `-> bus`, say \
            where that is: `.route_to(&message, &mut ctx.out())`"
)]
pub trait RoutesAlone<M> {}
