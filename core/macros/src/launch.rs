//! The start of a service or an actor: its future becomes a task that may move between threads, or
//! one that stays on its thread.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{Error, Result};

use crate::impl_block::Head;

/// Whether a task may move between threads, as its attribute says.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// The type of its future decides.
    #[default]
    Unknown,
    Send,
    Local,
}

/// What lives as a task.
pub(crate) struct Life<'a> {
    pub(crate) kind: TaskKind,
    pub(crate) head: &'a Head,
    /// The life of a type.
    pub(crate) of: fn(&TokenStream) -> TokenStream,
    /// The private function that makes a future of a life.
    pub(crate) run: Ident,
    /// Whether the life has a parameter `Q`, the queue of its mailbox.
    pub(crate) has_queue: bool,
    /// What a generic type without a kind is told.
    pub(crate) hint: &'static str,
}

impl Life<'_> {
    /// The methods `is_send` and `launch`, and a function that they need.
    pub(crate) fn launch(&self) -> Result<(TokenStream, TokenStream)> {
        let Life { kind, head, of, run, has_queue, hint } = self;
        let (root, own) = (quote!(::mycelium::__private), of(&quote!(Self)));
        let queue = has_queue.then(|| quote!(<Q: ::mycelium::channel::Queue>));
        let declared = match kind {
            TaskKind::Send => Some((quote!(true), quote!(#root::Task::send))),
            TaskKind::Local => Some((quote!(false), quote!(#root::Task::local))),
            TaskKind::Unknown => None,
        };
        if let Some((is_send, task)) = declared {
            let methods = quote! {
                fn is_send() -> bool {
                    #is_send
                }

                fn launch #queue (life: #own) -> #root::Task {
                    #task(#root::#run(life))
                }
            };
            return Ok((methods, TokenStream::new()));
        }
        if !head.generics.params.is_empty() {
            return Err(Error::new_spanned(&head.generics, hint));
        }
        let any_queue = has_queue.then(|| quote!(::<::mycelium::channel::Mpsc>));
        let its_queue = has_queue.then(|| quote!(::<Q>));
        // The compiler infers for the future's type whether it is `Send`; a trait bound in the
        // expansion would require it.
        let methods = quote! {
            fn is_send() -> bool {
                use #root::{IsLocal as _, IsSend as _};
                (&#root::FutureKind::of(life_of #any_queue)).is_send()
            }

            fn launch #queue (life: #own) -> #root::Task {
                use #root::{LocalTask as _, SendTask as _};
                (&#root::Launch::of(life_of #its_queue (life))).task()
            }
        };
        let self_ty = &head.self_ty;
        let life = of(&quote!(#self_ty));
        let helper = quote! {
            fn life_of #queue (life: #life) -> impl ::core::future::Future<Output = ()> + 'static {
                #root::#run(life)
            }
        };
        Ok((methods, helper))
    }
}
