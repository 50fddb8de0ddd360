//! `routes!`: generates a struct of handlers, whose lists compile to direct calls.

mod input;

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::Result;
use syn::spanned::Spanned;

use input::{List, Listed, RoutesInput};

/// Returns the expansion, or only the error.
pub(crate) fn expand_or_explain(input: TokenStream) -> TokenStream {
    expand(input).unwrap_or_else(|error| error.into_compile_error())
}

fn expand(input: TokenStream) -> Result<TokenStream> {
    let routes: RoutesInput = syn::parse2(input)?;
    let RoutesInput { attributes, visibility, name, generics, lists } = &routes;
    let handlers = routes.handlers()?;
    let (impl_generics, type_generics, _) = generics.split_for_impl();
    let names: Vec<_> = handlers.iter().map(|handler| &handler.name).collect();
    let types: Vec<_> = handlers.iter().map(|handler| &handler.ty).collect();
    let accessors = handlers.iter().map(|Listed { name, ty, .. }| {
        let name_mut = format_ident!("{}_mut", name);
        let doc = format!("The handler `{}`.", ty.to_token_stream());
        quote! {
            #[doc = #doc]
            #[inline(always)]
            #visibility fn #name(&self) -> &#ty {
                &self.#name
            }

            #[doc = #doc]
            #[inline(always)]
            #visibility fn #name_mut(&mut self) -> &mut #ty {
                &mut self.#name
            }
        }
    });
    let self_type = quote!(#name #type_generics);
    let impls = lists.iter().map(|list| {
        let message = &list.message;
        // With this bound, a type that is not a message is a single error.
        let bound = quote_spanned!(message.span()=> where #message: ::mycelium::Message);
        let bound = list.bus.then_some(bound);
        let impls = impls(list).into_iter().map(|(of, body)| {
            quote! {
                impl #impl_generics ::mycelium::route::#of for #self_type #bound {
                    #body
                }
            }
        });
        impls.collect::<TokenStream>()
    });
    Ok(quote! {
        #(#attributes)*
        #visibility struct #name #impl_generics {
            #(#names: #types,)*
        }

        #[allow(dead_code)]
        impl #impl_generics #self_type {
            /// Creates the struct from these handlers.
            #[allow(clippy::too_many_arguments)]
            #visibility fn new(#(#names: #types),*) -> Self {
                Self { #(#names),* }
            }

            /// Calls the handlers of a message, in their order, until one fails.
            ///
            /// # Errors
            /// The error of the first handler that fails. The handlers after it were not called.
            #[inline(always)]
            #visibility fn route<M>(&mut self, message: &M) -> ::mycelium::Result<()>
            where
                Self: ::mycelium::route::Routes<M> + ::mycelium::route::RoutesAlone<M>,
            {
                ::mycelium::route::Routes::<M>::call(self, message, &mut ::mycelium::route::Out::none())
            }

            /// As `route`. The handlers emit to `out`, and so does the list if it goes on to the
            /// bus.
            ///
            /// # Errors
            /// As `route`. If the list goes on to the bus and there is no room for the message,
            /// no handler was called.
            #[inline(always)]
            #visibility fn route_to<M>(
                &mut self,
                message: &M,
                out: &mut ::mycelium::route::Out<'_>,
            ) -> ::mycelium::Result<()>
            where
                Self: ::mycelium::route::Routes<M>,
            {
                ::mycelium::route::Routes::<M>::route_to(self, message, out)
            }

            /// As `route`, also for lists with async handlers.
            ///
            /// # Errors
            /// As `route`.
            #visibility async fn route_async<M>(&mut self, message: &M) -> ::mycelium::Result<()>
            where
                Self: ::mycelium::route::RoutesAsync<M> + ::mycelium::route::RoutesAlone<M>,
            {
                let out = &mut ::mycelium::route::Out::none();
                ::mycelium::route::RoutesAsync::<M>::route_async_to(self, message, out).await
            }

            /// As `route_to`, also for lists with async handlers. If the list goes on to the bus,
            /// it waits for room after the handlers.
            ///
            /// # Errors
            /// As `route`.
            #visibility async fn route_async_to<M>(
                &mut self,
                message: &M,
                out: &mut ::mycelium::route::Out<'_>,
            ) -> ::mycelium::Result<()>
            where
                Self: ::mycelium::route::RoutesAsync<M>,
            {
                ::mycelium::route::RoutesAsync::<M>::route_async_to(self, message, out).await
            }

            /// The handlers, in the order of `new`.
            #visibility fn into_parts(self) -> (#(#types,)*) {
                (#(self.#names,)*)
            }

            #(#accessors)*
        }

        #(#impls)*
    })
}

/// Returns the traits that a list implements, with their methods.
fn impls(List { message, handlers, bus }: &List) -> Vec<(TokenStream, TokenStream)> {
    let is_async = handlers.iter().any(|handler| handler.is_async);
    let calls = handlers.iter().map(|Listed { is_async, ty, name }| match is_async {
        false => quote_spanned! {ty.span()=>
            <#ty as ::mycelium::route::Handler<#message>>::handle(&mut self.#name, message, out)
        },
        true => quote_spanned! {ty.span()=>
            <#ty as ::mycelium::route::AsyncHandler<#message>>::handle(&mut self.#name, message, out).await
        },
    });
    let mut calls: Vec<_> = calls.collect();
    // The result of the last call is the result of the list, as in hand-written code.
    let last = calls.pop();
    let calls = quote!(#(#calls?;)* #last);
    let parameters = quote! {
        (&mut self, message: &#message, out: &mut ::mycelium::route::Out<'_>) -> ::mycelium::Result<()>
    };
    let mut impls = Vec::new();
    if !is_async {
        let call = quote!(::mycelium::route::Routes::<#message>::call(self, message, out));
        let claim = quote_spanned!(message.span()=> out.claim(message)?;);
        let route_to = match bus {
            true => quote!(#claim #call?; ::core::result::Result::Ok(out.try_emit_ref(message)?)),
            false => call,
        };
        impls.push((
            quote!(Routes<#message>),
            quote! {
                #[inline(always)]
                fn call #parameters {
                    #calls
                }

                #[inline(always)]
                fn route_to #parameters {
                    #route_to
                }
            },
        ));
    }
    let calls = match is_async {
        true => calls,
        false => quote!(::mycelium::route::Routes::<#message>::call(self, message, out)),
    };
    let body = match bus {
        true => quote_spanned! {message.span()=>
            #calls?;
            ::core::result::Result::Ok(out.emit_ref(message).await?)
        },
        false => calls,
    };
    impls.push((
        quote!(RoutesAsync<#message>),
        quote! {
            async fn route_async_to #parameters {
                #body
            }
        },
    ));
    if !bus {
        impls.push((quote!(RoutesAlone<#message>), TokenStream::new()));
    }
    impls
}
