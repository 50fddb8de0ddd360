//! The impl block below `#[actor]`, parsed as far as the macro needs it.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, Error, FnArg, GenericArgument, PathArguments, Result, ReturnType, Signature, Type,
    Visibility,
};

use super::shape::{check_name, parameters};

use crate::impl_block::{BlockMethod, Head, parse_method, parse_other};

/// An impl block of an actor.
pub(super) struct ActorImpl {
    pub(super) head: Head,
    pub(super) handlers: Vec<Method>,
    pub(super) started: Option<Method>,
    pub(super) stopped: Option<Method>,
    pub(super) gone: Option<Method>,
    pub(super) on_error: Option<Method>,
    /// All items, without `#[tell]` and `#[remote]`.
    items: TokenStream,
    /// The error of the first method that cannot be a handler or a hook. It is reported together
    /// with the block, without the attributes that the compiler does not know.
    error: Option<Error>,
}

/// A method that the task of the actor calls.
pub(super) struct Method {
    pub(super) kind: HandlerKind,
    pub(super) attributes: Vec<Attribute>,
    pub(super) visibility: Visibility,
    pub(super) signature: Signature,
    /// The parameters without `self` and the context: the message of a handler, the values of a
    /// call, none for a hook.
    pub(super) parameters: Vec<Type>,
    pub(super) returns: Returns,
    has_context: bool,
}

/// The kinds of handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandlerKind {
    /// Handles a message.
    Tell,
    /// Handles a request, and returns the reply.
    Remote,
    /// Handles a request, and answers it by `reply`, possibly later.
    Asked,
    /// Handles a call inside the process.
    Call,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returns {
    Nothing,
    Result,
    Value,
}

const TELL: &str = "#[tell] fn handle(&mut self, message: Message) -> Result<()>";
const REMOTE: &str = "#[remote] fn handle(&mut self, request: Request) -> Reply";

impl Parse for ActorImpl {
    fn parse(input: ParseStream<'_>) -> Result<ActorImpl> {
        let (head, content) = Head::parse(input, "actor", "MyActor")?;
        let mut actor = ActorImpl {
            head,
            handlers: Vec::new(),
            started: None,
            stopped: None,
            gone: None,
            on_error: None,
            items: TokenStream::new(),
            error: None,
        };
        while !content.is_empty() {
            match parse_method(&content) {
                Some(method) => actor.add(method),
                None => actor.items.extend(parse_other(&content)?),
            }
        }
        Ok(actor)
    }
}

impl ActorImpl {
    fn add(&mut self, method: BlockMethod) {
        let BlockMethod { attributes, visibility, signature, body } = method;
        let is = |attribute: &Attribute, name: &str| attribute.path().is_ident(name);
        let kind = attributes.iter().find_map(|attribute| {
            let kinds = [("tell", HandlerKind::Tell), ("remote", HandlerKind::Remote)];
            kinds.into_iter().find(|(name, _)| is(attribute, name)).map(|(_, kind)| kind)
        });
        let (ours, attributes): (Vec<_>, Vec<_>) = attributes
            .into_iter()
            .partition(|attribute| is(attribute, "tell") || is(attribute, "remote"));
        drop(ours);
        self.items.extend(quote!(#(#attributes)* #visibility #signature #body));
        let place = match signature.ident.to_string().as_str() {
            "started" => Some(&mut self.started),
            "stopped" => Some(&mut self.stopped),
            "gone" => Some(&mut self.gone),
            "on_error" => Some(&mut self.on_error),
            _ => None,
        };
        let is_method = matches!(
            signature.inputs.first(),
            Some(FnArg::Receiver(receiver)) if matches!(*receiver.ty, Type::Reference(_))
        );
        let method = match (kind, place) {
            (Some(kind), _) => Method::handler(kind, signature),
            (None, Some(place)) => match Method::hook(signature) {
                Ok(hook) => {
                    *place = Some(hook);
                    return;
                }
                Err(error) => Err(error),
            },
            (None, None) if is_method => Method::of_call(signature),
            (None, None) => return,
        };
        match method {
            Ok(method) => self.handlers.push(Method { attributes, visibility, ..method }),
            Err(error) => _ = self.error.get_or_insert(error),
        }
    }

    /// Returns the block as it is passed to the compiler.
    pub(super) fn block(&self) -> TokenStream {
        let ActorImpl { head: Head { attributes, generics, self_ty }, items, .. } = self;
        let (impl_generics, _, bounds) = generics.split_for_impl();
        quote!(#(#attributes)* impl #impl_generics #self_ty #bounds { #items })
    }

    /// Reports the mistakes that the compiler would explain less clearly.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let by_type: Vec<_> =
            self.handlers.iter().filter(|it| it.kind != HandlerKind::Call).collect();
        for (index, handler) in by_type.iter().enumerate() {
            let text = handler.message().to_token_stream().to_string();
            let same = |other: &&&Method| other.message().to_token_stream().to_string() == text;
            if let Some(other) = by_type[..index].iter().find(same)
                && handler.cfgs().next().is_none()
            {
                let message = format!("`{}` handles this type already", other.signature.ident);
                return Err(Error::new_spanned(handler.message(), message));
            }
        }
        Ok(())
    }
}

impl Method {
    fn new(kind: HandlerKind, signature: Signature, parameters: Vec<Type>) -> Method {
        let has_context = signature.inputs.len() > 1 + parameters.len();
        let returns = Returns::of(&signature.output);
        let (attributes, visibility) = (Vec::new(), Visibility::Inherited);
        Method { kind, attributes, visibility, signature, parameters, returns, has_context }
    }

    /// Returns whether the method handles a request.
    pub(super) fn is_request(&self) -> bool {
        matches!(self.kind, HandlerKind::Remote | HandlerKind::Asked)
    }

    fn handler(kind: HandlerKind, signature: Signature) -> Result<Method> {
        let shape = if kind == HandlerKind::Tell { TELL } else { REMOTE };
        let expected = |what: &str, tokens: &dyn ToTokens| {
            let message = format!("{what}: write `{shape}`");
            Error::new_spanned(tokens.to_token_stream(), message)
        };
        let mut inputs = signature.inputs.iter();
        if !matches!(inputs.next(), Some(FnArg::Receiver(receiver)) if receiver.reference.is_some())
        {
            return Err(expected("a handler has `&mut self`", &signature.ident));
        }
        let Some(FnArg::Typed(message)) = inputs.next() else {
            return Err(expected("a handler takes a message", &signature.ident));
        };
        if let Some(extra) = inputs.nth(1) {
            return Err(expected("a handler takes a message and a context", extra));
        }
        if let Type::Reference(reference) = &*message.ty {
            return Err(expected("a handler takes its message by value", reference));
        }
        if kind == HandlerKind::Tell {
            let message = Type::clone(&message.ty);
            return Ok(Method::new(kind, signature, vec![message]));
        }
        check_name(&signature.ident, true)?;
        match asked_type(&message.ty) {
            Some(request) => Ok(Method::new(HandlerKind::Asked, signature, vec![request])),
            None if Returns::of(&signature.output) == Returns::Nothing => {
                Err(expected("a handler of a request returns its reply", &signature.ident))
            }
            None => {
                let request = Type::clone(&message.ty);
                Ok(Method::new(kind, signature, vec![request]))
            }
        }
    }

    fn of_call(signature: Signature) -> Result<Method> {
        let parameters = parameters(&signature)?;
        Ok(Method::new(HandlerKind::Call, signature, parameters))
    }

    /// Returns the type of the message of a handler.
    pub(super) fn message(&self) -> &Type {
        &self.parameters[0]
    }

    /// Returns the attributes that decide whether the method exists.
    pub(super) fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"))
    }

    /// Parses a hook: `started`, `stopped`, `gone` or `on_error`.
    fn hook(signature: Signature) -> Result<Method> {
        let name = signature.ident.to_string();
        let (shape, others) = match name.as_str() {
            "started" => {
                ("async fn started(&mut self, ctx: &mut ActorContext<Self>) -> Result<()>", 0)
            }
            "stopped" => ("async fn stopped(&mut self, ctx: &mut ActorContext<Self>)", 0),
            "gone" => (
                "async fn gone(&mut self, gone: Gone, ctx: &mut ActorContext<Self>) -> Result<()>",
                1,
            ),
            _ => ("fn on_error(&mut self, error: &Error) -> OnError", 1),
        };
        let is_method = matches!(
            signature.inputs.first(),
            Some(FnArg::Receiver(receiver)) if matches!(*receiver.ty, Type::Reference(_))
        );
        let parameters = signature.inputs.len().saturating_sub(1);
        let most = others + usize::from(name != "on_error");
        if !is_method || parameters < others || parameters > most {
            let message = format!("`{name}` is a hook of the actor: write `{shape}`");
            return Err(Error::new_spanned(&signature.ident, message));
        }
        let has_context = parameters > others;
        Ok(Method { has_context, ..Method::new(HandlerKind::Tell, signature, Vec::new()) })
    }

    /// Returns the call, with these arguments, each followed by a comma.
    pub(super) fn call(&self, arguments: &TokenStream) -> TokenStream {
        let name = &self.signature.ident;
        let context = self.has_context.then(|| quote!(context));
        let wait = self.signature.asyncness.map(|_| quote!(.await));
        quote!(Self::#name(self, #arguments #context) #wait)
    }

    /// Returns a call, converted to the result of a handler.
    pub(super) fn outcome(&self, call: &TokenStream, root: &TokenStream) -> TokenStream {
        match self.returns {
            Returns::Result => quote!(#root::outcome(#call)),
            Returns::Nothing | Returns::Value => {
                quote!({ let () = #call; ::core::result::Result::Ok(()) })
            }
        }
    }
}

impl Returns {
    fn of(output: &ReturnType) -> Returns {
        let ReturnType::Type(_, ty) = output else { return Returns::Nothing };
        match &**ty {
            Type::Path(path) => match path.path.segments.last() {
                Some(last) if last.ident == "Result" => Returns::Result,
                _ => Returns::Value,
            },
            Type::Tuple(tuple) if tuple.elems.is_empty() => Returns::Nothing,
            _ => Returns::Value,
        }
    }
}

/// Returns the request of `Asked<Request>`.
fn asked_type(ty: &Type) -> Option<Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Asked")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(request)) => Some(request.clone()),
        _ => None,
    }
}
