//! Finds child tasks that emit through the context of their service. The compiler refuses such
//! tasks because a task may outlive the borrow of the context, but cannot say what to write
//! instead.

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::{Error, FnArg, Pat, Result, Signature};

/// Refuses `ctx.spawn(async { .. ctx.emit(..) .. })`.
pub(super) fn check_tasks(run: &Signature, body: &TokenStream) -> Result<()> {
    let Some(context) = context_name(run) else { return Ok(()) };
    let Some((place, method)) = find_in_tasks(body, &context, Place::Run) else { return Ok(()) };
    let publisher = if method == "on" {
        format!("{context}.on(Self::port).publisher()?")
    } else {
        format!("{context}.publisher::<M>()?")
    };
    let message = format!(
        "a task cannot use `{context}`, because it may outlive this run: write \
         `let mut publisher = {publisher};` before `{context}.spawn(..)`, and \
         `publisher.emit(..)` in the task"
    );
    Err(Error::new(place, message))
}

/// Returns the name of the parameter that is the context.
fn context_name(run: &Signature) -> Option<Ident> {
    match run.inputs.iter().nth(1) {
        Some(FnArg::Typed(parameter)) => match &*parameter.pat {
            Pat::Ident(pattern) => Some(pattern.ident.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// The position of tokens in the body.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Run,
    /// In the arguments of `spawn`, which are evaluated before the task runs.
    Arguments,
    /// In a block in these arguments.
    Task,
}

/// Returns the first emit through the context in a task: its place and its method.
fn find_in_tasks(tokens: &TokenStream, context: &Ident, place: Place) -> Option<(Span, String)> {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    if place == Place::Task && declares(&tokens, context) {
        return None;
    }
    let mut spawns = false;
    for (at, token) in tokens.iter().enumerate() {
        let is_field = at > 0 && is_dot(&tokens[at - 1]);
        match method_of(&tokens[at..], context).filter(|_| !is_field) {
            Some((span, method))
                if place == Place::Task && (method == "on" || method.contains("emit")) =>
            {
                return Some((span, method));
            }
            Some((_, method)) => spawns = method == "spawn",
            None => {}
        }
        let TokenTree::Group(group) = token else { continue };
        let inner = match (place, group.delimiter()) {
            (Place::Run, Delimiter::Parenthesis) if std::mem::take(&mut spawns) => Place::Arguments,
            (Place::Arguments, Delimiter::Brace) => Place::Task,
            _ => place,
        };
        let found = find_in_tasks(&group.stream(), context, inner);
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Returns the place and the method, if the tokens begin with `context.method`.
fn method_of(tokens: &[TokenTree], context: &Ident) -> Option<(Span, String)> {
    match tokens {
        [TokenTree::Ident(name), TokenTree::Punct(dot), TokenTree::Ident(method), ..]
            if name == context && dot.as_char() == '.' =>
        {
            Some((name.span(), method.to_string()))
        }
        _ => None,
    }
}

/// Returns whether the tokens may declare another variable of this name: they contain it without a
/// method call.
fn declares(tokens: &[TokenTree], context: &Ident) -> bool {
    tokens.iter().enumerate().any(|(at, token)| match token {
        TokenTree::Ident(name) if name == context => !tokens.get(at + 1).is_some_and(is_dot),
        TokenTree::Group(group) => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            declares(&inner, context)
        }
        _ => false,
    })
}

fn is_dot(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str) -> Result<()> {
        let run = syn::parse_str("async fn run(&mut self, ctx: &mut Context<Self>)").unwrap();
        check_tasks(&run, &body.parse().unwrap())
    }

    #[test]
    fn an_emit_in_a_task_is_found() {
        for body in [
            "ctx.spawn(async move { ctx.emit(m).await });",
            "if a { ctx.spawn(Box::pin(async { loop { work((ctx.emit(m).await)); } })); }",
            "let h = ctx.spawn(async { match x { A => ctx.try_emit(m)?, B => {} } }).await;",
        ] {
            let error = check(body).expect_err(body).to_string();
            assert!(error.contains("ctx.publisher::<M>()?"), "{error}");
        }
        let error = check("ctx.spawn(async { ctx.on(Self::out).emit(m).await });").unwrap_err();
        assert!(error.to_string().contains("ctx.on(Self::port).publisher()?"), "{error}");
    }

    #[test]
    fn other_uses_of_the_context_are_allowed() {
        for body in [
            "ctx.spawn(work(ctx.clock())); ctx.emit(m).await?;",
            "ctx.spawn(async move { publisher.emit(m).await });",
            "ctx.spawn(async move { let mut ctx = other(); ctx.emit(m).await });",
            "ctx.spawn(tick); loop { ctx.emit(m).await?; }",
            "ctx.sleep(a).await?; (ctx.emit(m).await)?;",
            "ctx.spawn(async move { worker.ctx.emit(m).await });",
            "ctx.spawn(async move { for ctx in all { ctx.emit(m).await } });",
            "ctx.spawn(async move { if let Some(ctx) = next() { ctx.emit(m).await } });",
            "ctx.spawn(async move { each(|ctx: &mut P| ctx.try_emit(m)) });",
        ] {
            assert!(check(body).is_ok(), "{body}");
        }
    }
}
