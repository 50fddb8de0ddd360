//! Detects types that a message cannot have, by their tokens.
//!
//! An unrecognised type, such as an alias, still lacks the trait `Field`, and the compiler refuses
//! it. This check reports the type earlier, and says what to write instead.

use syn::{Error, GenericArgument, PathArguments, PathSegment, Result, Type};

use super::source::source;

/// Refuses types that a message cannot have, also in array items and in arguments of paths, such as
/// `FixedVec<usize, 4>`. `field` is the name of the field.
pub(super) fn refuse_unsuitable(field: &str, ty: &Type) -> Result<()> {
    let instead = match ty {
        Type::Array(array) => return refuse_unsuitable(field, &array.elem),
        Type::Group(group) => return refuse_unsuitable(field, &group.elem),
        Type::Paren(paren) => return refuse_unsuitable(field, &paren.elem),
        Type::Path(path) => match path.path.segments.last() {
            Some(last) => match instead_of(last) {
                Some(instead) => instead,
                None => return refuse_arguments(field, &last.arguments),
            },
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
        Type::Tuple(tuple) if tuple.elems.is_empty() => {
            "`()` has no bytes: remove the field".to_owned()
        }
        Type::Tuple(tuple) => {
            return tuple.elems.iter().try_for_each(|item| refuse_unsuitable(field, item));
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

fn refuse_arguments(field: &str, arguments: &PathArguments) -> Result<()> {
    arguments_of(arguments).try_for_each(|ty| refuse_unsuitable_item(field, ty))
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

/// Refuses types that a list cannot have as items. Items have no alignment, so `u128` is allowed.
fn refuse_unsuitable_item(field: &str, ty: &Type) -> Result<()> {
    match ty {
        Type::Path(path) if path.path.is_ident("u128") || path.path.is_ident("i128") => Ok(()),
        _ => refuse_unsuitable(field, ty),
    }
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
            "the order of a `HashMap` differs between processes: use `BTreeMap<{item}, {}>`",
            items.next().unwrap_or_else(|| "V".to_owned())
        ),
        "Box" | "Arc" if item == "str" => return None,
        "Box" | "Rc" | "Arc" | "Cow" | "Cell" | "RefCell" | "Mutex" => format!(
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
