//! Draws the screen of `top`. Every size of a terminal is possible, also 0 by 0.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row as TableRow, Table, TableState};

use super::state::{Row, RowKind, State};
use crate::live::model::ProcessState;
use crate::shared::output::{count, printable};

/// Whether colours are used. Styles such as bold are used in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// Colours are used.
    On,
    /// No colours are used, because `NO_COLOR` is set.
    Off,
}

impl Colours {
    fn of(self, colour: Color) -> Style {
        match self {
            Colours::On => Style::new().fg(colour),
            Colours::Off => Style::new(),
        }
    }

    /// Returns the style of the selected row. Bars keep their colours.
    fn selection(self) -> Style {
        match self {
            Colours::On => Style::new().bg(Color::DarkGray),
            Colours::Off => Style::new().add_modifier(Modifier::REVERSED),
        }
    }
}

/// Returns the number of rows of the table that a terminal of this height shows.
pub fn page(height: u16) -> usize {
    usize::from(height.saturating_sub(HEADER + FOOTER + 1).max(1))
}

/// The number of lines above the table.
const HEADER: u16 = 1;
/// The number of lines below the table.
const FOOTER: u16 = 2;
/// The keys, and their effects.
const KEYS: [(&str, &str); 9] = [
    ("↑ ↓ j k", "select a row; PgUp, PgDn, Home, End move further"),
    ("Enter, Tab", "hide the rows of a node, or show them"),
    ("/", "show only names that contain a text; Esc shows all"),
    ("s", "sort by name, rate, depth or drops"),
    ("p, space", "pause, and continue"),
    ("+ -", "read the counters less often, or more often"),
    ("?", "these keys (RST are the restarts of a service)"),
    ("q, Esc", "quit"),
    ("", "Nothing here changes a node: its counters are mapped, and read."),
];

/// Draws `state`.
pub fn draw(frame: &mut Frame<'_>, state: &State, colours: Colours) {
    let parts = [Constraint::Length(HEADER), Constraint::Min(1), Constraint::Length(FOOTER)];
    let [header, table, footer] = Layout::vertical(parts).areas(frame.area());
    let rows = state.rows();
    frame.render_widget(header_line(state, &rows, colours), header);
    if rows.is_empty() {
        let nothing = match state.filter.is_empty() {
            true => "No node runs whose counters can be read. Those that start are shown.",
            false => "No name contains this text. Esc shows all.",
        };
        frame.render_widget(Paragraph::new(nothing), table);
    } else {
        draw_table(frame, state, &rows, table, colours);
    }
    frame.render_widget(footer_lines(state, &rows, colours), footer);
    if state.shows_help {
        draw_help(frame);
    }
}

fn header_line<'a>(state: &State, rows: &[Row], colours: Colours) -> Line<'a> {
    let nodes = rows.iter().filter(|row| matches!(row.kind, RowKind::Node(_))).count();
    let mut spans = vec![
        Span::styled("mycelium top", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!(
            "  {}  every {:?}  by {}",
            count(nodes, "node"),
            state.interval,
            state.order.name()
        )),
    ];
    if state.is_paused {
        spans.push(Span::styled("  paused", colours.of(Color::Yellow)));
    }
    if state.is_typing || !state.filter.is_empty() {
        let cursor = if state.is_typing { "▏" } else { "" };
        spans.push(Span::raw(format!("  /{}{cursor}", printable(&state.filter))));
    }
    if let Some(problem) = &state.problem {
        spans.push(Span::styled(format!("  {}", printable(problem)), colours.of(Color::Red)));
    }
    Line::from(spans)
}

/// The columns after the name: title and width. A narrow terminal shows only the columns that fit:
/// see `columns`.
const COLUMNS: [(&str, u16); 7] = [
    ("RATE/s", 7),
    ("DEPTH", 9),
    ("HIGH", 5),
    ("DROPPED", 15),
    ("WAITED", 6),
    ("RST", 4),
    ("STATE", 8),
];
/// The least width of the name's column.
const NAME: u16 = 26;

/// Returns the columns that fit, in their order. In 80 characters, only the column of emits that
/// waited does not fit.
fn columns(width: u16) -> Vec<usize> {
    let by_importance = [0, 1, 3, 6, 5, 2, 4];
    let mut left = width.saturating_sub(NAME);
    let mut shown: Vec<usize> = by_importance
        .into_iter()
        .filter(|column| {
            let width = COLUMNS[*column].1 + 1;
            let fits = width <= left;
            left -= if fits { width } else { 0 };
            fits
        })
        .collect();
    shown.sort_unstable();
    shown
}

fn draw_table(frame: &mut Frame<'_>, state: &State, rows: &[Row], area: Rect, colours: Colours) {
    let shown = columns(area.width);
    let widths = std::iter::once(Constraint::Min(NAME.min(area.width)))
        .chain(shown.iter().map(|column| Constraint::Length(COLUMNS[*column].1)));
    let titles = std::iter::once("NODE, SERVICE, TOPIC".to_owned())
        .chain(shown.iter().map(|column| title(*column)));
    let header = TableRow::new(titles).style(Style::new().add_modifier(Modifier::BOLD));
    let lines = rows.iter().map(|row| {
        let name = Cell::from(name(row)).style(style_of_name(row.kind, colours));
        let cells = shown.iter().map(|column| cell(row, *column, colours));
        TableRow::new(std::iter::once(name).chain(cells))
    });
    let table = Table::new(lines, widths)
        .header(header)
        .column_spacing(1)
        .row_highlight_style(colours.selection());
    let selected = state.selected(rows.len());
    let mut view = TableState::new().with_selected(Some(selected));
    frame.render_stateful_widget(table, area, &mut view);
}

/// Returns the title of a column. The title of a column of numbers is at the right.
fn title(column: usize) -> String {
    let (title, width) = COLUMNS[column];
    match column {
        0 | 2 | 4 | 5 => format!("{title:>width$}", width = usize::from(width)),
        _ => title.to_owned(),
    }
}

fn name(row: &Row) -> String {
    let name = printable(&row.name);
    match row.kind {
        RowKind::Node(_) => name.into_owned(),
        RowKind::Member => format!("  {name}"),
        RowKind::Output => format!("    → {name}"),
        RowKind::Input => format!("    ← {name}"),
        RowKind::Link => format!("  ⇄ {name}"),
    }
}

fn style_of_name(kind: RowKind, colours: Colours) -> Style {
    match kind {
        RowKind::Node(process) => {
            let colour = match process {
                ProcessState::Runs => Color::Cyan,
                ProcessState::Stopped => Color::Yellow,
                ProcessState::Ended => Color::DarkGray,
            };
            colours.of(colour).add_modifier(Modifier::BOLD)
        }
        RowKind::Member => Style::new().add_modifier(Modifier::BOLD),
        RowKind::Output | RowKind::Input | RowKind::Link => Style::new(),
    }
}

fn cell(row: &Row, column: usize, colours: Colours) -> Cell<'static> {
    let right = |text: String| {
        let width = usize::from(COLUMNS[column].1);
        Cell::from(format!("{text:>width$}"))
    };
    match column {
        0 => right(row.rate.map_or_else(String::new, short)),
        1 => Cell::from(bar(row, colours)),
        2 => right(row.high_water.map_or_else(String::new, |high| short(high as f64))),
        3 => {
            let style = if row.dropped() > 0 { colours.of(Color::Red) } else { Style::new() };
            Cell::from(drops(row)).style(style)
        }
        4 => right(
            row.waited
                .filter(|waited| *waited > 0)
                .map_or_else(String::new, |waited| short(waited as f64)),
        ),
        5 => {
            let style = match row.restarts {
                Some(1..) => colours.of(Color::Yellow),
                _ => Style::new(),
            };
            right(row.restarts.map_or_else(String::new, |restarts| restarts.to_string()))
                .style(style)
        }
        _ => Cell::from(row.state.clone()),
    }
}

/// Returns a bar of four characters, and the share of the ring that is in use.
fn bar(row: &Row, colours: Colours) -> Line<'static> {
    let Some(fill) = row.fill() else {
        let depth = row.depth.filter(|depth| *depth > 0);
        return Line::from(depth.map_or_else(String::new, |depth| short(depth as f64)));
    };
    let colour = match fill {
        0.8.. => Color::Red,
        0.5.. => Color::Yellow,
        _ => Color::Green,
    };
    let eighths = (fill * 32.0).round() as usize;
    let mut text = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        text.push(['▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8 - 1]);
    }
    let bar = Span::styled(format!("{text:<4}"), colours.of(colour));
    Line::from(vec![bar, Span::raw(format!("{:>4.0}%", fill * 100.0))])
}

/// Returns the greatest number of drops with its reason; `+` stands for further reasons.
fn drops(row: &Row) -> String {
    match row.drops.as_slice() {
        [] => String::new(),
        [(reason, count)] => format!("{} {}", short(*count as f64), words(reason)),
        [(reason, count), ..] => format!("{} {}+", short(*count as f64), words(reason)),
    }
}

/// Returns the name of a value in words.
fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// Returns a number in at most six characters.
fn short(number: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")];
    match units.into_iter().find(|(least, _)| number >= *least) {
        Some((least, unit)) => {
            let scale = if unit == "k" { 1e3 } else { least };
            let scaled = number / scale;
            let digits = usize::from(scaled < 100.0);
            format!("{scaled:.digits$}{unit}")
        }
        None if number > 0.0 && number < 10.0 && number.fract() != 0.0 => format!("{number:.1}"),
        None => format!("{number:.0}"),
    }
}

fn footer_lines<'a>(state: &State, rows: &[Row], colours: Colours) -> Paragraph<'a> {
    let details = rows.get(state.selected(rows.len())).map_or_else(String::new, |row| {
        let values = row.details.iter().map(|(name, value)| format!("{} {value}", words(name)));
        format!("{}: {}", printable(&row.name), values.collect::<Vec<_>>().join(", "))
    });
    let keys = Span::styled(
        "↑↓ select  Enter fold  / filter  s sort  p pause  +- interval  ? help  q quit",
        colours.of(Color::DarkGray),
    );
    Paragraph::new(vec![Line::from(details), Line::from(keys)])
}

fn draw_help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let width = area.width.min(68);
    let height = area.height.min(KEYS.len() as u16 + 2);
    let left = (area.width - width) / 2;
    let top = (area.height - height) / 2;
    let area = Rect::new(area.x + left, area.y + top, width, height);
    let lines: Vec<Line<'_>> =
        KEYS.iter().map(|(key, meaning)| Line::from(format!(" {key:<11} {meaning}"))).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Keys ")), area);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.5, 7.25, 9_999.0, 12_345.0, 999_949.0, 1_234_567.0, 2.5e9, 1e13];
        let texts = texts.map(short);
        assert_eq!(texts, ["0", "0.5", "7.2", "9999", "12.3k", "1000k", "1.2M", "2.5G", "10.0T"]);
        assert!(texts.iter().all(|text| text.len() <= 6));
    }

    #[test]
    fn a_narrow_terminal_shows_what_matters_most() {
        let titles = |width| columns(width).into_iter().map(|it| COLUMNS[it].0).collect::<Vec<_>>();
        assert_eq!(titles(80), ["RATE/s", "DEPTH", "HIGH", "DROPPED", "RST", "STATE"]);
        assert_eq!(titles(40), ["RATE/s", "RST"]);
        assert_eq!(titles(0), [""; 0]);
        assert_eq!(titles(200).len(), COLUMNS.len());
    }
}
