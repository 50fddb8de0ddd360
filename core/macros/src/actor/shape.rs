//! The shape of a call: what its name, its parameters and its reply may be.

use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{
    Error, FnArg, GenericArgument, Ident, PathArguments, Result, ReturnType, Signature, Type,
};

/// The methods of `ActorRef`, and those that the prelude gives it.
const OF_REFERENCES: &[&str] = &[
    "tell",
    "try_tell",
    "ask",
    "stop",
    "drain",
    "ended",
    "is_gone",
    "id",
    "label",
    "depth",
    "capacity",
    "downgrade",
    "clone",
    "clone_from",
    "to_owned",
    "into",
    "try_into",
];

/// The other methods of `RemoteRef`.
const OF_REMOTE_REFERENCES: &[&str] = &["node", "name"];

/// Refuses the name of a call that its reference has already.
pub(super) fn check_name(name: &Ident, is_remote: bool) -> Result<()> {
    let text = name.unraw().to_string();
    let reference = if OF_REFERENCES.contains(&&*text) {
        "ActorRef"
    } else if is_remote && OF_REMOTE_REFERENCES.contains(&&*text) {
        "RemoteRef"
    } else {
        return Ok(());
    };
    let message = format!(
        "`{reference}` has a method `{text}` of its own: give the call another name, or move a \
         method that is not a call to an impl block without `#[actor]`"
    );
    Err(Error::new(name.span(), message))
}

/// Returns the types of the parameters of a call, without the context.
pub(super) fn parameters(signature: &Signature) -> Result<Vec<Type>> {
    let refuse = |what: &str, tokens: &dyn ToTokens| {
        let message = format!(
            "{what}; a method that is not a call belongs in an impl block without `#[actor]`"
        );
        Err(Error::new_spanned(tokens.to_token_stream(), message))
    };
    check_name(&signature.ident, false)?;
    if !signature.generics.params.is_empty() {
        return refuse("a call has no generic parameters: write the types", &signature.generics);
    }
    if let Some(token) = &signature.unsafety {
        return refuse("a call is safe: others cannot keep a contract", token);
    }
    let mut types = Vec::new();
    let inputs = signature.inputs.iter().skip(1);
    for input in inputs.clone() {
        let FnArg::Typed(parameter) = input else { continue };
        let is_last = types.len() + 1 == inputs.len();
        match borrowed(&parameter.ty) {
            _ if is_last && is_context(&parameter.ty) => {}
            Some(_) if is_context(&parameter.ty) => {
                return refuse("the context is the last parameter of a call", parameter);
            }
            Some(Borrowed::Reference) => {
                return refuse(
                    "the parameters of a call move to the actor: take an owned value, such as \
                     `String` in place of `&str`",
                    parameter,
                );
            }
            Some(Borrowed::Opaque) => {
                return refuse("a call has no generic parameters: write the type", parameter);
            }
            None => types.push(Type::clone(&parameter.ty)),
        }
    }
    if let ReturnType::Type(_, returned) = &signature.output {
        match borrowed(returned) {
            Some(Borrowed::Reference) => {
                return refuse(
                    "the reply of a call moves to the caller: return an owned value",
                    returned,
                );
            }
            Some(Borrowed::Opaque) => {
                return refuse("the reply of a call has a type with a name", returned);
            }
            None => {}
        }
    }
    Ok(types)
}

/// Why a type cannot move between tasks, as far as its tokens say.
enum Borrowed {
    /// It is a reference or has one, or a lifetime.
    Reference,
    /// It is or has an `impl Trait`.
    Opaque,
}

fn borrowed(ty: &Type) -> Option<Borrowed> {
    let is_static = |lifetime: &syn::Lifetime| lifetime.ident == "static";
    match ty {
        Type::Reference(reference) if !reference.lifetime.as_ref().is_some_and(is_static) => {
            Some(Borrowed::Reference)
        }
        Type::Reference(reference) => borrowed(&reference.elem),
        Type::ImplTrait(_) => Some(Borrowed::Opaque),
        Type::Array(array) => borrowed(&array.elem),
        Type::Slice(slice) => borrowed(&slice.elem),
        Type::Paren(paren) => borrowed(&paren.elem),
        Type::Group(group) => borrowed(&group.elem),
        Type::Tuple(tuple) => tuple.elems.iter().find_map(borrowed),
        Type::Path(path) => path.path.segments.iter().find_map(|segment| {
            let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Lifetime(lifetime) if !is_static(lifetime) => {
                    Some(Borrowed::Reference)
                }
                GenericArgument::Type(ty) => borrowed(ty),
                GenericArgument::AssocType(ty) => borrowed(&ty.ty),
                _ => None,
            })
        }),
        _ => None,
    }
}

/// Returns whether a parameter is `ctx: &mut ActorContext<Self>`.
fn is_context(ty: &Type) -> bool {
    let Type::Reference(reference) = ty else { return false };
    let Type::Path(path) = &*reference.elem else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "ActorContext")
}
