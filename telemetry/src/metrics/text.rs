//! The text formats of Prometheus: OpenMetrics 1.0, and the older format 0.0.4, which some
//! collectors still request.

use std::fmt::{self, Display, Write};

use super::family::{Family, FamilyKind, Sample, SampleValue};

/// The number of bytes to reserve for each sample: enough for almost all lines, so that the text
/// rarely grows.
const LONG: usize = 128;

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format 0.0.4.
    Plain,
}

impl Format {
    /// Returns the content type in HTTP.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Writes the families in this format.
    ///
    /// ```
    /// use mycelium_telemetry::Snapshot;
    /// use mycelium_telemetry::metrics::Collector;
    /// use mycelium_telemetry::metrics::text::Format;
    /// use mycelium_transports::counters::{PublisherValue, Region};
    ///
    /// let region = Region::new(16);
    /// let line = region.line("topic=swaps publisher=Feed epoch=1");
    /// line.set(PublisherValue::Sent, 7);
    /// let node = "main".to_owned();
    /// let snapshot = Snapshot { node, readings: region.read(), ..Snapshot::default() };
    /// let text = Format::Plain.write(&Collector::new().collect(&snapshot));
    /// assert!(text.contains(
    ///     "# TYPE mycelium_messages_sent_total counter\n\
    ///      mycelium_messages_sent_total{node=\"main\",topic=\"swaps\",publisher=\"Feed\"} 7\n"
    /// ));
    /// ```
    pub fn write(self, families: &[Family]) -> String {
        let samples: usize = families.iter().map(|family| family.samples.len()).sum();
        let mut text = String::with_capacity(LONG * samples);
        for family in families.iter().filter(|family| !family.samples.is_empty()) {
            // Cannot fail, because it writes into a text.
            let _ = self.write_family(&mut text, family);
        }
        if self == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    fn write_family(self, text: &mut String, family: &Family) -> fmt::Result {
        let Family { name, help, kind, unit, .. } = family;
        let end = match (self, kind) {
            (Format::Plain, FamilyKind::Counter) => "_total",
            (Format::Plain, FamilyKind::Gauge | FamilyKind::Histogram)
            | (Format::OpenMetrics, _) => "",
        };
        writeln!(
            text,
            "# HELP {name}{end} {}",
            Escaped { text: help, format: self, is_help: true }
        )?;
        writeln!(text, "# TYPE {name}{end} {}", kind.name())?;
        if let (Format::OpenMetrics, Some(unit)) = (self, unit) {
            writeln!(text, "# UNIT {name} {unit}")?;
        }
        family.samples.iter().try_for_each(|sample| self.write_sample(text, family, sample))
    }

    fn write_sample(self, text: &mut String, family: &Family, sample: &Sample) -> fmt::Result {
        let name = &*family.name;
        match &sample.value {
            SampleValue::Counter(count) => {
                self.write_line(text, name, "_total", sample, None, count)
            }
            SampleValue::Gauge(value) => self.write_line(text, name, "", sample, None, value),
            SampleValue::Histogram(buckets) => {
                for (bound, count) in buckets.cumulative() {
                    let bound = format!("{:?}", buckets.in_unit(bound));
                    self.write_line(text, name, "_bucket", sample, Some(&bound), &count)?;
                }
                let count = &buckets.count;
                self.write_line(text, name, "_bucket", sample, Some("+Inf"), count)?;
                self.write_line(text, name, "_count", sample, None, count)?;
                let sum = buckets.sum;
                match family.unit {
                    Some(_) => {
                        self.write_line(text, name, "_sum", sample, None, &buckets.in_unit(sum))
                    }
                    None => self.write_line(text, name, "_sum", sample, None, &sum),
                }
            }
        }
    }

    fn write_line(
        self,
        text: &mut String,
        name: &str,
        end: &str,
        sample: &Sample,
        bound: Option<&str>,
        value: &dyn Display,
    ) -> fmt::Result {
        text.push_str(name);
        text.push_str(end);
        let labels = sample.labels().chain(bound.map(|bound| ("le", bound)));
        for (place, (key, value)) in labels.enumerate() {
            text.push(if place == 0 { '{' } else { ',' });
            text.push_str(key);
            text.push_str("=\"");
            if value.bytes().all(is_plain) {
                text.push_str(value);
            } else {
                write!(text, "{}", Escaped { text: value, format: self, is_help: false })?;
            }
            text.push('"');
        }
        writeln!(text, "}} {value}")
    }
}

/// Returns whether a byte of a label's value needs no escape. Most values have only such bytes.
fn is_plain(letter: u8) -> bool {
    matches!(letter, b' '..=b'~') && !matches!(letter, b'"' | b'\\')
}

/// Formats the value of a label, or a help text. Names may come from peers: a character that could
/// end a line, or control a terminal, becomes a question mark.
struct Escaped<'t> {
    text: &'t str,
    format: Format,
    is_help: bool,
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quotes = !self.is_help || self.format == Format::OpenMetrics;
        self.text.chars().try_for_each(|letter| match letter {
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            '"' if quotes => f.write_str("\\\""),
            letter if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') => {
                f.write_char('?')
            }
            letter => f.write_char(letter),
        })
    }
}
