//! `#[message(default = ..)]` on a field: the value of the field in messages of older programs, which
//! do not have it.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Attribute, Error, Expr, Fields, Ident, Path, Result, Type, spanned::Spanned};

/// The defaults of the fields that have one.
pub(super) struct Defaults(Vec<(Ident, Expr)>);

/// Removes the attributes from the fields, and returns the defaults.
pub(super) fn take(fields: &mut Fields) -> Result<Defaults> {
    let mut defaults = Vec::new();
    for field in fields {
        let is_ours = |attr: &Attribute| attr.path().is_ident("message");
        let (ours, others) = std::mem::take(&mut field.attrs).into_iter().partition(is_ours);
        field.attrs = others;
        let ours: Vec<Attribute> = ours;
        for attr in ours {
            attr.parse_nested_meta(|meta| {
                if !meta.path.is_ident("default") {
                    return Err(meta.error(EXPECTED));
                }
                defaults.extend(field.ident.clone().zip(Some(meta.value()?.parse()?)));
                Ok(())
            })
            .map_err(|error| Error::new(error.span(), EXPECTED))?;
        }
    }
    Ok(Defaults(defaults))
}

const EXPECTED: &str = "a field of a message takes `#[message(default = ..)]`, with a constant: its \
                        value in messages of older programs, which do not have it";

impl Defaults {
    /// Returns the bytes of a field's default, if it has one.
    pub(super) fn of(&self, root: &Path, field: &Ident, ty: &Type) -> TokenStream {
        let Some((_, value)) = self.0.iter().find(|(name, _)| name == field) else {
            return quote!(::core::option::Option::None);
        };
        // At the value, which may have another type than a fixed one.
        let bytes = quote_spanned! {value.span()=>
            #root::__private::bytes_of_default::<#ty, { <#ty as #root::Field>::SIZE }>(#value)
        };
        quote!(::core::option::Option::Some(&#bytes))
    }
}
