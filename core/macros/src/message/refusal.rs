//! The expansion of a refused item: only its errors, without errors that follow from them.
//!
//! If an item were just removed, or had no impls, each use would be one more error. So its name is
//! imported from a module that contains only the errors. The compiler knows that such a module is
//! incomplete, and reports neither the import nor any use of the name.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, Field, Generics, Item, Type};

use super::source::{plain_name, source};

pub(super) fn refuse(item: TokenStream, error: &Error) -> TokenStream {
    let errors = error.to_compile_error();
    let (vis, name, types) = match syn::parse2(item.clone()) {
        Ok(Item::Struct(item)) => {
            let types = types(&item.generics, item.fields);
            (item.vis, item.ident, types)
        }
        Ok(Item::Enum(item)) => {
            let fields = item.variants.into_iter().flat_map(|variant| variant.fields);
            let types = types(&item.generics, fields);
            (item.vis, item.ident, types)
        }
        _ => return quote!(#item #errors),
    };
    let module = format_ident!("__mycelium_refused_{}", plain_name(&name));
    quote! {
        #[doc(hidden)]
        #[allow(non_snake_case)]
        mod #module {
            #errors
        }
        #[allow(unused_imports)]
        #vis use #module::#name;
        // Uses the types, so that their imports count as used.
        const _: () = {
            #[allow(dead_code)]
            fn types(#(_: *const #types),*) {}
        };
    }
}

/// Returns the types of the fields that can be parameters of a function.
fn types(generics: &Generics, fields: impl IntoIterator<Item = Field>) -> Vec<Type> {
    let fields = fields.into_iter().filter(|_| generics.params.is_empty());
    let types = fields.map(|field| field.ty);
    let names_self = |ty: &Type| source(ty).contains("Self");
    types
        .filter(|ty| matches!(ty, Type::Path(_) | Type::Array(_) | Type::Reference(_)))
        .filter(|ty| !names_self(ty))
        .collect()
}
