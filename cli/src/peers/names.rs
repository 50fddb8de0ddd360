//! The text about an unknown name.

/// The most names in a text; longer lists are cut.
const LISTED: usize = 10;

/// Returns the known name that was probably meant.
pub(crate) fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let limit = name.chars().count().max(3) / 3;
    let distances = known.iter().map(|known| (strsim::osa_distance(name, known), known));
    let nearest = distances.filter(|(distance, _)| *distance <= limit);
    nearest.min_by_key(|(distance, _)| *distance).map(|(_, known)| known.as_str())
}

/// Returns the known names, escaped. If there are many: the nearest ones, and the number of the
/// others.
pub(crate) fn listed(name: &str, known: &[String]) -> String {
    let mut known: Vec<&String> = known.iter().collect();
    let more = known.len().saturating_sub(LISTED);
    if more > 0 {
        known.sort_by_cached_key(|known| strsim::osa_distance(name, known));
        known.truncate(LISTED);
    }
    let list = known.iter().map(|it| it.escape_debug().to_string()).collect::<Vec<_>>();
    let list = list.join(", ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}

/// Says that one of `known` was expected in place of `name`.
pub(crate) fn expected(name: &str, known: &[String]) -> String {
    match nearest(name, known) {
        Some(nearest) => format!("did you mean `{}`?", nearest.escape_debug()),
        None => format!("expected one of: {}", listed(name, known)),
    }
}
