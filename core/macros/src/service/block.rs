//! The impl block below `#[service]`, parsed as far as the macro needs it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Result, Signature};

use crate::impl_block::{BlockMethod, Head, parse_method, parse_other};

/// An impl block of a service.
pub(super) struct ServiceImpl {
    pub(super) head: Head,
    pub(super) run: Option<Run>,
    /// The items other than `run`.
    pub(super) others: TokenStream,
}

pub(super) struct Run {
    pub(super) signature: Signature,
    pub(super) body: TokenStream,
}

impl Parse for ServiceImpl {
    fn parse(input: ParseStream<'_>) -> Result<ServiceImpl> {
        let (head, content) = Head::parse(input, "service", "MyService")?;
        let (mut run, mut others) = (None, TokenStream::new());
        while !content.is_empty() {
            match parse_method(&content) {
                Some(BlockMethod { signature, body, .. })
                    if signature.ident == "run" && run.is_none() =>
                {
                    run = Some(Run { signature, body: body.stream() });
                }
                Some(BlockMethod { attributes, visibility, signature, body }) => {
                    others.extend(quote!(#(#attributes)* #visibility #signature #body));
                }
                None => others.extend(parse_other(&content)?),
            }
        }
        Ok(ServiceImpl { head, run, others })
    }
}
