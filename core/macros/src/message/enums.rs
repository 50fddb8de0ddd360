//! Enums without data, which can be fields of messages.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Fields, Ident, ItemEnum, Path, Result};

use super::{
    arguments::MessageArguments,
    checks::{little_endian_only, refuse_conditional, refuse_generics, reprs},
    derives::derives,
    source::plain_name,
};

pub(super) fn expand_enum(
    root: &Path,
    arguments: &MessageArguments,
    item: &ItemEnum,
) -> Result<TokenStream> {
    refuse_generics(&item.generics)?;
    if let Some((topic, _)) = &arguments.topic_and_id {
        let message = "an enum cannot be a message of its own: make it a field of a struct, and \
                       write `#[message]` without arguments here";
        return Err(Error::new_spanned(topic, message));
    }
    if let Some(pad) = &arguments.pad {
        return Err(Error::new_spanned(pad, "an enum has no padding: remove `pad`"));
    }
    if let Some(variant) = item.variants.iter().find(|v| !matches!(v.fields, Fields::Unit)) {
        return Err(Error::new_spanned(variant, data_in_variant(&item.ident)));
    }
    if item.variants.is_empty() {
        let message = "an enum without variants has no values: add a variant";
        return Err(Error::new_spanned(&item.ident, message));
    }
    item.variants.iter().try_for_each(|variant| refuse_conditional(&variant.attrs))?;
    let repr = enum_repr(item)?;
    let derives = derives(root, &item.attrs)?;
    let name = &item.ident;
    let text = plain_name(name);
    let variants: Vec<_> = item.variants.iter().map(|variant| &variant.ident).collect();
    let texts: Vec<_> = variants.iter().map(|variant| plain_name(variant)).collect();
    let first = &variants[..1];
    let little_endian = little_endian_only(name.span());
    Ok(quote! {
        #derives
        #item
        #little_endian
        const _: () = {
            const __MYCELIUM_DESCRIPTOR: #root::EnumDescriptor = #root::EnumDescriptor {
                name: #text,
                repr: <#repr as #root::Field>::TYPE,
                variants: &[#(#root::VariantDescriptor {
                    name: #texts,
                    value: #name::#variants as #repr as i128,
                }),*],
            };

            impl #root::Field for #name {
                const TYPE: #root::FieldType = #root::FieldType::Enum(&__MYCELIUM_DESCRIPTOR);
                // The variant that is zero, so that unused items are zero; if there is none, the
                // first variant.
                const EMPTY: Self = {
                    #(if #name::#variants as #repr == 0 { #name::#variants } else)*
                    { #(#name::#first)* }
                };

                #[inline]
                fn check(&self) -> ::core::result::Result<(), #root::Invalid> {
                    ::core::result::Result::Ok(())
                }
            }
        };
    })
}

fn enum_repr(item: &ItemEnum) -> Result<Ident> {
    const INTEGERS: [&str; 8] = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];
    let reprs = reprs(&item.attrs)?;
    match &reprs[..] {
        [repr] if INTEGERS.iter().any(|integer| repr == integer) => Ok(repr.clone()),
        _ => {
            let message = "an enum in a message says which integer it is stored as: add \
                           `#[repr(u8)]` (or u16, u32, u64, i8, i16, i32, i64)";
            Err(Error::new(reprs.first().map_or(item.ident.span(), Ident::span), message))
        }
    }
}

fn data_in_variant(name: &Ident) -> String {
    let name = plain_name(name);
    format!(
        "the variants of an enum in a message hold no data, so that its layout is the same for \
         each: write `enum {name}Kind` without the data, and `struct {name}` with the fields \
         `kind: {name}Kind` and one for the data of each variant"
    )
}
