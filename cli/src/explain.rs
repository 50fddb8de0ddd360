//! `explain`: the meaning of an error, and how to mend it. The program contains `docs/errors.md`
//! and `docs/mistakes.md` (likely mistakes, and the errors that they cause), so it explains the
//! errors of its own version.

use clap::{Args, ValueEnum};
use mycelium::error::Code;
use serde::Serialize;

use crate::shared::exit::Failure;
use crate::shared::output::{json, print};
use crate::shared::terminal::{styled, wrapped};

/// The document with an entry for each code.
const ERRORS: &str = include_str!("../pages/errors.md");
/// The document with likely mistakes, and the messages that they cause.
const MISTAKES: &str = include_str!("../pages/mistakes.md");
/// The smallest similarity, from 0 to 1, of a text that is listed as similar.
const ALIKE: f64 = 0.7;
/// The largest number of listed results.
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

/// The entry of a code.
#[derive(Debug, Serialize)]
struct Entry {
    code: String,
    /// The meaning, in one line.
    meaning: &'static str,
    /// The beginning of the message with this code.
    message: String,
    /// What to do.
    instead: String,
    /// A text about all errors of the section.
    general: String,
    /// Mistakes that lead to the error.
    mistakes: Vec<Mistake>,
}

/// A likely mistake, and the message that it causes.
#[derive(Clone, Debug, Serialize)]
struct Mistake {
    title: String,
    /// The message, of the compiler or of the program.
    message: String,
    instead: String,
}

/// An entry or a mistake in which a text was found.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Found<'p> {
    Entry(&'p Entry),
    /// A mistake that the compiler reports.
    Mistake(&'p Mistake),
}

/// Explains an error.
///
/// # Errors
/// If there is no such code, or no error has the text.
pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let (entries, of_compiler) = read(ERRORS, MISTAKES);
    let found: Vec<_> = match args.list {
        true => entries.iter().map(Found::Entry).collect(),
        false => search(&entries, &of_compiler, &args.error.join(" "))?,
    };
    let text = match args.output {
        Form::Json => json(&found)?,
        Form::Text => text(&found, args.list),
    };
    print(&text)
}

/// Reads the entries, and the mistakes without a code, which only the compiler reports.
fn read(errors: &str, mistakes: &str) -> (Vec<Entry>, Vec<Mistake>) {
    let mut entries: Vec<_> = errors.split("\n## ").skip(1).flat_map(section).collect();
    let mut of_compiler = Vec::new();
    for mistake in mistakes.split("\n### ").skip(1).filter_map(mistake) {
        let codes = mistake.message.lines().filter_map(Code::at_end);
        let codes: Vec<_> = codes.map(|code| code.to_string()).collect();
        if codes.is_empty() {
            of_compiler.push(mistake);
            continue;
        }
        for entry in entries.iter_mut().filter(|entry| codes.contains(&entry.code)) {
            entry.mistakes.push(mistake.clone());
        }
    }
    (entries, of_compiler)
}

/// Reads a section of the page of errors: a title, a paragraph, and entries.
fn section(text: &str) -> impl Iterator<Item = Entry> {
    let mut parts = text.split("\n- **");
    let head = parts.next().unwrap_or_default();
    let general = joined(head.split_once('\n').unwrap_or_default().1);
    parts.filter_map(move |part| {
        let (code, text) = part.split_once("** ")?;
        let (message, instead) = text.split_once('\n')?;
        let meaning = code.parse::<Code>().ok()?.meaning();
        let message = message.trim_end_matches('.').to_owned();
        let (code, general) = (code.to_owned(), general.clone());
        let (instead, mistakes) = (joined(instead), Vec::new());
        Some(Entry { code, meaning, message, instead, general, mistakes })
    })
}

/// Reads a section of the page of mistakes.
fn mistake(section: &str) -> Option<Mistake> {
    let (title, text) = section.split_once('\n')?;
    let text = text.split("\n## ").next()?;
    let (message, text) = text.rsplit_once("```text\n")?.1.split_once("\n```\n")?;
    let instead = joined(text.split_once("**Instead:** ")?.1);
    Some(Mistake { title: title.to_owned(), message: message.to_owned(), instead })
}

/// Joins the lines of a text into one.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn search<'p>(
    entries: &'p [Entry],
    of_compiler: &'p [Mistake],
    asked: &str,
) -> Result<Vec<Found<'p>>, Failure> {
    // A code may be in brackets, as at the end of errors.
    let asked = asked.trim();
    let inner = asked.strip_prefix('[').and_then(|asked| asked.strip_suffix(']'));
    let asked = inner.unwrap_or(asked);
    // A code may also be in brackets anywhere in a line of a log.
    let ends = asked.match_indices(']').map(|(end, bracket)| end + bracket.len());
    let mut codes = ends.filter_map(|end| Code::at_end(&asked[..end]));
    if let Some(code) = asked.parse().ok().or_else(|| codes.next_back()) {
        let code = code.to_string();
        return Ok(entries.iter().filter(|it| it.code == code).map(Found::Entry).collect());
    }
    let digits = asked.strip_prefix(['M', 'm']).unwrap_or(asked);
    let shown = asked.escape_debug();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let text = format!("unknown code `{shown}`: expected one of `mycelium explain --list`");
        return Err(Failure::Usage(text));
    }
    let found = with(entries, of_compiler, asked);
    if !found.is_empty() {
        return Ok(found);
    }
    let nearest: Vec<_> = nearest(entries, asked).into_iter().take(3).collect();
    let hint = match &*nearest {
        [] => "try fewer words, or look into `mycelium explain --list`".to_owned(),
        nearest => format!("the nearest are {}", nearest.join(", ")),
    };
    Err(Failure::Usage(format!("no error has the text `{shown}`: {hint}")))
}

/// Returns the entries and mistakes that have this text, and the entries whose message is in the
/// text.
fn with<'p>(entries: &'p [Entry], of_compiler: &'p [Mistake], asked: &str) -> Vec<Found<'p>> {
    let asked = form(asked);
    if asked.is_empty() {
        return Vec::new();
    }
    let has = |text: &str| form(text).contains(&asked);
    let entries = entries.iter().filter(|entry| {
        let message = form(&entry.message);
        let mistakes = entry.mistakes.iter().any(|mistake| has(&mistake.message));
        let is_part = asked.contains(message.trim_end_matches([' ', '…']));
        is_part || message.contains(&asked) || has(entry.meaning) || mistakes
    });
    let mistakes =
        of_compiler.iter().filter(|mistake| has(&mistake.title) || has(&mistake.message));
    entries.map(Found::Entry).chain(mistakes.map(Found::Mistake)).collect()
}

/// Returns a text without the parts that differ between users: names in backquotes, numbers and
/// upper case.
fn form(text: &str) -> String {
    let mut form = String::new();
    for (number, part) in text.split('`').enumerate() {
        match number % 2 {
            0 => form.push_str(&part.to_lowercase()),
            _ => form.push_str("``"),
        }
    }
    let mut letters: Vec<char> =
        form.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
    // A number becomes one zero, however long it is.
    letters.dedup_by(|one, before| *one == '0' && *before == '0');
    joined(&letters.into_iter().collect::<String>())
}

/// Returns the codes whose message or meaning is most like a text, the nearest first.
fn nearest(entries: &[Entry], text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let alike = |other: &str| strsim::jaro_winkler(&text, &other.to_lowercase());
    let alike = entries.iter().map(|it| (alike(it.meaning).max(alike(&it.message)), it));
    let mut alike: Vec<_> = alike.filter(|(alike, _)| *alike >= ALIKE).collect();
    alike.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    alike.iter().map(|(_, entry)| format!("{} ({})", entry.code, entry.meaning)).collect()
}

fn text(found: &[Found<'_>], is_list: bool) -> String {
    match found {
        [Found::Entry(entry)] if !is_list => explained(entry),
        [Found::Mistake(mistake)] => format!("{}\n\n{}", bold(&mistake.title), shown(mistake)),
        _ => {
            let most = if is_list { found.len() } else { MOST };
            let lines = found.iter().take(most).map(|found| match found {
                Found::Entry(entry) => format!("{}  {}\n", bold(&entry.code), entry.meaning),
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

fn explained(entry: &Entry) -> String {
    let mut text = format!("{}\n\n", bold(&format!("{}: {}", entry.code, entry.meaning)));
    text += &wrapped(&entry.message, "    ");
    for paragraph in [&entry.instead, &entry.general] {
        text += &format!("\n{}", wrapped(paragraph, ""));
    }
    for mistake in &entry.mistakes {
        let title = bold(&format!("For example: {}", mistake.title));
        text += &format!("\n{title}\n{}", shown(mistake));
    }
    text
}

fn shown(mistake: &Mistake) -> String {
    // The message of a compiler is shown as it is: its lines are a picture.
    let is_picture = mistake.message.contains("\n --> ");
    let lines = mistake.message.lines().map(|line| match is_picture {
        true => format!("    {line}\n"),
        false => wrapped(line, "    "),
    });
    let instead = format!("{}: {}", bold("Instead"), mistake.instead);
    format!("{}{}", lines.collect::<String>(), wrapped(&instead, ""))
}

fn bold(text: &str) -> String {
    styled(text, 1)
}
