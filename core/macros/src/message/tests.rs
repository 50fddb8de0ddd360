//! Tests of the tokens of an expansion. `core/tests` tests its visible behaviour.

use quote::{ToTokens, quote};
use syn::{Attribute, parse_quote};

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

#[test]
fn e4_the_same_source_expands_to_the_same_code() {
    let attr = || quote!(topic = "swaps", id = 1);
    let once = || expand(parse_quote!(::root), attr(), swap()).unwrap().to_string();
    let first = once();
    (0..16).for_each(|_| assert_eq!(once(), first));
    let at = |name: &str| first.find(&format!("\"{name}\"")).expect(name);
    assert!(at("price") < at("type") && at("type") < at("amounts"), "in the order of declaration");
}

#[test]
fn debug_of_another_crate_is_left_alone() {
    for (derive, is_taken) in [
        (quote!(Debug), true),
        (quote!(fmt::Debug), true),
        (quote!(::core::fmt::Debug), true),
        (quote!(std::fmt::Debug), true),
        (quote!(derive_more::Debug), false),
        (quote!(other::fmt::Debug), false),
    ] {
        let mut attrs: Vec<Attribute> = vec![parse_quote!(#[derive(Eq, #derive, Hash)])];
        assert_eq!(derives::take_debug(&mut attrs).unwrap(), is_taken, "{derive}");
        let left = attrs[0].to_token_stream().to_string();
        assert_eq!(left.contains("Debug"), !is_taken, "{derive}");
        assert!(left.contains("Eq") && left.contains("Hash"));
    }
}

#[test]
fn nothing_that_parses_makes_it_panic() {
    let parsed = |text: &str| text.parse::<TokenStream>().unwrap();
    for attr in ["", "topic", "topic = 1", "id = \"a\"", "=, id()"] {
        for item in [
            "",
            "union U { a: u8 }",
            "struct S<const N: usize>([u8; N]);",
            "#[repr] struct S { a: u8 }",
            "#[repr(C(1), \"x\")] struct S { a: u8 }",
            "#[derive] struct S { a: u8 }",
            "#[derive(\"x\")] #[repr(u8)] enum E { A }",
            "struct S { a: impl Fn(), b: !, c: dyn Send, d: <u8 as T>::X, e: m!() }",
            "enum E {}",
            "#[repr(u8)] enum E { A = f(), B = -1 }",
        ] {
            expand_or_explain(parse_quote!(::root), parsed(attr), parsed(item));
        }
    }
}
