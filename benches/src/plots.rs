//! Charts of a report, as SVG: bars of throughput by column with quartiles, curves of percentiles,
//! and latency against load.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use plotters::chart::SeriesLabelPosition::UpperLeft;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::report::{CountTable, Header, LatencyTable, LoadPoint, LoadTable, Report, Table};
use crate::stats::Quartiles;

const WIDTH: u32 = 900;
const OURS: RGBColor = RGBColor(0, 114, 178);
const RIVAL: RGBColor = RGBColor(170, 170, 170);
const LINE: RGBColor = RGBColor(40, 40, 40);

/// Writes a chart of each table into the directory, which is created if necessary.
pub(crate) fn write(directory: &Path, report: &Report) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let file = |header: &Header, kind| directory.join(header.slug_of(kind)).with_extension("svg");
    let drawn = report.tables.iter().map(|table| throughput(&file(&table.header, ""), table));
    let drawn = drawn
        .chain(report.counts.iter().map(|table| counts(&file(&table.header, "-counts"), table)));
    let drawn = drawn.chain(
        report.latencies.iter().map(|table| curves(&file(&table.header, "-latency"), table)),
    );
    let drawn =
        drawn.chain(report.loads.iter().map(|table| loads(&file(&table.header, "-load"), table)));
    drawn.collect()
}

/// The error of a chart that cannot be drawn or written.
fn failed(error: DrawingAreaErrorKind<io::Error>) -> io::Error {
    io::Error::other(error.to_string())
}

/// A page of this height with a title.
fn page<'a>(
    file: &'a Path,
    header: &Header,
    height: u32,
) -> Result<DrawingArea<SVGBackend<'a>, Shift>, DrawingAreaErrorKind<io::Error>> {
    let area = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = ("sans-serif", 15).into_font().color(&LINE);
    area.draw(&Text::new(format!("{}: {}", header.key, header.title), (16, 12), text))?;
    Ok(area)
}

/// A horizontal bar.
struct Bar {
    name: String,
    color: RGBColor,
    /// `None` if the column livelocked.
    value: Option<Quartiles>,
}

fn throughput(file: &Path, table: &Table) -> io::Result<()> {
    let is_ours = |name: &str| {
        ["our ", "emit", "link"].iter().any(|begin| name.starts_with(begin))
            || table.ratios.iter().any(|ratio| ratio.ours.column == name)
    };
    let bars = table.figures.iter().map(|figures| Bar {
        name: figures.name.to_owned(),
        color: if is_ours(figures.name) { OURS } else { RIVAL },
        value: figures.nanoseconds.map(|time| time.map(|time| 1e3 / time)),
    });
    let axis = "million operations per second; bar: median, line: quartiles";
    bars_of(file, &table.header, axis, &bars.collect::<Vec<_>>())
}

fn counts(file: &Path, table: &CountTable) -> io::Result<()> {
    let bars = table.counts.iter().map(|count| Bar {
        name: format!("{}: {}", count.name, count.what),
        color: if count.goal.is_some() { OURS } else { RIVAL },
        value: Some(count.value),
    });
    bars_of(file, &table.header, "bar: median, line: quartiles", &bars.collect::<Vec<_>>())
}

fn bars_of(file: &Path, header: &Header, axis: &str, bars: &[Bar]) -> io::Result<()> {
    let values = bars.iter().filter_map(|bar| bar.value);
    let most = values.map(|value| value.upper).fold(f64::MIN_POSITIVE, f64::max);
    let area = page(file, header, 110 + 24 * bars.len() as u32).map_err(failed)?;
    let rows = bars.len() as f64;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .margin_right(60)
        .margin_top(40)
        .x_label_area_size(44)
        .y_label_area_size(280)
        .build_cartesian_2d(0.0..most, rows..0.0)
        .map_err(failed)?;
    chart.configure_mesh().disable_y_mesh().y_labels(0).x_desc(axis).draw().map_err(failed)?;
    let text = ("sans-serif", 13).into_font().color(&LINE);
    let right = text.pos(plotters::style::text_anchor::Pos::new(
        plotters::style::text_anchor::HPos::Right,
        plotters::style::text_anchor::VPos::Center,
    ));
    for (index, bar) in bars.iter().enumerate() {
        let (top, middle, bottom) = (index as f64 + 0.2, index as f64 + 0.5, index as f64 + 0.8);
        let label =
            EmptyElement::at((0.0, middle)) + Text::new(bar.name.clone(), (-8, 0), right.clone());
        chart.plotting_area().draw(&label).map_err(failed)?;
        let (figure, end) = match bar.value {
            None => ("livelock".to_owned(), 0.0),
            Some(Quartiles { lower, median, upper }) => {
                let bar = Rectangle::new([(0.0, top), (median, bottom)], bar.color.filled());
                let line = vec![(lower, middle), (upper, middle)];
                chart.plotting_area().draw(&bar).map_err(failed)?;
                let line = PathElement::new(line, LINE.stroke_width(2));
                chart.plotting_area().draw(&line).map_err(failed)?;
                let digits = if median >= 100.0 { 0 } else { 2 };
                (format!("{median:.digits$}"), upper.max(median))
            }
        };
        let figure = EmptyElement::at((end, middle)) + Text::new(figure, (8, -6), text.clone());
        chart.plotting_area().draw(&figure).map_err(failed)?;
    }
    area.present().map_err(failed)
}

/// A curve of a chart, with an optional thin one and a mark.
struct Curve {
    name: &'static str,
    points: Vec<(f64, f64)>,
    thin: Vec<(f64, f64)>,
    mark: Option<(f64, f64)>,
}

/// The range of some values, with a margin for a logarithmic axis.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (least, most) = values
        .fold((f64::INFINITY, 2.0), |(least, most), value| (value.min(least), value.max(most)));
    least.min(most) / 1.3..most * 1.3
}

/// The number of nines of a quantile: 1 for 90 %, 2 for 99 %.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

/// A quantile given by its number of nines, as 99.9 %.
fn percentile(nines: f64) -> String {
    let digits = (nines.round() as usize).saturating_sub(2);
    format!("{:.digits$} %", 100.0 - 100.0 / 10f64.powf(nines))
}

fn curves(file: &Path, table: &LatencyTable) -> io::Result<()> {
    let curves = table.rows.iter().map(|row| {
        let curve = row.curve.iter();
        let points = curve.map(|point| (nines(point.quantile), point.nanoseconds.max(1) as f64));
        Curve { name: row.name, points: points.collect(), thin: Vec::new(), mark: None }
    });
    let axes = ["part of the messages", "nanoseconds at most"];
    chart(file, &table.header, nines(0.5)..4.0, axes, percentile, curves.collect())
}

fn loads(file: &Path, table: &LoadTable) -> io::Result<()> {
    let curves = table.curves.iter().map(|curve| {
        let line = |of: fn(&LoadPoint) -> u64| {
            let points = curve.points.iter();
            points.map(|point| (point.offered as f64, of(point).max(1) as f64)).collect::<Vec<_>>()
        };
        let (points, thin) = (line(|point| point.p50), line(|point| point.p99));
        let knee = curve.knee.map(|knee| knee as f64);
        let mark = points.iter().copied().find(|point| Some(point.0) == knee);
        Curve { name: curve.name, points, thin, mark }
    });
    let curves: Vec<_> = curves.collect();
    let offered = range(curves.iter().flat_map(|curve| &curve.points).map(|point| point.0));
    let axes = [
        "messages due per second",
        "nanoseconds; line: median, thin: 99 %, point: the last load before the knee",
    ];
    chart(file, &table.header, offered.log_scale(), axes, |rate| format!("{rate:.0}"), curves)
}

/// Curves of times, on a logarithmic axis.
fn chart<X: AsRangedCoord<Value = f64>>(
    file: &Path,
    header: &Header,
    x: X,
    [x_axis, y_axis]: [&str; 2],
    label: fn(f64) -> String,
    curves: Vec<Curve>,
) -> io::Result<()>
where
    X::CoordDescType: ValueFormatter<f64>,
{
    let points = curves.iter().flat_map(|curve| curve.points.iter().chain(&curve.thin));
    let times = range(points.map(|point| point.1));
    let area = page(file, header, 560).map_err(failed)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .margin_right(40)
        .margin_top(44)
        .x_label_area_size(44)
        .y_label_area_size(78)
        .build_cartesian_2d(x, times.log_scale())
        .map_err(failed)?;
    let x_label = |value: &f64| label(*value);
    chart
        .configure_mesh()
        .x_labels(5)
        .x_label_formatter(&x_label)
        .y_label_formatter(&|time| format!("{time:.0}"))
        .x_desc(x_axis)
        .y_desc(y_axis)
        .light_line_style(WHITE)
        .draw()
        .map_err(failed)?;
    for (index, Curve { name, points, thin, mark }) in curves.into_iter().enumerate() {
        let color = Palette99::pick(index);
        let style = color.stroke_width(2);
        chart.draw_series(LineSeries::new(thin, color.stroke_width(1))).map_err(failed)?;
        chart
            .draw_series(LineSeries::new(points, style))
            .map_err(failed)?
            .label(name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
        let mark = mark.map(|point| Circle::new(point, 6, color.filled()));
        chart.draw_series(mark).map_err(failed)?;
    }
    chart
        .configure_series_labels()
        .position(UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(RIVAL)
        .draw()
        .map_err(failed)?;
    area.present().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_the_digits_they_need() {
        assert_eq!([1.0, 2.0, 3.0, 4.0].map(percentile), ["90 %", "99 %", "99.9 %", "99.99 %"]);
    }
}
