//! Calls: generates the type of each, and the methods that references have by name.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{
    Attribute, FnArg, GenericParam, Generics, Ident, Pat, PathArguments, Result, ReturnType, Type,
};

use super::block::{ActorImpl, HandlerKind, Method};
use crate::impl_block::Head;

/// Returns the name of the type that stands for a method.
fn marker(method: &Method) -> Ident {
    format_ident!("__Call_{}", method.signature.ident.unraw())
}

/// Returns tokens of a type in which `Self` is the actor.
pub(super) fn without_self(tokens: TokenStream, actor: &Type) -> TokenStream {
    let mut tokens = tokens.into_iter().peekable();
    let mut replaced = TokenStream::new();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) if ident == "Self" => match tokens.peek() {
                Some(TokenTree::Punct(punct)) if punct.as_char() == ':' => {
                    replaced.extend(quote!(<#actor>));
                }
                _ => replaced.extend(actor.to_token_stream()),
            },
            TokenTree::Group(group) => {
                let inner = without_self(group.stream(), actor);
                let mut inner = Group::new(group.delimiter(), inner);
                inner.set_span(group.span());
                replaced.extend([TokenTree::Group(inner)]);
            }
            token => replaced.extend([token]),
        }
    }
    replaced
}

/// Returns the type that says what a call returns: `Returns<true>` for a `mycelium::Result`.
pub(super) fn returns(method: &Method, head: &Head, root: &TokenStream) -> TokenStream {
    let Head { generics, self_ty, .. } = head;
    let returned = returned(method, self_ty);
    if !mentions(&returned, generics) {
        return quote!(#root::Returns<{ #root::Probe::<#returned>::FAILS }>);
    }
    // A constant in a type cannot depend on generic parameters. What is left of a `Result` without
    // them still says whether it is that of mycelium.
    match Parser::parse2(<Type as syn::parse::Parse>::parse, returned) {
        Ok(Type::Path(mut path)) => {
            let last = path.path.segments.last_mut();
            let Some(last) = last.filter(|last| last.ident.to_string().ends_with("Result")) else {
                return quote!(#root::Returns<false>);
            };
            if let PathArguments::AngleBracketed(arguments) = &mut last.arguments {
                for argument in &mut arguments.args {
                    if mentions(&argument.to_token_stream(), generics) {
                        *argument = syn::parse_quote!(());
                    }
                }
            }
            quote!(#root::Returns<{ #root::Probe::<#path>::FAILS }>)
        }
        _ => quote!(#root::Returns<false>),
    }
}

/// Returns the return type of a method, in which `Self` is the actor.
pub(super) fn returned(method: &Method, actor: &Type) -> TokenStream {
    match &method.signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => without_self(ty.to_token_stream(), actor),
    }
}

fn mentions(tokens: &TokenStream, generics: &Generics) -> bool {
    let names: Vec<_> = generics
        .params
        .iter()
        .filter_map(|parameter| match parameter {
            GenericParam::Type(ty) => Some(&ty.ident),
            GenericParam::Const(constant) => Some(&constant.ident),
            GenericParam::Lifetime(_) => None,
        })
        .collect();
    has_one_of(tokens, &names)
}

fn has_one_of(tokens: &TokenStream, names: &[&Ident]) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => names.contains(&&ident),
        TokenTree::Group(group) => has_one_of(&group.stream(), names),
        _ => false,
    })
}

/// Returns the type of a call: the request, or the type that the macro generates.
pub(super) fn call(method: &Method, head: &Head) -> TokenStream {
    if method.is_request() {
        return without_self(method.message().to_token_stream(), &head.self_ty);
    }
    let marker = marker(method);
    let generics = head.generics.params.iter().map(|parameter| match parameter {
        GenericParam::Lifetime(lifetime) => lifetime.lifetime.to_token_stream(),
        GenericParam::Type(ty) => ty.ident.to_token_stream(),
        GenericParam::Const(constant) => constant.ident.to_token_stream(),
    });
    let (types, returned) = (types(method, head), returned(method, &head.self_ty));
    quote!(#marker<#(#generics,)* (#types, #returned)>)
}

/// Returns the parameters of a call as a tuple.
fn types(method: &Method, head: &Head) -> TokenStream {
    let types = method.parameters.iter();
    let types = types.map(|ty| without_self(ty.to_token_stream(), &head.self_ty));
    // At a parameter, which perhaps is not `Send`.
    let place = method.parameters.first().map_or(method.signature.ident.span(), Spanned::span);
    quote_spanned!(place=> (#(#types,)*))
}

/// Returns the types of the calls. Each is public, so that others can make the call if its method
/// is; and it has a parameter for the types of the parameters and the returned value, so that the
/// compiler takes it for as private as they are.
pub(super) fn markers(actor: &ActorImpl, root: &TokenStream) -> Result<TokenStream> {
    let ActorImpl { head, handlers, .. } = actor;
    let (impl_generics, _, bounds) = head.generics.split_for_impl();
    let parameters = head.generics.type_params().map(|parameter| &parameter.ident);
    let parameters: Vec<_> = parameters.collect();
    let mut generics = head.generics.clone();
    generics.params.push(syn::parse_quote!(__Values));
    let (all_impl_generics, all_ty_generics, _) = generics.split_for_impl();
    let actor_name = head.name("an actor")?.unraw().to_string();
    let markers = handlers.iter().filter(|it| it.kind == HandlerKind::Call).map(|method| {
        let (marker, cfgs) = (marker(method), method.cfgs().collect::<Vec<_>>());
        let name = format!("{actor_name}.{}", method.signature.ident.unraw());
        let (call, types) = (call(method, head), types(method, head));
        let (returned, returns) = (returned(method, &head.self_ty), returns(method, head, root));
        quote! {
            #(#cfgs)*
            #[allow(non_camel_case_types, private_bounds)]
            pub struct #marker #all_impl_generics (
                ::core::marker::PhantomData<fn() -> (#(#parameters,)* __Values,)>,
            ) #bounds;

            #(#cfgs)*
            impl #all_impl_generics ::core::clone::Clone for #marker #all_ty_generics #bounds {
                fn clone(&self) -> Self {
                    #marker(::core::marker::PhantomData)
                }
            }

            #(#cfgs)*
            impl #impl_generics ::mycelium::requests::Call for #call #bounds {
                type Args = #types;
                type Reply = <#returns as #root::Outcome<#returned>>::Reply;
                type Error = ::mycelium::actors::CallError;
                const NAME: &'static str = #name;
            }
        }
    });
    Ok(quote!(#(#markers)*))
}

/// Returns the struct around the sending side of a reference, with a method for each call.
pub(super) fn methods(actor: &ActorImpl, root: &TokenStream) -> TokenStream {
    let ActorImpl { head: actor_head @ Head { generics, self_ty, .. }, handlers, .. } = actor;
    let (mut local, mut remote) = (Vec::new(), Vec::new());
    for method in handlers.iter().filter(|it| it.kind != HandlerKind::Tell) {
        let Method { attributes, visibility, signature, parameters, .. } = method;
        let name = &signature.ident;
        let kept = |attribute: &&Attribute| {
            ["doc", "cfg", "deprecated"].iter().any(|name| attribute.path().is_ident(name))
        };
        let attributes = attributes.iter().filter(kept).collect::<Vec<_>>();
        let cfgs = method.cfgs().collect::<Vec<_>>();
        let names: Vec<_> = signature.inputs.iter().skip(1).zip(0..).map(argument).collect();
        let names = &names[..parameters.len()];
        let types: Vec<_> =
            parameters.iter().map(|ty| without_self(ty.to_token_stream(), self_ty)).collect();
        let head = quote!(fn #name(&mut self, #(#names: #types),*));
        if method.kind == HandlerKind::Call {
            let (marker, call) = (marker(method), call(method, actor_head));
            local.push(quote! {
                #(#attributes)*
                #[inline]
                #visibility #head -> ::mycelium::requests::PendingReply<#call> {
                    #root::Caller::call(
                        &mut self.0,
                        #marker(::core::marker::PhantomData),
                        (#(#names,)*),
                    )
                }
            });
            remote.push(quote! {
                #(#cfgs)*
                #[doc(hidden)]
                #visibility #head -> !
                where
                    __Node: #root::InThisProcess,
                {
                    let _ = (#(#names,)*);
                    ::core::unreachable!("no node is in this process")
                }
            });
        } else {
            local.push(quote! {
                #(#attributes)*
                #[inline]
                #visibility #head -> ::mycelium::requests::PendingReply<#(#types)*> {
                    #root::Caller::call(&mut self.0, #(#names)*, ())
                }
            });
            remote.push(quote! {
                #(#attributes)*
                #visibility #head -> ::mycelium::actors::RemoteReply<#(#types)*> {
                    #root::RemoteCaller::ask(&mut self.0, #(#names)*)
                }
            });
        }
    }
    let with = |parameter: TokenStream| {
        let mut generics = generics.clone();
        let parameter: GenericParam = syn::parse_quote!(#parameter);
        generics.params.push(parameter);
        generics
    };
    let (queued, placed) =
        (with(quote!(__Queue: ::mycelium::channel::Queue)), with(quote!(__Node)));
    let (of_local, _, local_bounds) = queued.split_for_impl();
    let (of_remote, _, remote_bounds) = placed.split_for_impl();
    quote! {
        #[doc(hidden)]
        pub struct __Calls<T>(T);

        impl<T> #root::Methods<T> for __Calls<T> {
            #[inline]
            fn around(inner: T) -> Self {
                __Calls(inner)
            }

            #[inline]
            fn inner(&self) -> &T {
                &self.0
            }

            #[inline]
            fn inner_mut(&mut self) -> &mut T {
                &mut self.0
            }
        }

        #[allow(dead_code, private_interfaces, private_bounds, clippy::all, clippy::pedantic)]
        impl #of_local __Calls<#root::Caller<#self_ty, __Queue>> #local_bounds {
            #(#local)*
        }

        #[allow(dead_code, private_interfaces, private_bounds, clippy::all, clippy::pedantic)]
        impl #of_remote __Calls<#root::RemoteCaller<#self_ty, __Node>> #remote_bounds {
            #(#remote)*
        }
    }
}

/// Returns the name of a parameter of a generated method: that of the method, if it has one.
fn argument((input, number): (&FnArg, usize)) -> Ident {
    if let FnArg::Typed(parameter) = input
        && let Pat::Ident(pattern) = &*parameter.pat
        && pattern.subpat.is_none()
        && pattern.ident.to_string().starts_with(|c: char| c.is_lowercase() || c == '_')
    {
        return pattern.ident.clone();
    }
    format_ident!("argument{number}")
}
