//! `pad`: adds the padding that the compiler would insert, as fields.
//!
//! Whether a place needs padding depends on the sizes of types that the macro does not know. So
//! there is a field at each place, and a constant expression computes its size, which is often 0.
//! Struct literals would have to name these fields: `new` replaces them.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, Field, Fields, Ident, ItemStruct, Path, Result, Visibility, parse_quote};

use super::{
    derives::{has_serde, take_debug},
    source::plain_name,
    types::as_field,
};

/// Adds the fields to the struct, and removes `Debug` from its derives. Returns the impls: `new`,
/// and `Debug` without the padding if it was derived.
pub(super) fn add_padding(root: &Path, item: &mut ItemStruct) -> Result<TokenStream> {
    let is_debug = take_debug(&mut item.attrs)?;
    let skip = has_serde(&item.attrs)?.then(|| quote!(#[serde(skip)]));
    let name = &item.ident;
    let vis = least_visible(&item.fields);
    let Fields::Named(fields) = &mut item.fields else { return Ok(TokenStream::new()) };
    let declared: Vec<Field> = fields.named.iter().cloned().collect();
    let idents: Vec<_> = declared.iter().filter_map(|field| field.ident.as_ref()).collect();
    let types: Vec<_> = declared.iter().map(|field| &field.ty).collect();
    let sizes: Vec<_> = types
        .iter()
        .map(|ty| {
            let as_field = as_field(root, ty);
            quote!((#as_field::SIZE, #as_field::ALIGN))
        })
        .collect();
    let (mut pads, mut aliases) = (Vec::new(), Vec::new());
    // Types with a name, because serde's derives do not parse a block in a type.
    let mut pad = |index: usize, size: TokenStream| -> Field {
        let (field, alias) = (pad_name(index), format_ident!("__mycelium_pad_{index}_of_{name}"));
        aliases.push(quote! {
            #[doc(hidden)]
            #[allow(non_camel_case_types)]
            type #alias = #root::__private::Pad<{ #size }>;
        });
        pads.push(field.clone());
        parse_quote! {
            #skip
            #[doc(hidden)]
            #[allow(clippy::pub_underscore_fields)]
            #vis #field: #alias
        }
    };
    fields.named.clear();
    for (index, field) in declared.iter().enumerate() {
        if index > 0 {
            let (before, as_field) = (&sizes[..index], as_field(root, &field.ty));
            let gap = quote!(#root::__private::gap(&[#(#before),*], #as_field::ALIGN));
            fields.named.push(pad(index, gap));
        }
        fields.named.push(field.clone());
    }
    let gap = quote!(#root::__private::gap_at_end(&[#(#sizes),*]));
    fields.named.push(pad(declared.len(), gap));

    let debug = is_debug.then(|| {
        let text = plain_name(name);
        let texts = idents.iter().map(|ident| plain_name(ident));
        quote! {
            #[automatically_derived]
            impl ::core::fmt::Debug for #name {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    f.debug_struct(#text)#(.field(#texts, &self.#idents))*.finish()
                }
            }
        }
    });
    Ok(quote! {
        #(#aliases)*

        #[allow(dead_code, clippy::too_many_arguments)]
        impl #name {
            /// A value with these fields, and with zeros as padding.
            #[must_use]
            #[inline]
            #vis const fn new(#(#idents: #types),*) -> Self {
                Self {
                    #(#idents,)*
                    #(#pads: #root::__private::Pad::ZERO,)*
                }
            }
        }
        #debug
    })
}

/// Returns whether `add_padding` created this field.
pub(super) fn is_pad(field: &Field) -> bool {
    field.ident.as_ref().is_some_and(|name| name.to_string().starts_with(PREFIX))
}

/// Refuses a field of the user that has the name of padding.
pub(super) fn refuse_name(field: &Field) -> Result<()> {
    if !is_pad(field) {
        return Ok(());
    }
    let message =
        "names that begin with `__mycelium_pad_` are those of the padding that `pad` adds";
    Err(Error::new_spanned(&field.ident, message))
}

const PREFIX: &str = "__mycelium_pad_";

/// Returns the name of a padding field. An error about a struct literal shows the name, which says
/// what to write instead.
fn pad_name(index: usize) -> Ident {
    format_ident!("{PREFIX}{index}_use_new")
}

/// Returns the visibility of `new`: like a struct literal, it is visible where all fields are
/// visible.
pub(super) fn least_visible(fields: &Fields) -> Visibility {
    let rank = |vis: &Visibility| match vis {
        Visibility::Inherited => 0,
        Visibility::Restricted(vis) if vis.path.is_ident("self") => 0,
        Visibility::Restricted(vis) if vis.path.is_ident("crate") => 2,
        Visibility::Restricted(_) => 1,
        Visibility::Public(_) => 3,
    };
    let visibilities = fields.iter().map(|field| &field.vis);
    visibilities.min_by_key(|vis| rank(vis)).cloned().unwrap_or(Visibility::Inherited)
}
