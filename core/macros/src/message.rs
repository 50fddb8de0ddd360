//! `#[message]`: checks the tokens of a type, then writes its impls.
//!
//! The expansion depends on the tokens alone, and visits fields in the order of their declaration,
//! so the same source always expands to the same code. Tokens do not show padding, or the alignment
//! of a field of another crate's type: constant assertions in the expansion check these.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Attribute, Error, Fields, FieldsNamed, Generics, Ident, Item, ItemEnum, ItemStruct, LitInt,
    LitStr, Path, Result, Token, punctuated::Punctuated, spanned::Spanned,
};

mod types;

/// The expansion, or the unchanged type with the error. Keeping the type avoids further errors
/// where it is used.
pub(crate) fn expand_or_explain(root: Path, attr: TokenStream, item: TokenStream) -> TokenStream {
    match expand(root, attr, item.clone()) {
        Ok(tokens) => tokens,
        Err(error) => {
            let error = error.into_compile_error();
            quote!(#item #error)
        }
    }
}

/// `root` is the path of `mycelium_core` in the user's crate.
pub(crate) fn expand(root: Path, attr: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let topic_and_id = MessageArguments::parse(attr)?;
    match syn::parse2(item)? {
        Item::Struct(item) => expand_struct(&root, topic_and_id, item),
        Item::Enum(item) => expand_enum(&root, topic_and_id, item),
        other => Err(Error::new_spanned(
            other,
            "#[message] goes on a struct, or on an enum without fields",
        )),
    }
}

fn expand_struct(
    root: &Path,
    arguments: MessageArguments,
    item: ItemStruct,
) -> Result<TokenStream> {
    refuse_generics(&item.generics)?;
    let fields = named_fields(&item)?;
    for field in &fields.named {
        refuse_conditional(&field.attrs)?;
        types::refuse_unsuitable(&field.ty)?;
    }
    let reprs = reprs(&item.attrs)?;
    if let Some(other) = reprs.iter().find(|repr| *repr != "C") {
        let message = "the layout of a message is `#[repr(C)]`, which #[message] adds by itself";
        return Err(Error::new(other.span(), message));
    }
    let add_repr = reprs.is_empty().then(|| quote!(#[repr(C)]));
    let derives = derives(root, &item.attrs)?;
    let body = struct_impls(root, &arguments, &item.ident, fields);
    Ok(quote! {
        #derives
        #add_repr
        #item
        #body
    })
}

fn struct_impls(
    root: &Path,
    arguments: &MessageArguments,
    name: &Ident,
    fields: &FieldsNamed,
) -> TokenStream {
    let idents: Vec<_> = fields.named.iter().filter_map(|field| field.ident.as_ref()).collect();
    let types: Vec<_> = fields.named.iter().map(|field| &field.ty).collect();
    let text = plain_name(name);
    let texts: Vec<_> = idents.iter().map(|ident| plain_name(ident)).collect();
    // An error about a field's type points to the field, not to the attribute.
    let field_types = fields.named.iter().map(|field| {
        let ty = &field.ty;
        quote_spanned!(ty.span() => <#ty as #root::Field>::TYPE)
    });
    let little_endian = little_endian_only(name.span());
    let padding = quote_spanned! { name.span() =>
        const _: () = match #root::__private::layout_error(
            #text,
            ::core::mem::size_of::<#name>(),
            ::core::mem::align_of::<#name>(),
            &[#(::core::mem::size_of::<#types>()),*],
        ) {
            ::core::option::Option::None => {}
            ::core::option::Option::Some(error) => ::core::panic!("{}", error.as_str()),
        };
    };
    let message = arguments.topic_and_id.as_ref().map(|(topic, id)| {
        quote! {
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
    quote! {
        #little_endian
        #padding
        const _: () = {
            const __MYCELIUM_DESCRIPTOR: #root::Descriptor = #root::Descriptor {
                name: #text,
                size: ::core::mem::size_of::<#name>(),
                align: ::core::mem::align_of::<#name>(),
                fields: &[#(#root::FieldDescriptor {
                    name: #texts,
                    offset: ::core::mem::offset_of!(#name, #idents),
                    size: ::core::mem::size_of::<#types>(),
                    ty: #field_types,
                }),*],
            };

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

fn expand_enum(root: &Path, arguments: MessageArguments, item: ItemEnum) -> Result<TokenStream> {
    refuse_generics(&item.generics)?;
    if let Some((topic, _)) = &arguments.topic_and_id {
        let message = "an enum cannot be a message of its own: make it a field of a struct, and \
                       write `#[message]` without arguments here";
        return Err(Error::new_spanned(topic, message));
    }
    if let Some(variant) = item.variants.iter().find(|v| !matches!(v.fields, Fields::Unit)) {
        let message = "an enum in a message has no fields: its size and meaning would change with \
                       the variant; use a struct with one field for each";
        return Err(Error::new_spanned(variant, message));
    }
    if item.variants.is_empty() {
        return Err(Error::new_spanned(&item.ident, "an enum without variants has no values"));
    }
    item.variants.iter().try_for_each(|variant| refuse_conditional(&variant.attrs))?;
    let repr = enum_repr(&item)?;
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
                // The variant that is zero, so that unused items are zero; else the first one.
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

/// The arguments of the attribute: none, or a topic and an id.
struct MessageArguments {
    topic_and_id: Option<(LitStr, u16)>,
}

impl MessageArguments {
    fn parse(attr: TokenStream) -> Result<Self> {
        if attr.is_empty() {
            return Ok(Self { topic_and_id: None });
        }
        let whole = attr.span();
        let mut topic: Option<LitStr> = None;
        let mut id: Option<u16> = None;
        let parser = syn::meta::parser(|meta| {
            if meta.path.is_ident("topic") && topic.is_none() {
                topic = Some(checked_topic(meta.value()?.parse()?)?);
                Ok(())
            } else if meta.path.is_ident("id") && id.is_none() {
                id = Some(checked_id(&meta.value()?.parse()?)?);
                Ok(())
            } else if meta.path.is_ident("topic") || meta.path.is_ident("id") {
                Err(meta.error("this argument is given twice"))
            } else {
                Err(meta
                    .error("unknown argument: #[message] takes `topic = \"...\"` and `id = ...`"))
            }
        });
        syn::parse::Parser::parse2(parser, attr)?;
        match (topic, id) {
            (Some(topic), Some(id)) => Ok(Self { topic_and_id: Some((topic, id)) }),
            (None, _) => Err(Error::new(
                whole,
                "a message needs a topic: #[message(topic = \"...\", id = ...)]; a type that is \
                 only a field of messages has no arguments",
            )),
            (_, None) => Err(Error::new(
                whole,
                "a message needs an id: #[message(topic = \"...\", id = ...)], a number from 1 to \
                 65535 that no other message of the system has",
            )),
        }
    }
}

fn checked_topic(topic: LitStr) -> Result<LitStr> {
    let text = topic.value();
    if text.is_empty() || text.len() > 255 {
        return Err(Error::new_spanned(topic, "invalid topic: expected 1 to 255 bytes"));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Error::new_spanned(
            topic,
            "invalid topic: expected no white space and no control characters",
        ));
    }
    Ok(topic)
}

fn checked_id(id: &LitInt) -> Result<u16> {
    match id.base10_parse::<u16>() {
        Ok(0) => Err(Error::new_spanned(id, "invalid id 0: expected 1 to 65535")),
        Ok(number) => Ok(number),
        Err(_) => Err(Error::new_spanned(id, "invalid id: expected a number from 1 to 65535")),
    }
}

fn refuse_generics(generics: &Generics) -> Result<()> {
    if generics.params.is_empty() {
        return Ok(());
    }
    let message = "a message has one layout, so it has no generics and no lifetimes: write one \
                   type for each use";
    Err(Error::new_spanned(generics, message))
}

fn named_fields(item: &ItemStruct) -> Result<&FieldsNamed> {
    match &item.fields {
        Fields::Named(fields) if !fields.named.is_empty() => Ok(fields),
        Fields::Unnamed(fields) if !fields.unnamed.is_empty() => Err(Error::new_spanned(
            fields,
            "the fields of a message have names, which are part of its schema",
        )),
        _ => Err(Error::new_spanned(
            &item.ident,
            "a message has at least one field; for a signal add one, such as `_unused: u8`",
        )),
    }
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

/// Two sides must have the same layout, so it cannot depend on the build.
fn refuse_conditional(attrs: &[Attribute]) -> Result<()> {
    match attrs.iter().find(|attr| attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr"))
    {
        None => Ok(()),
        Some(attr) => Err(Error::new_spanned(
            attr,
            "the layout of a message must be the same in each build: its fields and variants cannot be \
             conditional",
        )),
    }
}

/// The names in all `#[repr(...)]`, without their arguments.
fn reprs(attrs: &[Attribute]) -> Result<Vec<Ident>> {
    let mut reprs = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("repr")) {
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

/// `Clone`, `Copy` and zerocopy's derives, without those that the user wrote below the attribute.
fn derives(root: &Path, attrs: &[Attribute]) -> Result<TokenStream> {
    let mut present = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("derive")) {
        let paths = attr.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated)?;
        present.extend(paths.iter().filter_map(|p| p.segments.last().map(|s| s.ident.clone())));
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
    // Each of these two derives also writes `TryFromBytes`.
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

/// Payloads are read in place, so big-endian hosts are not supported.
fn little_endian_only(span: Span) -> TokenStream {
    quote_spanned! { span =>
        #[cfg(target_endian = "big")]
        ::core::compile_error!(
            "messages are little-endian and read in place: this target is big-endian"
        );
    }
}

/// A name without the `r#` of a raw identifier.
fn plain_name(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests;
