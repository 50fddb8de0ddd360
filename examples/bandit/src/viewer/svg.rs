//! A trace as a picture: a waterfall. Each span is a row, below the one that caused it, with a bar
//! from its start to its end, in the colour of its service.

use std::fmt::{self, Write as _};

use super::trace::{Row, Trace, cut};
use crate::report::nanos;

/// The width of the picture, and the place of the bars in it.
const WIDTH: f64 = 920.0;
const LEFT: f64 = 350.0;
const RIGHT: f64 = 890.0;
/// The heights of the part above the rows, of a row, and of the part below.
const HEAD: f64 = 78.0;
const ROW: f64 = 46.0;
const FOOT: f64 = 14.0;
/// How far a span is to the right of the one that caused it; deeper ones are not.
const INDENT: f64 = 16.0;
const DEEPEST: usize = 6;
/// The width of a duration beside its bar, at most.
const DURATION: f64 = 70.0;
/// The most marks of the time axis but the first.
const MARKS: u64 = 6;
/// The colours of services, which are legible below white letters. The tenth service has the first.
const COLOURS: [&str; 9] = [
    "#2563a8", "#b45309", "#15803d", "#9d2f8a", "#0e7490", "#b91c1c", "#6d28d9", "#4d6b12",
    "#5b5f6b",
];
const INK: &str = "#1c2127";
const GREY: &str = "#5c6670";
const FAILED: &str = "#b91c1c";

/// The picture of a trace, as a document of its own and as an element of a page.
#[must_use]
pub fn waterfall(trace: &Trace) -> String {
    let rows = trace.rows();
    let height = HEAD + ROW * rows.len() as f64 + FOOT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"system-ui, -apple-system, 'Segoe UI', \
         Roboto, 'Liberation Sans', Arial, sans-serif\" font-size=\"13\" role=\"img\">\n"
    );
    let title = title(trace);
    let _ = writeln!(svg, "<title>trace {}: {title}</title>", trace.id);
    // Its own background, for pages that are dark.
    let _ = writeln!(
        svg,
        "<rect x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\" fill=\"#ffffff\" \
         stroke=\"#d3d9df\"/>",
        WIDTH - 1.0,
        height - 1.0
    );
    Text { x: 18.0, y: 29.0, size: 15, bold: true, ..Text::default() }.write(&mut svg, &title);
    let id = format!("trace {}", trace.id);
    Text { x: RIGHT + 12.0, y: 29.0, size: 11, colour: GREY, end: true, ..Text::default() }
        .write(&mut svg, &id);
    // A moment has an axis, too.
    let axis = Axis { start: trace.start(), duration: trace.duration().max(1) };
    axis.write(&mut svg, height);
    let mut services: Vec<&str> = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let service = row.span.service.as_str();
        let place = services.iter().position(|known| *known == service).unwrap_or_else(|| {
            services.push(service);
            services.len() - 1
        });
        let top = HEAD + ROW * number as f64;
        write_row(&mut svg, row, top, COLOURS[place % COLOURS.len()], &axis);
    }
    svg.push_str("</svg>\n");
    svg
}

/// How long a trace lasted, and where it was, in words.
pub(super) fn title(trace: &Trace) -> String {
    let count = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    };
    let spans = count(trace.rows().len(), "span", "spans");
    let processes = count(trace.processes(), "process", "processes");
    format!("{}: {spans} in {processes}", nanos(trace.duration()))
}

fn write_row(svg: &mut String, row: &Row<'_>, top: f64, colour: &str, axis: &Axis) {
    let Row { span, is_last } = row;
    let depth = is_last.len().min(DEEPEST);
    let left = 18.0 + INDENT * depth as f64;
    let (first, second) = (top + 19.0, top + 35.0);
    if depth > 0 {
        let corner = left - 9.0;
        let _ = writeln!(
            svg,
            "<path d=\"M{corner} {} V{} H{}\" fill=\"none\" stroke=\"#aeb7c0\"/>",
            top + 3.0,
            first - 4.0,
            left - 3.0
        );
    }
    // The letters that fit beside the name of the node.
    let most = 24 - 2 * depth;
    Text { x: left, y: first, bold: true, colour, ..Text::default() }
        .write(svg, &cut(&span.service, most));
    Text { x: left, y: second, size: 12, ..Text::default() }.write(svg, &cut(&span.name, most + 4));
    let place = Text { x: LEFT - 18.0, size: 11, colour: GREY, end: true, ..Text::default() };
    Text { y: first, ..place }.write(svg, &cut(&format!("node {}", span.node), 18));
    if let Some(process) = span.process {
        Text { y: second, ..place }.write(svg, &cut(&format!("process {process}"), 18));
    }

    let start = span.start - axis.start;
    let (x, end) = (axis.place(start), axis.place(start + span.duration()));
    // A moment is shown, too.
    let width = (end - x).max(3.0);
    let bar = top + 11.0;
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{bar}\" width=\"{width:.1}\" height=\"22\" rx=\"2\" \
         fill=\"{colour}\"/>"
    );
    let lasts = match span.duration() {
        0 => format!("at {}", nanos(start)),
        duration => nanos(duration),
    };
    let lasts = if span.has_failed { format!("{lasts}, failed") } else { lasts };
    let text = Text { y: bar + 15.5, size: 12, ..Text::default() };
    let colour = if span.has_failed { FAILED } else { INK };
    let text = if x + width + DURATION <= RIGHT + 15.0 {
        Text { x: x + width + 6.0, colour, ..text }
    } else if width >= DURATION {
        Text { x: x + width - 6.0, end: true, colour: "#ffffff", ..text }
    } else {
        Text { x: x - 6.0, end: true, colour, ..text }
    };
    text.write(svg, &lasts);
}

/// The time from the left to the right end of the bars.
struct Axis {
    /// In nanoseconds of Unix time.
    start: u64,
    /// In nanoseconds, not 0.
    duration: u64,
}

impl Axis {
    /// The place of a time after the start.
    fn place(&self, time: u64) -> f64 {
        LEFT + time as f64 / self.duration as f64 * (RIGHT - LEFT)
    }

    fn write(&self, svg: &mut String, height: f64) {
        let (unit, of_unit) = unit(self.duration);
        let step = step(self.duration);
        for mark in (0..=self.duration).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            let x = self.place(mark);
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {} V{}\" stroke=\"#e3e8ec\"/>",
                HEAD - 8.0,
                height - FOOT
            );
            let text = format!("{} {unit}", mark as f64 / of_unit);
            Text { x, y: HEAD - 14.0, size: 11, colour: GREY, middle: true, ..Text::default() }
                .write(svg, &text);
        }
    }
}

/// The unit of the marks of an axis, and its nanoseconds.
fn unit(duration: u64) -> (&'static str, f64) {
    match duration {
        0..2_000 => ("ns", 1.0),
        2_000..2_000_000 => ("µs", 1e3),
        2_000_000..2_000_000_000 => ("ms", 1e6),
        _ => ("s", 1e9),
    }
}

/// The time between two marks: 1, 2 or 5, with zeros.
fn step(duration: u64) -> u64 {
    let least = duration.div_ceil(MARKS).max(1);
    let ten = 10_u64.pow(least.ilog10());
    [1, 2, 5]
        .map(|factor| factor * ten)
        .into_iter()
        .find(|step| *step >= least)
        .unwrap_or_else(|| ten.saturating_mul(10))
}

/// A line of text.
#[derive(Clone, Copy)]
struct Text<'a> {
    x: f64,
    y: f64,
    size: u32,
    bold: bool,
    colour: &'a str,
    /// Whether `x` is its end.
    end: bool,
    /// Whether `x` is its middle.
    middle: bool,
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self { x: 0.0, y: 0.0, size: 13, bold: false, colour: INK, end: false, middle: false }
    }
}

impl Text<'_> {
    fn write(self, svg: &mut String, text: &str) {
        let Text { x, y, size, bold, colour, end, middle } = self;
        let weight = if bold { " font-weight=\"600\"" } else { "" };
        let anchor = match (end, middle) {
            (true, _) => " text-anchor=\"end\"",
            (false, true) => " text-anchor=\"middle\"",
            (false, false) => "",
        };
        let text = Escaped(text);
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" \
             fill=\"{colour}\"{weight}{anchor}>{text}</text>"
        );
    }
}

/// A text of an element or of an attribute, in XML and in HTML.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use roxmltree::Document;

    use super::{
        super::trace::{
            label,
            tests::{span, trace},
        },
        *,
    };

    fn texts(svg: &str) -> BTreeSet<String> {
        let document = Document::parse(svg).unwrap();
        let texts = document.descendants().filter(|node| node.has_tag_name("text"));
        texts.map(|node| node.text().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_picture_names_each_service_span_node_and_process() {
        let trace = trace([span(1, 0, "Feed", 0), span(2, 1, "Store", 4_000)]);
        let texts = texts(&waterfall(&trace));
        for text in [
            "Feed",
            "Store",
            "process 1",
            "process 2",
            "node feed",
            "node store",
            "4.01 µs: 2 spans in 2 processes",
            "10 ns",
            "0 µs",
            "1 µs",
            "4 µs",
            &format!("trace {}", trace.id),
        ] {
            assert!(texts.contains(text), "{text}: {texts:?}");
        }
    }

    #[test]
    fn names_from_outside_are_text_and_nothing_else() {
        let name = "<script a='\"'>&amp;]]></text>";
        let mut hostile = span(1, 0, name, 0);
        hostile.node = label("\u{0}\u{1}<b>");
        hostile.has_failed = true;
        let svg = waterfall(&trace([hostile]));
        let texts = texts(&svg);
        assert!(
            texts.contains(&cut(name, 24)) && texts.contains("node \u{fffd}\u{fffd}<b>"),
            "{texts:?}"
        );
        assert!(!svg.contains("<script"));
    }

    #[test]
    fn every_trace_has_a_picture() {
        for duration in [0, 1, 7, 1_999, 2_000, 59_000_000_000, u64::MAX] {
            let mut last = span(2, 1, "B", 0);
            last.end = duration;
            let mut first = span(1, 0, "A", 0);
            first.end = 0;
            let svg = waterfall(&trace([first, last]));
            let marks = texts(&svg).iter().filter(|text| text.starts_with("0 ")).count();
            assert!(marks >= 1 && svg.len() < 8_000, "{duration}: {svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
        }
        // Deeper than the picture shows.
        let chain = (1..=64).map(|number| span(number, number - 1, "A", u64::from(number)));
        assert_eq!(waterfall(&trace(chain)).matches("<rect").count(), 65);
    }

    #[test]
    fn steps_of_the_axis_are_round() {
        let steps = [(1, 1), (6, 1), (7, 2), (100, 20), (1_240, 500), (5_999, 1_000)];
        for (duration, expected) in steps {
            assert_eq!(step(duration), expected, "{duration}");
        }
        assert!(u64::MAX / step(u64::MAX) <= MARKS);
    }
}
