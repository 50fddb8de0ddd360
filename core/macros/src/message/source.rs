//! Formats tokens as a user would write them, for errors with code to paste.

use proc_macro2::{Delimiter, Ident, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;

/// Returns the source of a type or a visibility, on one line.
pub(super) fn source(tokens: &impl ToTokens) -> String {
    let mut text = String::new();
    write(&mut text, tokens.to_token_stream());
    text
}

fn write(text: &mut String, tokens: TokenStream) {
    // Whether the last token was a word, or a punctuation followed by a space.
    let (mut after_word, mut wants_space) = (false, false);
    for token in tokens {
        let is_word = matches!(token, TokenTree::Ident(_) | TokenTree::Literal(_));
        if wants_space || (after_word && is_word) {
            text.push(' ');
        }
        (after_word, wants_space) = (is_word, false);
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{ ", " }"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                write(text, group.stream());
                text.push_str(close);
            }
            TokenTree::Punct(punct) => {
                let is_alone = punct.spacing() == Spacing::Alone;
                if punct.as_char() == '=' {
                    text.push(' ');
                }
                text.push(punct.as_char());
                wants_space = is_alone && matches!(punct.as_char(), ',' | ';' | '=');
            }
            word => text.push_str(&word.to_string()),
        }
    }
}

/// Returns a name without the `r#` of a raw identifier.
pub(super) fn plain_name(ident: &Ident) -> String {
    ident.unraw().to_string()
}
