//! `#[message]`: checks the tokens of a type, then generates its impls.
//!
//! The expansion depends only on the tokens, and visits fields in the order of their declaration,
//! so the same source always expands to the same code. Tokens show neither padding nor the
//! alignment of a field whose type is from another crate: constant assertions in the expansion
//! check these.

use std::iter;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Error, Fields, FieldsNamed, Ident, Item, ItemStruct, Path, Result, spanned::Spanned};

mod arguments;
mod checks;
mod derives;
mod enums;
mod pad;
mod refusal;
mod request;
mod source;
mod types;

use arguments::MessageArguments;
use checks::{little_endian_only, refuse_conditional, refuse_generics, reprs};
use source::{plain_name, source};

/// Returns the expansion, or only the error.
pub(crate) fn expand_or_explain(root: Path, attr: TokenStream, item: TokenStream) -> TokenStream {
    expand(root, attr, item.clone()).unwrap_or_else(|error| refusal::refuse(item, &error))
}

/// Returns the expansion. `root` is the path of `mycelium_core` in the user's crate.
pub(crate) fn expand(root: Path, attr: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let shown = source(&attr);
    let arguments = MessageArguments::parse(attr)?;
    match syn::parse2(item)? {
        Item::Struct(item) => expand_struct(&root, &arguments, &shown, item),
        Item::Enum(item) => enums::expand_enum(&root, &arguments, &item),
        other => Err(Error::new_spanned(
            other,
            "#[message] goes on a struct, or on an enum without data",
        )),
    }
}

/// Expands a struct. `shown` has the arguments as the user wrote them.
fn expand_struct(
    root: &Path,
    arguments: &MessageArguments,
    shown: &str,
    mut item: ItemStruct,
) -> Result<TokenStream> {
    refuse_generics(&item.generics)?;
    refuse_fields(named_fields(&item)?)?;
    if let Some(other) = reprs(&item.attrs)?.iter().find(|repr| *repr != "C") {
        let message = format!(
            "the layout of a message is `#[repr(C)]`, which #[message] adds by itself: remove \
             `{other}`; for padding there is `#[message(.., pad)]`"
        );
        return Err(Error::new(other.span(), message));
    }
    let add_repr = reprs(&item.attrs)?.is_empty().then(|| quote!(#[repr(C)]));
    let impls_of_padding = match &arguments.pad {
        Some(_) => Some(pad::add_padding(root, &mut item)?),
        None => None,
    };
    let derives = derives::derives(root, &item.attrs)?;
    let layout = layout(root, shown, &item.ident, named_fields(&item)?);
    let impls = struct_impls(root, arguments, &item.ident, named_fields(&item)?);
    let request = request::request(root, arguments, &item.ident, expand)?;
    Ok(quote! {
        #derives
        #add_repr
        #item
        #impls_of_padding
        #layout
        #impls
        #request
    })
}

/// Returns the input of the constant assertion that detects padding and shows a struct without it.
fn layout(root: &Path, shown: &str, name: &Ident, fields: &FieldsNamed) -> TokenStream {
    let text = plain_name(name);
    let types: Vec<_> = fields.named.iter().map(|field| &field.ty).collect();
    let names: Vec<_> =
        fields.named.iter().filter_map(|field| field.ident.as_ref().map(plain_name)).collect();
    let sources = fields.named.iter().map(|field| {
        let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        with_visibility(&source(&field.vis), &format!("{name}: {}", source(&field.ty)))
    });
    let numbered = (2..).map(|number| format!("_pad{number}"));
    let free = iter::once("_pad".to_owned()).chain(numbered).find(|pad| !names.contains(pad));
    let pad = with_visibility(&source(&pad::least_visible(fields)), &free.unwrap_or_default());
    let shown = shown.trim_end_matches(',');
    let arguments = if shown.is_empty() { "pad".to_owned() } else { format!("{shown}, pad") };
    quote! {
        impl #root::__private::HasLayout for #name {
            const LAYOUT: &'static #root::__private::Layout = &#root::__private::Layout {
                name: #text,
                size: ::core::mem::size_of::<#name>(),
                align: ::core::mem::align_of::<#name>(),
                fields: &[#(#root::__private::FieldLayout {
                    name: #names,
                    source: #sources,
                    size: ::core::mem::size_of::<#types>(),
                    align: ::core::mem::align_of::<#types>(),
                }),*],
                pad: #pad,
                arguments: #arguments,
            };
        }
    }
}

fn with_visibility(vis: &str, rest: &str) -> String {
    if vis.is_empty() { rest.to_owned() } else { format!("{vis} {rest}") }
}

fn struct_impls(
    root: &Path,
    arguments: &MessageArguments,
    name: &Ident,
    fields: &FieldsNamed,
) -> TokenStream {
    let idents: Vec<_> = fields.named.iter().filter_map(|field| field.ident.as_ref()).collect();
    let types: Vec<_> = fields.named.iter().map(|field| &field.ty).collect();
    let is_pad: Vec<_> = fields.named.iter().map(pad::is_pad).collect();
    let text = plain_name(name);
    let texts: Vec<_> = (idents.iter().zip(&is_pad))
        .map(|(ident, is_pad)| if *is_pad { "_pad".to_owned() } else { plain_name(ident) })
        .collect();
    // An error about a field's type points to the field, not to the attribute.
    let field_types = fields.named.iter().map(|field| {
        let ty = &field.ty;
        quote_spanned!(ty.span() => <#ty as #root::Field>::TYPE)
    });
    let little_endian = little_endian_only(name.span());
    let assertion = quote_spanned! { name.span() =>
        const _: () = match #root::__private::layout_error(
            <#name as #root::__private::HasLayout>::LAYOUT,
        ) {
            ::core::option::Option::None => {}
            ::core::option::Option::Some(error) => ::core::panic!("{}", error.as_str()),
        };
    };
    let hides = arguments.hides();
    let message = arguments.topic_and_id.as_ref().map(|(topic, id)| {
        quote! {
            #hides
            impl #root::Message for #name {
                const ID: u16 = #id;
                const TOPIC: &'static str = #topic;
                const DESCRIPTOR: &'static #root::Descriptor = &__MYCELIUM_DESCRIPTOR;
                const DIGEST: #root::Digest = #root::Digest::of(&__MYCELIUM_DESCRIPTOR);
                type Words = [usize; ::core::mem::size_of::<#name>()
                    .div_ceil(::core::mem::size_of::<usize>())];

                #[inline]
                fn check(&self) -> ::core::result::Result<(), #root::Invalid> {
                    <Self as #root::Field>::check(self)
                }
            }
        }
    });
    let all = quote! {
        [#(#root::FieldDescriptor {
            name: #texts,
            offset: ::core::mem::offset_of!(#name, #idents),
            size: ::core::mem::size_of::<#types>(),
            ty: #field_types,
        }),*]
    };
    // Padding of zero bytes is not part of the layout.
    let fields = if arguments.pad.is_some() {
        quote! {{
            const __ALL: &[#root::FieldDescriptor] = &#all;
            const __IS_PAD: &[bool] = &[#(#is_pad),*];
            &#root::__private::without_empty::<
                { #root::__private::count_without_empty(__ALL, __IS_PAD) },
            >(__ALL, __IS_PAD)
        }}
    } else {
        quote!(&#all)
    };
    quote! {
        #little_endian
        #assertion
        const _: () = {
            const __MYCELIUM_DESCRIPTOR: #root::Descriptor = #root::Descriptor {
                name: #text,
                size: ::core::mem::size_of::<#name>(),
                align: ::core::mem::align_of::<#name>(),
                fields: #fields,
            };

            #hides
            impl #root::Field for #name {
                const TYPE: #root::FieldType = #root::FieldType::Struct(&__MYCELIUM_DESCRIPTOR);
                const EMPTY: Self = Self {
                    #(#idents: <#types as #root::Field>::EMPTY),*
                };

                #[inline]
                fn check(&self) -> ::core::result::Result<(), #root::Invalid> {
                    #(if let ::core::result::Result::Err(invalid) =
                        <#types as #root::Field>::check(&self.#idents)
                    {
                        return ::core::result::Result::Err(invalid.within(#text, #texts));
                    })*
                    ::core::result::Result::Ok(())
                }
            }

            #message
        };
    }
}

/// Reports each invalid field.
fn refuse_fields(fields: &FieldsNamed) -> Result<()> {
    let mut errors = None;
    for field in &fields.named {
        let name = field.ident.as_ref().map(plain_name).unwrap_or_default();
        let checked = refuse_conditional(&field.attrs)
            .and_then(|()| types::refuse_unsuitable(&name, &field.ty));
        match (&mut errors, checked) {
            (_, Ok(())) => {}
            (None, Err(error)) => errors = Some(error),
            (Some(errors), Err(error)) => errors.combine(error),
        }
    }
    errors.map_or(Ok(()), Err)
}

fn named_fields(item: &ItemStruct) -> Result<&FieldsNamed> {
    match &item.fields {
        Fields::Named(fields) if !fields.named.is_empty() => Ok(fields),
        Fields::Unnamed(fields) if !fields.unnamed.is_empty() => {
            let first = fields.unnamed.first().map(|field| source(&field.ty)).unwrap_or_default();
            let named = match fields.unnamed.len() {
                1 => format!("value: {first}"),
                _ => format!("first: {first}, .."),
            };
            let message = format!(
                "the fields of a message have names, which are part of its schema: write \
                 `struct {} {{ {named} }}`",
                plain_name(&item.ident)
            );
            Err(Error::new_spanned(fields, message))
        }
        _ => Err(Error::new_spanned(
            &item.ident,
            "a message has at least one field; for a signal add one, such as `_unused: u8`",
        )),
    }
}

#[cfg(test)]
mod tests;
