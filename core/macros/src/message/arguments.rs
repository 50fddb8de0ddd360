//! The arguments of `#[message]`: a topic, an id, the reply of a request, the longest message,
//! whether serde encodes it, and whether the macro adds padding.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Error, Expr, ExprLit, Ident, Lit, LitInt, LitStr, Path, Result, Token, ext::IdentExt,
    parse::ParseStream, spanned::Spanned,
};

pub(super) struct MessageArguments {
    /// `None` for a type that is only a part of messages.
    pub(super) topic: Option<LitStr>,
    /// The number of a message that has one.
    pub(super) id: Option<LitInt>,
    /// The reply of a request.
    pub(super) reply: Option<Path>,
    /// The most bytes of a message that is not fixed.
    pub(super) max: Option<usize>,
    /// `carries = Type`: the most bytes are those of this message and of a few numbers; for
    /// messages that users do not see.
    pub(super) carries: Option<Path>,
    /// `codec = "postcard"`: serde encodes the type.
    pub(super) has_codec: bool,
    /// The number of the schema of a type that serde encodes.
    pub(super) schema: Option<LitInt>,
    /// `pad`.
    pub(super) pad: Option<Ident>,
    /// `hidden`: the compiler does not list the type in errors; for messages that users do not see.
    pub(super) hidden: Option<Ident>,
}

impl MessageArguments {
    /// Returns the attribute that keeps the type's impls out of the compiler's errors.
    pub(super) fn hides(&self) -> Option<TokenStream> {
        self.hidden.as_ref().map(|_| quote!(#[diagnostic::do_not_recommend]))
    }

    /// Returns the impl of `Message`; `None` for a type that is only a part of messages.
    pub(super) fn message_impl(&self, root: &Path, name: &Ident) -> Option<TokenStream> {
        let topic = self.topic.as_ref()?;
        let hides = self.hides();
        let max = match (&self.carries, self.max) {
            // With the numbers, and with what one of an older program may gain.
            (Some(carried), _) => quote! {
                <#carried as #root::Message>::MAX + 64 + <#carried as #root::Field>::SIZE
            },
            (None, max) => {
                let max = max.unwrap_or(64 << 10);
                quote!(#max)
            }
        };
        let id = match &self.id {
            Some(id) => quote!(#id),
            None => quote!(#root::message::NO_ID),
        };
        Some(quote! {
            #hides
            impl #root::Message for #name {
                const ID: u16 = #id;
                const TOPIC: &'static str = #topic;
                const DESCRIPTOR: &'static #root::Descriptor = &__MYCELIUM_DESCRIPTOR;
                const DIGEST: #root::Digest = #root::Digest::of(&__MYCELIUM_DESCRIPTOR);
                const MAX: usize = if <Self as #root::Field>::IS_FIXED {
                    ::core::mem::size_of::<#name>()
                } else {
                    #max
                };
                type Words = [usize; #root::__private::words_of::<#name>()];
            }
        })
    }

    pub(super) fn parse(attr: TokenStream) -> Result<Self> {
        let whole = attr.span();
        let mut topic = None;
        let mut id = None;
        let mut reply = None;
        let mut max = None;
        let mut carries = None;
        let (mut codec, mut schema) = (None, None);
        let mut pad = None;
        let mut hidden = None;
        let parser = |input: ParseStream<'_>| {
            while !input.is_empty() {
                let argument = input.call(Ident::parse_any).map_err(unknown)?;
                let twice = if argument == "topic" {
                    topic.replace(checked_topic(&value(input, &argument, TOPIC)?)?).is_some()
                } else if argument == "id" {
                    id.replace(checked_id(&value(input, &argument, ID)?)?).is_some()
                } else if argument == "reply" {
                    reply.replace(checked_reply(&value(input, &argument, REPLY)?)?).is_some()
                } else if argument == "max" {
                    max.replace(checked_max(&value(input, &argument, MAX)?)?).is_some()
                } else if argument == "carries" {
                    carries.replace(checked_reply(&value(input, &argument, REPLY)?)?).is_some()
                } else if argument == "codec" {
                    codec.replace(checked_codec(&value(input, &argument, CODEC)?)?).is_some()
                } else if argument == "schema" {
                    schema.replace(checked_schema(&value(input, &argument, SCHEMA)?)?).is_some()
                } else if argument == "pad" {
                    pad.replace(argument.clone()).is_some()
                } else if argument == "hidden" {
                    hidden.replace(argument.clone()).is_some()
                } else {
                    return Err(unknown(Error::new(argument.span(), "")));
                };
                if twice {
                    let message = format!("`{argument}` is given twice: remove one");
                    return Err(Error::new(argument.span(), message));
                }
                if !input.is_empty() {
                    let expected = "expected a comma between the arguments of #[message]";
                    input
                        .parse::<Token![,]>()
                        .map_err(|error| Error::new(error.span(), expected))?;
                }
            }
            Ok(())
        };
        syn::parse::Parser::parse2(parser, attr)?;
        if topic.is_none() && (id.is_some() || reply.is_some() || max.is_some()) {
            return Err(Error::new(
                whole,
                "a message needs a topic: #[message(topic = \"...\")]; a type that is only a part of \
                 messages has no topic, and no `id`, `reply` and `max`",
            ));
        }
        if let (None, Some(schema)) = (codec, &schema) {
            let message = "`schema` is the number of a type that serde encodes: add \
                           `codec = \"postcard\"`, or remove it, because other types have a digest \
                           of their fields";
            return Err(Error::new_spanned(schema, message));
        }
        let has_codec = codec.is_some();
        Ok(Self { topic, id, reply, max, carries, has_codec, schema, pad, hidden })
    }
}

const TOPIC: &str = "a text, such as `topic = \"swaps\"`";
const ID: &str = "a number from 1 to 65534, such as `id = 7`";
const MAX: &str = "a size up to 64 MiB, such as `max = \"256 KiB\"`";
const CODEC: &str = "\"postcard\"";
const SCHEMA: &str = "a number, such as `schema = 1`";
const REPLY: &str = "a message type, such as `reply = Price`";

fn unknown(error: Error) -> Error {
    let message = "unknown argument: #[message] takes `topic = \"...\"`, `id = ...`, \
                   `reply = ...`, `max = \"...\"`, `codec = \"postcard\"`, `schema = ...` and `pad`";
    Error::new(error.span(), message)
}

fn value(input: ParseStream<'_>, argument: &Ident, expected: &str) -> Result<Expr> {
    let message = || format!("`{argument}` needs a value: expected {expected}");
    if input.is_empty() {
        return Err(Error::new(argument.span(), message()));
    }
    input.parse::<Token![=]>().map_err(|_| Error::new(argument.span(), message()))?;
    let value = input.parse().map_err(|error| {
        let span = if input.is_empty() { argument.span() } else { error.span() };
        Error::new(span, message())
    });
    value.map(without_group)
}

/// Returns a value without the invisible group that `macro_rules` puts around a `$topic:literal`.
fn without_group(value: Expr) -> Expr {
    match value {
        Expr::Group(group) if group.attrs.is_empty() => without_group(*group.expr),
        other => other,
    }
}

fn checked_topic(value: &Expr) -> Result<LitStr> {
    let Expr::Lit(ExprLit { lit: Lit::Str(topic), .. }) = value else {
        return Err(Error::new_spanned(value, format!("invalid topic: expected {TOPIC}")));
    };
    let text = topic.value();
    // Links carry only names of up to 62 bytes.
    if text.is_empty() || text.len() > 62 {
        let message = format!("invalid topic of {} bytes: expected 1 to 62 bytes", text.len());
        return Err(Error::new_spanned(topic, message));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '=') {
        return Err(Error::new_spanned(
            topic,
            "invalid topic: expected no white space, no `=` and no control characters",
        ));
    }
    Ok(topic.clone())
}

fn checked_id(value: &Expr) -> Result<LitInt> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Int(id), .. })
            if matches!(id.base10_parse::<u16>(), Ok(1..=65534)) =>
        {
            Ok(id.clone())
        }
        _ => Err(Error::new_spanned(value, format!("invalid id: expected {ID}"))),
    }
}

fn checked_max(value: &Expr) -> Result<usize> {
    let wrong = || Error::new_spanned(value, format!("invalid size: expected {MAX}"));
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value else { return Err(wrong()) };
    let text = text.value();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let unit: usize = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return Err(wrong()),
    };
    let bytes = number.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    bytes.filter(|bytes| (1..=64 << 20).contains(bytes)).ok_or_else(wrong)
}

fn checked_codec(value: &Expr) -> Result<()> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if text.value() == "postcard" => Ok(()),
        _ => Err(Error::new_spanned(value, format!("unknown codec: expected {CODEC}"))),
    }
}

fn checked_schema(value: &Expr) -> Result<LitInt> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. })
            if number.base10_parse::<u64>().is_ok() =>
        {
            Ok(number.clone())
        }
        _ => Err(Error::new_spanned(value, format!("invalid schema: expected {SCHEMA}"))),
    }
}

fn checked_reply(value: &Expr) -> Result<Path> {
    match value {
        Expr::Path(path) if path.qself.is_none() && path.attrs.is_empty() => Ok(path.path.clone()),
        other => Err(Error::new_spanned(other, format!("invalid reply: expected {REPLY}"))),
    }
}
