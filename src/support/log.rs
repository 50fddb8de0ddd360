//! Log lines of the runtime and of services, and `init`, which prints them with suitable defaults.
//!
//! Lines go to `tracing`. A program that has never set a `tracing` subscriber still sees errors and
//! warnings: `warn!` and `error!` then print one plain line to standard error. Without the feature
//! `tracing` they always do, and `info!` and `debug!` do nothing. The first field of a line is its
//! subject:
//!
//! ```text
//! warn!(service = name, ?pause, %error, %code, "the service failed and will be restarted");
//! mycelium: warning: service `Sum` failed and will be restarted (pause=120ms): no such file [M0054]
//! ```
//!
//! Panic contract: no field and no broken standard error causes a panic in this module.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use mycelium_core::Code;

/// Logs a warning; to standard error if there is no `tracing` subscriber.
macro_rules! warn_line {
    ($($line:tt)+) => { $crate::support::log::line!(warn, "warning", $($line)+) };
}

/// Logs an error; to standard error if there is no `tracing` subscriber.
macro_rules! error_line {
    ($($line:tt)+) => { $crate::support::log::line!(error, "error", $($line)+) };
}

/// Logs an event, for programs that set a `tracing` subscriber.
macro_rules! info_line {
    ($($line:tt)+) => { $crate::support::log::quiet!(info, $($line)+) };
}

/// Logs details, for programs that set a `tracing` subscriber.
macro_rules! debug_line {
    ($($line:tt)+) => { $crate::support::log::quiet!(debug, $($line)+) };
}

/// Logs a line that is not printed without a `tracing` subscriber.
macro_rules! quiet {
    ($level:ident, $($line:tt)+) => {{
        #[cfg(feature = "tracing")]
        ::tracing::$level!($($line)+);
        // Never runs: only uses the same values; the compiler removes it.
        #[cfg(not(feature = "tracing"))]
        if false {
            let mut plain = $crate::support::log::PlainLine::default();
            $crate::support::log::fields!(plain, $($line)+);
        }
    }};
}

macro_rules! line {
    ($level:ident, $name:literal, $($line:tt)+) => {{
        #[cfg(feature = "tracing")]
        ::tracing::$level!($($line)+);
        if !$crate::support::log::has_subscriber() {
            let mut plain = $crate::support::log::PlainLine::default();
            $crate::support::log::fields!(plain, $($line)+);
            plain.print($name);
        }
    }};
}

/// Parses the fields of a line as `tracing` does: `key = value`, `%value` for `Display`, `?value`
/// for `Debug`, a variable by its name, and a text at the end.
macro_rules! fields {
    ($plain:ident, $key:ident = % $value:expr, $($rest:tt)+) => {
        $plain.field(stringify!($key), format_args!("{}", $value));
        $crate::support::log::fields!($plain, $($rest)+);
    };
    ($plain:ident, $key:ident = ? $value:expr, $($rest:tt)+) => {
        $plain.field(stringify!($key), format_args!("{:?}", $value));
        $crate::support::log::fields!($plain, $($rest)+);
    };
    ($plain:ident, $key:ident = $value:expr, $($rest:tt)+) => {
        $plain.field(stringify!($key), format_args!("{}", $value));
        $crate::support::log::fields!($plain, $($rest)+);
    };
    ($plain:ident, % $key:ident, $($rest:tt)+) => {
        $crate::support::log::fields!($plain, $key = % $key, $($rest)+);
    };
    ($plain:ident, ? $key:ident, $($rest:tt)+) => {
        $crate::support::log::fields!($plain, $key = ? $key, $($rest)+);
    };
    ($plain:ident, $key:ident, $($rest:tt)+) => {
        $crate::support::log::fields!($plain, $key = $key, $($rest)+);
    };
    ($plain:ident, $($text:tt)+) => {
        $plain.text(format_args!($($text)+));
    };
}

// Renamed here, because `warn` is also the name of an attribute.
pub(crate) use {
    debug_line as debug, error_line as error, fields, info_line as info, line, quiet,
    warn_line as warn,
};

/// Returns whether the program has ever set a `tracing` subscriber.
pub(crate) fn has_subscriber() -> bool {
    #[cfg(feature = "tracing")]
    return tracing::dispatcher::has_been_set();
    #[cfg(not(feature = "tracing"))]
    return false;
}

/// A log line that is printed, because the program has no `tracing` subscriber.
#[derive(Debug, Default)]
pub(crate) struct PlainLine {
    /// The first field: its key and value.
    subject: Option<(&'static str, String)>,
    /// The field `error`.
    error: Option<String>,
    /// The field `code`: the code of an error whose text does not end with it.
    code: Option<String>,
    /// The other fields, as `key=value`.
    details: Vec<String>,
    text: String,
}

impl PlainLine {
    pub(crate) fn field(&mut self, key: &'static str, value: fmt::Arguments<'_>) {
        let value = shown(value);
        match key {
            "error" => self.error = Some(value),
            "code" => self.code = Some(value),
            _ if self.subject.is_none() => self.subject = Some((key, value)),
            // Leaves out the node, unless it is the subject: a program without a `tracing`
            // subscriber rarely has a second node. Also leaves out a value `()`, which has no
            // content.
            "node" => {}
            _ if value == "()" => {}
            _ => self.details.push(format!("{key}={value}")),
        }
    }

    pub(crate) fn text(&mut self, text: fmt::Arguments<'_>) {
        self.text = shown(text);
    }

    /// Prints the line. If standard error is closed, the line is lost.
    pub(crate) fn print(&self, level: &str) {
        let line = format!("mycelium: {level}: {}\n", single_line(&self.to_string()));
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

impl fmt::Display for PlainLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &*self.text;
        match &self.subject {
            Some((_, value)) if text.contains(&format!("`{value}`")) => f.write_str(text)?,
            Some((key, value)) => {
                let predicate = text.strip_prefix("the ").unwrap_or(text).strip_prefix(key);
                // If a name follows, the text is about that name, not about the subject.
                let predicate =
                    predicate.filter(|rest| rest.starts_with(' ') && !rest.starts_with(" `"));
                match predicate {
                    Some(predicate) => write!(f, "{key} `{value}`{predicate}")?,
                    None => write!(f, "{key} `{value}`: {text}")?,
                }
            }
            None => f.write_str(text)?,
        }
        if !self.details.is_empty() {
            write!(f, " ({})", self.details.join(", "))?;
        }
        let error = self.error.as_deref().unwrap_or_default();
        if !error.is_empty() {
            write!(f, ": {error}")?;
        }
        match &self.code {
            Some(code) if Code::at_end(error).is_none() => write!(f, " [{code}]"),
            _ => Ok(()),
        }
    }
}

/// Formats a value. If its `Display` fails, returns the text written so far.
fn shown(value: fmt::Arguments<'_>) -> String {
    let mut text = String::new();
    let _ = text.write_fmt(value);
    text
}

/// Returns a text without control characters: names and errors may be foreign, and must not produce
/// lines of their own.
fn single_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() {
            true => line.extend(letter.escape_debug()),
            false => line.push(letter),
        }
    }
    line
}

/// Prints log lines to standard error: level `info` and above, or the lines that the environment
/// variable `RUST_LOG` selects (`RUST_LOG=warn`, `RUST_LOG=mycelium=debug`). Colours are used only
/// on a terminal. A line that cannot be written (a full disk, a closed pipe) is lost, and the
/// program goes on.
///
/// Sets a `tracing` subscriber. Returns `false`, and changes nothing, if the program has already
/// set one, so a second call is harmless. Programs with other needs set their own subscriber. Needs
/// the feature `logs`.
///
/// ```
/// assert!(mycelium::init(), "the first subscriber of this program");
/// assert!(!mycelium::init(), "there is one");
/// ```
#[cfg(feature = "logs")]
pub fn init() -> bool {
    use std::io::IsTerminal;

    let format = tracing_subscriber::fmt().with_env_filter(filter()).log_internal_errors(false);
    format.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).try_init().is_ok()
}

/// Prints log lines as [`init`] does, but each line is a JSON object: `timestamp`, `level`,
/// `target`, `message`, and the fields of the line. Lines of services have `node` and `service`,
/// and, while a delivery with a trace is handled, `trace_id`, `span_id` and `sequence`
/// ([`Context::info`](crate::Context::info)), so that the lines of a trace can be found by its id
/// in the logs of all processes. Needs the feature `json-logs`.
///
/// ```
/// assert!(mycelium::init_json(), "the first subscriber of this program");
/// assert!(!mycelium::init_json(), "there is one");
/// ```
#[cfg(feature = "json-logs")]
pub fn init_json() -> bool {
    let format = tracing_subscriber::fmt().with_env_filter(filter()).log_internal_errors(false);
    let format = format.json().flatten_event(true).with_current_span(false).with_span_list(false);
    format.with_writer(io::stderr).try_init().is_ok()
}

/// Returns the levels of `RUST_LOG`, or `info` and above.
#[cfg(feature = "logs")]
fn filter() -> tracing_subscriber::EnvFilter {
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::filter::LevelFilter;

    EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::PlainLine;

    /// Returns the line that results from the arguments of a log macro.
    macro_rules! shown {
        ($($line:tt)+) => {{
            let mut plain = PlainLine::default();
            super::fields!(plain, $($line)+);
            plain.to_string()
        }};
    }

    #[test]
    fn a_line_has_its_subject_first_and_its_error_last() {
        let (name, error, pause) = ("Sum", "no such file", Duration::from_millis(120));
        let line =
            shown!(service = name, %error, ?pause, "the service failed and will be restarted");
        let expected = "service `Sum` failed and will be restarted (pause=120ms): no such file";
        assert_eq!(line, expected);
        let code = "M0054";
        let line = shown!(service = name, %error, %code, "the service failed");
        assert_eq!(line, "service `Sum` failed: no such file [M0054]");
        let error = "no such file [M0101]";
        let line = shown!(service = name, %code, %error, "the service failed");
        assert_eq!(line, "service `Sum` failed: no such file [M0101]");
        assert_eq!(shown!(service = name, "services rest"), "service `Sum`: services rest");
    }

    #[test]
    fn a_line_is_one_line() {
        let line = super::single_line("a\nmycelium: error: b\u{1b}[1m ü");
        assert_eq!(line, "a\\nmycelium: error: b\\u{1b}[1m ü");
    }
}
