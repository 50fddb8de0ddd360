//! The impl block below `#[service]`, parsed as far as the macro needs it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Result, Signature};

use crate::impl_block::{BlockItem, BlockMethod, Head};

/// An impl block of a service.
pub(super) struct ServiceImpl {
    pub(super) head: Head,
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
        let (head, content) = Head::parse(input, "service", "MyService")?;
        let (mut run, mut others) = (None, TokenStream::new());
        while !content.is_empty() {
            match BlockItem::parse(&content)? {
                BlockItem::Method(BlockMethod { signature, body, .. })
                    if signature.ident == "run" && run.is_none() =>
                {
                    run = Some(Run { signature, body: body.stream() });
                }
                BlockItem::Method(BlockMethod { attributes, visibility, signature, body }) => {
                    others.extend(quote!(#(#attributes)* #visibility #signature #body));
                }
                BlockItem::Other(item) => others.extend(item),
            }
        }
        Ok(ServiceImpl { head, run, others })
    }
}
