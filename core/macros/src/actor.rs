//! `#[actor]`: generates the mailbox of an actor from its methods.
//!
//! The impl block stays, without `#[tell]` and `#[ask]`. In addition the macro generates an enum of
//! all items of the mailbox, and the impls through which a reference wraps a message in the enum
//! and the task passes it to its method. As for a service, the future of the task is created at the
//! concrete type, where the compiler knows whether it is `Send`.

mod block;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{Error, Generics, Ident, Result, Type};

use block::{ActorImpl, HandlerKind, Method, Returns};

use crate::impl_block::Head;
use crate::launch::TaskKind;

/// Returns the expansion, or the error with the unchanged block.
pub(crate) fn expand_or_explain(attr: TokenStream, item: TokenStream) -> TokenStream {
    let actor: ActorImpl = match syn::parse2(item.clone()) {
        Ok(actor) => actor,
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#item #error);
        }
    };
    let expanded = task_kind(attr).and_then(|kind| expand(kind, &actor));
    let block = actor.block();
    match expanded {
        Ok(impls) => quote! {
            #block
            const _: () = { #impls };
        },
        Err(error) => {
            let error = error.into_compile_error();
            quote!(#block #error)
        }
    }
}

fn task_kind(attr: TokenStream) -> Result<TaskKind> {
    if attr.is_empty() {
        return Ok(TaskKind::Unknown);
    }
    let kind: Ident = syn::parse2(attr.clone()).map_err(|_| unknown_argument(&attr))?;
    match kind.to_string().as_str() {
        "send" => Ok(TaskKind::Send),
        "local" => Ok(TaskKind::Local),
        _ => Err(unknown_argument(&attr)),
    }
}

fn unknown_argument(attr: &TokenStream) -> Error {
    Error::new_spanned(attr, "expected `#[actor]`, `#[actor(send)]` or `#[actor(local)]`")
}

/// Returns the generated items, without the impl block.
fn expand(kind: TaskKind, actor: &ActorImpl) -> Result<TokenStream> {
    actor.check()?;
    let ActorImpl { head: Head { generics, self_ty, .. }, handlers, .. } = actor;
    let root = quote!(::mycelium::__private);
    let name = actor.head.name("an actor")?.unraw().to_string();
    let (impl_generics, ty_generics, bounds) = generics.split_for_impl();
    let mail = mail(handlers, generics, &root);
    let slots = slots(handlers, generics, &root);
    let requests: Vec<_> = asked(handlers).map(|(_, request)| request).collect();
    let arms = handlers.iter().enumerate().map(|(index, handler)| {
        let variant = variant(index);
        let number = asked(handlers).take_while(|(place, _)| *place < index).count();
        let body = receive(handler, number, &root);
        quote!(Mail::#variant(mail) => { #body })
    });
    let unused = unused_arm(generics);
    let hooks = hooks(actor, &root);
    let impls = handler_impls(actor, &root);
    let hint = "a generic actor says whether it may move between threads: `#[actor(send)]` or \
                `#[actor(local)]`";
    let launch = kind.launch(&quote!(#root::run_actor::<Self, Q>), generics, hint)?;
    Ok(quote! {
        #mail
        #slots

        impl #impl_generics ::mycelium::actors::Actor for #self_ty #bounds {
            const NAME: &'static str = #name;
            type Mail = Mail #ty_generics;
            type Slots = Slots #ty_generics;
            const REQUESTS: &'static [&'static str] =
                &[#(<#requests as ::mycelium::Message>::TOPIC),*];

            fn each_request(visitor: &mut impl #root::AskVisitor<Self>) {
                #(visitor.visit::<#requests>();)*
            }

            #[inline]
            async fn receive(
                &mut self,
                mail: Self::Mail,
                context: &mut ::mycelium::actors::ActorContext<Self>,
            ) -> ::mycelium::Result<()> {
                let _ = &context;
                match mail { #(#arms)* #unused }
            }

            #hooks

            fn launch<Q: ::mycelium::channel::Queue>() -> #root::Launch<#root::ActorLife<Self, Q>> {
                #launch
            }
        }
        #impls
    })
}

/// Returns the enum of all items of the mailbox.
fn mail(handlers: &[Method], generics: &Generics, root: &TokenStream) -> TokenStream {
    let (impl_generics, ty_generics, bounds) = generics.split_for_impl();
    let variants = handlers.iter().enumerate().map(|(index, handler)| {
        let (variant, message) = (variant(index), &handler.message);
        match handler.kind {
            HandlerKind::Tell => quote!(#variant(#message)),
            HandlerKind::Ask | HandlerKind::Asked => quote!(#variant(#root::Ask<#message>)),
        }
    });
    let contents = handlers.iter().enumerate().map(|(index, handler)| {
        let variant = variant(index);
        match handler.kind {
            HandlerKind::Tell => quote! {
                Mail::#variant(mail) => #root::MailContent::Message(::core::any::type_name_of_val(mail), mail),
            },
            HandlerKind::Ask | HandlerKind::Asked => {
                quote!(Mail::#variant(mail) => mail.content(),)
            }
        }
    });
    let (unused, unused_arm) = (unused_variant(generics), unused_arm(generics));
    // A match without arms is valid for an enum without variants, but not for a reference to one.
    let matched = if handlers.is_empty() { quote!(*self) } else { quote!(self) };
    quote! {
        #[allow(private_interfaces, private_bounds, clippy::large_enum_variant)]
        pub enum Mail #impl_generics #bounds { #(#variants,)* #unused }

        impl #impl_generics #root::Mail for Mail #ty_generics #bounds {
            #[inline]
            fn content(&self) -> #root::MailContent<'_> {
                match #matched { #(#contents)* #unused_arm }
            }
        }
    }
}

/// Returns an uninhabited variant that uses the type parameters of a generic actor.
fn unused_variant(generics: &Generics) -> Option<TokenStream> {
    let parameters = generics.type_params().map(|parameter| &parameter.ident);
    let parameters: Vec<_> = parameters.collect();
    (!parameters.is_empty()).then(|| {
        quote! {
            Unused(::core::convert::Infallible, ::core::marker::PhantomData<fn() -> (#(#parameters,)*)>)
        }
    })
}

fn unused_arm(generics: &Generics) -> Option<TokenStream> {
    unused_variant(generics).map(|_| quote!(Mail::Unused(never, _) => match *(&never) {},))
}

/// Returns the slots for the requests of one reference.
fn slots(handlers: &[Method], generics: &Generics, root: &TokenStream) -> TokenStream {
    let (impl_generics, ty_generics, bounds) = generics.split_for_impl();
    let requests: Vec<_> = asked(handlers).map(|(_, request)| request).collect();
    let parameters = generics.type_params().map(|parameter| &parameter.ident);
    quote! {
        #[allow(private_interfaces, private_bounds)]
        pub struct Slots #impl_generics (
            #(#root::SlotPool<#requests>,)*
            ::core::marker::PhantomData<fn() -> (#(#parameters,)*)>,
        ) #bounds;

        impl #impl_generics ::core::default::Default for Slots #ty_generics #bounds {
            fn default() -> Self {
                Slots(
                    #(<#root::SlotPool<#requests> as ::core::default::Default>::default(),)*
                    ::core::marker::PhantomData,
                )
            }
        }
    }
}

/// Returns the handlers of requests: their indices among all handlers, and the types of the
/// requests.
fn asked(handlers: &[Method]) -> impl Iterator<Item = (usize, &Type)> {
    let handlers = handlers.iter().enumerate();
    handlers
        .filter(|(_, handler)| handler.kind != HandlerKind::Tell)
        .map(|(index, handler)| (index, &handler.message))
}

fn variant(index: usize) -> Ident {
    format_ident!("V{index}")
}

/// Returns the code that passes the content of its variant to a handler.
fn receive(handler: &Method, number: usize, root: &TokenStream) -> TokenStream {
    let accept = quote! {
        let ::core::option::Option::Some(asked) = mail.accept(#number) else {
            // The request is dropped, because its requester no longer waits.
            return ::core::result::Result::Ok(());
        };
    };
    match handler.kind {
        HandlerKind::Tell => handler.outcome(&handler.call(&quote!(mail)), root),
        HandlerKind::Asked => {
            let outcome = handler.outcome(&handler.call(&quote!(asked)), root);
            quote!(#accept #outcome)
        }
        HandlerKind::Ask => {
            let call = handler.call(&quote!(::core::clone::Clone::clone(&*asked)));
            let reply = match handler.returns {
                Returns::Result => quote! {
                    match #call {
                        ::core::result::Result::Ok(reply) => { asked.reply(reply); }
                        ::core::result::Result::Err(error) => {
                            ::core::mem::drop(asked);
                            return ::core::result::Result::Err(::core::convert::Into::into(error));
                        }
                    }
                },
                Returns::Value | Returns::Nothing => quote! {
                    let reply = #call;
                    asked.reply(reply);
                },
            };
            quote!(#accept #reply ::core::result::Result::Ok(()))
        }
    }
}

/// Returns the hooks: the hooks of the block, and defaults for the missing ones.
fn hooks(actor: &ActorImpl, root: &TokenStream) -> TokenStream {
    let context = quote!(context: &mut ::mycelium::actors::ActorContext<Self>);
    let started = match &actor.started {
        Some(hook) => hook.outcome(&hook.call(&TokenStream::new()), root),
        None => quote!(::core::result::Result::Ok(())),
    };
    let stopped = actor.stopped.as_ref().map(|hook| {
        let call = hook.call(&TokenStream::new());
        quote!(let () = #call;)
    });
    let gone = match &actor.gone {
        Some(hook) => hook.outcome(&hook.call(&quote!(gone)), root),
        None => quote!(::core::result::Result::Ok(())),
    };
    let on_error = match &actor.on_error {
        Some(hook) => hook.call(&quote!(error)),
        None => quote!(::mycelium::actors::OnError::Restart),
    };
    quote! {
        async fn call_started(&mut self, #context) -> ::mycelium::Result<()> {
            let _ = &context;
            #started
        }

        async fn call_stopped(&mut self, #context) {
            let _ = &context;
            #stopped
        }

        async fn call_gone(
            &mut self,
            gone: ::mycelium::actors::Gone,
            #context,
        ) -> ::mycelium::Result<()> {
            let _ = (&gone, &context);
            #gone
        }

        fn call_on_error(&mut self, error: &::mycelium::Error) -> ::mycelium::actors::OnError {
            let _ = error;
            #on_error
        }
    }
}

/// Returns the impls that tell a reference which messages its actor handles.
fn handler_impls(actor: &ActorImpl, root: &TokenStream) -> TokenStream {
    let ActorImpl { head: Head { generics, self_ty, .. }, handlers, .. } = actor;
    let (impl_generics, _, bounds) = generics.split_for_impl();
    let impls = handlers.iter().enumerate().map(|(index, handler)| {
        let (variant, message) = (variant(index), &handler.message);
        if handler.kind == HandlerKind::Tell {
            return quote! {
                impl #impl_generics ::mycelium::actors::Handles<#message> for #self_ty #bounds {
                    #[inline]
                    fn wrap(message: #message) -> Self::Mail {
                        Mail::#variant(message)
                    }

                    #[inline]
                    #[allow(unreachable_patterns)]
                    fn unwrap(mail: Self::Mail) -> #message {
                        match mail {
                            Mail::#variant(message) => message,
                            _ => ::core::unreachable!("it was wrapped by this impl"),
                        }
                    }
                }
            };
        }
        let number = asked(handlers).take_while(|(place, _)| *place < index).count();
        let place = syn::Index::from(number);
        quote! {
            impl #impl_generics ::mycelium::actors::Replies<#message> for #self_ty #bounds {
                #[inline]
                fn wrap(request: #root::Ask<#message>) -> Self::Mail {
                    Mail::#variant(request)
                }

                #[allow(unreachable_patterns)]
                fn unwrap(
                    mail: Self::Mail,
                ) -> ::core::result::Result<#root::Ask<#message>, Self::Mail> {
                    match mail {
                        Mail::#variant(request) => ::core::result::Result::Ok(request),
                        other => ::core::result::Result::Err(other),
                    }
                }

                #[inline]
                fn slots(slots: &mut Self::Slots) -> &mut #root::SlotPool<#message> {
                    &mut slots.#place
                }
            }
        }
    });
    quote!(#(#impls)*)
}
