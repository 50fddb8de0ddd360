//! `#[message]`: checks the tokens of a type, then generates its impls.
//!
//! The expansion depends only on the tokens, and visits fields in the order of their declaration,
//! so the same source always expands to the same code. Tokens show neither padding nor the
//! alignment of a field whose type is from another crate: constant assertions in the expansion
//! check these.

use std::iter;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Error, Fields, Ident, Item, ItemStruct, Path, Result, Type};

mod arguments;
mod checks;
mod codec;
mod defaults;
mod derives;
mod enums;
mod pad;
mod refusal;
mod request;
mod source;
mod types;
mod view;

use arguments::MessageArguments;
use checks::{little_endian_only, refuse_conditional, refuse_generics, reprs};
use defaults::Defaults;
use source::{plain_name, source};

/// Returns the expansion, or only the error.
pub(crate) fn expand_or_explain(root: Path, attr: TokenStream, item: TokenStream) -> TokenStream {
    expand(root, attr, item.clone()).unwrap_or_else(|error| refusal::refuse(item, &error))
}

/// Returns the expansion. `root` is the path of `mycelium_core` in the user's crate.
pub(crate) fn expand(root: Path, attr: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let shown = source(&attr);
    let arguments = MessageArguments::parse(attr)?;
    let item = syn::parse2(item)?;
    if arguments.has_codec {
        let (parts, fields): (_, Vec<_>) = match &item {
            Item::Struct(item) => {
                ((&item.ident, &item.generics, &item.attrs[..]), item.fields.iter().collect())
            }
            Item::Enum(item) => (
                (&item.ident, &item.generics, &item.attrs[..]),
                item.variants.iter().flat_map(|variant| &variant.fields).collect(),
            ),
            _ => return Err(Error::new_spanned(item, NOT_A_TYPE)),
        };
        let of_fields = fields.iter().flat_map(|field| &field.attrs);
        codec::refuse_undecodable(parts.2.iter().chain(of_fields))?;
        let request = request::request(&root, &arguments, parts.0, expand)?;
        let (derives, impls) = codec::expand_decoded(&root, &arguments, parts, &request)?;
        return Ok(quote!(#derives #item #impls));
    }
    match item {
        Item::Struct(item) => expand_struct(&root, &arguments, &shown, item),
        Item::Enum(item) => enums::expand_enum(&root, &arguments, &item),
        other => Err(Error::new_spanned(other, NOT_A_TYPE)),
    }
}

const NOT_A_TYPE: &str = "#[message] goes on a struct or an enum";

/// Expands a struct. `shown` has the arguments as the user wrote them.
fn expand_struct(
    root: &Path,
    arguments: &MessageArguments,
    shown: &str,
    mut item: ItemStruct,
) -> Result<TokenStream> {
    refuse_generics(&item.generics)?;
    refuse_unnamed(&item)?;
    refuse_fields(&item)?;
    if let Some(other) = reprs(&item.attrs)?.iter().find(|repr| *repr != "C") {
        let message = format!(
            "the layout of a message is `#[repr(C)]`, which #[message] adds by itself: remove \
             `{other}`; for padding there is `#[message(.., pad)]`"
        );
        return Err(Error::new(other.span(), message));
    }
    let add_repr = reprs(&item.attrs)?.is_empty().then(|| quote!(#[repr(C)]));
    let defaults = defaults::take(&mut item.fields)?;
    let impls_of_padding = match &arguments.pad {
        Some(_) if !item.fields.is_empty() => Some(pad::add_padding(root, &mut item)?),
        _ => None,
    };
    let fields = &item.fields;
    let idents: Vec<_> = fields.iter().filter_map(|field| field.ident.as_ref()).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let clones = idents.iter().zip(&types).map(|(ident, ty)| {
        let clone = derives::clone(root, ty, &quote!(&self.#ident));
        quote!(#ident: #clone)
    });
    let clone = quote!(Self { #(#clones),* });
    let copies = derives::copies(&item.attrs, &item.ident, &types, &clone)?;
    let layout = layout(root, (shown, arguments.max), &item.ident, fields);
    let view = view::of_struct(root, &item);
    let impls = struct_impls(root, arguments, (&item.ident, &defaults), fields, &view);
    let request = request::request(root, arguments, &item.ident, expand)?;
    Ok(quote! {
        #add_repr
        #item
        #copies
        #impls_of_padding
        #layout
        #impls
        #request
    })
}

/// Returns the input of the constant assertion that detects padding and shows a struct without it.
fn layout(
    root: &Path,
    (shown, max): (&str, Option<usize>),
    name: &Ident,
    fields: &Fields,
) -> TokenStream {
    let text = plain_name(name);
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let names: Vec<_> =
        fields.iter().filter_map(|field| field.ident.as_ref().map(plain_name)).collect();
    let sources = fields.iter().map(|field| {
        let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        with_visibility(&source(&field.vis), &format!("{name}: {}", source(&field.ty)))
    });
    let numbered = (2..).map(|number| format!("_pad{number}"));
    let free = iter::once("_pad".to_owned()).chain(numbered).find(|pad| !names.contains(pad));
    let pad = with_visibility(&source(&pad::least_visible(fields)), &free.unwrap_or_default());
    let shown = shown.trim_end_matches(',');
    let max = match max {
        Some(max) => quote!(::core::option::Option::Some(#max)),
        None => quote!(::core::option::Option::None),
    };
    let arguments = if shown.is_empty() { "pad".to_owned() } else { format!("{shown}, pad") };
    quote! {
        impl #root::__private::HasLayout for #name {
            const LAYOUT: &'static #root::__private::Layout = &#root::__private::Layout {
                name: #text,
                size: if <#name as #root::Field>::IS_FIXED {
                    ::core::mem::size_of::<#name>()
                } else {
                    <#name as #root::Field>::SIZE
                },
                align: if <#name as #root::Field>::IS_FIXED {
                    ::core::mem::align_of::<#name>()
                } else {
                    <#name as #root::Field>::ALIGN
                },
                is_fixed: <#name as #root::Field>::IS_FIXED,
                max: #max,
                fields: &[#(#root::__private::FieldLayout {
                    name: #names,
                    source: #sources,
                    size: if <#name as #root::Field>::IS_FIXED {
                        ::core::mem::size_of::<#types>()
                    } else {
                        <#types as #root::Field>::SIZE
                    },
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
    (name, defaults): (&Ident, &Defaults),
    fields: &Fields,
    view_item: &TokenStream,
) -> TokenStream {
    let idents: Vec<_> = fields.iter().filter_map(|field| field.ident.as_ref()).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let is_pad: Vec<_> = fields.iter().map(pad::is_pad).collect();
    let text = plain_name(name);
    let texts: Vec<_> = (idents.iter().zip(&is_pad))
        .map(|(ident, is_pad)| if *is_pad { "_pad".to_owned() } else { plain_name(ident) })
        .collect();
    let as_fields: Vec<_> = types.iter().map(|ty| types::as_field(root, ty)).collect();
    let defaults = idents.iter().zip(&types).map(|(ident, ty)| defaults.of(root, ident, ty));
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
    let message = arguments.message_impl(root, name);
    let count = idents.len();
    let indices = 0..count;
    let places: Vec<_> = (0..count).map(|index| quote!(__PLACES.0[#index])).collect();
    // Padding is not encoded.
    let kept: Vec<_> = (0..count).filter(|index| !is_pad[*index]).collect();
    let (kept_idents, kept_places): (Vec<_>, Vec<_>) =
        kept.iter().map(|index| (idents[*index], &places[*index])).unzip();
    let carried = kept.last().filter(|_| arguments.carries.is_some());
    let is_carried: Vec<_> = (0..count).map(|index| Some(&index) == carried).collect();
    // What carries a message of serde's decodes it once.
    let decode = arguments.carries.as_ref().map(|_| {
        let pads = (0..count).filter(|index| is_pad[*index]).map(|index| idents[index]);
        let (as_fields, texts): (Vec<_>, Vec<_>) =
            kept.iter().map(|index| (&as_fields[*index], &texts[*index])).unzip();
        quote! {
            fn decode(
                at: usize,
                message: &mut #root::__private::Bodies<'_>,
            ) -> ::core::result::Result<Self, #root::Invalid> {
                if !<Self as #root::Field>::DECODES {
                    <Self as #root::Field>::check(at, message)?;
                    // SAFETY: checked.
                    return ::core::result::Result::Ok(unsafe {
                        <Self as #root::Field>::read(message.seen(), at)
                    });
                }
                let mut end = at;
                #(
                    message.check_zeros(end, at + #kept_places)?;
                    end = at + #kept_places + #as_fields::SIZE;
                    let #kept_idents = #as_fields::decode(at + #kept_places, message)
                        .map_err(|invalid| invalid.within(#text, #texts))?;
                )*
                message.check_zeros(end, at + <Self as #root::Field>::SIZE)?;
                ::core::result::Result::Ok(Self {
                    #(#kept_idents,)*
                    #(#pads: #root::__private::Pad::ZERO,)*
                })
            }
        }
    });
    let view = view::name_of(name);
    let tail = arguments.topic.as_ref().and_then(|_| {
        let (last, ident, place) = (types.last()?, idents.last()?, places.last()?);
        Some(tail(root, (name, &hides), (last, ident), place, &types::item_of_list(last)?))
    });
    quote! {
        #little_endian
        #assertion
        const _: () = {
            #view_item

            const __IS_PAD: &[bool] = &[#(#is_pad),*];
            /// The size and the alignment of each part. Only a fixed message has padding.
            const __PARTS: [(usize, usize); #count] = [#(
                if #is_pad && !<#name as #root::Field>::IS_FIXED {
                    (0, 1)
                } else {
                    (#as_fields::SIZE, #as_fields::ALIGN)
                }
            ),*];
            const __PLACES: ([usize; #count], usize) = #root::__private::places(__PARTS);
            const __ALL: &[#root::FieldDescriptor] = &[#(#root::FieldDescriptor {
                name: #texts,
                offset: #places,
                size: __PARTS[#indices].0,
                ty: #as_fields::TYPE,
                default: #defaults,
                is_carried: #is_carried,
            }),*];
            const __MYCELIUM_DESCRIPTOR: #root::Descriptor = #root::Descriptor {
                name: #text,
                size: <#name as #root::Field>::SIZE,
                align: <#name as #root::Field>::ALIGN,
                fields: &#root::__private::without_empty::<
                    { #root::__private::count_without_empty(__ALL, __IS_PAD) },
                >(__ALL, __IS_PAD),
            };

            // SAFETY: if each field is fixed, so is the struct: `layout_error` refuses padding, and
            // `check` checks each field at the offset that it has in memory. Otherwise each field
            // is viewed and read at the place where it was checked.
            #hides
            unsafe impl #root::Field for #name {
                const TYPE: #root::FieldType = #root::FieldType::Struct(&__MYCELIUM_DESCRIPTOR);
                const SIZE: usize = __PLACES.1.next_multiple_of(Self::ALIGN);
                const ALIGN: usize = #root::__private::most_aligned(&__PARTS);
                const HAS_UNUSED: bool = false #(|| #as_fields::HAS_UNUSED)*;
                const DECODES: bool = false #(|| #as_fields::DECODES)*;
                type Form = #root::__private::IsFixed<{
                    true #(&& #as_fields::IS_FIXED)*
                }>;
                type View<'a> = <Self::Form as #root::__private::Form>::Part<'a, Self, #view<'a>>;

                #[inline]
                fn end_of_bodies(&self, end: usize) -> usize {
                    #(let end = #root::Field::end_of_bodies(&self.#idents, end);)*
                    end
                }

                #[inline]
                fn encode(&self, at: usize, message: &mut #root::__private::Encoder<'_>) {
                    if Self::IS_FIXED && !Self::HAS_UNUSED {
                        return #root::__private::encode_fixed(message, at, self);
                    }
                    #(#root::Field::encode(&self.#kept_idents, at + #kept_places, message);)*
                }

                #[inline]
                fn check(
                    at: usize,
                    message: &mut #root::__private::Bodies<'_>,
                ) -> ::core::result::Result<(), #root::Invalid> {
                    let mut end = at;
                    #(
                        // What is not fixed has no padding to check.
                        if !(#is_pad && !Self::IS_FIXED) {
                            if !Self::IS_FIXED {
                                message.check_zeros(end, at + #places)?;
                                end = at + #places + #as_fields::SIZE;
                            }
                            if let ::core::result::Result::Err(invalid) =
                                #as_fields::check(at + #places, message)
                            {
                                return ::core::result::Result::Err(invalid.within(#text, #texts));
                            }
                        }
                    )*
                    if Self::IS_FIXED {
                        return ::core::result::Result::Ok(());
                    }
                    message.check_zeros(end, at + Self::SIZE)
                }

                #decode

                #[inline]
                unsafe fn view<'a>(
                    message: #root::__private::Checked<'a>,
                    at: usize,
                ) -> Self::View<'a> {
                    // SAFETY: this function's contract.
                    unsafe {
                        <Self::Form as #root::__private::Form>::part(message, at, |place| {
                            #view(place)
                        })
                    }
                }

                #[inline]
                unsafe fn read(message: #root::__private::Checked<'_>, at: usize) -> Self {
                    if Self::IS_FIXED {
                        // SAFETY: this function's contract.
                        return unsafe { message.copy(at) };
                    }
                    Self {
                        // SAFETY: this function's contract; `check` accepted each field.
                        #(#idents: unsafe {
                            #as_fields::read(message, at + #places)
                        }),*
                    }
                }
            }

            // SAFETY: fixed if all fields are.
            unsafe impl #root::Fixed for #name
            where
                #(for<'__any> #types: #root::Fixed,)*
            {
                const EMPTY: Self = Self {
                    #(#idents: <#types as #root::Fixed>::EMPTY),*
                };
            }

            // What `unsafe` relies on, whatever another macro or the host has made of the struct.
            const _: () = assert!(
                !<#name as #root::Field>::IS_FIXED
                    || (::core::mem::size_of::<#name>() == <#name as #root::Field>::SIZE
                        && <#name as #root::Field>::ALIGN % ::core::mem::align_of::<#name>() == 0
                        #(&& ::core::mem::offset_of!(#name, #idents) == #places)*),
                "the layout of this message differs from that on other hosts: add `pad`",
            );

            #message
            #tail
        };
    }
}

/// Returns the impl of a message whose last field is a list of numbers, as far as its tokens show.
/// The bounds hold if they are right.
fn tail(
    root: &Path,
    (name, hides): (&Ident, &Option<TokenStream>),
    (last, ident): (&Type, &Ident),
    place: &TokenStream,
    item: &Ident,
) -> TokenStream {
    quote! {
        // SAFETY: the place of the last field, which is a list of such items.
        #hides
        unsafe impl #root::message::Tail for #name
        where
            for<'__any> #last: #root::message::List<Item = #item>,
        {
            type Item = #item;
            const PLACE: usize = #place;

            fn clear(&mut self) {
                self.#ident = ::core::default::Default::default();
            }
        }
    }
}

/// Reports each invalid field.
fn refuse_fields(item: &ItemStruct) -> Result<()> {
    let mut errors = None;
    for field in &item.fields {
        let checked = refuse_conditional(&field.attrs)
            .and_then(|()| pad::refuse_name(field))
            .and_then(|()| types::refuse_unsuitable(&item.ident, &field.ty));
        match (&mut errors, checked) {
            (_, Ok(())) => {}
            (None, Err(error)) => errors = Some(error),
            (Some(errors), Err(error)) => errors.combine(error),
        }
    }
    errors.map_or(Ok(()), Err)
}

/// Refuses a struct whose fields have no names. One without fields is a signal.
fn refuse_unnamed(item: &ItemStruct) -> Result<()> {
    let Fields::Unnamed(fields) = &item.fields else { return Ok(()) };
    let first = fields.unnamed.first().map(|field| source(&field.ty));
    let named = match (first, fields.unnamed.len()) {
        (None, _) => return Ok(()),
        (Some(first), 1) => format!("value: {first}"),
        (Some(first), _) => format!("first: {first}, .."),
    };
    let message = format!(
        "the fields of a message have names, which are part of its schema: write \
         `struct {} {{ {named} }}`",
        plain_name(&item.ident)
    );
    Err(Error::new_spanned(fields, message))
}

#[cfg(test)]
mod tests;
