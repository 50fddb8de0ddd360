//! Properties of the tokens of an expansion. `core/tests` tests what users see of it.

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
fn an_error_takes_the_place_of_the_type() {
    let code = expand_or_explain(parse_quote!(::root), quote!(id = 1), swap()).to_string();
    assert_eq!(code.matches("compile_error").count(), 1);
    assert!(code.contains("pub use __mycelium_refused_Swap :: Swap"), "no error where it is used");
    assert!(!code.contains("struct") && !code.contains("impl"));
    let function = expand_or_explain(
        parse_quote!(::root),
        quote!(),
        quote!(
            fn f() {}
        ),
    );
    assert!(function.to_string().contains("fn f"), "any other item stays");
}

#[test]
fn each_wrong_field_is_an_error() {
    let item = quote!(
        struct S {
            a: String,
            b: u8,
            c: Option<u8>,
            #[cfg(test)]
            d: u8,
        }
    );
    let code = expand_or_explain(parse_quote!(::root), quote!(), item).to_string();
    assert_eq!(code.matches("compile_error").count(), 3);
}

#[test]
fn padding_is_in_no_constructor_and_in_no_debug() {
    let code = expanded(parse_quote!(::root), quote!(topic = "swaps", id = 1, pad), swap());
    assert_eq!(
        code.matches("const fn new (price : u64 , r#type : u32 , amounts : [u16 ; 2])").count(),
        1
    );
    assert_eq!(code.matches("derive (").count(), 1, "`Debug` is not derived");
    let shown = ". field (\"price\" , & self . price) . field (\"type\" , & self . r#type) \
                 . field (\"amounts\" , & self . amounts) . finish ()";
    assert!(code.contains(shown), "{code}");
    let plain = expanded(parse_quote!(::root), quote!(topic = "swaps", id = 1), swap());
    assert!(!plain.contains("Pad") && plain.contains("# [derive (Debug)]"));
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
fn source_is_as_a_user_writes_it() {
    for text in [
        "pub(crate)",
        "FixedVec<Level, 4>",
        "FixedVec<::core::primitive::u8, { LEVELS }>",
        "[[u8; 4]; 2]",
        "topic = \"swaps\", id = 0xffff",
    ] {
        assert_eq!(source(&text.parse::<TokenStream>().unwrap()), text);
    }
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
