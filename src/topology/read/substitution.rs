//! Environment variables in the texts of a topology: `${NAME}`, and `${NAME:-default}` with a
//! default for an unset or empty variable. `$$` is a dollar sign.

use std::ffi::OsString;

use mycelium_core::Code;

use crate::topology::error::Problem;

/// Returns the values of variables.
pub(crate) trait Environment {
    /// Returns the value of a variable, if it is set.
    fn variable(&self, name: &str) -> Option<OsString>;
}

impl<F: Fn(&str) -> Option<OsString>> Environment for F {
    fn variable(&self, name: &str) -> Option<OsString> {
        self(name)
    }
}

/// Returns the text with the values of its variables, or `None` if it has no variable.
///
/// The value of a variable is used unchanged: a `$` in it has no special meaning.
pub(crate) fn substitute(
    text: &str,
    environment: &dyn Environment,
) -> Result<Option<String>, Problem> {
    if !text.contains('$') {
        return Ok(None);
    }
    let (mut result, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        rest = match after.strip_prefix('$') {
            Some(rest) => {
                result.push('$');
                rest
            }
            None => {
                let inner = after.strip_prefix('{').and_then(|after| after.split_once('}'));
                let Some((inner, rest)) = inner else { return Err(invalid(after)) };
                result.push_str(&value(inner, environment)?);
                rest
            }
        };
    }
    result.push_str(rest);
    Ok(Some(result))
}

/// Returns the value of `NAME` or `NAME:-default`.
fn value(inner: &str, environment: &dyn Environment) -> Result<String, Problem> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let is_name = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && name.starts_with(|first: char| !first.is_ascii_digit());
    if !is_name || default.is_some_and(|default| default.contains('$')) {
        return Err(invalid(&format!("{{{inner}}}")));
    }
    let set = environment.variable(name).map(OsString::into_string).transpose();
    let set =
        set.map_err(|_| wrong(format!("the variable `{name}` of the environment is not UTF-8")))?;
    match (set, default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(wrong(format!(
            "the environment has no variable `{name}`: set it, or write a default, such as \
             `${{{name}:-default}}`"
        ))),
    }
}

/// Returns the error of a `$` that is followed by this text.
fn invalid(after: &str) -> Problem {
    let end = match after.strip_prefix('{') {
        Some(inner) => inner.find('}').map_or(after.len(), |end| end + 2),
        None => {
            let first = after.chars().next().map_or(0, char::len_utf8);
            let is_end = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '_');
            after.find(is_end).unwrap_or(after.len()).max(first)
        }
    };
    let found = after[..end].escape_debug();
    wrong(format!(
        "invalid variable `${found}`: expected `${{NAME}}` or `${{NAME:-default}}` with a default \
         without `$`, or `$$` for a dollar sign"
    ))
}

fn wrong(text: String) -> Problem {
    Problem::new(Code::TOPOLOGY_VARIABLE, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<String, String> {
        let variable = |name: &str| match name {
            "PORT" => Some("7400".into()),
            "EMPTY" => Some("".into()),
            "DOLLAR" => Some("${PORT}".into()),
            _ => None,
        };
        let substituted = substitute(text, &variable).map_err(|problem| problem.text)?;
        Ok(substituted.unwrap_or_else(|| text.to_owned()))
    }

    #[test]
    fn variables_and_defaults_are_put_in() {
        for (text, expected) in [
            ("", ""),
            ("plain } {", "plain } {"),
            ("${PORT}", "7400"),
            ("a:${PORT}-${PORT}!", "a:7400-7400!"),
            ("${EMPTY}", ""),
            ("${EMPTY:-8}", "8"),
            ("${PORT:-8}", "7400"),
            ("${NONE:-8}", "8"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b {c}", "a:-b {c"),
            ("$$", "$"),
            ("$${PORT}", "${PORT}"),
            ("$$$${PORT}$$", "$${PORT}$"),
            ("$$${PORT}", "$7400"),
            // Variables in the value of a variable are not replaced.
            ("${DOLLAR}", "${PORT}"),
            ("größe ${PORT}", "größe 7400"),
        ] {
            assert_eq!(of(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_variable_is_an_error() {
        let expected = "expected `${NAME}` or `${NAME:-default}` with a default without `$`, or \
                        `$$` for a dollar sign";
        for (text, found) in [
            ("$", "$"),
            ("$PORT-1", "$PORT"),
            ("$ü", "$ü"),
            ("a $ b", "$ "),
            ("a$", "$"),
            ("${", "${"),
            ("${PORT", "${PORT"),
            ("${}", "${}"),
            ("${:-8}", "${:-8}"),
            ("${1}", "${1}"),
            ("${a-b}", "${a-b}"),
            ("${PORT:8}", "${PORT:8}"),
            ("${PORT} ${NONE:-${PORT}}", "${NONE:-${PORT}"),
            ("$$$", "$"),
        ] {
            let error = of(text).unwrap_err();
            assert_eq!(error, format!("invalid variable `{found}`: {expected}"), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_is_utf_8() {
        use std::os::unix::ffi::OsStringExt;

        let variable = |_: &str| Some(OsString::from_vec(vec![0xff]));
        let problem = substitute("${RAW}", &variable).unwrap_err();
        assert_eq!(problem.text, "the variable `RAW` of the environment is not UTF-8");
    }
}
