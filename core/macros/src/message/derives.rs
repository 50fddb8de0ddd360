//! The derives of a type: `Clone`, which each message has, `Copy`, which it has if its fields have
//! it, and `Debug`, which the macro replaces.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{
    Attribute, Ident, Path, Result, Token, Type, parse_quote, punctuated::Punctuated,
    spanned::Spanned,
};

use super::checks::is;

/// Implements `Clone` and `Copy`, unless the user derives them; `Copy` on condition that all these
/// types have it. `clone` is the body of `clone`.
///
/// The bound has a lifetime that it does not use, because the compiler refuses a bound that is
/// never true unless it has a variable.
pub(super) fn copies(
    attrs: &[Attribute],
    name: &Ident,
    types: &[&Type],
    clone: &TokenStream,
) -> Result<TokenStream> {
    let clones = (!has(attrs, "Clone")?).then(|| {
        quote! {
            #[automatically_derived]
            impl ::core::clone::Clone for #name {
                #[inline]
                fn clone(&self) -> Self {
                    #clone
                }
            }
        }
    });
    let copies = (!has(attrs, "Copy")?).then(|| {
        quote! {
            #[automatically_derived]
            impl ::core::marker::Copy for #name
            where
                #(for<'__any> #types: ::core::marker::Copy,)*
            {
            }
        }
    });
    Ok(quote!(#clones #copies))
}

/// Returns whether a trait of this name is among the derives.
pub(super) fn has(attrs: &[Attribute], name: &str) -> Result<bool> {
    for attr in attrs.iter().filter(|attr| is(attr, "derive")) {
        let mut last =
            derived(attr)?.into_iter().filter_map(|path| path.segments.into_iter().last());
        if last.any(|last| last.ident == name) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the clone of a field.
pub(super) fn clone(root: &Path, ty: &Type, field: &TokenStream) -> TokenStream {
    quote_spanned!(ty.span() => #root::__private::clone::<#ty>(#field))
}

/// Returns whether serde's traits are among the derives.
pub(super) fn has_serde(attrs: &[Attribute]) -> Result<bool> {
    for attr in attrs.iter().filter(|attr| is(attr, "derive")) {
        let is_serde = |path: &Path| {
            let is_own = path.segments.len() == 1 || path.segments[0].ident == "serde";
            let last = path.segments.last().map(|segment| &segment.ident);
            is_own && last.is_some_and(|last| last == "Serialize" || last == "Deserialize")
        };
        if derived(attr)?.iter().any(is_serde) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes `Debug` from the derives. Returns whether it was there.
pub(super) fn take_debug(attrs: &mut Vec<Attribute>) -> Result<bool> {
    let mut found = false;
    let mut kept = Vec::new();
    for attr in attrs.drain(..) {
        if !is(&attr, "derive") {
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
