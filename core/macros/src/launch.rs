//! The start of a service or an actor: its future becomes a task that may move between threads, or
//! one that stays on its thread.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{Error, Result};

use crate::impl_block::Head;

/// Whether a task may move between threads, as its attribute says.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// The attribute does not say it: the type of the future decides.
    #[default]
    Unknown,
    Send,
    Local,
}

/// A service or an actor whose *life*, the value with which it runs from its start to its end, is a
/// task.
pub(crate) struct Life<'a> {
    pub(crate) kind: TaskKind,
    pub(crate) head: &'a Head,
    /// Returns the type of a life.
    pub(crate) of: fn(&TokenStream) -> TokenStream,
    /// The private function that creates the future of a life.
    pub(crate) run: Ident,
    /// Whether the type of the life has a parameter `Q`, the queue of the mailbox, as for actors.
    pub(crate) has_queue: bool,
    /// The text that an error adds for a generic type without a kind.
    pub(crate) hint: &'static str,
}

impl Life<'_> {
    /// Returns the methods `is_send` and `launch`, and a function that they need.
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
        // The compiler infers whether the future's type is `Send`; a trait bound in the expansion
        // would require it.
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
