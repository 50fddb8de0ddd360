//! Checks for both structs and enums: no generics, no conditions, `repr`, byte order.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::{Attribute, Error, Generics, Ident, Result, ext::IdentExt};

pub(super) fn refuse_generics(generics: &Generics) -> Result<()> {
    if generics.params.is_empty() {
        return Ok(());
    }
    let message = if generics.lifetimes().count() == generics.params.len() {
        "a message holds no references, so it has no lifetimes: use `String` for text, `Vec<T>` for \
         slices, and the values themselves"
    } else {
        "a message has one layout, so it has no generics: write one type for each use"
    };
    Err(Error::new_spanned(generics, message))
}

/// Refuses `cfg` attributes: two sides must have the same layout, so it must not depend on the
/// build.
pub(super) fn refuse_conditional(attrs: &[Attribute]) -> Result<()> {
    match attrs.iter().find(|attr| is(attr, "cfg") || is(attr, "cfg_attr")) {
        None => Ok(()),
        Some(attr) => Err(Error::new_spanned(
            attr,
            "the layout of a message must be the same in each build: its fields and variants cannot be \
             conditional",
        )),
    }
}

/// Returns whether an attribute has this name, also if it is written as a raw one.
pub(super) fn is(attr: &Attribute, name: &str) -> bool {
    attr.path().get_ident().is_some_and(|ident| ident.unraw() == name)
}

/// Returns the names in all `#[repr(...)]`, without their arguments.
pub(super) fn reprs(attrs: &[Attribute]) -> Result<Vec<Ident>> {
    let mut reprs = Vec::new();
    for attr in attrs.iter().filter(|attr| is(attr, "repr")) {
        attr.parse_nested_meta(|meta| {
            if meta.input.peek(syn::token::Paren) {
                let inner;
                syn::parenthesized!(inner in meta.input);
                inner.parse::<TokenStream>()?;
            }
            reprs.extend(meta.path.get_ident().cloned());
            Ok(())
        })?;
    }
    Ok(reprs)
}

/// Refuses big-endian hosts: payloads are read in place, in little-endian order.
pub(super) fn little_endian_only(span: Span) -> TokenStream {
    quote_spanned! { span =>
        #[cfg(target_endian = "big")]
        ::core::compile_error!(
            "messages are little-endian and read in place: this target is big-endian"
        );
    }
}
