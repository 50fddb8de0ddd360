//! The input of `routes!`: a name, and a list of handlers for each message.

use proc_macro2::Span;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Error, Generics, Ident, Result, Token, Type, TypePath, Visibility, braced, bracketed,
};

/// `pub Fast: { Tick => [Strategy, Risk], .. }`.
pub(super) struct RoutesInput {
    pub(super) attributes: Vec<Attribute>,
    pub(super) visibility: Visibility,
    pub(super) name: Ident,
    pub(super) generics: Generics,
    pub(super) lists: Vec<List>,
}

/// `Tick => [Strategy, async Journal] -> bus`.
pub(super) struct List {
    pub(super) message: Type,
    pub(super) handlers: Vec<Listed>,
    /// Whether the message is passed to the bus after the handlers.
    pub(super) bus: bool,
}

/// A handler in a list.
#[derive(Clone)]
pub(super) struct Listed {
    pub(super) is_async: bool,
    pub(super) ty: TypePath,
    pub(super) name: Ident,
}

/// The methods of the struct, without the accessors.
const METHODS: [&str; 6] =
    ["new", "route", "route_to", "route_async", "route_async_to", "into_parts"];

impl RoutesInput {
    /// Returns each handler once, in the order in which the lists first name them.
    pub(super) fn handlers(&self) -> Result<Vec<Listed>> {
        let mut all: Vec<Listed> = Vec::new();
        for listed in self.lists.iter().flat_map(|list| &list.handlers) {
            match all.iter().find(|other| other.name == listed.name) {
                Some(other) if text(&other.ty) == text(&listed.ty) => {}
                Some(other) => {
                    let message = format!(
                        "`{}` and `{}` would both be called `{name}`: give one of them another \
                         name, as in `{} as other_{name}`",
                        text(&other.ty),
                        text(&listed.ty),
                        text(&listed.ty),
                        name = listed.name.unraw(),
                    );
                    return Err(Error::new_spanned(&listed.ty, message));
                }
                None => all.push(listed.clone()),
            }
        }
        for Listed { name, ty, .. } in &all {
            let plain = name.unraw().to_string();
            let of = plain.strip_suffix("_mut").unwrap_or_default();
            if METHODS.contains(&plain.as_str()) || all.iter().any(|other| other.name == of) {
                let message = format!(
                    "the struct has a method `{plain}`: give the handler another name, as in \
                     `{} as {plain}_handler`",
                    text(ty)
                );
                return Err(Error::new_spanned(ty, message));
            }
        }
        Ok(all)
    }
}

impl Parse for RoutesInput {
    fn parse(input: ParseStream<'_>) -> Result<RoutesInput> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let shape = |error: Error| {
            let message = format!("{error}: write `routes! {{ Fast: {{ Tick => [Strategy] }} }}`");
            Error::new(error.span(), message)
        };
        let name = input.parse().map_err(shape)?;
        let generics = input.parse()?;
        input.parse::<Token![:]>().map_err(shape)?;
        let content;
        braced!(content in input);
        let lists = Punctuated::<List, Token![,]>::parse_terminated(&content)?;
        let lists: Vec<List> = lists.into_iter().collect();
        if lists.is_empty() {
            let message = "expected a list of handlers for each message: `Tick => [Strategy]`";
            return Err(Error::new_spanned(name, message));
        }
        for (place, List { message, .. }) in lists.iter().enumerate() {
            if lists[..place].iter().any(|other| other.message == *message) {
                let problem = format!("`{}` has two lists: write one", text(message));
                return Err(Error::new_spanned(message, problem));
            }
        }
        Ok(RoutesInput { attributes, visibility, name, generics, lists })
    }
}

impl Parse for List {
    fn parse(input: ParseStream<'_>) -> Result<List> {
        let message: Type = input.parse()?;
        input.parse::<Token![=>]>()?;
        let content;
        let bracket = bracketed!(content in input);
        let handlers = Punctuated::<Listed, Token![,]>::parse_terminated(&content)?;
        let handlers: Vec<Listed> = handlers.into_iter().collect();
        if handlers.is_empty() {
            let span = bracket.span.join();
            return Err(Error::new(span, "expected at least one handler: `[Strategy]`"));
        }
        for (place, Listed { name, ty, .. }) in handlers.iter().enumerate() {
            let is_same = |other: &Listed| other.name == *name && text(&other.ty) == text(ty);
            if handlers[..place].iter().any(is_same) {
                let problem = format!(
                    "`{}` is in the list twice; for two instances give one a name, as in \
                     `{} as other`",
                    text(ty),
                    text(ty)
                );
                return Err(Error::new_spanned(ty, problem));
            }
        }
        let bus = input.parse::<Option<Token![->]>>()?.is_some();
        if bus {
            let place: Ident = input.parse()?;
            if place != "bus" {
                return Err(Error::new_spanned(place, "expected `-> bus`"));
            }
        }
        Ok(List { message, handlers, bus })
    }
}

impl Parse for Listed {
    fn parse(input: ParseStream<'_>) -> Result<Listed> {
        let is_async = input.parse::<Option<Token![async]>>()?.is_some();
        let ty: TypePath = input.parse()?;
        let name = match input.parse::<Option<Token![as]>>()? {
            Some(_) => input.call(Ident::parse_any)?,
            None => snake_case(&ty)?,
        };
        Ok(Listed { is_async, ty, name })
    }
}

/// Returns the name of a type as a method name: `OrderBook` becomes `order_book`.
fn snake_case(ty: &TypePath) -> Result<Ident> {
    let Some(last) = ty.path.segments.last() else {
        return Err(Error::new_spanned(ty, "expected the type of a handler"));
    };
    let letters: Vec<char> = last.ident.unraw().to_string().chars().collect();
    let mut name = String::new();
    for (place, letter) in letters.iter().enumerate() {
        let after_small = place > 0 && !letters[place - 1].is_uppercase();
        let before_small = letters.get(place + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase()
            && place > 0
            && (after_small || before_small)
            && !name.ends_with('_')
        {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    // The name is a raw identifier if it is a keyword.
    let span: Span = last.ident.span();
    let is_plain = syn::parse_str::<Ident>(&name).is_ok();
    Ok(if is_plain { Ident::new(&name, span) } else { Ident::new_raw(&name, span) })
}

/// Returns the tokens as a user would write them.
fn text(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string().replace(' ', "")
}
