//! The attribute macros of Mycelium.
//!
//! Each macro has one entry for users of `mycelium` and one for users of `mycelium-core` alone:
//! both expand to the same code, but for the path by which it finds the traits. Nobody depends on
//! this crate directly; both crates hand their entry on under the macro's own name.

use proc_macro::TokenStream;
use syn::{Path, parse_quote};

mod message;
mod service;

/// Makes a struct or an enum without fields a type of fixed layout, for messages.
///
/// `#[message(topic = "swaps", id = 1)]` on a struct makes it a message; `#[message]` alone makes a
/// struct or an enum without fields a type that can stand inside one. The macro adds `#[repr(C)]`
/// (an enum names its own integer, as in `#[repr(u8)]`), `Clone`, `Copy` and the derives of
/// zerocopy; derives that are yours go below it. What a message cannot hold is a compile error that
/// says what to do instead: references, `String`, `Vec`, `usize`, generics, padding.
#[proc_macro_attribute]
pub fn message(attr: TokenStream, item: TokenStream) -> TokenStream {
    expand_message(parse_quote!(::mycelium::__private::core), attr, item)
}

/// [`macro@message`], for crates that depend on `mycelium-core` alone, which hands it on as
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
/// `#[mycelium::service(reads(Tick), emits(Order))]` goes on the impl block. What the service reads
/// and emits is declared: the node wires it before anything runs, and emitting or reading anything
/// else does not compile. Whether the service may move between threads is found out from its `run`;
/// a generic service says `send` or `local`.
#[proc_macro_attribute]
pub fn service(attr: TokenStream, item: TokenStream) -> TokenStream {
    service::expand_or_explain(attr.into(), item.into()).into()
}
