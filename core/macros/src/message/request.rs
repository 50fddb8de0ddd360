//! `reply = ..`: the impl of `Request`, and the two messages by which a request travels between
//! nodes.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, Path, Result};

use super::arguments::MessageArguments;
use super::expand;

/// Nothing for a message without a reply.
pub(super) fn impl_request(
    root: &Path,
    arguments: &MessageArguments,
    name: &Ident,
) -> Result<TokenStream> {
    let (Some((topic, id)), Some(reply)) = (&arguments.topic_and_id, &arguments.reply) else {
        return Ok(TokenStream::new());
    };
    let (call, answer) = (format_ident!("{name}Call"), format_ident!("{name}Answer"));
    let attribute = || quote!(topic = #topic, id = #id, pad);
    let calls = quote! {
        pub struct #call {
            number: u64,
            time_left: u64,
            request: #name,
        }
    };
    let answers = quote! {
        pub struct #answer {
            number: u64,
            outcome: u64,
            reply: #reply,
        }
    };
    let calls = expand(root.clone(), attribute(), calls)?;
    let answers = expand(root.clone(), attribute(), answers)?;
    let empty = quote_spanned!(reply.span() => <#reply as #root::Field>::EMPTY);
    Ok(quote! {
        const _: () = {
            #calls
            #answers

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
                    #answer::new(head.number, head.outcome, reply.unwrap_or(#empty))
                }

                fn of_answer(answer: #answer) -> (#root::message::AnswerHead, #reply) {
                    let #answer { number, outcome, reply, .. } = answer;
                    (#root::message::AnswerHead { number, outcome }, reply)
                }
            }
        };
    })
}
