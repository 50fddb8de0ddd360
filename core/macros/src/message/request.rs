//! `reply = ..`: the impl of `Request`, and the two messages that carry a request between nodes.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, Path, Result};

use super::arguments::MessageArguments;

/// Expands a request: the impl of `Request`, and the two messages that carry it. `None` for a
/// message without a reply. `expand` expands the attribute and the struct of a message.
pub(super) fn request(
    root: &Path,
    arguments: &MessageArguments,
    name: &Ident,
    expand: fn(Path, TokenStream, TokenStream) -> Result<TokenStream>,
) -> Result<Option<TokenStream>> {
    let (Some(topic), Some(reply)) = (&arguments.topic, &arguments.reply) else {
        return Ok(None);
    };
    let id = arguments.id.as_ref().map(|id| quote!(id = #id,));
    let (call, answer) = (format_ident!("{name}Call"), format_ident!("{name}Answer"));
    let message = |carried: TokenStream, fields: TokenStream| {
        expand(
            root.clone(),
            quote!(topic = #topic, #id carries = #carried, pad, hidden),
            quote!(pub struct #fields),
        )
    };
    let form = quote_spanned!(reply.span() => <#reply as #root::Field>::Form);
    let part = quote! {
        <#form as #root::__private::Form>::Choose<#reply, ::core::option::Option<#reply>>
    };
    let calls =
        message(quote!(#name), quote!(#call { number: u64, time_left: u64, request: #name }))?;
    let answers =
        message(quote!(#reply), quote!(#answer { number: u64, outcome: u64, reply: #part }))?;
    let hides = arguments.hides();
    Ok(Some(quote! {
        const _: () = {
            #calls
            #answers
            #hides
            impl #root::Request for #name {
                type Reply = #reply;
                type Call = #call;
                type Answer = #answer;

                fn to_call(head: #root::message::CallHead, request: Self) -> #call {
                    #call::new(head.number, head.time_left, request)
                }

                fn of_call(call: #call) -> (#root::message::CallHead, Self) {
                    let #call { number, time_left, request, .. } = call;
                    (#root::message::CallHead { number, time_left }, request)
                }

                fn to_answer(
                    head: #root::message::AnswerHead,
                    reply: ::core::option::Option<#reply>,
                ) -> #answer {
                    #answer::new(head.number, head.outcome, #root::message::ReplyPart::of(reply))
                }

                fn of_answer(
                    answer: #answer,
                ) -> (#root::message::AnswerHead, ::core::option::Option<#reply>) {
                    let #answer { number, outcome, reply, .. } = answer;
                    let reply = #root::message::ReplyPart::reply(reply);
                    (#root::message::AnswerHead { number, outcome }, reply)
                }
            }
        };
    }))
}
