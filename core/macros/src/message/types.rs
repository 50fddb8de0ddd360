//! Detects types that a message cannot have, by their tokens.
//!
//! An unrecognised type, such as an alias, still lacks the trait `Field`, and the compiler refuses
//! it. This check reports the type earlier, and says what to write instead.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::{
    Error, GenericArgument, Ident, Path, PathArguments, PathSegment, Result, Type, spanned::Spanned,
};

use super::source::{plain_name, source};

/// Returns the type as a `Field`. An error about it points to the type, not to the attribute.
pub(super) fn as_field(root: &Path, ty: &Type) -> TokenStream {
    quote_spanned!(ty.span() => <#ty as #root::Field>)
}

/// Returns the items of a list of bytes or numbers, as far as its tokens show: another type may
/// have the same name.
pub(super) fn item_of_list(ty: &Type) -> Option<Ident> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    match last.ident.to_string().as_str() {
        "Bytes" => Some(Ident::new("u8", last.span())),
        "Vec" => arguments_of(&last.arguments).find_map(|item| match item {
            Type::Path(item) => item.path.get_ident().filter(|item| is_number(item)).cloned(),
            _ => None,
        }),
        _ => None,
    }
}

fn is_number(ty: &Ident) -> bool {
    const NUMBERS: [&str; 10] =
        ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f32", "f64"];
    NUMBERS.iter().any(|number| ty == number)
}

/// Refuses types that a message cannot have, also in array items and in arguments of paths, such as
/// `FixedVec<usize, 4>`. `of` is the name of the message.
pub(super) fn refuse_unsuitable(of: &Ident, ty: &Type) -> Result<()> {
    let instead = match ty {
        Type::Array(array) => return refuse_unsuitable(of, &array.elem),
        Type::Group(group) => return refuse_unsuitable(of, &group.elem),
        Type::Paren(paren) => return refuse_unsuitable(of, &paren.elem),
        Type::Path(path) if path.path.is_ident(of) || path.path.is_ident("Self") => format!(
            "`{}` contains itself, but a message has a bounded depth: keep all items in one \
             `Vec`, and refer to another item by its index in it, a `u32`",
            plain_name(of)
        ),
        Type::Path(path) => match path.path.segments.last() {
            Some(last) => {
                refuse_arguments(of, last)?;
                match instead_of(last) {
                    Some(instead) => instead,
                    None => return Ok(()),
                }
            }
            None => return Ok(()),
        },
        Type::Reference(reference) => match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => {
                "a message holds no references, as they mean nothing in another process: use \
                 `String` for text"
                    .to_owned()
            }
            Type::Slice(_) => "a message holds no references, as they mean nothing in another \
                               process: use `Vec<T>`"
                .to_owned(),
            _ => "a message holds no references, as they mean nothing in another process: use the \
                  value itself"
                .to_owned(),
        },
        Type::Ptr(_) | Type::BareFn(_) => {
            "a message holds no pointers, as they mean nothing in another process: use the value \
             itself"
                .to_owned()
        }
        Type::Tuple(tuple) if tuple.elems.is_empty() => "`()` has no bytes: remove it".to_owned(),
        Type::Tuple(tuple) => {
            return tuple.elems.iter().try_for_each(|item| refuse_unsuitable(of, item));
        }
        Type::Slice(_) => "a field has a size: use `Vec<T>`".to_owned(),
        Type::Never(_) | Type::TraitObject(_) | Type::ImplTrait(_) | Type::Infer(_) => {
            "a field of a message has one type: use a number, `bool`, `String`, `Vec<T>`, \
             `Option<T>`, or a type of yours with #[message]"
                .to_owned()
        }
        _ => return Ok(()),
    };
    Err(Error::new_spanned(ty, instead))
}

/// Items of a `FixedVec` have no alignment, so `u128` is allowed there.
fn refuse_arguments(of: &Ident, segment: &PathSegment) -> Result<()> {
    let is_allowed =
        |ty: &Type| segment.ident == "FixedVec" && matches!(&*source(ty), "u128" | "i128");
    let mut items = arguments_of(&segment.arguments).filter(|ty| !is_allowed(ty));
    items.try_for_each(|ty| refuse_unsuitable(of, ty))
}

fn arguments_of(arguments: &PathArguments) -> impl Iterator<Item = &Type> {
    let arguments = match arguments {
        PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
        _ => None,
    };
    arguments.into_iter().flatten().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// Returns what to write instead of a type with arguments. (A user type may have such a name, but
/// then without arguments.)
fn instead_of(segment: &PathSegment) -> Option<String> {
    let name = segment.ident.to_string();
    // The item type, for the suggestion.
    let mut items = arguments_of(&segment.arguments).map(source);
    let Some(item) = items.next() else { return instead_of_plain(&name) };
    Some(match &*name {
        "VecDeque" | "HashSet" | "BTreeSet" | "LinkedList" => {
            format!("a message has lists in one form: use `Vec<{item}>`")
        }
        "HashMap" => format!(
            "the order of a `HashMap` differs between processes: use `BTreeMap<{item}, {}>`, or let \
             serde encode the type: `codec = \"postcard\"`",
            items.next().unwrap_or_else(|| "V".to_owned())
        ),
        "Box" | "Arc" if item == "str" => return None,
        "Rc" | "Cow" if item == "str" => {
            "a message has text in one form: use `String`, `Box<str>` or `Arc<str>`".to_owned()
        }
        "Box" | "Rc" | "Arc" | "Cow" | "Cell" | "RefCell" | "Mutex" | "RwLock" => format!(
            "a message holds no pointers and no locks, as they mean nothing in another process: \
             use the value itself, `{item}`"
        ),
        "Result" => {
            "a message has no `Result`: use an enum of yours with #[message], with one variant for \
             each outcome"
                .to_owned()
        }
        _ => return None,
    })
}

fn instead_of_plain(name: &str) -> Option<String> {
    Some(match name {
        "OsString" | "PathBuf" | "CString" => {
            "a message has text in one form: use `String`".to_owned()
        }
        "usize" => "`usize` differs between hosts: use `u64` or `u32`".to_owned(),
        "isize" => "`isize` differs between hosts: use `i64` or `i32`".to_owned(),
        "u128" | "i128" => {
            let instead = name.to_uppercase();
            format!("a message is aligned to 8 bytes at most, `{name}` to 16: use `{instead}`")
        }
        "Instant" | "SystemTime" => {
            "a point in time differs between hosts: use `u64` nanoseconds since 1970, or a \
             `Duration`"
                .to_owned()
        }
        _ => return None,
    })
}
