//! The pages: the sections of `docs/errors.md`, and the mistakes of `docs/mistakes.md` that show
//! their errors. Both are a part of the program, so it explains the version that it belongs to.

use mycelium::Code;
use serde::Serialize;

/// The document with a section for each code.
const ERRORS: &str = include_str!("../../../docs/errors.md");
/// The document with likely mistakes, and what their author sees.
const MISTAKES: &str = include_str!("../../../docs/mistakes.md");
/// Less alike texts are not named as the nearest ones.
const ALIKE: f64 = 0.7;

/// The section of a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page {
    /// Its code, such as `M0105`.
    pub code: String,
    /// What it means, in one line.
    pub meaning: String,
    /// A message with it.
    pub message: String,
    /// What happened.
    pub happened: String,
    /// Why that is an error.
    pub why: String,
    /// What to do instead.
    pub instead: String,
    /// Mistakes that lead to it.
    pub mistakes: Vec<Mistake>,
}

/// A likely mistake, and what its author sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The mistake.
    pub title: String,
    /// The message: of the compiler, or of the program.
    pub message: String,
    /// What to do instead.
    pub instead: String,
}

/// All pages.
#[derive(Debug)]
pub struct Pages {
    pages: Vec<Page>,
    /// Mistakes whose messages have no code: the compiler reports them.
    of_compiler: Vec<Mistake>,
}

/// What a text was found in.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'p> {
    /// An error with a code.
    Page(&'p Page),
    /// A mistake that the compiler reports.
    Mistake(&'p Mistake),
}

impl Pages {
    /// Reads the documents of this version.
    #[must_use]
    pub fn of_this_version() -> Pages {
        Pages::read(ERRORS, MISTAKES)
    }

    fn read(errors: &str, mistakes: &str) -> Pages {
        let mut pages: Vec<_> = errors.split("\n### ").skip(1).filter_map(page).collect();
        let mut of_compiler = Vec::new();
        for mistake in mistakes.split("\n### ").skip(1).filter_map(mistake) {
            let codes = mistake.message.lines().filter_map(Code::at_end);
            let codes: Vec<_> = codes.map(|code| code.to_string()).collect();
            let mut of_codes: Vec<_> =
                pages.iter_mut().filter(|page| codes.contains(&page.code)).collect();
            match &mut *of_codes {
                [] => of_compiler.push(mistake),
                of_codes => of_codes.iter_mut().for_each(|it| it.mistakes.push(mistake.clone())),
            }
        }
        Pages { pages, of_compiler }
    }

    /// All pages, in the order of their codes.
    #[must_use]
    pub fn all(&self) -> &[Page] {
        &self.pages
    }

    /// The page of a code.
    #[must_use]
    pub fn of(&self, code: Code) -> Option<&Page> {
        let code = code.to_string();
        self.pages.iter().find(|page| page.code == code)
    }

    /// The pages and mistakes whose message or meaning has this text. Names in backquotes, numbers
    /// and upper case do not count: those of the user differ.
    #[must_use]
    pub fn with(&self, text: &str) -> Vec<Found<'_>> {
        let text = Form::of(text);
        let pages = self.pages.iter().filter(|page| {
            let of_mistakes = page.mistakes.iter().map(|mistake| &mistake.message);
            let mut texts = [&page.meaning, &page.message].into_iter().chain(of_mistakes);
            texts.any(|message| text.is_in(message))
        });
        let mistakes = self.of_compiler.iter().filter(|mistake| {
            [&mistake.title, &mistake.message].into_iter().any(|message| text.is_in(message))
        });
        pages.map(Found::Page).chain(mistakes.map(Found::Mistake)).collect()
    }

    /// The pages whose message or meaning is most like a text, the nearest first.
    #[must_use]
    pub fn nearest(&self, text: &str) -> Vec<&Page> {
        let text = text.to_lowercase();
        let alike = |other: &str| strsim::jaro_winkler(&text, &other.to_lowercase());
        let mut pages: Vec<_> = self
            .pages
            .iter()
            .map(|page| (alike(&page.meaning).max(alike(&page.message)), page))
            .filter(|(alike, _)| *alike >= ALIKE)
            .collect();
        pages.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        pages.into_iter().map(|(_, page)| page).take(3).collect()
    }
}

/// A text without what differs from user to user.
struct Form(String);

impl Form {
    fn of(text: &str) -> Form {
        let mut form = String::new();
        for (number, part) in text.split('`').enumerate() {
            if number % 2 == 0 {
                form.push_str(&part.to_lowercase());
            } else {
                form.push_str("``");
            }
        }
        let mut letters: Vec<char> =
            form.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
        // Numbers of any length.
        letters.dedup_by(|one, before| *one == '0' && *before == '0');
        let form: String = letters.into_iter().collect();
        Form(form.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn is_in(&self, text: &str) -> bool {
        !self.0.is_empty() && Form::of(text).0.contains(&self.0)
    }
}

/// Reads a section of the page of errors.
fn page(section: &str) -> Option<Page> {
    let (title, text) = section.split_once('\n')?;
    let (code, meaning) = title.split_once(": ")?;
    // The next part of the document begins with a title of its own.
    let text = text.split("\n## ").next()?;
    let (message, text) = text.split_once("```text\n")?.1.split_once("\n```\n")?;
    let mut paragraphs = text.trim().split("\n\n").map(|it| it.replace('\n', " "));
    let happened = paragraphs.next()?;
    let why = paragraphs.next()?.strip_prefix("**Why.** ")?.to_owned();
    let instead = paragraphs.next()?.strip_prefix("**Instead.** ")?.to_owned();
    let [code, meaning, message] = [code, meaning, message].map(str::to_owned);
    Some(Page { code, meaning, message, happened, why, instead, mistakes: Vec::new() })
}

/// Reads a section of the page of mistakes.
fn mistake(section: &str) -> Option<Mistake> {
    let (title, text) = section.split_once('\n')?;
    let text = text.split("\n## ").next()?;
    let (message, text) = text.rsplit_once("```text\n")?.1.split_once("\n```\n")?;
    let instead = text.split_once("**Instead:** ")?.1.trim().replace('\n', " ");
    Some(Mistake { title: title.to_owned(), message: message.to_owned(), instead })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_page() {
        let pages = Pages::of_this_version();
        let codes: Vec<_> = pages.all().iter().map(|page| page.code.clone()).collect();
        assert_eq!(codes, Code::ALL.iter().map(Code::to_string).collect::<Vec<_>>());
        for page in pages.all() {
            assert_eq!(page.meaning, page.code.parse::<Code>().unwrap().meaning());
            assert!(page.message.ends_with(&format!("[{}]", page.code)), "{}", page.message);
            for text in [&page.happened, &page.why, &page.instead] {
                assert!(text.ends_with('.') && !text.contains("**"), "{}: {text}", page.code);
            }
        }
        let shown = pages.all().iter().filter(|page| !page.mistakes.is_empty()).count();
        assert!(shown >= 8, "{shown} codes have examples");
        assert!(pages.of_compiler.len() >= 9, "{}", pages.of_compiler.len());
    }

    #[test]
    fn any_document_is_read_without_a_panic() {
        for text in
            ["", "\n### ", "\n### M0001: a\n\n```text\n", "\n### M0001: a\n```text\n\n```\n"]
        {
            assert!(Pages::read(text, text).all().is_empty());
        }
    }

    #[test]
    fn a_text_is_found_whatever_its_names_and_numbers_are() {
        let pages = Pages::of_this_version();
        let codes = |text: &str| -> Vec<String> {
            let found = pages.with(text).into_iter();
            found
                .map(|found| match found {
                    Found::Page(page) => page.code.clone(),
                    Found::Mistake(mistake) => mistake.title.clone(),
                })
                .collect()
        };
        assert_eq!(codes("core 17 does not exist"), ["M0074"]);
        assert_eq!(codes("unknown service `Foo`"), ["M0015", "M0038", "M0105"]);
        assert_eq!(codes("SERVICES  deadlock"), ["M0008"]);
        assert_eq!(
            codes("an enum cannot be a message of its own"),
            ["An enum as a message of its own"]
        );
        assert!(codes("").is_empty());
        assert!(codes("the moon is full").is_empty());
    }

    #[test]
    fn the_nearest_pages_are_named_on_a_miss() {
        let pages = Pages::of_this_version();
        let nearest = pages.nearest("a subscripton is taken twise");
        assert_eq!(nearest[0].code, "M0210");
        assert!(nearest.len() <= 3);
    }
}
