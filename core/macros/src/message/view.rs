//! The view of a message that is not fixed: what reads its fields in place.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, ItemStruct, Path, Type, spanned::Spanned};

use super::{pad::is_pad, source::plain_name, types::as_field};

/// Returns the name of the view of a type.
pub(super) fn name_of(name: &Ident) -> Ident {
    format_ident!("{}View", plain_name(name), span = name.span())
}

/// Returns the condition that the view of a type is `Debug`.
///
/// It has a lifetime that its type does not need, because the compiler refuses a condition that is
/// never true unless it has one; and it names the type, because the compiler refuses two equal
/// conditions with a lifetime, and types may have the same view.
pub(super) fn is_shown(root: &Path, ty: &Type) -> TokenStream {
    let shown = quote_spanned!(ty.span() => #root::__private::Shown<'__any, #ty>);
    quote_spanned!(ty.span() => for<'__any> #shown: ::core::fmt::Debug)
}

/// Returns the view of a struct, which has a method for each field.
pub(super) fn of_struct(root: &Path, item: &ItemStruct) -> TokenStream {
    let name = &item.ident;
    // Public, because it is part of a public trait, but without a name outside.
    let vis = quote!(pub);
    let view = name_of(name);
    let fields: Vec<_> = item.fields.iter().collect();
    let sizes = fields.iter().map(|field| {
        let (as_field, is_pad) = (as_field(root, &field.ty), is_pad(field));
        quote!(if #is_pad { (0, 1) } else { (#as_field::SIZE, #as_field::ALIGN) })
    });
    let sizes: Vec<_> = sizes.collect();
    let kept = || fields.iter().enumerate().filter(|(_, field)| !is_pad(field));
    let read = |index: usize, ty: &Type| {
        quote! {{
            const __PLACE: usize = #root::__private::places([#(#sizes),*]).0[#index];
            // SAFETY: the field is at this place.
            unsafe { self.0.field::<#ty>(__PLACE) }
        }}
    };
    let methods = kept().filter_map(|(index, field)| {
        let (ident, ty, as_field) = (field.ident.as_ref()?, &field.ty, as_field(root, &field.ty));
        let value = read(index, ty);
        let docs = field.attrs.iter().filter(|attr| attr.path().is_ident("doc"));
        Some(quote! {
            #(#docs)*
            #[must_use]
            #[inline]
            pub fn #ident(&self) -> #as_field::View<'a> {
                #value
            }
        })
    });
    let texts = kept().filter_map(|(_, field)| field.ident.as_ref().map(plain_name));
    let values = kept().map(|(index, field)| {
        let (ty, value) = (&field.ty, read(index, &field.ty));
        quote!(#root::__private::Shown::<#ty>(#value))
    });
    let are_shown = kept().map(|(_, field)| is_shown(root, &field.ty));
    let (text, doc) = (plain_name(&view), format!("Reads a [`{name}`] in place."));
    quote! {
        #[doc = #doc]
        #[derive(::core::clone::Clone, ::core::marker::Copy)]
        #[allow(dead_code, non_camel_case_types)]
        #vis struct #view<'a>(#root::__private::Place<'a, #name>);

        #[allow(
            dead_code,
            non_snake_case,
            clippy::should_implement_trait,
            clippy::wrong_self_convention
        )]
        impl<'a> #view<'a> {
            #(#methods)*
        }

        #[automatically_derived]
        impl<'a> ::core::fmt::Debug for #view<'a>
        where
            #(#are_shown,)*
        {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(#text)#(.field(#texts, &#values))*.finish()
            }
        }
    }
}
