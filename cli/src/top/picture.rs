//! A screen as a picture: SVG with one text for each run of characters of one style.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use crate::shared::output::Escaped;

/// The size of a character in pixels.
const CHARACTER: (f64, f64) = (8.4, 17.0);
/// The space around the text.
const MARGIN: f64 = 12.0;
const BACKGROUND: &str = "#1b1d23";
const SELECTION: &str = "#3a414e";
const TEXT: &str = "#d7dae0";

/// Returns the content of a screen as SVG.
pub fn svg(buffer: &Buffer) -> String {
    let area = buffer.area;
    let (width, height) = (
        f64::from(area.width) * CHARACTER.0 + 2.0 * MARGIN,
        f64::from(area.height) * CHARACTER.1 + 2.0 * MARGIN,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in area.top()..area.bottom() {
        let mut column = area.left();
        while column < area.right() {
            let style = style_of(&buffer[(column, row)]);
            let begin = column;
            let mut text = String::new();
            while column < area.right() && style_of(&buffer[(column, row)]) == style {
                text.push_str(buffer[(column, row)].symbol());
                column += 1;
            }
            draw_run(&mut svg, (begin, row), column - begin, &text, style);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// The colours of text and background, and whether the text is bold.
type Style = (&'static str, &'static str, bool);

fn style_of(cell: &Cell) -> Style {
    let text = colour(cell.fg);
    let background = match cell.bg {
        Color::DarkGray => SELECTION,
        _ => BACKGROUND,
    };
    let is_bold = cell.modifier.contains(Modifier::BOLD);
    match cell.modifier.contains(Modifier::REVERSED) {
        true => (background, text, is_bold),
        false => (text, background, is_bold),
    }
}

fn colour(colour: Color) -> &'static str {
    match colour {
        Color::Red => "#f06a6a",
        Color::Green => "#6fcf7c",
        Color::Yellow => "#e3c35b",
        Color::Cyan => "#62c6e0",
        Color::DarkGray => "#868c98",
        _ => TEXT,
    }
}

fn draw_run(svg: &mut String, at: (u16, u16), columns: u16, text: &str, style: Style) {
    let (x, y) = (f64::from(at.0) * CHARACTER.0 + MARGIN, f64::from(at.1) * CHARACTER.1 + MARGIN);
    let width = f64::from(columns) * CHARACTER.0;
    let (fill, background, is_bold) = style;
    // Cannot fail, because it writes into a text.
    if background != BACKGROUND {
        let height = CHARACTER.1;
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{background}\"/>"
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let weight = if is_bold { " font-weight=\"bold\"" } else { "" };
    let (baseline, text) = (y + 13.0, Escaped(text));
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{baseline:.1}\" fill=\"{fill}\"{weight} textLength=\"{width:.1}\" \
         xml:space=\"preserve\">{text}</text>"
    );
}
