//! The attribute macros of Mycelium.
//!
//! `#[message]` has one entry for users of `mycelium` and one for users of `mycelium-core` alone.
//! Both expand to the same code, with another path to the traits. Do not depend on this crate
//! directly: both crates export their entry under the macro's name.

use proc_macro::TokenStream;
use syn::{Path, parse_quote};

mod message;
mod service;

/// Gives a struct, or an enum without data, a fixed layout for messages.
///
/// `#[message(topic = "swaps", id = 1)]` on a struct makes it a message. `#[message]` alone makes a
/// struct, or an enum without data, a type for fields of messages. The macro adds `#[repr(C)]`
/// (an enum names its own integer, as in `#[repr(u8)]`), `Clone`, `Copy` and the derives of
/// zerocopy; write your own derives below it. A type that a message cannot hold is a compile error
/// that says what to use instead: references, `String`, `Vec`, `Option`, `usize`, generics, enums
/// with data, padding.
///
/// # Padding
///
/// Each field starts at a multiple of its alignment, which for a number is its size. A gap before
/// a field, or at the end, is padding. A message has none: its bytes in memory are sent. So
/// either
///
/// - order the fields from large to small alignment and fill the end, for example with
///   `_pad: [u8; 3]`: the compile error shows this order, ready to paste; or
/// - write `#[message(topic = "swaps", id = 1, pad)]`, on a field's type `#[message(pad)]`. The
///   macro then adds the padding as fields, in the order that you wrote.
///
/// The padding of `pad` is in no constructor and in no `Debug`, and does not matter for `==`, an
/// order or a hash. Instead of a struct literal, which would have to name the padding, there is
///
/// - `Swap::new(open, price)`, a `const fn` with the fields in the order of their declaration. It
///   is visible where all fields are, as a struct literal would be. A `new` of your own needs
///   another name;
/// - `Swap { price: 1, ..other }`, the padding from another value, also from
///   `Default::default()` if the struct derives it.
///
/// A pattern ends with `..`. Other derives, such as those of serde, see the padding. A writer sets
/// it to zero. A reader accepts all bytes there and does not change them. The layout and its digest
/// have the padding as fields called `_pad`, as if written by hand; padding of no bytes is left
/// out, so `pad` changes nothing in a struct that needs none.
#[proc_macro_attribute]
pub fn message(attr: TokenStream, item: TokenStream) -> TokenStream {
    expand_message(parse_quote!(::mycelium::__private::core), attr, item)
}

/// [`macro@message`] for crates that depend on `mycelium-core` alone, which exports it as
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
/// `#[mycelium::service(reads(Tick), emits(Order))]` goes on the impl block. It declares what the
/// service reads and emits: the node connects it before any service runs, and reading or emitting
/// another message does not compile. `reads(Tick as left)` and `emits(Order as out)` declare named
/// ports, whose topics the topology or the program chooses, and make the constants `Self::left` and
/// `Self::out`, by which `run` names them. The compiler finds out from `run` whether the service
/// may move between threads; a generic service says `send` or `local`.
#[proc_macro_attribute]
pub fn service(attr: TokenStream, item: TokenStream) -> TokenStream {
    service::expand_or_explain(attr.into(), item.into()).into()
}
