//! `#[actor]`: generates the mailbox of an actor from its methods.
//!
//! The impl block stays, without `#[tell]` and `#[remote]`. In addition the macro generates an enum
//! of all items of the mailbox, and the impls through which a reference wraps a message in the enum
//! and the task passes it to its method; and a struct with a method for each call, to which
//! references dereference. As for a service, the future of the task is created at the
//! concrete type, where the compiler knows whether it is `Send`.

mod block;
mod call;
mod shape;

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, Generics, Ident, Result};

use block::{ActorImpl, HandlerKind, Method, Returns};
use call::{call, markers, methods, returned, returns, without_self};

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
    let ActorImpl { head, handlers, .. } = actor;
    let Head { generics, self_ty, .. } = head;
    let root = quote!(::mycelium::__private);
    let name = head.name("an actor")?.unraw().to_string();
    let (impl_generics, ty_generics, bounds) = generics.split_for_impl();
    let mail = mail(actor, &root);
    let slots = slots(actor, &root);
    let (markers, methods) = (markers(actor, &root)?, methods(actor, &root));
    let calls = handlers.iter().filter(|it| it.kind != HandlerKind::Tell).map(|handler| {
        let (cfgs, call) = (handler.cfgs(), call(handler, head));
        quote!(#(#cfgs)* <#call as ::mycelium::requests::Call>::NAME,)
    });
    let requests = handlers.iter().filter(|it| it.is_request()).map(|handler| {
        let (cfgs, request) = (handler.cfgs(), handler.message());
        quote!(#(#cfgs)* visitor.visit::<#request>();)
    });
    let arms = |waits: bool| {
        let handlers = handlers.iter().enumerate();
        let handlers = handlers.filter(move |(_, it)| it.signature.asyncness.is_some() == waits);
        handlers.map(|(index, handler)| {
            let (variant, cfgs) = (variant(index), handler.cfgs());
            let body = receive(handler, head, &root);
            quote!(#(#cfgs)* __Mail::#variant(mail) => { #body })
        })
    };
    let (arms_now, arms) = (arms(false), arms(true));
    let unused = unused_arm(generics, &quote!(never));
    let hooks = hooks(actor, &root);
    let impls = handler_impls(actor, &root);
    let hint = "a generic actor says whether it may move between threads: `#[actor(send)]` or \
                `#[actor(local)]`";
    let launch = kind.launch(&quote!(#root::run_actor::<Self, __Q>), generics, hint)?;
    Ok(quote! {
        #[allow(unused_imports)]
        use #root::Plain as _;

        #mail
        #slots
        #markers
        #methods

        impl #impl_generics ::mycelium::actors::Actor for #self_ty #bounds {
            const NAME: &'static str = #name;
            type Mail = __Mail #ty_generics;
            type Slots = __Slots #ty_generics;
            type Calls<__T: ::core::marker::Send + 'static> = __Calls<__T>;
            const CALLS: &'static [&'static str] = &[#(#calls)*];

            fn each_request(visitor: &mut impl #root::AskVisitor<Self>) {
                #(#requests)*
            }

            #[inline]
            #[allow(unreachable_code, unreachable_patterns)]
            fn receive_now(
                &mut self,
                mail: Self::Mail,
                context: &mut ::mycelium::actors::ActorContext<Self>,
            ) -> ::core::result::Result<::mycelium::Result<()>, Self::Mail> {
                let _ = &context;
                let done: ::mycelium::Result<()> = match mail {
                    #(#arms_now)*
                    #unused
                    other => return ::core::result::Result::Err(other),
                };
                ::core::result::Result::Ok(done)
            }

            #[allow(unreachable_patterns)]
            async fn receive(
                &mut self,
                mail: Self::Mail,
                context: &mut ::mycelium::actors::ActorContext<Self>,
            ) -> ::mycelium::Result<()> {
                let _ = &context;
                match mail {
                    #(#arms)*
                    #unused
                    _ => ::core::unreachable!("`receive_now` handles the others"),
                }
            }

            #hooks

            fn launch<__Q: ::mycelium::channel::Queue>()
            -> #root::Launch<#root::ActorLife<Self, __Q>> {
                #launch
            }
        }
        #impls
    })
}

/// Returns the enum of all items of the mailbox.
fn mail(actor: &ActorImpl, root: &TokenStream) -> TokenStream {
    let ActorImpl { head, handlers, .. } = actor;
    let generics = &head.generics;
    let (impl_generics, ty_generics, bounds) = generics.split_for_impl();
    let variants = handlers.iter().enumerate().map(|(index, handler)| {
        let (variant, cfgs) = (variant(index), handler.cfgs());
        let content = match handler.kind {
            HandlerKind::Tell => without_self(handler.message().to_token_stream(), &head.self_ty),
            HandlerKind::Remote | HandlerKind::Asked | HandlerKind::Call => {
                let call = call(handler, head);
                quote!(#root::Ask<#call>)
            }
        };
        quote!(#(#cfgs)* #variant(#content))
    });
    let arms = |of_told: TokenStream, of_asked: TokenStream| {
        let arms = handlers.iter().enumerate().map(|(index, handler)| {
            let (variant, cfgs) = (variant(index), handler.cfgs());
            let arm = if handler.kind == HandlerKind::Tell { &of_told } else { &of_asked };
            quote!(#(#cfgs)* __Mail::#variant(mail) => #arm,)
        });
        quote!(#(#arms)*)
    };
    let told = quote!((::core::any::type_name_of_val(mail), mail));
    let contents = arms(quote!(#root::MailContent::Message #told), quote!(mail.content()));
    let buried = arms(quote!(::core::option::Option::Some(#told)), quote!(mail.bury()));
    let (unused, unused_arm) = (unused_variant(generics), unused_arm(generics, &quote!(*never)));
    // A match without arms is valid for an enum without variants, but not for a reference to one.
    let matched = if handlers.is_empty() { quote!(*self) } else { quote!(self) };
    // A tag of a whole word: the copies of a mail, on its way through the mailbox, then consist of
    // words, and none waits for a shorter store before it. One variant needs no tag; without
    // variants `repr` is not allowed.
    let has_variant = handlers.len() > 1 && handlers.iter().any(|it| it.cfgs().next().is_none());
    let repr = has_variant.then(|| quote!(#[repr(usize)]));
    quote! {
        #repr
        #[allow(private_interfaces, private_bounds, clippy::large_enum_variant)]
        pub enum __Mail #impl_generics #bounds { #(#variants,)* #unused }

        impl #impl_generics #root::Mail for __Mail #ty_generics #bounds {
            #[inline]
            fn content(&self) -> #root::MailContent<'_> {
                match #matched { #contents #unused_arm }
            }

            fn bury(
                &mut self,
            ) -> ::core::option::Option<(&'static str, &dyn ::core::any::Any)> {
                match #matched { #buried #unused_arm }
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

/// Returns the arm for that variant, which has a `place` of an uninhabited type.
fn unused_arm(generics: &Generics, place: &TokenStream) -> Option<TokenStream> {
    unused_variant(generics).map(|_| quote!(__Mail::Unused(never, _) => match #place {},))
}

/// Returns the slots for the calls and requests of one reference.
fn slots(actor: &ActorImpl, root: &TokenStream) -> TokenStream {
    let ActorImpl { head, handlers, .. } = actor;
    let (impl_generics, ty_generics, bounds) = head.generics.split_for_impl();
    let parameters = head.generics.type_params().map(|parameter| &parameter.ident);
    let handlers = handlers.iter().enumerate();
    let handlers = handlers.filter(|(_, handler)| handler.kind != HandlerKind::Tell);
    let fields = handlers.clone().map(|(index, handler)| {
        let (slot, cfgs, call) = (slot(index), handler.cfgs(), call(handler, head));
        quote!(#(#cfgs)* #slot: #root::SlotPool<#call>)
    });
    let values = handlers.map(|(index, handler)| {
        let (slot, cfgs) = (slot(index), handler.cfgs());
        quote!(#(#cfgs)* #slot: ::core::default::Default::default())
    });
    quote! {
        #[allow(private_interfaces, private_bounds)]
        pub struct __Slots #impl_generics #bounds {
            #(#fields,)*
            unused: ::core::marker::PhantomData<fn() -> (#(#parameters,)*)>,
        }

        impl #impl_generics ::core::default::Default for __Slots #ty_generics #bounds {
            fn default() -> Self {
                __Slots { #(#values,)* unused: ::core::marker::PhantomData }
            }
        }
    }
}

fn slot(index: usize) -> Ident {
    format_ident!("slot{index}")
}

fn variant(index: usize) -> Ident {
    format_ident!("V{index}")
}

/// Returns the code that passes the content of its variant to a handler.
fn receive(handler: &Method, head: &Head, root: &TokenStream) -> TokenStream {
    if handler.kind == HandlerKind::Tell {
        return handler.outcome(&handler.call(&quote!(mail,)), root);
    }
    let call = call(handler, head);
    let arguments = (0..handler.parameters.len()).map(|number| format_ident!("argument{number}"));
    let arguments = match handler.kind {
        HandlerKind::Call => quote!(#(#arguments,)*),
        HandlerKind::Tell | HandlerKind::Remote | HandlerKind::Asked => quote!(),
    };
    let ended = match handler.signature.asyncness {
        Some(_) => quote!(::core::result::Result::Ok(())),
        None => quote!(::core::result::Result::Ok(::core::result::Result::Ok(()))),
    };
    let accept = quote! {
        let number = const {
            #root::number(
                <Self as ::mycelium::actors::Actor>::CALLS,
                <#call as ::mycelium::requests::Call>::NAME,
            )
        };
        let ::core::option::Option::Some((asked, (#arguments))) = mail.accept(number) else {
            // The request is dropped, because its requester no longer waits.
            return #ended;
        };
    };
    let replied = |outcome: TokenStream| {
        quote! {
            match #outcome {
                ::core::result::Result::Ok(reply) => {
                    asked.reply(reply);
                    ::core::result::Result::Ok(())
                }
                ::core::result::Result::Err(error) => {
                    ::core::mem::drop(asked);
                    ::core::result::Result::Err(::core::convert::Into::into(error))
                }
            }
        }
    };
    let reply = match handler.kind {
        HandlerKind::Asked => handler.outcome(&handler.call(&quote!(asked,)), root),
        HandlerKind::Call => {
            let (returned, returns) =
                (returned(handler, &head.self_ty), returns(handler, head, root));
            let call = handler.call(&arguments);
            replied(quote!(<#returns as #root::Outcome<#returned>>::outcome(#call)))
        }
        HandlerKind::Tell | HandlerKind::Remote => {
            let call = handler.call(&quote!(::core::clone::Clone::clone(&*asked),));
            match handler.returns {
                Returns::Result => replied(call),
                Returns::Value | Returns::Nothing => {
                    // At the type that the method returns, where a reply of another type is wrong.
                    let place = handler.signature.output.span();
                    let reply = quote_spanned!(place=> asked.reply(reply););
                    quote! {
                        let reply = #call;
                        #reply
                        ::core::result::Result::Ok(())
                    }
                }
            }
        }
    };
    quote!(#accept #reply)
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
        Some(hook) => hook.outcome(&hook.call(&quote!(gone,)), root),
        None => quote!(::core::result::Result::Ok(())),
    };
    let on_error = match &actor.on_error {
        Some(hook) => hook.call(&quote!(error,)),
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
    let ActorImpl { head, handlers, .. } = actor;
    let Head { generics, self_ty, .. } = head;
    let (impl_generics, _, bounds) = generics.split_for_impl();
    let impls = handlers.iter().enumerate().map(|(index, handler)| {
        let (variant, cfgs) = (variant(index), handler.cfgs());
        if handler.kind == HandlerKind::Tell {
            let message = handler.message();
            return quote! {
                #(#cfgs)*
                impl #impl_generics ::mycelium::actors::Handles<#message> for #self_ty #bounds {
                    #[inline]
                    fn wrap(message: #message) -> Self::Mail {
                        __Mail::#variant(message)
                    }

                    #[inline]
                    #[allow(unreachable_patterns)]
                    fn unwrap(mail: Self::Mail) -> #message {
                        match mail {
                            __Mail::#variant(message) => message,
                            _ => ::core::unreachable!("it was wrapped by this impl"),
                        }
                    }
                }
            };
        }
        let (slot, call) = (slot(index), call(handler, head));
        quote! {
            #(#cfgs)*
            impl #impl_generics ::mycelium::actors::Replies<#call> for #self_ty #bounds {
                #[inline]
                fn wrap(call: #root::Ask<#call>) -> Self::Mail {
                    __Mail::#variant(call)
                }

                #[allow(unreachable_patterns)]
                fn unwrap(
                    mail: Self::Mail,
                ) -> ::core::result::Result<#root::Ask<#call>, Self::Mail> {
                    match mail {
                        __Mail::#variant(call) => ::core::result::Result::Ok(call),
                        other => ::core::result::Result::Err(other),
                    }
                }

                #[inline]
                fn slots(slots: &mut Self::Slots) -> &mut #root::SlotPool<#call> {
                    &mut slots.#slot
                }
            }
        }
    });
    quote!(#(#impls)*)
}
