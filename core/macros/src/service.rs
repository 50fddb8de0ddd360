//! `#[service]`: writes the impls that connect a service's `run` to a node.
//!
//! The impl block stays unchanged. The trait impls beside it declare what the service reads and
//! emits, as types, so that emitting another message does not compile. They also make the future of
//! the supervised service, at the concrete type, where the compiler knows whether it is `Send`.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Error, FnArg, Generics, Ident, Index, LitStr, Path, Result, ReturnType, Signature,
    Token, Type, Visibility, braced, parenthesized, token,
};

mod tasks;

use tasks::check_tasks;

/// The expansion, or an error with what keeps it from causing others.
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

/// The error, and what keeps it from causing others: the block with an empty `run`, and the impl of
/// the trait.
fn explain(error: &Error, service: &ServiceImpl) -> TokenStream {
    let error = error.to_compile_error();
    let ServiceImpl { attributes, generics, self_ty, run, others } = service;
    let (impl_generics, _, bounds) = generics.split_for_impl();
    let (Ok(name), Some(Run { signature, .. })) = (service_name(self_ty), run) else {
        // Perhaps another block has `run`.
        return quote!(#error #(#attributes)* impl #impl_generics #self_ty #bounds { #others });
    };
    let name = name.to_string();
    let root = quote!(::mycelium::__private);
    quote! {
        #error
        #(#attributes)*
        impl #impl_generics #self_ty #bounds {
            #others
            #[allow(unused)]
            #signature { ::core::unreachable!() }
        }
        const _: () = {
            impl #impl_generics ::mycelium::HasPorts for #self_ty #bounds {
                const NAME: &'static str = #name;
                const IS_SOURCE: bool = true;
                type Inputs = ();
                type Outputs = ();
                fn ports() -> #root::Ports {
                    ::core::unreachable!()
                }
                fn wire(
                    _: &mut #root::Wiring<'_>,
                ) -> ::core::result::Result<(Self::Inputs, Self::Outputs), ::mycelium::BuildError> {
                    ::core::unreachable!()
                }
                fn each_output(_: &mut (), _: &mut dyn FnMut(&mut dyn #root::AnyPublisher)) {}
            }
            impl #impl_generics ::mycelium::Service for #self_ty #bounds {
                async fn run(&mut self, _: &mut ::mycelium::Context<Self>) -> ::mycelium::Result<()> {
                    ::core::unreachable!()
                }
                fn is_send() -> bool {
                    true
                }
                fn launch(_: #root::Life<Self>) -> #root::Task {
                    ::core::unreachable!()
                }
            }
        };
    }
}

/// The impls beside the impl block.
pub(crate) fn expand(arguments: &ServiceArguments, service: &ServiceImpl) -> Result<TokenStream> {
    check_run(service)?;
    let ServiceImpl { generics, self_ty, .. } = service;
    let name = service_name(self_ty)?.to_string();
    let (impl_generics, _, bounds) = generics.split_for_impl();
    let root = quote!(::mycelium::__private);
    let LaunchTokens { methods, helper } = launch(arguments, service, &root)?;
    let ServiceArguments { reads, emits, .. } = arguments;
    let (read_types, emit_types) = (types(reads), types(emits));
    let (read_keys, emit_keys) = (keys(reads), keys(emits));
    let (read_ports, emit_ports) = (ports(reads, &root), ports(emits, &root));
    let outputs = (0..emits.len()).map(Index::from);
    let is_source = reads.is_empty();
    let read_impls = reads.iter().enumerate().map(|(place, Port { message, name })| {
        let index = Index::from(place);
        let port = match name {
            Some(_) => quote!(ReadsOn<#message, #place>),
            None => quote!(Reads<#message>),
        };
        quote! {
            impl #impl_generics ::mycelium::#port for #self_ty #bounds {
                fn inbox(inputs: &Self::Inputs) -> &#root::Inbox<#message> {
                    &inputs.#index
                }
            }
        }
    });
    let emit_impls = emits.iter().enumerate().map(|(place, Port { message, name })| {
        let index = Index::from(place);
        let (head, future) = match name {
            Some(_) => (quote!(EmitsOn<#message, #place> for #self_ty), TokenStream::new()),
            None => (
                quote!(EmittedBy<#self_ty> for #message),
                quote!(type Emit<'c> = ::mycelium::Emit<'c, #message>;),
            ),
        };
        let outputs = quote!(<#self_ty as ::mycelium::HasPorts>::Outputs);
        quote! {
            impl #impl_generics ::mycelium::#head #bounds {
                #future
                #[inline]
                fn publisher(outputs: &mut #outputs) -> &mut ::mycelium::Publisher<#message> {
                    &mut outputs.#index
                }
            }
        }
    });
    let inputs_consts = constants(reads, &quote!(::mycelium::Input));
    let outputs_consts = constants(emits, &quote!(::mycelium::Output));
    Ok(quote! {
        impl #impl_generics ::mycelium::HasPorts for #self_ty #bounds {
            const NAME: &'static str = #name;
            const IS_SOURCE: bool = #is_source;
            type Inputs = (#(#root::Inbox<#read_types>,)*);
            type Outputs = (#(::mycelium::Publisher<#emit_types>,)*);

            fn ports() -> #root::Ports {
                #root::Ports {
                    reads: ::std::vec![#(#read_ports),*],
                    emits: ::std::vec![#(#emit_ports),*],
                }
            }

            fn wire(
                wiring: &mut #root::Wiring<'_>,
            ) -> ::core::result::Result<(Self::Inputs, Self::Outputs), ::mycelium::BuildError> {
                let inputs = (#(wiring.input::<#read_types>(#read_keys)?,)*);
                let outputs = (#(wiring.output::<#emit_types>(#emit_keys)?,)*);
                ::core::result::Result::Ok((inputs, outputs))
            }

            fn each_output(
                outputs: &mut Self::Outputs,
                visit: &mut dyn FnMut(&mut dyn #root::AnyPublisher),
            ) {
                #(visit(&mut outputs.#outputs);)*
                let _ = (outputs, visit);
            }
        }

        impl #impl_generics ::mycelium::Service for #self_ty #bounds {
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
        impl #impl_generics #self_ty #bounds {
            #inputs_consts
            #outputs_consts
        }
    })
}

fn types(ports: &[Port]) -> Vec<&Path> {
    ports.iter().map(|port| &port.message).collect()
}

/// The key of each port: its name, or the topic of its message.
fn keys(ports: &[Port]) -> Vec<TokenStream> {
    let key = |Port { message, name }: &Port| match name {
        Some(name) => name.unraw().to_string().into_token_stream(),
        None => quote!(<#message as ::mycelium::Message>::TOPIC),
    };
    ports.iter().map(key).collect()
}

/// The descriptions of ports.
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

/// A constant for each named port, by which `run` names it.
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

/// How the supervised service becomes a task: as the attribute says, or as the compiler finds out
/// at the concrete type.
fn launch(
    arguments: &ServiceArguments,
    service: &ServiceImpl,
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
    if !service.generics.params.is_empty() {
        let message = "a generic service says whether it may move between threads: \
                       `#[service(send, ..)]` or `#[service(local, ..)]`";
        return Err(Error::new_spanned(&service.generics, message));
    }
    let self_ty = &service.self_ty;
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
        fn life_of(life: #root::Life<#self_ty>) -> impl ::core::future::Future<Output = ()> + 'static {
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

fn check_run(service: &ServiceImpl) -> Result<()> {
    let Some(Run { signature, body }) = &service.run else {
        let message = format!("a service has a method `{RUN}`");
        return Err(Error::new_spanned(&service.self_ty, message));
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
    if matches!(signature.output, ReturnType::Default) {
        return wrong("`run` returns a result", &signature.ident);
    }
    check_tasks(signature, body)
}

const RUN: &str = "async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()>";

/// An impl block of a service. Bodies of methods are not parsed: the compiler reports their errors.
pub(crate) struct ServiceImpl {
    attributes: Vec<Attribute>,
    generics: Generics,
    self_ty: Type,
    run: Option<Run>,
    /// The items beside `run`.
    others: TokenStream,
}

pub(crate) struct Run {
    signature: Signature,
    body: TokenStream,
}

impl Parse for ServiceImpl {
    fn parse(input: ParseStream<'_>) -> Result<ServiceImpl> {
        let attributes = input.call(Attribute::parse_outer)?;
        if !input.peek(Token![impl]) {
            return Err(input.error("#[service] goes on `impl MyService { .. }`"));
        }
        input.parse::<Token![impl]>()?;
        let mut generics: Generics = input.parse()?;
        let self_ty: Type = input.parse()?;
        if input.peek(Token![for]) {
            let message = "#[service] goes on an impl block without a trait";
            return Err(Error::new_spanned(self_ty, message));
        }
        generics.where_clause = input.parse()?;
        let content;
        braced!(content in input);
        let (mut run, mut others) = (None, TokenStream::new());
        while !content.is_empty() {
            match parse_run(&content) {
                Some(found) if run.is_none() => run = Some(found),
                _ => others.extend(parse_item(&content)?),
            }
        }
        Ok(ServiceImpl { attributes, generics, self_ty, run, others })
    }
}

/// The method `run`, if it is the next item.
fn parse_run(content: ParseStream<'_>) -> Option<Run> {
    let item = content.fork();
    item.call(Attribute::parse_outer).ok()?;
    item.parse::<Visibility>().ok()?;
    let signature: Signature = item.parse().ok()?;
    let Ok(TokenTree::Group(body)) = item.parse() else { return None };
    if signature.ident != "run" {
        return None;
    }
    content.advance_to(&item);
    Some(Run { signature, body: body.stream() })
}

/// The tokens of the next item: to its semicolon, or its block.
fn parse_item(content: ParseStream<'_>) -> Result<TokenStream> {
    let mut item = TokenStream::new();
    while !content.is_empty() {
        let token: TokenTree = content.parse()?;
        let is_last = match &token {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => false,
        };
        item.extend([token]);
        if is_last {
            break;
        }
    }
    Ok(item)
}

/// The arguments of the attribute.
#[derive(Default)]
pub(crate) struct ServiceArguments {
    reads: Vec<Port>,
    emits: Vec<Port>,
    task: TaskKind,
}

/// `Swap`, or `Swap as left`.
struct Port {
    message: Path,
    name: Option<Ident>,
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
            let key: Ident = input.parse()?;
            match key.to_string().as_str() {
                "reads" => arguments.reads.extend(parse_ports(input)?),
                "emits" => arguments.emits.extend(parse_ports(input)?),
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
        check_unique(&arguments)?;
        Ok(arguments)
    }
}

/// A list of messages and ports in parentheses.
fn parse_ports(input: ParseStream<'_>) -> Result<Punctuated<Port, Token![,]>> {
    if !input.peek(token::Paren) {
        return Err(input.error("expected message types in parentheses, as in `reads(Tick)`"));
    }
    let content;
    parenthesized!(content in input);
    Punctuated::parse_terminated(&content)
}

impl Parse for Port {
    fn parse(input: ParseStream<'_>) -> Result<Port> {
        if input.peek(LitStr) {
            return Err(input.error(
                "expected a message type, as in `reads(Tick)`: the topology names topics of ports",
            ));
        }
        let message = input.parse()?;
        let name = match input.parse::<Option<Token![as]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        Ok(Port { message, name })
    }
}

/// Each list has a message without a port once, and the service has each port once.
fn check_unique(arguments: &ServiceArguments) -> Result<()> {
    for ports in [&arguments.reads, &arguments.emits] {
        let mut messages = Vec::new();
        for Port { message, .. } in ports.iter().filter(|port| port.name.is_none()) {
            if messages.contains(&message) {
                let text = "this message is listed already: to use it on several topics, give \
                            each a port, as in `reads(Tick as left, Tick as right)`";
                return Err(Error::new_spanned(message, text));
            }
            messages.push(message);
        }
    }
    let mut names: Vec<&Ident> = Vec::new();
    for name in arguments.reads.iter().chain(&arguments.emits).filter_map(|it| it.name.as_ref()) {
        if names.contains(&name) {
            return Err(Error::new_spanned(name, "the service has a port of this name already"));
        }
        names.push(name);
    }
    Ok(())
}
