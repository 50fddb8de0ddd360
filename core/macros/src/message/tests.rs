//! Properties of the tokens of an expansion. `core/tests` tests what users see of it.

use quote::quote;
use syn::parse_quote;

use super::*;

fn swap() -> TokenStream {
    quote! {
        #[derive(Debug)]
        pub struct Swap {
            price: u64,
            r#type: u32,
            amounts: [u16; 2],
        }
    }
}

fn expanded(root: Path, attr: TokenStream, item: TokenStream) -> String {
    expand(root, attr, item).unwrap().to_string()
}

#[test]
fn e4_the_same_source_expands_to_the_same_code() {
    let once = || expanded(parse_quote!(::root), quote!(topic = "swaps", id = 1), swap());
    let first = once();
    (0..16).for_each(|_| assert_eq!(once(), first));
    let at = |name: &str| first.find(&format!("\"{name}\"")).expect(name);
    assert!(at("price") < at("type") && at("type") < at("amounts"), "in the order of declaration");
}

#[test]
fn both_entries_differ_by_their_path_alone() {
    let attr = quote!(topic = "swaps", id = 1);
    let core = expanded(parse_quote!(::mycelium_core), attr.clone(), swap());
    let user = expanded(parse_quote!(::mycelium::__private::core), attr, swap());
    let short = ":: mycelium :: __private :: core";
    assert!(user.contains(short) && !core.contains("mycelium ::"));
    let user = user.replace(short, ":: mycelium_core");
    let user = user.replace("::mycelium::__private::core", "::mycelium_core");
    assert_eq!(user, core);
}

#[test]
fn derives_of_the_user_are_not_repeated() {
    let item = quote! {
        #[derive(Clone, Copy, zerocopy::FromBytes)]
        #[repr(C)]
        struct Level { price: u64 }
    };
    let code = expanded(parse_quote!(::root), TokenStream::new(), item);
    assert_eq!(code.matches("Clone").count(), 1);
    assert_eq!(code.matches("TryFromBytes").count(), 0, "FromBytes writes it");
    assert_eq!(code.matches("repr").count(), 1);
    assert!(!code.contains("TOPIC"), "it is not a message");
}

#[test]
fn an_error_keeps_the_type_and_adds_the_reason() {
    let code = expand_or_explain(parse_quote!(::root), quote!(id = 1), swap()).to_string();
    assert!(code.contains("struct Swap") && code.contains("compile_error"));
    assert!(!code.contains("impl"));
}

#[test]
fn nothing_that_parses_makes_it_panic() {
    let arguments = [quote!(), quote!(topic), quote!(topic = 1), quote!(id = "a"), quote!(=, id())];
    let items = [
        quote!(),
        quote!(union U { a: u8 }),
        quote!(
            struct S<const N: usize>([u8; N]);
        ),
        quote!(
            #[repr]
            struct S {
                a: u8,
            }
        ),
        quote!(
            #[repr(C(1), "x")]
            struct S {
                a: u8,
            }
        ),
        quote!(
            #[derive]
            struct S {
                a: u8,
            }
        ),
        quote!(
            #[derive("x")]
            #[repr(u8)]
            enum E {
                A,
            }
        ),
        quote!(
            struct S {
                a: impl Fn(),
                b: !,
                c: dyn Send,
                d: <u8 as T>::X,
                e: m!(),
            }
        ),
        quote!(
            enum E {}
        ),
        quote!(
            #[repr(u8)]
            enum E {
                A = f(),
                B = -1,
            }
        ),
    ];
    for attr in &arguments {
        for item in &items {
            expand_or_explain(parse_quote!(::root), attr.clone(), item.clone());
        }
    }
}
