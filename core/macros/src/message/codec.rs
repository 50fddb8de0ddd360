//! `codec = "postcard"`: a struct or an enum whose bytes are those of serde, in the one field of a
//! message.

use proc_macro2::{TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::{Attribute, Error, Generics, Ident, Path, Result};

use super::{
    arguments::MessageArguments,
    checks::{little_endian_only, refuse_generics},
    derives,
    source::plain_name,
};

/// Refuses attributes of serde whose values cannot be decoded from bytes without names and types.
pub(super) fn refuse_undecodable<'a>(mut attrs: impl Iterator<Item = &'a Attribute>) -> Result<()> {
    attrs.try_for_each(|attr| {
        let Some(list) = attr.meta.require_list().ok().filter(|it| it.path.is_ident("serde"))
        else {
            return Ok(());
        };
        let words = list.tokens.clone().into_iter().filter_map(|token| match token {
            TokenTree::Ident(word) => Some(word),
            _ => None,
        });
        let words: Vec<_> = words.collect();
        let has = |name: &str| words.iter().any(|word| word == name);
        let is_wrong = |word: &&Ident| match word.to_string().as_str() {
            "flatten" | "skip_serializing_if" | "untagged" => true,
            "tag" => !has("content"),
            _ => false,
        };
        words.iter().find(is_wrong).map_or(Ok(()), |word| {
            let message = format!(
                "a message in postcard has no names and types in its bytes, so a value with \
                 `{word}` cannot be decoded: remove it"
            );
            Err(Error::new_spanned(word, message))
        })
    })
}

/// Returns what is added to the type: its derives, and its impls with those of a request.
pub(super) fn expand_decoded(
    root: &Path,
    arguments: &MessageArguments,
    (name, generics, attrs): (&Ident, &Generics, &[Attribute]),
    request: &Option<TokenStream>,
) -> Result<(TokenStream, TokenStream)> {
    refuse_generics(generics)?;
    if let Some(pad) = &arguments.pad {
        let message = "a message with a `codec` has no padding: remove `pad`";
        return Err(Error::new_spanned(pad, message));
    }
    let clone = (!derives::has(attrs, "Clone")?).then(|| quote!(#[derive(::core::clone::Clone)]));
    let text = plain_name(name);
    let postcard = quote!(#root::message::postcard);
    let schema = match &arguments.schema {
        Some(number) => quote!(#postcard::Schema::Number(#number)),
        None => quote_spanned! { name.span() =>
            #postcard::Schema::Of(<#name as #postcard::HasSchema>::SCHEMA)
        },
    };
    let little_endian = little_endian_only(name.span());
    let message = arguments.message_impl(root, name);
    let impls = quote! {
        #little_endian
        const _: () = {
            const __SCHEMA: #postcard::Schema = #schema;
            const __BYTES: [u8; #postcard::name::<0>(#text, __SCHEMA).1] =
                #postcard::name(#text, __SCHEMA).0;
            const __MYCELIUM_DESCRIPTOR: #root::Descriptor = #root::Descriptor {
                name: #text,
                size: 8,
                align: 4,
                fields: &[#root::FieldDescriptor {
                    name: match ::core::str::from_utf8(&__BYTES) {
                        ::core::result::Result::Ok(name) => name,
                        ::core::result::Result::Err(_) => ::core::unreachable!(),
                    },
                    offset: 0,
                    size: 8,
                    ty: #root::FieldType::Sequence { item: &#root::FieldType::U8, stride: 1 },
                    default: ::core::option::Option::None,
                    is_carried: false,
                }],
            };

            fn __decode(
                bytes: &[u8],
            ) -> ::core::result::Result<#name, #root::Invalid> {
                let decoded = ::std::panic::catch_unwind(|| #postcard::decode::<#name>(bytes));
                decoded.unwrap_or_else(|_| ::core::result::Result::Err(#postcard::panicked()))
                    .map_err(|invalid| invalid.within(#text, "postcard"))
            }

            // SAFETY: not fixed. A list of bytes, which are checked to be there; the value in them
            // is decoded by safe code.
            unsafe impl #root::Field for #name {
                const TYPE: #root::FieldType = #root::FieldType::Struct(&__MYCELIUM_DESCRIPTOR);
                const SIZE: usize = 8;
                const ALIGN: usize = 4;
                const DECODES: bool = true;
                type Form = #root::__private::Decoded;
                type View<'a> = #root::message::PostcardView<'a, Self>;

                fn end_of_bodies(&self, end: usize) -> usize {
                    #postcard::end_of_bytes(self, end)
                }

                fn encode(&self, at: usize, message: &mut #root::__private::Encoder<'_>) {
                    #postcard::encode(self, at, message);
                }

                fn check(
                    at: usize,
                    message: &mut #root::__private::Bodies<'_>,
                ) -> ::core::result::Result<(), #root::Invalid> {
                    <Self as #root::Field>::decode(at, message).map(::core::mem::drop)
                }

                fn decode(
                    at: usize,
                    message: &mut #root::__private::Bodies<'_>,
                ) -> ::core::result::Result<Self, #root::Invalid> {
                    __decode(message.list(at)?)
                }

                unsafe fn view<'a>(
                    message: #root::__private::Checked<'a>,
                    at: usize,
                ) -> Self::View<'a> {
                    #root::message::PostcardView::new(message.list(at))
                }

                unsafe fn read(message: #root::__private::Checked<'_>, at: usize) -> Self {
                    match __decode(message.list(at)) {
                        ::core::result::Result::Ok(value) => value,
                        ::core::result::Result::Err(invalid) => {
                            ::core::panic!("bytes that were valid a moment ago: {invalid}")
                        }
                    }
                }
            }

            #message
        };
        #request
    };
    Ok((clone.unwrap_or_default(), quote!(#root::__with_serde! { #impls })))
}
