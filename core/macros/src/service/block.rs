//! The impl block below `#[service]`, parsed as far as the macro needs it.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Generics, Result, Signature, Token, Type, Visibility, braced};

/// An impl block of a service. Bodies of methods are not parsed: the compiler reports their errors.
pub(super) struct ServiceImpl {
    pub(super) attributes: Vec<Attribute>,
    pub(super) generics: Generics,
    pub(super) self_ty: Type,
    pub(super) run: Option<Run>,
    /// The items beside `run`.
    pub(super) others: TokenStream,
}

pub(super) struct Run {
    pub(super) signature: Signature,
    pub(super) body: TokenStream,
}

impl Parse for ServiceImpl {
    fn parse(input: ParseStream<'_>) -> Result<ServiceImpl> {
        let attributes = input.call(Attribute::parse_outer)?;
        if !input.peek(Token![impl]) {
            return Err(input.error("#[service] goes on `impl MyService { .. }`"));
        }
        input.parse::<Token![impl]>()?;
        let mut generics: Generics = input.parse()?;
        let self_ty: Type = input.parse()?;
        if input.peek(Token![for]) {
            let message = "#[service] goes on an impl block without a trait";
            return Err(Error::new_spanned(self_ty, message));
        }
        generics.where_clause = input.parse()?;
        let content;
        braced!(content in input);
        let (mut run, mut others) = (None, TokenStream::new());
        while !content.is_empty() {
            match parse_run(&content) {
                Some(found) if run.is_none() => run = Some(found),
                _ => others.extend(parse_item(&content)?),
            }
        }
        Ok(ServiceImpl { attributes, generics, self_ty, run, others })
    }
}

/// The method `run`, if it is the next item.
fn parse_run(content: ParseStream<'_>) -> Option<Run> {
    let item = content.fork();
    item.call(Attribute::parse_outer).ok()?;
    item.parse::<Visibility>().ok()?;
    let signature: Signature = item.parse().ok()?;
    let Ok(TokenTree::Group(body)) = item.parse() else { return None };
    if signature.ident != "run" {
        return None;
    }
    content.advance_to(&item);
    Some(Run { signature, body: body.stream() })
}

/// The tokens of the next item: to its semicolon, or its block.
fn parse_item(content: ParseStream<'_>) -> Result<TokenStream> {
    let mut item = TokenStream::new();
    while !content.is_empty() {
        let token: TokenTree = content.parse()?;
        let is_last = match &token {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => false,
        };
        item.extend([token]);
        if is_last {
            break;
        }
    }
    Ok(item)
}
