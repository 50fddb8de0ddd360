//! The abilities of standard output: how wide it is, and whether it has colours.

use std::env;
use std::io::{self, IsTerminal};

use unicode_width::UnicodeWidthStr;

/// The largest width of a text in columns, because longer lines are hard to read.
const WIDEST: usize = 100;
/// The smallest width of a text in columns: smaller values of a terminal are ignored, because each
/// word would have its own line.
const NARROWEST: usize = 20;

/// Returns the width of texts on standard output, in columns.
pub fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    columns.map_or(WIDEST, |columns| columns.clamp(NARROWEST, WIDEST))
}

/// Returns whether standard output is a terminal, and `NO_COLOR` is not set.
pub fn has_colours() -> bool {
    // The rule of https://no-color.org.
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !no_color
}

/// Returns a text in a style of ANSI terminals, such as 1 (bold) or 31 (red), if there are colours.
pub fn styled(text: &str, style: u8) -> String {
    match has_colours() {
        true => format!("\x1b[{style}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

/// Returns a paragraph in lines that are at most as wide as the terminal, each after `indent`. A
/// word that is longer has a line of its own.
pub fn wrapped(text: &str, indent: &str) -> String {
    let (width, mut lines) = (width(), Vec::<String>::new());
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => *line += &format!(" {word}"),
            _ => lines.push(format!("{indent}{word}")),
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}
