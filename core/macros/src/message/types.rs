//! Types that a message cannot have, recognised by their tokens.
//!
//! A type that is not recognised, such as an alias, still lacks the trait `Field`, and the compiler
//! refuses it. This check reports it earlier, and says what to write instead.

use syn::{Error, GenericArgument, PathArguments, Result, Type};

/// Also checks items of arrays and arguments of paths, as in `FixedVec<usize, 4>`.
pub(super) fn refuse_unsuitable(ty: &Type) -> Result<()> {
    let instead = match ty {
        Type::Array(array) => return refuse_unsuitable(&array.elem),
        Type::Group(group) => return refuse_unsuitable(&group.elem),
        Type::Paren(paren) => return refuse_unsuitable(&paren.elem),
        Type::Path(path) => match path.path.segments.last() {
            Some(last) => match unsuitable_name(&last.ident.to_string()) {
                Some(instead) => instead,
                None => return refuse_arguments(&last.arguments),
            },
            None => return Ok(()),
        },
        Type::Reference(_) => {
            "a message holds no references, as they mean nothing in another process: use \
             `FixedStr<N>`, `FixedVec<T, N>` or the value itself"
        }
        Type::Ptr(_) | Type::BareFn(_) => {
            "a message holds no pointers, as they mean nothing in another process"
        }
        Type::Tuple(_) => "a tuple has no fixed layout: use a struct with #[message]",
        Type::Slice(_) => "a message has a fixed size: use `FixedVec<T, N>` or `[T; N]`",
        _ => return Ok(()),
    };
    Err(Error::new_spanned(ty, instead))
}

fn refuse_arguments(arguments: &PathArguments) -> Result<()> {
    if let PathArguments::AngleBracketed(arguments) = arguments {
        for argument in &arguments.args {
            if let GenericArgument::Type(ty) = argument {
                refuse_unsuitable_item(ty)?;
            }
        }
    }
    Ok(())
}

/// Items of a list have no alignment, so `u128` is allowed there.
fn refuse_unsuitable_item(ty: &Type) -> Result<()> {
    match ty {
        Type::Path(path) if path.path.is_ident("u128") || path.path.is_ident("i128") => Ok(()),
        _ => refuse_unsuitable(ty),
    }
}

fn unsuitable_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "String" | "str" | "OsString" | "PathBuf" | "CString" => {
            "a message has a fixed size: use `FixedStr<N>` for text"
        }
        "Vec" | "VecDeque" | "HashSet" | "BTreeSet" => {
            "a message has a fixed size: use `FixedVec<T, N>` for a list"
        }
        "HashMap" | "BTreeMap" => {
            "a message has a fixed size: use a `FixedVec` of structs with a key and a value"
        }
        "Box" | "Rc" | "Arc" | "Cow" | "Cell" | "RefCell" | "Mutex" => {
            "a message holds no pointers, as they mean nothing in another process: use the value \
             itself"
        }
        "usize" => "`usize` differs between hosts: use `u64` or `u32`",
        "isize" => "`isize` differs between hosts: use `i64` or `i32`",
        "char" => "use `u32` for a character, or `FixedStr<4>`",
        "Option" => {
            "an `Option` has no fixed layout: use a flag and a value, or a `FixedVec<T, 1>`"
        }
        "u128" => "a message is aligned to 8 bytes at most, `u128` to 16: use `[u64; 2]`",
        "i128" => "a message is aligned to 8 bytes at most, `i128` to 16: use `[u64; 2]`",
        "Duration" | "Instant" | "SystemTime" => {
            "times have no fixed layout: use `u64` nanoseconds"
        }
        _ => return None,
    })
}
