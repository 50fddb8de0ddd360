//! The derives of a type: derives that the macro adds, and derives that the user wrote.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Attribute, Ident, Path, Result, Token, parse_quote, punctuated::Punctuated};

/// Returns `Clone`, `Copy` and the derives of zerocopy, except derives that the user wrote below
/// the attribute.
pub(super) fn derives(root: &Path, attrs: &[Attribute]) -> Result<TokenStream> {
    let mut present = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("derive")) {
        present
            .extend(derived(attr)?.iter().filter_map(|p| Some(p.segments.last()?.ident.clone())));
    }
    let has = |name: &str| present.iter().any(|ident| ident == name);
    let zerocopy = quote!(#root::__private::zerocopy);
    let mut missing = Vec::new();
    if !has("Clone") {
        missing.push(quote!(::core::clone::Clone));
    }
    if !has("Copy") {
        missing.push(quote!(::core::marker::Copy));
    }
    // Each of these two derives also generates `TryFromBytes`.
    if !has("TryFromBytes") && !has("FromZeros") && !has("FromBytes") {
        missing.push(quote!(#zerocopy::TryFromBytes));
    }
    for name in ["IntoBytes", "KnownLayout", "Immutable"] {
        if !has(name) {
            let name = Ident::new(name, Span::call_site());
            missing.push(quote!(#zerocopy::#name));
        }
    }
    let path = zerocopy.to_string().replace(' ', "");
    Ok(quote! {
        #[derive(#(#missing),*)]
        #[zerocopy(crate = #path)]
    })
}

/// Removes `Debug` from the derives. Returns whether it was there.
pub(super) fn take_debug(attrs: &mut Vec<Attribute>) -> Result<bool> {
    let mut found = false;
    let mut kept = Vec::new();
    for attr in attrs.drain(..) {
        if !attr.path().is_ident("derive") {
            kept.push(attr);
            continue;
        }
        let (debug, others): (Vec<_>, Vec<_>) = derived(&attr)?.into_iter().partition(is_debug);
        found |= !debug.is_empty();
        if !others.is_empty() {
            kept.push(parse_quote!(#[derive(#(#others),*)]));
        }
    }
    *attrs = kept;
    Ok(found)
}

/// Returns whether a path is Rust's own `Debug`, not a `Debug` of another crate.
fn is_debug(path: &Path) -> bool {
    let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    match &names[..] {
        [name] => name == "Debug",
        [module, name] => module == "fmt" && name == "Debug",
        [root, module, name] => {
            (root == "std" || root == "core") && module == "fmt" && name == "Debug"
        }
        _ => false,
    }
}

fn derived(attr: &Attribute) -> Result<Punctuated<Path, Token![,]>> {
    attr.parse_args_with(Punctuated::parse_terminated)
}
