//! The macros of Mycelium.
//!
//! `#[message]` has one entry for users of `mycelium` and one for users of `mycelium-bus-core`
//! alone. Both expand to the same code, with a different path to the traits. Do not depend on this
//! crate directly: both crates export their entry under the macro's name.

use proc_macro::TokenStream;
use syn::{Path, parse_quote};

mod actor;
mod impl_block;
mod launch;
mod message;
mod routes;
mod service;

/// Makes a struct a message, or a struct or an enum a part of messages.
///
/// ```ignore
/// #[message(topic = "orders", max = "256 KiB")]
/// #[derive(Debug)]
/// struct Order {
///     id: u64,
///     venue: String,
///     note: Option<String>,
///     legs: Vec<Leg>,
///     kind: Kind,
/// }
///
/// #[message]
/// #[derive(Debug)]
/// struct Leg {
///     price: i64,
///     amount: u64,
/// }
///
/// #[message]
/// #[derive(Debug)]
/// enum Kind {
///     Market,
///     Limit { cents: i64 },
///     Iceberg(u32, i64),
/// }
/// ```
///
/// | argument | |
/// | --- | --- |
/// | `topic = "orders"` | the topic of the messages. A type without a topic is a *part*: a type for fields of messages |
/// | `max = "256 KiB"` | the most bytes of an encoded message that is not fixed: 64 KiB if nothing is said, 64 MiB at most. A longer one is refused when it is emitted |
/// | `reply = Price` | the message is a request, and `Price` is the message that answers it |
/// | `id = 7` | a number from 1 to 65534, which frames and tools show. No other message of the system may have it. It may be left out: nodes know a message by its topic and its layout, and a listener for clients of the original system has its numbers in the topology |
/// | `codec = "postcard"` | serde encodes the struct or enum, see below |
/// | `schema = 1` | the schema of a type that serde encodes, as a number that is raised with each change |
/// | `pad` | the macro adds the padding of a fixed struct as fields, see below |
///
/// # Types of fields
///
/// | field | read in place as |
/// | --- | --- |
/// | numbers of up to 64 bits, `U128`, `I128`, `U256`, `bool`, `char`, `Duration`, `IpAddr` | the value |
/// | enums without data (with an integer, as in `#[repr(u8)]`) | the value |
/// | `FixedStr<N>`, `FixedVec<T, N>` | a reference |
/// | `String`, `Box<str>`, `Arc<str>` | `&str` |
/// | `bytes::Bytes` (feature `bytes` of `mycelium-bus-core`, on in `mycelium`) | `&[u8]` |
/// | `Vec<T>`, `[T; N]` | a slice (an array) of fixed items, otherwise an iterator of views |
/// | `BTreeMap<K, V>` | an iterator of keys and values, which also finds the value of a key |
/// | `Option<T>`, tuples of up to six | an `Option` and a tuple of views |
/// | structs with `#[message]` | a reference if fixed, otherwise a view with a method for each field |
/// | enums with data and `#[message]` | an enum called `KindView` |
///
/// These may be in each other, but a type cannot contain itself. A struct may have no fields: it is
/// a signal, or a request without data. A type that a message cannot hold is a compile error that
/// says what to write instead.
///
/// # Fixed messages
///
/// A message of numbers, `bool`, `char`, arrays, `FixedStr`, `FixedVec`, enums without data and
/// structs of these is *fixed*: its bytes in memory are sent and read in place, without an
/// encoding. It is also `Copy`. The macro adds `#[repr(C)]`, `Clone`, and `Copy` if all fields have
/// it; write other derives below it. Those of serde need the feature `serde` for `FixedStr`,
/// `FixedVec` and `U256`.
///
/// # Messages that grow
///
/// A message may get more fields at its end while programs of several versions run: a reader that
/// knows fewer fields drops the others, and a reader that knows more takes `None`, or a default. The
/// same holds for requests and replies:
///
/// ```ignore
/// #[message(topic = "orders")]
/// struct Order {
///     id: u64,
///     note: String,
///     // Since version 2:
///     venue: Option<String>,
///     #[message(default = 5)]
///     priority: u8,
/// }
/// ```
///
/// A default is a constant of a fixed type. Only the message itself grows, not the structs and enums
/// in it, and a fixed message only by fixed fields. Programs with other differences refuse each
/// other's messages, and name the first difference.
///
/// # Types of serde
///
/// With `codec = "postcard"` (feature `serde`) the fields may be any types with `Serialize` and
/// `Deserialize`, such as those of other crates and `HashMap`:
///
/// ```ignore
/// #[message(topic = "quotes", codec = "postcard", schema = 3)]
/// #[derive(Serialize, Deserialize)]
/// struct Quote(other_crate::Quote);
/// ```
///
/// Two sides must agree on the type. Derive `postcard_schema::Schema` too, and leave out `schema`:
/// then a different type has a different digest, and tools print the values. Otherwise raise the
/// number with each change. The message is decoded when it is received, which allocates as its
/// `Deserialize` does; a view has no methods for its fields. What needs the bytes to say their own
/// type cannot be decoded: untagged and internally tagged enums, and `flatten`. A field that is
/// skipped by `skip_serializing_if` would shift those behind it. The macro refuses all of these in
/// the type itself. `Clone` is added. Needs `std`, because a panic of `Deserialize` is caught.
///
/// # Padding
///
/// Each field starts at a multiple of its alignment, which for a number is its size. A gap before a
/// field, or at the end, is padding. A fixed message must not have padding, because its bytes in
/// memory are sent; all other messages may. So either
///
/// - order the fields from large to small alignment and fill the end, for example with
///   `_pad: [u8; 3]`: the compile error shows this order, ready to paste; or
/// - write `#[message(topic = "swaps", id = 1, pad)]`, on a field's type `#[message(pad)]`. The
///   macro then adds the padding as fields, in the order that you wrote.
///
/// Padding added by `pad` is not in any constructor or in `Debug`, and has no effect on `==`, an
/// order or a hash. A struct literal would have to name the padding; use one of these instead:
///
/// - `Swap::new(open, price)`, a `const fn` with the fields in the order of their declaration. It
///   is visible where all fields are visible, like a struct literal. Give your own `new` another
///   name;
/// - `Swap { price: 1, ..other }`, which takes the padding from another value, for example from
///   `Default::default()` if the struct derives it.
///
/// A pattern must end with `..`. Other derives see the padding; those of serde skip it. A writer
/// sets it to zero. A reader accepts any bytes there and does not change them. The layout and its
/// digest include the padding as fields called `_pad`, as if written by hand; padding of zero bytes
/// is left out, so `pad` changes nothing in a struct that needs none.
#[proc_macro_attribute]
pub fn message(attr: TokenStream, item: TokenStream) -> TokenStream {
    expand_message(parse_quote!(::mycelium::__private::core), attr, item)
}

/// [`macro@message`] for crates that depend on `mycelium-bus-core` alone, which exports it as
/// `message`.
#[proc_macro_attribute]
pub fn core_message(attr: TokenStream, item: TokenStream) -> TokenStream {
    expand_message(parse_quote!(::mycelium_core), attr, item)
}

fn expand_message(root: Path, attr: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    message::expand_or_explain(root, attr.into(), item).into()
}

/// Makes a type with an `async fn run` a service.
///
/// Put `#[mycelium::service(reads(Tick), emits(Order))]` on the impl block. It declares which
/// messages the service reads and emits: the node connects it before any service runs, and reading
/// or emitting another message does not compile. `reads(Tick as left)` and `emits(Order as out)`
/// declare named ports, whose topics the topology or the program chooses, and create the constants
/// `Self::left` and `Self::out`, which `run` uses. The compiler infers from `run` whether the
/// service may move between threads; a generic service states `send` or `local`.
#[proc_macro_attribute]
pub fn service(attr: TokenStream, item: TokenStream) -> TokenStream {
    service::expand_or_explain(attr.into(), item.into()).into()
}

/// Makes a type an actor: a value with its own mailbox.
///
/// Put `#[mycelium::actor]` on the impl block. It turns these methods into handlers; they may be
/// `async` or not, and may take `ctx: &mut ActorContext<Self>` as their last parameter:
///
/// | method | is called with |
/// | --- | --- |
/// | `fn f(&mut self, a: A, b: B) -> R`, or with `&self` | each call `actor.f(a, b)` of a reference in the same process. The parameters and `R` are `Send` and `'static` |
/// | `#[remote] fn f(&mut self, request: Q) -> Q::Reply` | the same, also of other processes; `Q` is a `#[message(.., reply = ..)]`. Or `ask` by type |
/// | `#[remote] fn f(&mut self, asked: Asked<Q>) -> Result<()>` | the same, to reply later |
/// | `#[tell] fn f(&mut self, message: M) -> Result<()>` | each message of type `M`; `M` is any type that is `Send` and `'static` |
/// | `fn started(&mut self) -> Result<()>` | nothing, before the first message of each run |
/// | `fn stopped(&mut self)` | nothing, at the end, unless the last run panicked |
/// | `fn gone(&mut self, gone: Gone) -> Result<()>` | the end of an actor that it watches |
/// | `fn on_error(&mut self, error: &Error) -> OnError` | each error of a handler; without it, an error restarts the actor |
///
/// What a call returns is the reply, but the `Err` of a `mycelium::Result` fails the actor. Methods
/// that are none of these belong in another block. A handler of a message or a request may return a
/// plain value or a `Result`, whose error fails the actor. The compiler infers whether the
/// actor may move between threads; a generic actor states `#[actor(send)]` or `#[actor(local)]`.
/// Needs the feature `actors` of `mycelium`.
#[proc_macro_attribute]
pub fn actor(attr: TokenStream, item: TokenStream) -> TokenStream {
    actor::expand_or_explain(attr.into(), item.into()).into()
}

/// The struct owns one instance of each handler; `new` takes them in the order in which the lists
/// first name them. `route` compiles to consecutive calls of `Handler::handle`, without a lookup, a
/// box or a queue. The first error stops the calls and is returned.
///
/// | method | |
/// | --- | --- |
/// | `route(&message)` | calls the handlers; what they emit has no publisher |
/// | `route_to(&message, &mut out)` | the same, with an `Out` for what they emit: `ctx.out()` in a service |
/// | `route_async(&message).await`, `route_async_to(&message, &mut out).await` | the same; also for lists with `async` handlers |
/// | `strategy()`, `strategy_mut()` | the handler, by the name of its type in snake case |
/// | `into_parts()` | all handlers, in the order of `new` |
///
/// In a list,
///
/// - `async Journal` is an `AsyncHandler`: the list needs `route_async`;
/// - `Limit as entry` gives a handler a name; one type with two names has two instances;
/// - `Tick => [Strategy] -> bus` passes the message to the subscriptions of its topic after the
///   handlers, unless one fails. `route_to` first claims room in the ring: if there is none, it
///   fails before any handler runs. `route_async_to` waits for room after the handlers.
///
/// The struct may have type parameters, `Fast<C: Clock>: { .. }`, and attributes.
#[proc_macro]
pub fn routes(input: TokenStream) -> TokenStream {
    routes::expand_or_explain(input.into()).into()
}
