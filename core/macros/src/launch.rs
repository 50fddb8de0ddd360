//! The start of a service or an actor: its future becomes a task that may move between threads, or
//! a task that stays on its thread.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Generics, Result};

/// Whether a task may move between threads, as set by its attribute.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// Not set: the type of the future decides.
    #[default]
    Unknown,
    Send,
    Local,
}

impl TaskKind {
    /// Returns the body of the method `launch`. `run` is the function whose future becomes the
    /// task, and `hint` the error text for a generic type without a kind.
    pub(crate) fn launch(
        self,
        run: &TokenStream,
        generics: &Generics,
        hint: &str,
    ) -> Result<TokenStream> {
        let root = quote!(::mycelium::__private);
        match self {
            TaskKind::Send => Ok(quote!(#root::Launch::send(#run))),
            TaskKind::Local => Ok(quote!(#root::Launch::local(#run))),
            TaskKind::Unknown if !generics.params.is_empty() => {
                Err(Error::new_spanned(generics, hint))
            }
            // The compiler infers whether the future's type is `Send`; a trait bound in the
            // expansion would require it.
            TaskKind::Unknown => Ok(quote! {
                use #root::{LocalRun as _, SendRun as _};
                (&#root::Runs::by(#run)).launch()
            }),
        }
    }
}
