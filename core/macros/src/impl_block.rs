//! The impl block below `#[service]` and `#[actor]`: its head, and its items one by one. Method
//! bodies are not parsed: the compiler reports their errors.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::parse::discouraged::Speculative;
use syn::parse::{ParseBuffer, ParseStream};
use syn::{Attribute, Error, Generics, Ident, Result, Signature, Token, Type, Visibility, braced};

/// The part of an impl block before the braces.
pub(crate) struct Head {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) generics: Generics,
    pub(crate) self_ty: Type,
}

impl Head {
    /// Parses the head of a block without a trait, and returns it with the content of the braces.
    /// `attribute` is the name of the macro, and `example` an example type for errors.
    pub(crate) fn parse<'a>(
        input: ParseStream<'a>,
        attribute: &str,
        example: &str,
    ) -> Result<(Head, ParseBuffer<'a>)> {
        let attributes = input.call(Attribute::parse_outer)?;
        if !input.peek(Token![impl]) {
            let message = format!("#[{attribute}] goes on `impl {example} {{ .. }}`");
            return Err(input.error(message));
        }
        input.parse::<Token![impl]>()?;
        let mut generics: Generics = input.parse()?;
        let self_ty: Type = input.parse()?;
        if input.peek(Token![for]) {
            let message = format!("#[{attribute}] goes on an impl block without a trait");
            return Err(Error::new_spanned(self_ty, message));
        }
        generics.where_clause = input.parse()?;
        let content;
        braced!(content in input);
        Ok((Head { attributes, generics, self_ty }, content))
    }

    /// Returns the name of the type; `kind` describes it in errors, as in `a service`.
    pub(crate) fn name(&self, kind: &str) -> Result<&Ident> {
        let mut ty = &self.self_ty;
        // A group without braces is a type that another macro passes on.
        while let Type::Group(group) = ty {
            ty = &group.elem;
        }
        let last = match ty {
            Type::Path(path) => path.path.segments.last(),
            _ => None,
        };
        let message = || Error::new_spanned(ty, format!("{kind} is a type with a name"));
        Ok(&last.ok_or_else(message)?.ident)
    }
}

/// A method of an impl block.
pub(crate) struct BlockMethod {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) body: Group,
}

/// Parses the next item, if it is a method.
pub(crate) fn parse_method(content: ParseStream<'_>) -> Option<BlockMethod> {
    let item = content.fork();
    let attributes = item.call(Attribute::parse_outer).ok()?;
    let visibility = item.parse().ok()?;
    let signature = item.parse().ok()?;
    let Ok(TokenTree::Group(body)) = item.parse() else { return None };
    content.advance_to(&item);
    Some(BlockMethod { attributes, visibility, signature, body })
}

/// Parses the tokens of an item that is not a method: to its semicolon, or its block.
pub(crate) fn parse_other(content: ParseStream<'_>) -> Result<TokenStream> {
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
