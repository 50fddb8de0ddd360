//! `#[service]`: writes the impls that connect a service's `run` to a node.
//!
//! The impl block stays unchanged. The trait impls beside it declare what the service reads and
//! emits, as types, so that emitting another message does not compile. They also make the future of
//! the supervised service, at the concrete type, where the compiler knows whether it is `Send`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Error, FnArg, ImplItem, ImplItemFn, Index, ItemImpl, Path, Result, Token, Type, parenthesized,
};

/// The expansion, or the error alone: the impl block without its trait would cause further errors.
pub(crate) fn expand_or_explain(attr: TokenStream, item: TokenStream) -> TokenStream {
    expand(attr, item).unwrap_or_else(Error::into_compile_error)
}

pub(crate) fn expand(attr: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments: ServiceArguments = syn::parse2(attr)?;
    let item: ItemImpl = syn::parse2(item).map_err(|error| {
        Error::new(error.span(), "#[service] goes on `impl MyService { async fn run(..) .. }`")
    })?;
    if let Some((_, path, _)) = &item.trait_ {
        return Err(Error::new_spanned(path, "#[service] goes on an impl block without a trait"));
    }
    let run = find_run(&item)?;
    check_run(run)?;
    let impls = service_impls(&arguments, &item)?;
    Ok(quote! {
        #item
        const _: () = { #impls };
    })
}

fn service_impls(arguments: &ServiceArguments, item: &ItemImpl) -> Result<TokenStream> {
    let service = &*item.self_ty;
    let name = service_name(service)?.to_string();
    let (generics, _, bounds) = item.generics.split_for_impl();
    let root = quote!(::mycelium::__private);
    let (reads, emits) = (&arguments.reads, &arguments.emits);
    let LaunchTokens { methods, helper } = launch(arguments, item, &root)?;
    let read_impls = reads.iter().enumerate().map(|(index, message)| {
        let index = Index::from(index);
        quote! {
            impl #generics ::mycelium::Reads<#message> for #service #bounds {
                fn inbox(inputs: &Self::Inputs) -> &#root::Inbox<#message> {
                    &inputs.#index
                }
            }
        }
    });
    let outputs = (0..emits.len()).map(Index::from);
    let emit_impls = emits.iter().enumerate().map(|(index, message)| {
        let index = Index::from(index);
        quote! {
            impl #generics ::mycelium::Emits<#message> for #service #bounds {
                #[inline]
                fn publisher(outputs: &mut Self::Outputs) -> &mut ::mycelium::Publisher<#message> {
                    &mut outputs.#index
                }
            }
        }
    });
    Ok(quote! {
        impl #generics ::mycelium::Service for #service #bounds {
            const NAME: &'static str = #name;
            type Inputs = (#(#root::Inbox<#reads>,)*);
            type Outputs = (#(::mycelium::Publisher<#emits>,)*);

            fn ports() -> #root::Ports {
                #root::Ports {
                    reads: ::std::vec![#(#root::Port::of::<#reads>()),*],
                    emits: ::std::vec![#(#root::Port::of::<#emits>()),*],
                }
            }

            fn wire(
                wiring: &mut #root::Wiring<'_>,
            ) -> ::core::result::Result<(Self::Inputs, Self::Outputs), ::mycelium::BuildError> {
                let inputs = (#(wiring.input::<#reads>()?,)*);
                let outputs = (#(wiring.output::<#emits>()?,)*);
                ::core::result::Result::Ok((inputs, outputs))
            }

            fn each_output(
                outputs: &mut Self::Outputs,
                visit: &mut dyn FnMut(&mut dyn #root::AnyPublisher),
            ) {
                #(visit(&mut outputs.#outputs);)*
                let _ = (outputs, visit);
            }

            async fn run(&mut self, context: &mut ::mycelium::Context<Self>) -> ::mycelium::Result<()> {
                // Through a bound, so that each error type is accepted, and named if it does not
                // fit.
                #root::outcome(Self::run(self, context).await)
            }

            #methods
        }
        #helper
        #(#read_impls)*
        #(#emit_impls)*
    })
}

/// How the supervised service becomes a task: as the attribute says, or as the compiler finds out
/// at the concrete type.
fn launch(
    arguments: &ServiceArguments,
    item: &ItemImpl,
    root: &TokenStream,
) -> Result<LaunchTokens> {
    let declared = match arguments.task {
        TaskKind::Send => Some((quote!(true), quote!(#root::Task::send))),
        TaskKind::Local => Some((quote!(false), quote!(#root::Task::local))),
        TaskKind::Unknown => None,
    };
    if let Some((is_send, task)) = declared {
        let methods = quote! {
            fn is_send() -> bool {
                #is_send
            }

            fn launch(life: #root::Life<Self>) -> #root::Task {
                #task(#root::supervise(life))
            }
        };
        return Ok(LaunchTokens { methods, helper: TokenStream::new() });
    }
    if !item.generics.params.is_empty() {
        let message = "a generic service says whether it may move between threads: \
                       `#[service(send, ..)]` or `#[service(local, ..)]`";
        return Err(Error::new_spanned(&item.generics, message));
    }
    let service = &item.self_ty;
    let methods = quote! {
        fn is_send() -> bool {
            use #root::{IsLocal as _, IsSend as _};
            (&#root::FutureKind::of(life_of)).is_send()
        }

        fn launch(life: #root::Life<Self>) -> #root::Task {
            use #root::{LocalTask as _, SendTask as _};
            (&#root::Launch::of(life_of(life))).task()
        }
    };
    // A function hides the future behind a type of which the compiler knows whether it is `Send`.
    let helper = quote! {
        fn life_of(life: #root::Life<#service>) -> impl ::core::future::Future<Output = ()> + 'static {
            #root::supervise(life)
        }
    };
    Ok(LaunchTokens { methods, helper })
}

struct LaunchTokens {
    methods: TokenStream,
    helper: TokenStream,
}

fn service_name(service: &Type) -> Result<&syn::Ident> {
    let last = match service {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    };
    let segment =
        last.ok_or_else(|| Error::new_spanned(service, "a service is a type with a name"))?;
    Ok(&segment.ident)
}

fn find_run(item: &ItemImpl) -> Result<&ImplItemFn> {
    let methods = item.items.iter().filter_map(|item| match item {
        ImplItem::Fn(method) => Some(method),
        _ => None,
    });
    methods.into_iter().find(|method| method.sig.ident == "run").ok_or_else(|| {
        Error::new_spanned(
            &item.self_ty,
            "a service has `async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()>`",
        )
    })
}

fn check_run(run: &ImplItemFn) -> Result<()> {
    let signature = &run.sig;
    if signature.asyncness.is_none() {
        return Err(Error::new_spanned(signature.fn_token, "`run` is an `async fn`"));
    }
    let mut inputs = signature.inputs.iter();
    let by_mut_self = matches!(
        inputs.next(),
        Some(FnArg::Receiver(receiver)) if receiver.reference.is_some() && receiver.mutability.is_some()
    );
    if !by_mut_self || inputs.len() != 1 {
        let message = "`run` takes `&mut self` and `ctx: &mut Context<Self>`";
        return Err(Error::new_spanned(&signature.inputs, message));
    }
    Ok(())
}

/// The arguments of the attribute.
#[derive(Default)]
struct ServiceArguments {
    reads: Vec<Path>,
    emits: Vec<Path>,
    task: TaskKind,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum TaskKind {
    #[default]
    Unknown,
    Send,
    Local,
}

impl Parse for ServiceArguments {
    fn parse(input: ParseStream<'_>) -> Result<ServiceArguments> {
        let mut arguments = ServiceArguments::default();
        while !input.is_empty() {
            let key: syn::Ident = input.parse()?;
            match key.to_string().as_str() {
                "reads" => arguments.reads.extend(messages(input, &arguments.reads)?),
                "emits" => arguments.emits.extend(messages(input, &arguments.emits)?),
                "send" if arguments.task == TaskKind::Unknown => arguments.task = TaskKind::Send,
                "local" if arguments.task == TaskKind::Unknown => arguments.task = TaskKind::Local,
                _ => {
                    let message = "expected `reads(..)`, `emits(..)`, `send` or `local`";
                    return Err(Error::new(key.span(), message));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(arguments)
    }
}

/// A list of different message types in parentheses.
fn messages(input: ParseStream<'_>, known: &[Path]) -> Result<Vec<Path>> {
    if !input.peek(syn::token::Paren) {
        return Err(input.error("expected message types in parentheses, as in `reads(Tick)`"));
    }
    let content;
    parenthesized!(content in input);
    let listed = Punctuated::<Path, Token![,]>::parse_terminated(&content)?;
    let mut messages: Vec<Path> = Vec::new();
    for message in listed {
        if known.contains(&message) || messages.contains(&message) {
            return Err(Error::new_spanned(message, "this message is listed already"));
        }
        messages.push(message);
    }
    Ok(messages)
}
