//! Enums, which can be fields of messages: without data they are numbers, with data they are not
//! fixed.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, Fields, Ident, ItemEnum, Path, Result, Type};

use super::{
    arguments::MessageArguments,
    checks::{little_endian_only, refuse_conditional, refuse_generics, reprs},
    derives::{self, copies},
    source::plain_name,
    types::{as_field, refuse_unsuitable},
    view::{is_shown, name_of},
};

pub(super) fn expand_enum(
    root: &Path,
    arguments: &MessageArguments,
    item: &ItemEnum,
) -> Result<TokenStream> {
    refuse_generics(&item.generics)?;
    if let Some(topic) = &arguments.topic {
        let message = "an enum cannot be a message of its own: make it a field of a struct, and \
                       write `#[message]` without arguments here";
        return Err(Error::new_spanned(topic, message));
    }
    if let Some(pad) = &arguments.pad {
        return Err(Error::new_spanned(pad, "an enum has no padding: remove `pad`"));
    }
    if item.variants.is_empty() {
        let message = "an enum without variants has no values: add a variant";
        return Err(Error::new_spanned(&item.ident, message));
    }
    item.variants.iter().try_for_each(|variant| refuse_conditional(&variant.attrs))?;
    if item.variants.iter().any(|variant| !matches!(variant.fields, Fields::Unit)) {
        return expand_choice(root, item);
    }
    let repr = enum_repr(item)?;
    // Not the user's, who may have another type of that name.
    let repr = quote!(::core::primitive::#repr);
    let copies = copies(&item.attrs, &item.ident, &[], &quote!(*self))?;
    let name = &item.ident;
    let text = plain_name(name);
    let variants: Vec<_> = item.variants.iter().map(|variant| &variant.ident).collect();
    let texts: Vec<_> = variants.iter().map(|variant| plain_name(variant)).collect();
    let first = &variants[..1];
    let little_endian = little_endian_only(name.span());
    Ok(quote! {
        #item
        #copies
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

            // SAFETY: a number, which is checked to be one of the variants.
            unsafe impl #root::Field for #name {
                const TYPE: #root::FieldType = #root::FieldType::Enum(&__MYCELIUM_DESCRIPTOR);
                const SIZE: usize = <#repr as #root::Field>::SIZE;
                const ALIGN: usize = <#repr as #root::Field>::ALIGN;
                type Form = #root::__private::IsFixed<true>;
                type View<'a> = Self;

                #[inline]
                fn encode(&self, at: usize, message: &mut #root::__private::Encoder<'_>) {
                    #root::__private::encode_fixed(message, at, self);
                }

                #[inline]
                fn check(
                    at: usize,
                    message: &mut #root::__private::Bodies<'_>,
                ) -> ::core::result::Result<(), #root::Invalid> {
                    let number = <#repr>::from_le_bytes(message.part(at)?);
                    if #(number == #name::#variants as #repr)||* {
                        return ::core::result::Result::Ok(());
                    }
                    ::core::result::Result::Err(#root::Invalid::value(number as i128))
                }

                #[inline]
                unsafe fn view<'a>(message: #root::__private::Checked<'a>, at: usize) -> Self {
                    // SAFETY: this function's contract.
                    unsafe { message.copy(at) }
                }

                #[inline]
                unsafe fn read(message: #root::__private::Checked<'_>, at: usize) -> Self {
                    // SAFETY: this function's contract.
                    unsafe { message.copy(at) }
                }
            }

            // SAFETY: fixed.
            unsafe impl #root::Fixed for #name {
                // The variant that is zero, so that unused items are zero; if there is none, the
                // first variant.
                const EMPTY: Self = {
                    #(if #name::#variants as #repr == 0 { #name::#variants } else)*
                    { #(#name::#first)* }
                };
            }

            const _: () = assert!(
                ::core::mem::size_of::<#name>() == <#name as #root::Field>::SIZE,
                "the size of this enum is not that of its `repr`",
            );
        };
    })
}

/// Expands an enum with data: a byte with the number of the variant, then its fields.
fn expand_choice(root: &Path, item: &ItemEnum) -> Result<TokenStream> {
    let (name, vis) = (&item.ident, &item.vis);
    if let Some(repr) = reprs(&item.attrs)?.first() {
        let message = "an enum with data is sent as the number of its variant and the data: \
                       remove `#[repr]`";
        return Err(Error::new(repr.span(), message));
    }
    if let Some(variant) = item.variants.iter().find(|variant| variant.discriminant.is_some()) {
        let message = "the variants of an enum with data are numbered in their order: remove the \
                       number";
        return Err(Error::new_spanned(variant, message));
    }
    if item.variants.len() > 256 {
        return Err(Error::new_spanned(name, "an enum with data has 256 variants at most"));
    }
    let mut errors = item.variants.iter().flat_map(|variant| variant.fields.iter());
    errors.try_for_each(|field| {
        refuse_conditional(&field.attrs)?;
        refuse_unsuitable(&item.ident, &field.ty)
    })?;
    let types: Vec<_> =
        item.variants.iter().flat_map(|variant| variant.fields.iter().map(|f| &f.ty)).collect();
    let variants: Vec<_> = item.variants.iter().map(|variant| Variant::of(root, variant)).collect();
    let clones = variants.iter().map(|v| {
        let (variant, bound) = (v.name, v.bound());
        let fields = v.locals.iter().zip(&v.types);
        let cloned = v.with(fields.map(|(local, ty)| derives::clone(root, ty, &quote!(#local))));
        quote!(Self::#variant #bound => Self::#variant #cloned)
    });
    let copies = copies(&item.attrs, name, &types, &quote!(match self { #(#clones),* }))?;
    let are_shown = types.iter().map(|ty| is_shown(root, ty));
    let (view, text) = (name_of(name), plain_name(name));
    let view_variants = variants.iter().map(|v| {
        let variant = v.name;
        let views = v.with(v.as_fields.iter().map(|as_field| quote!(#as_field::View<'a>)));
        quote!(#variant #views)
    });
    let debugs = variants.iter().map(|v| {
        let (variant, bound, text) = (v.name, v.bound(), plain_name(v.name));
        let (texts, views) = (&v.texts, v.locals.iter().zip(&v.types));
        let views = views.map(|(local, ty)| quote!(&#root::__private::Shown::<#ty>(*#local)));
        let shown = match v.style {
            Style::Unit => quote!(f.write_str(#text)),
            Style::Tuple => quote!(f.debug_tuple(#text)#(.field(#views))*.finish()),
            Style::Named => quote!(f.debug_struct(#text)#(.field(#texts, #views))*.finish()),
        };
        quote!(Self::#variant #bound => #shown)
    });
    let descriptors = variants.iter().map(|v| {
        let (text, as_fields, texts, parts, count) =
            (plain_name(v.name), &v.as_fields, &v.texts, &v.parts, v.types.len());
        let indices = 0..count;
        quote! {
            #root::Descriptor {
                name: #text,
                size: #root::__private::places::<#count>(#parts).1,
                align: __ALIGN,
                fields: &[#(#root::FieldDescriptor {
                    name: #texts,
                    offset: #root::__private::places::<#count>(#parts).0[#indices],
                    size: #as_fields::SIZE,
                    ty: #as_fields::TYPE,
                    default: ::core::option::Option::None,
                    is_carried: false,
                }),*],
            }
        }
    });
    let ends = variants.iter().map(|v| {
        let (variant, bound, locals) = (v.name, v.bound(), &v.locals);
        quote! {
            Self::#variant #bound => {
                #(let end = #root::Field::end_of_bodies(#locals, end);)*
                end
            }
        }
    });
    let encodes = variants.iter().enumerate().map(|(number, v)| {
        let (variant, bound, locals) = (v.name, v.bound(), &v.locals);
        let (places, number) = (v.places(), number as u8);
        quote! {
            Self::#variant #bound => {
                message.write(at, &[#number]);
                #(#root::Field::encode(#locals, at + __ALIGN + #places, message);)*
            }
        }
    });
    let checks = variants.iter().enumerate().map(|(number, v)| {
        let (as_fields, texts, places, number) = (&v.as_fields, &v.texts, v.places(), number as u8);
        let places: Vec<_> = places.collect();
        quote! {
            [#number] => {
                let mut end = at + 1;
                #(
                    message.check_zeros(end, at + __ALIGN + #places)?;
                    end = at + __ALIGN + #places + #as_fields::SIZE;
                    if let ::core::result::Result::Err(invalid) =
                        #as_fields::check(at + __ALIGN + #places, message)
                    {
                        return ::core::result::Result::Err(invalid.within(#text, #texts));
                    }
                )*
                message.check_zeros(end, at + Self::SIZE)
            }
        }
    });
    let of = |method: TokenStream, to: &Ident| {
        let arms = variants.iter().enumerate().map(|(number, v)| {
            let (variant, number) = (v.name, number as u8);
            let fields = v.as_fields.iter().zip(v.places()).map(|(as_field, place)| {
                quote! {
                    // SAFETY: this function's contract; `check` accepted each field.
                    unsafe { #as_field::#method(message, at + __ALIGN + #place) }
                }
            });
            let fields = v.with(fields);
            // The last variant has all other numbers, of which `check` accepted none.
            let pattern =
                if usize::from(number) + 1 < variants.len() { quote!(#number) } else { quote!(_) };
            quote!(#pattern => #to::#variant #fields)
        });
        quote!(match message.variant(at) { #(#arms),* })
    };
    let (views, reads) = (of(quote!(view), &view), of(quote!(read), name));
    let (parts, sizes): (Vec<_>, Vec<_>) = (variants.iter())
        .map(|v| {
            let (parts, count) = (&v.parts, v.types.len());
            (parts, quote!(#root::__private::places::<#count>(#parts).1))
        })
        .unzip();
    let all_fields = variants.iter().flat_map(|v| &v.as_fields);
    let little_endian = little_endian_only(name.span());
    let too_aligned = format!(
        "a field of `{name}` is aligned to more than 8 bytes: use `U128` in place of `u128`"
    );
    let doc = format!("Reads a [`{name}`] in place.");
    Ok(quote! {
        #item
        #copies
        #little_endian

        #[doc = #doc]
        #[derive(::core::clone::Clone, ::core::marker::Copy)]
        #[allow(missing_docs, dead_code, non_camel_case_types, non_snake_case)]
        #vis enum #view<'a> {
            #(#view_variants),*
        }

        #[automatically_derived]
        impl<'a> ::core::fmt::Debug for #view<'a>
        where
            #(#are_shown,)*
        {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self { #(#debugs),* }
            }
        }

        const _: () = {
            /// The largest alignment of a field, where the fields of each variant begin.
            const __ALIGN: usize =
                #root::__private::largest(&[#(#root::__private::most_aligned(&#parts)),*]);
            const __MYCELIUM_DESCRIPTOR: #root::ChoiceDescriptor = #root::ChoiceDescriptor {
                name: #text,
                size: <#name as #root::Field>::SIZE,
                align: __ALIGN,
                variants: &[#(#descriptors),*],
            };

            const _: () = assert!(__ALIGN <= 8, #too_aligned);

            // SAFETY: not fixed. Each field is viewed and read at the place where it was checked.
            unsafe impl #root::Field for #name {
                const TYPE: #root::FieldType = #root::FieldType::Choice(&__MYCELIUM_DESCRIPTOR);
                const SIZE: usize = __ALIGN
                    + #root::__private::largest(&[#(#sizes),*]).next_multiple_of(__ALIGN);
                const ALIGN: usize = __ALIGN;
                const DECODES: bool = false #(|| #all_fields::DECODES)*;
                type Form = #root::__private::IsFixed<false>;
                type View<'a> = #view<'a>;

                #[inline]
                fn end_of_bodies(&self, end: usize) -> usize {
                    match self { #(#ends)* }
                }

                #[inline]
                fn encode(&self, at: usize, message: &mut #root::__private::Encoder<'_>) {
                    match self { #(#encodes)* }
                }

                #[inline]
                fn check(
                    at: usize,
                    message: &mut #root::__private::Bodies<'_>,
                ) -> ::core::result::Result<(), #root::Invalid> {
                    match message.part(at)? {
                        #(#checks)*
                        #[allow(unreachable_patterns)]
                        [other] => {
                            ::core::result::Result::Err(#root::Invalid::value(other as i128))
                        }
                    }
                }

                #[inline]
                unsafe fn view<'a>(
                    message: #root::__private::Checked<'a>,
                    at: usize,
                ) -> #view<'a> {
                    #views
                }

                #[inline]
                unsafe fn read(message: #root::__private::Checked<'_>, at: usize) -> Self {
                    #reads
                }
            }
        };
    })
}

/// How a variant writes its fields.
enum Style {
    Unit,
    Tuple,
    Named,
}

/// One variant of an enum with data.
struct Variant<'a> {
    root: &'a Path,
    name: &'a Ident,
    style: Style,
    /// The names of the fields; of a tuple, their numbers.
    texts: Vec<String>,
    /// The names of the fields, if they have names.
    idents: Vec<&'a Ident>,
    /// Variables for the fields.
    locals: Vec<Ident>,
    types: Vec<&'a Type>,
    /// The types as fields.
    as_fields: Vec<TokenStream>,
    /// The size and the alignment of each field, as an array.
    parts: TokenStream,
}

impl<'a> Variant<'a> {
    fn of(root: &'a Path, variant: &'a syn::Variant) -> Self {
        let style = match variant.fields {
            Fields::Unit => Style::Unit,
            Fields::Unnamed(_) => Style::Tuple,
            Fields::Named(_) => Style::Named,
        };
        let fields = variant.fields.iter().enumerate();
        let (texts, idents): (Vec<_>, Vec<_>) = fields
            .map(|(index, field)| match &field.ident {
                Some(ident) => (plain_name(ident), Some(ident)),
                None => (index.to_string(), None),
            })
            .unzip();
        let locals = (0..variant.fields.len()).map(|index| format_ident!("__field_{index}"));
        let locals = locals.collect();
        let types: Vec<_> = variant.fields.iter().map(|field| &field.ty).collect();
        let as_fields: Vec<_> = types.iter().map(|ty| as_field(root, ty)).collect();
        let parts = quote!([#((#as_fields::SIZE, #as_fields::ALIGN)),*]);
        let idents = idents.into_iter().flatten().collect();
        Self { root, name: &variant.ident, style, texts, idents, locals, types, as_fields, parts }
    }

    /// Returns a pattern that binds the fields.
    fn bound(&self) -> TokenStream {
        self.with(self.locals.iter().map(|local| quote!(#local)))
    }

    /// Returns the fields with these values.
    fn with(&self, values: impl Iterator<Item = TokenStream>) -> TokenStream {
        let idents = &self.idents;
        match self.style {
            Style::Unit => TokenStream::new(),
            Style::Tuple => quote!((#(#values),*)),
            Style::Named => quote!({ #(#idents: #values),* }),
        }
    }

    /// Returns where each field is, from where the fields begin.
    fn places(&self) -> impl Iterator<Item = TokenStream> + use<> {
        let (root, parts, count) = (self.root.clone(), self.parts.clone(), self.types.len());
        (0..count).map(move |index| {
            quote! {{
                const __PLACE: usize = #root::__private::places::<#count>(#parts).0[#index];
                __PLACE
            }}
        })
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
