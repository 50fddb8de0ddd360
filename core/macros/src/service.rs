//! `#[service]`: generates the impls that connect a service's `run` to a node.
//!
//! The impl block stays unchanged. The trait impls beside it declare as types what the service
//! reads and emits, so that emitting another message does not compile. They also create the future
//! of the supervised service, at the concrete type, where the compiler knows whether it is `Send`.

mod arguments;
mod block;
mod tasks;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Error, FnArg, Index, Path, Result, ReturnType, Signature, Type};

use arguments::{Port, ServiceArguments};
use block::{Run, ServiceImpl};
use tasks::check_tasks;

use crate::impl_block::Head;
use crate::launch::TaskKind;

/// Returns the expansion, or an error with items that prevent follow-up errors.
pub(crate) fn expand_or_explain(attr: TokenStream, item: TokenStream) -> TokenStream {
    let service: ServiceImpl = match syn::parse2(item.clone()) {
        Ok(service) => service,
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#item #error);
        }
    };
    let arguments = syn::parse2::<ServiceArguments>(attr);
    match arguments.and_then(|arguments| expand(&arguments, &service)) {
        Ok(impls) => quote! {
            #item
            const _: () = { #impls };
        },
        Err(error) => explain(&error, &service),
    }
}

/// Returns the error with items that prevent follow-up errors: the block with an empty `run`, and
/// the impl of the trait.
fn explain(error: &Error, service: &ServiceImpl) -> TokenStream {
    let error = error.to_compile_error();
    let ServiceImpl { head, run, others } = service;
    let Head { attributes, generics, self_ty } = head;
    let (impl_generics, _, bounds) = generics.split_for_impl();
    let without_ports = ServiceArguments { task: TaskKind::Local, ..ServiceArguments::default() };
    let no_run = quote! {
        let _ = context;
        async { ::core::result::Result::Ok(()) }
    };
    let impls = impls(&without_ports, service, &no_run);
    let (Ok(impls), Some(Run { signature, .. })) = (impls, run) else {
        // The block has no `run`. Another block of the type may have one, so none is added here.
        return quote!(#error #(#attributes)* impl #impl_generics #self_ty #bounds { #others });
    };
    let empty_run = (!has_bare_context(signature))
        .then(|| quote!(#[allow(unused)] #signature { ::core::unreachable!() }));
    quote! {
        #error
        #(#attributes)*
        impl #impl_generics #self_ty #bounds {
            #others
            #empty_run
        }
        const _: () = { #impls };
    }
}

fn expand(arguments: &ServiceArguments, service: &ServiceImpl) -> Result<TokenStream> {
    check_run(service)?;
    check_own_topics(arguments, service)?;
    let run = quote! {
        // Boxed, so that enclosing futures do not contain its state.
        let run = ::std::boxed::Box::pin(Self::run(self, context));
        // `outcome` accepts every error type that fits its bound. The compiler names a type that
        // does not fit.
        async move { ::mycelium::__private::outcome(run.await) }
    };
    impls(arguments, service, &run)
}

/// Returns the generated impls. `run` is the body of the trait's `run`.
fn impls(
    arguments: &ServiceArguments,
    service: &ServiceImpl,
    run: &TokenStream,
) -> Result<TokenStream> {
    let Head { generics, self_ty, .. } = &service.head;
    let name = service.head.name(KIND)?.unraw().to_string();
    let (impl_generics, _, bounds) = generics.split_for_impl();
    let root = quote!(::mycelium::__private);
    let hint = "a generic service says whether it may move between threads: `#[service(send, ..)]` \
                or `#[service(local, ..)]`";
    let launch = arguments.task.launch(&quote!(#root::supervise::<Self>), generics, hint)?;
    let ServiceArguments { reads, emits, requests, answers, .. } = arguments;
    let (read_types, emit_types) = (types(reads), types(emits));
    let places = |count: usize| 0..count;
    let (read_places, emit_places) = (places(reads.len()), places(emits.len()));
    let (request_places, answer_places) = (places(requests.len()), places(answers.len()));
    let (read_ports, emit_ports) = (ports(reads, &root), ports(emits, &root));
    let outputs = (0..emits.len()).map(Index::from);
    let is_source = reads.is_empty() && answers.is_empty();
    let of_inputs = |place: usize, of: TokenStream, method: TokenStream, ty: TokenStream| {
        let index = Index::from(place);
        quote! {
            impl #impl_generics ::mycelium::ports::#of for #self_ty #bounds {
                fn #method(inputs: &Self::Inputs) -> &#ty {
                    &inputs.#index
                }
            }
        }
    };
    let of_outputs = |place: usize, head: TokenStream, method: TokenStream, ty: TokenStream| {
        let index = Index::from(place);
        quote! {
            impl #impl_generics ::mycelium::ports::#head #bounds {
                #method(outputs: &mut <#self_ty as ::mycelium::ports::HasPorts>::Outputs) -> &mut #ty {
                    &mut outputs.#index
                }
            }
        }
    };
    let read_impls = reads.iter().enumerate().map(|(place, Port { message, name })| {
        let of = match name {
            Some(_) => quote!(ReadsOn<#message, #place>),
            None => quote!(Reads<#message>),
        };
        of_inputs(place, of, quote!(inbox), quote!(::std::sync::Arc<#root::Inbox<#message>>))
    });
    let answer_impls = (reads.len()..).zip(answers).map(|(place, request)| {
        let ty = quote!(#root::Answering<#request>);
        of_inputs(place, quote!(Answers<#request>), quote!(answering), ty)
    });
    let emit_impls = emits.iter().enumerate().map(|(place, Port { message, name })| {
        let (head, future) = match name {
            Some(_) => (quote!(EmitsOn<#message, #place> for #self_ty), None),
            None => (
                quote!(EmittedBy<#self_ty> for #message),
                Some(quote!(type Emit<'c> = ::mycelium::emit::Emit<'c, #message>;)),
            ),
        };
        let method = quote!(#future #[inline] fn publisher);
        of_outputs(place, head, method, quote!(::mycelium::Publisher<#message>))
    });
    let request_impls = (emits.len()..).zip(requests).map(|(place, request)| {
        let (head, ty) = (
            quote!(Asks<#request> for #self_ty),
            quote!(::mycelium::requests::Requester<#request>),
        );
        of_outputs(place, head, quote!(fn requester), ty)
    });
    let inputs_consts = constants(reads, &quote!(::mycelium::ports::Input));
    let outputs_consts = constants(emits, &quote!(::mycelium::ports::Output));
    Ok(quote! {
        impl #impl_generics ::mycelium::ports::HasPorts for #self_ty #bounds {
            const NAME: &'static str = #name;
            const IS_SOURCE: bool = #is_source;
            type Inputs = (
                #(::std::sync::Arc<#root::Inbox<#read_types>>,)*
                #(::std::sync::Arc<#root::Answering<#answers>>,)*
            );
            type Outputs =
                (#(::mycelium::Publisher<#emit_types>,)* #(::mycelium::requests::Requester<#requests>,)*);

            fn ports() -> #root::Ports {
                #root::Ports {
                    reads: ::std::vec![#(#read_ports),*],
                    emits: ::std::vec![#(#emit_ports),*],
                    requests: ::std::vec![#(#root::Port::of_request::<#requests>()),*],
                    answers: ::std::vec![#(#root::Port::of_request::<#answers>()),*],
                }
            }

            fn wire(
                wiring: &mut #root::Wiring<'_>,
            ) -> ::core::result::Result<(Self::Inputs, Self::Outputs), ::mycelium::error::BuildError> {
                let inputs = (
                    #(wiring.input::<#read_types>(#read_places)?,)*
                    #(wiring.answering::<#answers>(#answer_places)?,)*
                );
                let outputs = (
                    #(wiring.output::<#emit_types>(#emit_places)?,)*
                    #(wiring.requester::<#requests>(#request_places)?,)*
                );
                ::core::result::Result::Ok((inputs, outputs))
            }

            fn each_output(
                outputs: &mut Self::Outputs,
                visit: &mut dyn FnMut(&mut dyn #root::AnyPublisher),
            ) {
                #(visit(&mut outputs.#outputs);)*
                let _ = (outputs, visit);
            }

            fn each_request(visitor: &mut impl #root::RequestVisitor) {
                #(visitor.visit::<#requests>();)*
                #(visitor.visit::<#answers>();)*
                let _ = visitor;
            }
        }

        impl #impl_generics ::mycelium::Service for #self_ty #bounds {
            fn run(
                &mut self,
                context: &mut ::mycelium::Context<Self>,
            ) -> impl ::core::future::Future<Output = ::mycelium::Result<()>> {
                #run
            }

            fn launch() -> #root::Launch<::std::boxed::Box<#root::Life<Self>>> {
                #launch
            }
        }
        #(#read_impls)*
        #(#answer_impls)*
        #(#emit_impls)*
        #(#request_impls)*
        impl #impl_generics #self_ty #bounds {
            #inputs_consts
            #outputs_consts
        }
    })
}

fn types(ports: &[Port]) -> Vec<&Path> {
    ports.iter().map(|port| &port.message).collect()
}

/// Returns the descriptions of ports.
fn ports(ports: &[Port], root: &TokenStream) -> Vec<TokenStream> {
    let describe = |Port { message, name }: &Port| match name {
        Some(name) => {
            let name = name.unraw().to_string();
            quote!(#root::Port::named::<#message>(#name))
        }
        None => quote!(#root::Port::of::<#message>()),
    };
    ports.iter().map(describe).collect()
}

/// Returns a constant for each named port, which `run` uses to name the port.
fn constants(ports: &[Port], kind: &TokenStream) -> TokenStream {
    let named = ports.iter().enumerate().filter_map(|(place, Port { message, name })| {
        let name = name.as_ref()?;
        let doc = format!("The port `{}`.", name.unraw());
        Some(quote! {
            #[doc = #doc]
            #[allow(non_upper_case_globals, private_interfaces)]
            pub(crate) const #name: #kind<Self, #message, #place> = #kind::new();
        })
    });
    quote!(#(#named)*)
}

fn check_run(service: &ServiceImpl) -> Result<()> {
    let Some(Run { signature, body }) = &service.run else {
        let message = format!("this block has no `run`: write `{RUN}`, or remove #[service]");
        return Err(Error::new_spanned(&service.head.self_ty, message));
    };
    let wrong = |what: &str, tokens: &dyn ToTokens| {
        Err(Error::new_spanned(tokens.to_token_stream(), format!("{what}: write `{RUN}`")))
    };
    if signature.asyncness.is_none() {
        return wrong("`run` is an async function", &signature.fn_token);
    }
    let mut inputs = signature.inputs.iter();
    let by_mut_self = matches!(
        inputs.next(),
        Some(FnArg::Receiver(receiver)) if receiver.reference.is_some() && receiver.mutability.is_some()
    );
    if !by_mut_self || inputs.len() != 1 {
        return wrong("`run` takes `&mut self` and a context", &signature.inputs);
    }
    if has_bare_context(signature) {
        return wrong("a context has the type of its service", &signature.inputs);
    }
    if matches!(signature.output, ReturnType::Default) {
        return wrong("`run` returns a result", &signature.ident);
    }
    check_tasks(signature, body)
}

/// Returns whether a parameter is `&mut Context`, without the service.
fn has_bare_context(run: &Signature) -> bool {
    run.inputs.iter().any(|parameter| match parameter {
        FnArg::Typed(parameter) => match &*parameter.ty {
            Type::Reference(reference) => is_bare_context(&reference.elem),
            _ => false,
        },
        FnArg::Receiver(_) => false,
    })
}

fn is_bare_context(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path
        .segments
        .last()
        .is_some_and(|last| last.ident == "Context" && last.arguments.is_none())
}

/// Refuses a type parameter as a message on its own topic: the compiler would refuse the impl of
/// `EmittedBy`.
fn check_own_topics(arguments: &ServiceArguments, service: &ServiceImpl) -> Result<()> {
    let is_parameter = |message: &Path| {
        let mut parameters = service.head.generics.type_params();
        parameters.any(|parameter| message.get_ident() == Some(&parameter.ident))
    };
    let own = arguments.emits.iter().filter(|port| port.name.is_none());
    match own.map(|port| &port.message).find(|message| is_parameter(message)) {
        Some(message) => Err(Error::new_spanned(
            message,
            "a type parameter needs a port: write `emits(M as out)`, and `ctx.on(Self::out).emit(..)`",
        )),
        None => Ok(()),
    }
}

/// The description of a service in errors.
const KIND: &str = "a service";
const RUN: &str = "async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()>";
