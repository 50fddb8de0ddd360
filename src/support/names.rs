//! The text about an unknown name: the nearest name, and the existing names.

/// The maximum number of names in a text; longer lists are truncated.
const LISTED: usize = 13;

/// Returns the text that one of `known` was expected instead of `name`.
pub(crate) fn expected_instead_of(name: &str, known: &[impl AsRef<str>]) -> String {
    let mut list: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    let more = list.len().saturating_sub(LISTED);
    let nearest = nearest(name, &list);
    list.truncate(LISTED);
    let mut list = list.join(", ");
    if more > 0 {
        list = format!("{list} and {more} more");
    }
    match nearest {
        _ if list.is_empty() => "there is none".to_owned(),
        Some(nearest) => format!("did you mean `{nearest}`? (expected one of: {list})"),
        None => format!("expected one of: {list}"),
    }
}

/// Returns the name that was probably meant: at most a third of its letters differ, as in rustc,
/// and not all of them.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = simple(name);
    let distances = known.iter().map(|known| (strsim::osa_distance(&name, &simple(known)), *known));
    let length = name.chars().count();
    let limit = (length.max(3) / 3).min(length.saturating_sub(1));
    let (_, nearest) = distances
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)?;
    Some(nearest)
}

/// Returns the name in lower case and with one kind of dash, to ignore these differences.
fn simple(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::expected_instead_of;

    #[test]
    fn the_nearest_name_is_suggested_if_one_is_near() {
        let known = ["Feed", "Sum", "max_restarts", "y"];
        let list = "expected one of: Feed, Sum, max_restarts, y";
        for (name, nearest) in
            [("Summ", "Sum"), ("sum", "Sum"), ("Fede", "Feed"), ("max-restart", "max_restarts")]
        {
            let expected = format!("did you mean `{nearest}`? ({list})");
            assert_eq!(expected_instead_of(name, &known), expected);
        }
        for name in ["", "x", "Total", "ed"] {
            assert_eq!(expected_instead_of(name, &known), list);
        }
        assert_eq!(expected_instead_of("Sum", &[""; 0]), "there is none");
    }

    #[test]
    fn a_long_list_is_cut_and_the_nearest_is_found_behind_the_cut() {
        let known: Vec<String> = (10..40).map(|number| format!("topic{number}")).collect();
        let expected = expected_instead_of("topik39", &known);
        let start = "did you mean `topic39`? (expected one of: topic10, topic11, ";
        assert!(expected.starts_with(start), "{expected}");
        assert!(expected.ends_with(", topic21, topic22 and 17 more)"), "{expected}");
    }
}
