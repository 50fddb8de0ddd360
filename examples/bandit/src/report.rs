//! The output of the figures: a table redrawn in place on a terminal, progress lines elsewhere, a
//! summary at the end. Rendering is a pure function of a [`Snapshot`]; only [`Screen`] writes.
//! (`write!` to a `String` cannot fail, so its result is ignored.)

use std::{
    fmt::Write as _,
    io::{self, Write},
    time::Duration,
};

use anstyle::{AnsiColor, Color, Style};

use crate::{
    chain::Skip,
    figures::{KINDS, Latency, Snapshot},
};

/// The width of a line.
const WIDTH: usize = 78;
const TITLE: &str = "bandit";

/// Whether to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paint {
    /// Text only.
    #[default]
    Plain,
    /// ANSI styles.
    Colour,
}

impl Paint {
    /// Colour on a terminal, unless the user has set `NO_COLOR`.
    #[must_use]
    pub fn detect(is_terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if is_terminal && !refused { Self::Colour } else { Self::Plain }
    }

    fn with(self, style: Style, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("{style}{text}{style:#}"),
        }
    }

    fn strong(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    fn faint(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    fn green(self, text: &str) -> String {
        self.with(Style::new().fg_color(Some(Color::Ansi(AnsiColor::Green))), text)
    }

    /// Green for none, red for some.
    fn verdict(self, count: u64, text: &str) -> String {
        let bad = Style::new().bold().fg_color(Some(Color::Ansi(AnsiColor::Red)));
        if count == 0 { self.green(text) } else { self.with(bad, text) }
    }
}

/// The live table; `source` describes the source of the logs.
#[must_use]
pub fn table(snapshot: &Snapshot, source: &str, paint: Paint) -> String {
    let mut page = header("live", snapshot, source, paint);
    page.push_str(&bar(snapshot, paint));
    body(&mut page, snapshot, paint);
    page
}

/// The end of a run.
#[must_use]
pub fn summary(snapshot: &Snapshot, source: &str, paint: Paint) -> String {
    let mut page = header("done", snapshot, source, paint);
    page.push_str(&paint.faint(&"━".repeat(WIDTH)));
    page.push('\n');
    body(&mut page, snapshot, paint);
    page
}

/// One line of progress.
#[must_use]
pub fn line(snapshot: &Snapshot) -> String {
    let mut line = format!(
        "{:>8}  {} logs  {} swaps  {} signals  {} drops  {} reconnects",
        span(snapshot.elapsed),
        progress(snapshot),
        grouped(snapshot.kinds[0]),
        grouped(snapshot.signals),
        grouped(snapshot.drops),
        grouped(snapshot.reconnects),
    );
    if let Some(latency) = snapshot.latency {
        let _ = write!(line, "  p50 {}  p99 {}", nanos(latency.p50), nanos(latency.p99));
    }
    line
}

/// The figures of one process of a bundle.
#[must_use]
pub fn member(snapshot: &Snapshot) -> String {
    let figures = [
        (snapshot.logs, "logs"),
        (snapshot.kinds[0], "swaps emitted"),
        (snapshot.messages, "messages received"),
        (snapshot.signals, "signals"),
        (snapshot.drops, "drops"),
    ];
    let shown = figures.iter().filter(|(count, name)| *count > 0 || *name == "drops");
    let shown: Vec<_> = shown.map(|(count, name)| format!("{} {name}", grouped(*count))).collect();
    shown.join("  ")
}

fn header(state: &str, snapshot: &Snapshot, source: &str, paint: Paint) -> String {
    let time = span(snapshot.elapsed);
    let width = WIDTH - (TITLE.len() + state.len() + time.chars().count() + 6).min(WIDTH);
    let source: String = if source.chars().count() > width {
        source.chars().take(width.saturating_sub(1)).chain(['…']).collect()
    } else {
        format!("{source:<width$}")
    };
    let (title, state, time) = (paint.strong(TITLE), paint.green(state), paint.strong(&time));
    format!("{title}  {}  {state}  {time}\n", paint.faint(&source))
}

fn bar(snapshot: &Snapshot, paint: Paint) -> String {
    let label = progress(snapshot);
    let width = WIDTH.saturating_sub(label.chars().count() + 2);
    let filled = match snapshot.total {
        Some(total) if total > 0 => {
            let share = snapshot.logs.min(total) as f64 / total as f64;
            (share * width as f64) as usize
        }
        _ => 0,
    };
    let (done, left) = ("━".repeat(filled), "─".repeat(width - filled));
    format!("{}{}  {label}\n", paint.green(&done), paint.faint(&left))
}

fn body(page: &mut String, snapshot: &Snapshot, paint: Paint) {
    page.push('\n');
    pools(page, snapshot, paint);
    page.push('\n');
    row(page, paint, "logs", &grouped(snapshot.logs), &kinds(snapshot));
    for (index, kinds) in skipped(snapshot).chunks(2).enumerate() {
        row(page, paint, if index == 0 { "skipped" } else { "" }, "", &kinds.join(" · "));
    }
    signals(page, snapshot, paint);
    let seconds = snapshot.elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { snapshot.messages as f64 / seconds } else { 0.0 };
    let drops = paint.verdict(snapshot.drops, &format!("{} drops", grouped(snapshot.drops)));
    let flow = format!("{} a second · {drops}", grouped(rate as u64));
    row(page, paint, "messages", &grouped(snapshot.messages), &flow);
    let again = format!("{} duplicates dropped", grouped(snapshot.duplicates));
    row(page, paint, "reconnects", &grouped(snapshot.reconnects), &again);
    page.push('\n');
    latencies(page, snapshot.latency, paint);
}

/// A row: a name, a number in its column, and a text.
fn row(page: &mut String, paint: Paint, name: &str, number: &str, text: &str) {
    let (name, number) = (format!("{name:<11}"), format!("{number:>8}"));
    let line = format!("{}{}   {text}", paint.faint(&name), paint.strong(&number));
    page.push_str(line.trim_end());
    page.push('\n');
}

fn pools(page: &mut String, snapshot: &Snapshot, paint: Paint) {
    let heading = format!("{:<11}{:>8}{:>10}{:>18}", "pool", "fee", "swaps", "price");
    page.push_str(&paint.faint(&heading));
    page.push('\n');
    for pool in &snapshot.pools {
        let [symbol0, symbol1] = pool.symbols.each_ref().map(|symbol| sanitize(symbol));
        let fee = f64::from(pool.fee_millionths) / 10_000.0;
        let digits = if pool.fee_millionths.is_multiple_of(100) { 2 } else { 4 };
        let (price, unit) = match pool.price.map(readable) {
            None => ("–".to_owned(), String::new()),
            Some((price, false)) => (price, format!("{symbol1} per {symbol0}")),
            Some((price, true)) => (price, format!("{symbol0} per {symbol1}")),
        };
        let (pair, fee) = (format!("{symbol0}/{symbol1}"), format!("{fee:.digits$} %"));
        let line = format!("{pair:<11}{fee:>8}{:>10}{price:>18}  {unit}", grouped(pool.swaps));
        page.push_str(line.trim_end());
        page.push('\n');
    }
}

/// A symbol comes from the user's database: it must not break the table or the terminal.
fn sanitize(symbol: &str) -> String {
    symbol.chars().filter(|letter| !letter.is_control()).take(8).collect()
}

fn kinds(snapshot: &Snapshot) -> String {
    let kinds = KINDS.iter().zip(snapshot.kinds);
    let kinds: Vec<_> = kinds
        // The other kinds are shown even at 0.
        .filter(|(name, count)| **name != "removed" || *count > 0)
        .map(|(name, count)| format!("{name} {}", grouped(count)))
        .collect();
    kinds.join(" · ")
}

fn skipped(snapshot: &Snapshot) -> Vec<String> {
    let skips = Skip::ALL.iter().map(Skip::to_string).zip(snapshot.skips);
    skips
        .chain([
            ("unknown pool".to_owned(), snapshot.unknown_pools),
            ("rejected".to_owned(), snapshot.rejected),
        ])
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {}", grouped(count)))
        .collect()
}

fn signals(page: &mut String, snapshot: &Snapshot, paint: Paint) {
    if snapshot.recent.is_empty() {
        row(page, paint, "signals", &grouped(snapshot.signals), "");
    }
    for (index, signal) in snapshot.recent.iter().enumerate() {
        let [first, second] = signal.prices.map(|price| readable(price).0);
        let text = format!(
            "block {} #{:<4}{first:>12} │ {second:<12}{:>7.3} %",
            signal.key.block,
            signal.key.log_index,
            signal.gap * 100.0
        );
        match index {
            0 => row(page, paint, "signals", &grouped(snapshot.signals), &text),
            _ => row(page, paint, "", "", &text),
        }
    }
}

fn latencies(page: &mut String, latency: Option<Latency>, paint: Paint) {
    let names = ["p50", "p90", "p99", "p99.9", "max"];
    let values = match latency {
        Some(Latency { p50, p90, p99, p999, max }) => [p50, p90, p99, p999, max].map(nanos),
        None => ["–"; 5].map(str::to_owned),
    };
    let heading = format!("{:<11}{}", "latency", names.map(|name| format!("{name:>10}")).join(""));
    let values = values.map(|value| format!("{value:>10}")).join("");
    let _ = writeln!(page, "{}\n{:<11}{}", paint.faint(&heading), "", paint.strong(&values));
}

fn progress(snapshot: &Snapshot) -> String {
    let logs = grouped(snapshot.logs);
    match snapshot.total {
        None => logs,
        Some(total) => {
            let share = (snapshot.logs * 100).checked_div(total).unwrap_or(100);
            format!("{logs} of {} ({share} %)", grouped(total))
        }
    }
}

/// A number with separated thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The price or its inverse, whichever is at least 1, and whether it is the inverse.
fn readable(price: f64) -> (String, bool) {
    let inverse = price > 0.0 && price < 1.0;
    let shown = if inverse { 1.0 / price } else { price };
    // Above this a float has no exact integer part.
    if !(0.0..1e15).contains(&shown) {
        return (format!("{shown:e}"), inverse);
    }
    let text = format!("{shown:.4}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), grouped);
    (format!("{whole}.{fraction}"), inverse)
}

/// Nanoseconds to three digits.
pub(crate) fn nanos(nanos: u64) -> String {
    let scaled = |unit: &str, per: f64| {
        let value = nanos as f64 / per;
        let digits = if value < 9.995 {
            2
        } else if value < 99.95 {
            1
        } else {
            0
        };
        format!("{value:.digits$} {unit}")
    };
    match nanos {
        0..=999 => format!("{nanos} ns"),
        1_000..=999_499 => scaled("µs", 1e3),
        999_500..=999_499_999 => scaled("ms", 1e6),
        _ => scaled("s", 1e9),
    }
}

/// The duration of a run.
fn span(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match seconds {
        0..60 => format!("{:.2} s", elapsed.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A page of a terminal that is redrawn in place.
///
/// A frame is one write. Long lines are cut, and no terminal mode has to be restored at the end, so
/// a run can stop at any time. The terminal needs as many rows as the frame.
#[derive(Debug, Default)]
pub struct Screen {
    rows: usize,
}

impl Screen {
    /// Draws a page over the last one.
    ///
    /// # Errors
    /// If the terminal cannot be written.
    pub fn draw(&mut self, terminal: &mut impl Write, page: &str) -> io::Result<()> {
        const HIDE: &str = "\x1b[?25l\x1b[?7l";
        const SHOW: &str = "\x1b[J\x1b[?7h\x1b[?25h";
        let mut frame = String::from(HIDE);
        if self.rows > 0 {
            let _ = write!(frame, "\x1b[{}A\r", self.rows);
        }
        self.rows = 0;
        for line in page.lines() {
            frame.push_str(line);
            frame.push_str("\x1b[K\n");
            self.rows += 1;
        }
        frame.push_str(SHOW);
        terminal.write_all(frame.as_bytes())?;
        terminal.flush()
    }

    /// Removes the page and prints text in its place; the next page is drawn below. Without text
    /// the page remains.
    ///
    /// # Errors
    /// If the terminal cannot be written.
    pub fn print_above(&mut self, terminal: &mut impl Write, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.clear(terminal)?;
        terminal.write_all(text.as_bytes())?;
        terminal.flush()
    }

    /// Removes the page.
    ///
    /// # Errors
    /// If the terminal cannot be written.
    pub fn clear(&mut self, terminal: &mut impl Write) -> io::Result<()> {
        if self.rows > 0 {
            write!(terminal, "\x1b[{}A\r\x1b[J", self.rows)?;
        }
        self.rows = 0;
        terminal.flush()
    }
}

#[cfg(test)]
mod tests;
