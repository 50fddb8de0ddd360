//! The arguments of `#[service]`: messages, ports, and whether the service may move between
//! threads.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Path, Result, Token, parenthesized, token};

use crate::launch::TaskKind;

/// The arguments of the attribute.
#[derive(Default)]
pub(super) struct ServiceArguments {
    pub(super) reads: Vec<Port>,
    pub(super) emits: Vec<Port>,
    pub(super) requests: Vec<Path>,
    pub(super) answers: Vec<Path>,
    pub(super) task: TaskKind,
}

/// `Swap`, or `Swap as left`.
pub(super) struct Port {
    pub(super) message: Path,
    pub(super) name: Option<Ident>,
}

impl Parse for ServiceArguments {
    fn parse(input: ParseStream<'_>) -> Result<ServiceArguments> {
        let mut arguments = ServiceArguments::default();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            match key.to_string().as_str() {
                "reads" => arguments.reads.extend(parse_ports(input)?),
                "emits" => arguments.emits.extend(parse_ports(input)?),
                "requests" => arguments.requests.extend(parse_requests(input)?),
                "answers" => arguments.answers.extend(parse_requests(input)?),
                "send" if arguments.task == TaskKind::Unknown => arguments.task = TaskKind::Send,
                "local" if arguments.task == TaskKind::Unknown => arguments.task = TaskKind::Local,
                _ => {
                    let message = "expected `reads(..)`, `emits(..)`, `requests(..)`, \
                                   `answers(..)`, `send` or `local`";
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

/// Parses a list of messages and ports in parentheses.
fn parse_ports(input: ParseStream<'_>) -> Result<Punctuated<Port, Token![,]>> {
    if !input.peek(token::Paren) {
        return Err(input.error("expected message types in parentheses, as in `reads(Tick)`"));
    }
    let content;
    parenthesized!(content in input);
    Punctuated::parse_terminated(&content)
}

/// Parses a list of requests in parentheses. They have no ports: a request type has one mailbox.
fn parse_requests(input: ParseStream<'_>) -> Result<Vec<Path>> {
    let ports = parse_ports(input)?;
    match ports.iter().find_map(|port| port.name.as_ref()) {
        Some(name) => {
            Err(Error::new_spanned(name, "a request has no port: remove `as` and the name"))
        }
        None => Ok(ports.into_iter().map(|port| port.message).collect()),
    }
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

/// Checks that each list has each message without a port only once, and that each port of the
/// service is unique.
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
    for requests in [&arguments.requests, &arguments.answers] {
        let twice = requests.iter().enumerate().find(|(at, it)| requests[..*at].contains(it));
        if let Some((_, request)) = twice {
            return Err(Error::new_spanned(request, "this request is listed already"));
        }
    }
    let mut names: Vec<&Ident> = Vec::new();
    for name in arguments.reads.iter().chain(&arguments.emits).filter_map(|it| it.name.as_ref()) {
        if name == "run" {
            return Err(Error::new_spanned(name, "a port cannot be named `run`, as the method"));
        }
        if names.contains(&name) {
            return Err(Error::new_spanned(name, "the service has a port of this name already"));
        }
        names.push(name);
    }
    Ok(())
}
