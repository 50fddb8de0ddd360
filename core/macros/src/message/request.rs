//! `reply = ..`: the impl of `Request`, and the two messages by which a request travels between
//! nodes.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, Path};

use super::arguments::MessageArguments;

/// The expansion of a request, beside that of its message.
pub(super) struct RequestTokens {
    /// The attribute and the struct of each of the two messages.
    pub(super) carriers: [(TokenStream, TokenStream); 2],
    /// The impl of `Request`.
    pub(super) request: TokenStream,
}

/// Expands a request; returns `None` for a message without a reply.
pub(super) fn request(
    root: &Path,
    arguments: &MessageArguments,
    name: &Ident,
) -> Option<RequestTokens> {
    let ((topic, id), reply) = (arguments.topic_and_id.as_ref()?, arguments.reply.as_ref()?);
    let (call, answer) = (format_ident!("{name}Call"), format_ident!("{name}Answer"));
    let attribute = || quote!(topic = #topic, id = #id, pad, hidden);
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
    let empty = quote_spanned!(reply.span() => <#reply as #root::Field>::EMPTY);
    let hides = arguments.hides();
    let request = quote! {
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
                    #answer::new(head.number, head.outcome, reply.unwrap_or(#empty))
                }

                fn of_answer(answer: #answer) -> (#root::message::AnswerHead, #reply) {
                    let #answer { number, outcome, reply, .. } = answer;
                    (#root::message::AnswerHead { number, outcome }, reply)
                }
            }
    };
    let carriers = [(attribute(), calls), (attribute(), answers)];
    Some(RequestTokens { carriers, request })
}
