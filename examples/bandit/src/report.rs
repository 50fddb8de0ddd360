//! How the figures look: a table redrawn in place on a terminal, a line now and then elsewhere, a
//! summary at the end. Rendering is a pure function of a [`Snapshot`]; only [`Screen`] writes.
//! (What `write!` returns is not looked at where it writes to a `String`: that cannot fail.)

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

/// Every line fits an ordinary terminal.
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

/// The live table; `source` says where the logs come from.
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

/// What one process of a bundle has done.
#[must_use]
pub fn member(snapshot: &Snapshot) -> String {
    let figures = [
        (snapshot.logs, "logs"),
        (snapshot.kinds[0], "swaps told"),
        (snapshot.messages, "messages received"),
        (snapshot.signals, "signals"),
        (snapshot.drops, "drops"),
    ];
    let told = figures.iter().filter(|(count, name)| *count > 0 || *name == "drops");
    let told: Vec<_> = told.map(|(count, name)| format!("{} {name}", grouped(*count))).collect();
    told.join("  ")
}

fn header(state: &str, snapshot: &Snapshot, source: &str, paint: Paint) -> String {
    let time = span(snapshot.elapsed);
    let room = WIDTH - (TITLE.len() + state.len() + time.chars().count() + 6).min(WIDTH);
    let source: String = if source.chars().count() > room {
        source.chars().take(room.saturating_sub(1)).chain(['…']).collect()
    } else {
        format!("{source:<room$}")
    };
    let (title, state, time) = (paint.strong(TITLE), paint.green(state), paint.strong(&time));
    format!("{title}  {}  {state}  {time}\n", paint.faint(&source))
}

fn bar(snapshot: &Snapshot, paint: Paint) -> String {
    let label = progress(snapshot);
    let room = WIDTH.saturating_sub(label.chars().count() + 2);
    let filled = match snapshot.total {
        Some(total) if total > 0 => {
            let share = snapshot.logs.min(total) as f64 / total as f64;
            (share * room as f64) as usize
        }
        _ => 0,
    };
    let (done, left) = ("━".repeat(filled), "─".repeat(room - filled));
    format!("{}{}  {label}\n", paint.green(&done), paint.faint(&left))
}

fn body(page: &mut String, snapshot: &Snapshot, paint: Paint) {
    page.push('\n');
    pools(page, snapshot, paint);
    page.push('\n');
    row(page, paint, "logs", &grouped(snapshot.logs), &kinds(snapshot));
    for (index, kinds) in passed_over(snapshot).chunks(2).enumerate() {
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

/// A name, a number under those of the other rows, and what there is to say of it.
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
        let [symbol0, symbol1] = pool.symbols.each_ref().map(|symbol| tame(symbol));
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

/// A symbol is the database's, which is the user's: it shall not break the table or the terminal.
fn tame(symbol: &str) -> String {
    symbol.chars().filter(|letter| !letter.is_control()).take(8).collect()
}

fn kinds(snapshot: &Snapshot) -> String {
    let kinds = KINDS.iter().zip(snapshot.kinds);
    let kinds: Vec<_> = kinds
        // Every feed has the others; they are shown even at 0.
        .filter(|(name, count)| **name != "removed" || *count > 0)
        .map(|(name, count)| format!("{name} {}", grouped(count)))
        .collect();
    kinds.join(" · ")
}

fn passed_over(snapshot: &Snapshot) -> Vec<String> {
    let skips = Skip::ALL.iter().map(|skip| skip.name()).zip(snapshot.skips);
    skips
        .chain([("unknown pool", snapshot.unknown_pools), ("rejected", snapshot.rejected)])
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

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
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

/// A price in the direction in which it is at least 1, and whether that is the other one.
fn readable(price: f64) -> (String, bool) {
    let inverse = price > 0.0 && price < 1.0;
    let shown = if inverse { 1.0 / price } else { price };
    // Beyond this an integer part would not be one.
    if !(0.0..1e15).contains(&shown) {
        return (format!("{shown:e}"), inverse);
    }
    let text = format!("{shown:.4}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), grouped);
    (format!("{whole}.{fraction}"), inverse)
}

/// Nanoseconds to three digits.
fn nanos(nanos: u64) -> String {
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

/// How long a run has lasted.
fn span(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match seconds {
        0..60 => format!("{:.2} s", elapsed.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A part of a terminal that is drawn over and over in place.
///
/// A frame is one write. Lines are cut rather than wrapped, and nothing has to be put back at the
/// end, so a run may stop at any time. The terminal needs as many rows as the frame.
#[derive(Debug, Default)]
pub struct Screen {
    rows: usize,
}

impl Screen {
    /// Draws a page over the last one.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
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

    /// Takes the page away and prints text where it was; the next page is drawn below. Without text
    /// the page stays for the next one to be drawn over.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub fn print_above(&mut self, terminal: &mut impl Write, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.clear(terminal)?;
        terminal.write_all(text.as_bytes())?;
        terminal.flush()
    }

    /// Takes the page away.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
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
