//! `explain`: what an error means, and what to do about it.

mod pages;

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use mycelium::Code;

use crate::exit::Failure;
use crate::terminal;
pub use pages::{Found, Mistake, Page, Pages};

/// The most results of a search that are listed.
const MOST: usize = 20;

/// The arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A code (`M0105`, `m105` or `105`), or a part of the text of an error.
    #[arg(required_unless_present = "list", conflicts_with = "list", num_args = 1..)]
    error: Vec<String>,
    /// List all codes.
    #[arg(long)]
    list: bool,
    /// How the result is printed.
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = Form::Text)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Text for people.
    Text,
    /// An array of objects in one line.
    Json,
}

/// Explains an error.
///
/// # Errors
/// If there is no such code, or no error has the text.
pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let pages = Pages::of_this_version();
    let found: Vec<_> = match args.list {
        true => pages.all().iter().map(Found::Page).collect(),
        false => search(&pages, &args.error.join(" "))?,
    };
    let text = match args.output {
        Form::Json => json(&found)?,
        Form::Text => text(&found, args.list),
    };
    io::stdout().write_all(text.as_bytes()).map_err(Failure::output)
}

fn search<'p>(pages: &'p Pages, asked: &str) -> Result<Vec<Found<'p>>, Failure> {
    // As errors have it, in brackets.
    let asked = asked.trim();
    let inner = asked.strip_prefix('[').and_then(|asked| asked.strip_suffix(']'));
    let asked = inner.unwrap_or(asked);
    let code = asked.parse().ok().or_else(|| code_in(asked));
    if let Some(page) = code.and_then(|code| pages.of(code)) {
        return Ok(vec![Found::Page(page)]);
    }
    let digits = asked.strip_prefix(['M', 'm']).unwrap_or(asked);
    let shown = asked.escape_debug();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let text = format!("unknown code `{shown}`: expected one of `mycelium explain --list`");
        return Err(Failure::Usage(text));
    }
    let found = pages.with(asked);
    if !found.is_empty() {
        return Ok(found);
    }
    let nearest = pages.nearest(asked).into_iter();
    let nearest: Vec<_> = nearest.map(|page| format!("{} ({})", page.code, page.meaning)).collect();
    let hint = match &*nearest {
        [] => "try fewer words, or look into `mycelium explain --list`".to_owned(),
        nearest => format!("the nearest are {}", nearest.join(", ")),
    };
    Err(Failure::Usage(format!("no error has the text `{shown}`: {hint}")))
}

/// The code in the text of an error: in brackets, wherever a line of a log has it.
fn code_in(text: &str) -> Option<Code> {
    let ends = text.match_indices(']').map(|(end, bracket)| end + bracket.len());
    ends.filter_map(|end| Code::at_end(&text[..end])).next_back()
}

fn json(found: &[Found<'_>]) -> Result<String, Failure> {
    let values = found.iter().map(|found| match found {
        Found::Page(page) => serde_json::to_value(page),
        Found::Mistake(mistake) => serde_json::to_value(mistake),
    });
    let values: Result<Vec<_>, _> = values.collect();
    let values = values.map_err(|error| Failure::output(error.into()))?;
    Ok(format!("{}\n", serde_json::Value::Array(values)))
}

fn text(found: &[Found<'_>], is_list: bool) -> String {
    let (width, has_colours) = (terminal::width(), terminal::has_colours());
    let bold = |text: &str| match has_colours {
        true => format!("\x1b[1m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    match found {
        [Found::Page(page)] if !is_list => explained(page, width, &bold),
        [Found::Mistake(mistake)] => {
            format!("{}\n\n{}", bold(&mistake.title), shown(mistake, width, &bold))
        }
        _ => {
            let most = if is_list { found.len() } else { MOST };
            let lines = found.iter().take(most).map(|found| match found {
                Found::Page(page) => format!("{}  {}\n", bold(&page.code), page.meaning),
                Found::Mistake(mistake) => format!("compiler  {}\n", mistake.title),
            });
            let mut text: String = lines.collect();
            if found.len() > most {
                text.push_str(&format!("and {} more\n", found.len() - most));
            }
            text
        }
    }
}

fn explained(page: &Page, width: usize, bold: &dyn Fn(&str) -> String) -> String {
    let mut text = format!("{}\n\n", bold(&format!("{}: {}", page.code, page.meaning)));
    text.push_str(&terminal::wrapped(&page.message, width, "    "));
    for (title, paragraph) in [("", &page.happened), ("Why", &page.why), ("Instead", &page.instead)]
    {
        text.push('\n');
        if !title.is_empty() {
            text.push_str(&format!("{}\n", bold(title)));
        }
        text.push_str(&terminal::wrapped(paragraph, width, ""));
    }
    for mistake in &page.mistakes {
        let title = bold(&format!("For example: {}", mistake.title));
        text.push_str(&format!("\n{title}\n{}", shown(mistake, width, bold)));
    }
    text
}

fn shown(mistake: &Mistake, width: usize, bold: &dyn Fn(&str) -> String) -> String {
    // The lines of a compiler's message are a picture.
    let is_picture = mistake.message.contains("\n --> ");
    let message: String = match is_picture {
        true => mistake.message.lines().map(|line| format!("    {line}\n")).collect(),
        false => {
            mistake.message.lines().map(|line| terminal::wrapped(line, width, "    ")).collect()
        }
    };
    let instead = format!("{}: {}", bold("Instead"), mistake.instead);
    format!("{message}{}", terminal::wrapped(&instead, width, ""))
}
