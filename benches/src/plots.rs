//! Pictures of a report: for each table the throughput of its columns as bars with their quartiles, for each table of
//! latencies the curves of its columns, and latency against load.

mod load;

use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{FairnessTable, LatencyTable, Quartiles, Report, Table};

const WIDTH: u32 = 900;
/// Where bars begin, after the names.
const LEFT: i32 = 290;
/// Where the longest bar ends, before its figure.
const RIGHT: i32 = 800;
const TOP: i32 = 70;
const ROW: i32 = 24;
const OURS: RGBColor = RGBColor(0, 114, 178);
const RIVAL: RGBColor = RGBColor(170, 170, 170);
const LINE: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// Writes a picture for each table of `report` into the directory, which is made if need be.
pub(crate) fn write(directory: &Path, report: &Report) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let file = |slug: String| directory.join(slug + ".svg");
    for table in &report.tables {
        bars(&file(table.slug()), &Bars::of(table)).map_err(io::Error::other)?;
    }
    for table in &report.fairness {
        bars(&file(table.slug()), &Bars::of_shares(table)).map_err(io::Error::other)?;
    }
    for table in &report.latencies {
        curves(&file(table.slug()), table).map_err(io::Error::other)?;
    }
    for table in &report.loads {
        load::loads(&file(table.slug()), table).map_err(io::Error::other)?;
    }
    Ok(())
}

/// A bar for each column.
struct Bars<'a> {
    title: String,
    axis: &'static str,
    bars: Vec<Bar<'a>>,
}

struct Bar<'a> {
    name: &'a str,
    ours: bool,
    /// `None` of a column that came to a standstill.
    value: Option<Quartiles>,
}

impl Bars<'_> {
    fn of(table: &Table) -> Bars<'_> {
        let bars = table.figures.iter().map(|figures| Bar {
            name: figures.name,
            ours: is_ours(figures.name)
                || table.ratios.iter().any(|ratio| ratio.worst[0].column == figures.name),
            // The slowest quarter of the times is the lowest quarter of the throughputs.
            value: figures.nanoseconds.map(|Quartiles { lower, median, upper }| Quartiles {
                lower: 1e3 / upper,
                median: 1e3 / median,
                upper: 1e3 / lower,
            }),
        });
        Bars {
            title: format!("{}: {}", table.key, table.title),
            axis: "million operations a second; bar: median, line: quartiles",
            bars: bars.collect(),
        }
    }

    fn of_shares(table: &FairnessTable) -> Bars<'_> {
        let bars = table.shares.iter().map(|share| {
            let least = share.senders.min(share.receivers);
            Bar {
                name: share.name,
                ours: is_ours(share.name),
                value: Some(Quartiles { lower: least, median: least, upper: least }),
            }
        });
        Bars {
            title: format!("fairness: {}", table.title),
            axis: "least part of its fair share that any thread got over a window",
            bars: bars.collect(),
        }
    }

    fn most(&self) -> f64 {
        let values = self.bars.iter().filter_map(|bar| bar.value);
        values.map(|value| value.upper).fold(f64::MIN_POSITIVE, f64::max)
    }
}

fn is_ours(name: &str) -> bool {
    ["our ", "emit", "link"].iter().any(|begin| name.starts_with(begin))
}

fn bars(file: &Path, chart: &Bars<'_>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let bottom = TOP + ROW * chart.bars.len() as i32;
    let area = SVGBackend::new(file, (WIDTH, bottom as u32 + 60)).into_drawing_area();
    let said = |error: DrawingAreaErrorKind<_>| error.to_string();
    area.fill(&WHITE).map_err(said)?;
    let text = |size: i32, place: HPos| {
        ("sans-serif", size).into_font().color(&LINE).pos(Pos::new(place, VPos::Center))
    };
    area.draw(&Text::new(chart.title.clone(), (16, 24), text(17, HPos::Left))).map_err(said)?;
    area.draw(&Text::new(chart.axis, (16, 48), text(13, HPos::Left))).map_err(said)?;

    let most = chart.most();
    let place = |value: f64| LEFT + ((RIGHT - LEFT) as f64 * value / most) as i32;
    let step = step(most);
    for number in 0..=(most / step) as usize {
        let value = step * number as f64;
        let line = vec![(place(value), TOP), (place(value), bottom)];
        area.draw(&PathElement::new(line, GRID)).map_err(said)?;
        let label =
            Text::new(tick(value, step), (place(value), bottom + 16), text(13, HPos::Center));
        area.draw(&label).map_err(said)?;
    }
    for (bar, top) in chart.bars.iter().zip((TOP..).step_by(ROW as usize)) {
        let middle = top + ROW / 2;
        area.draw(&Text::new(bar.name, (LEFT - 8, middle), text(13, HPos::Right))).map_err(said)?;
        let Some(value) = bar.value else {
            let label = Text::new("livelocked", (LEFT + 8, middle), text(13, HPos::Left));
            area.draw(&label).map_err(said)?;
            continue;
        };
        let color = if bar.ours { OURS } else { RIVAL };
        let corners = [(LEFT, top + 4), (place(value.median), top + ROW - 4)];
        area.draw(&Rectangle::new(corners, color.filled())).map_err(said)?;
        let quartiles = vec![(place(value.lower), middle), (place(value.upper), middle)];
        area.draw(&PathElement::new(quartiles, LINE.stroke_width(2))).map_err(said)?;
        let end = place(value.upper.max(value.median)) + 8;
        let label = Text::new(figure(value.median), (end, middle), text(13, HPos::Left));
        area.draw(&label).map_err(said)?;
    }
    area.present().map_err(said)?;
    Ok(())
}

/// A round distance between the lines of a grid, for about five of them.
fn step(most: f64) -> f64 {
    let rough = most / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|step| *step >= rough).unwrap_or(rough)
}

/// With the digits that lines at this distance differ in.
fn tick(value: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.digits$}")
}

/// Three digits, or all that are before the point.
fn figure(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// The nines of a quantile: 1 for 90 %, 2 for 99 %.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

/// As people write it: 99.9 %, and no digit more.
type Page<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A page with a title, for a chart.
fn page<'a>(
    file: &'a Path,
    key: &str,
    title: &str,
) -> Result<Page<'a>, DrawingAreaErrorKind<io::Error>> {
    let area = SVGBackend::new(file, (WIDTH, 560)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = ("sans-serif", 15).into_font().color(&LINE);
    area.draw(&Text::new(format!("{key}: {title}"), (16, 12), text))?;
    Ok(area)
}

fn percentile(nines: f64) -> String {
    let digits = (nines.round() as usize).saturating_sub(2);
    format!("{:.digits$} %", 100.0 - 100.0 / 10f64.powf(nines))
}

fn curves(file: &Path, table: &LatencyTable) -> Result<(), Box<dyn Error + Send + Sync>> {
    let times =
        || table.rows.iter().flat_map(|row| &row.curve).map(|point| point.nanoseconds.max(1));
    let least = times().min().unwrap_or(1) as f64 / 1.3;
    let most = times().max().unwrap_or(1) as f64 * 1.3;
    let said = |error: DrawingAreaErrorKind<_>| error.to_string();
    let area = page(file, table.key, &table.title).map_err(said)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .margin_right(40)
        .margin_top(44)
        .x_label_area_size(44)
        .y_label_area_size(78)
        .build_cartesian_2d(nines(0.5)..4.0, (least..most).log_scale())
        .map_err(said)?;
    chart
        .configure_mesh()
        .x_labels(5)
        .x_label_formatter(&|nines| percentile(*nines))
        .y_labels(8)
        .y_label_formatter(&|value| format!("{value:.0}"))
        .x_desc("part of the messages")
        .y_desc("nanoseconds at most")
        .light_line_style(WHITE)
        .draw()
        .map_err(said)?;
    for (index, row) in table.rows.iter().enumerate() {
        let color = Palette99::pick(index).stroke_width(2);
        let points =
            row.curve.iter().map(|point| (nines(point.quantile), point.nanoseconds.max(1) as f64));
        chart
            .draw_series(LineSeries::new(points, color))
            .map_err(said)?
            .label(row.name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], color));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(GRID)
        .draw()
        .map_err(said)?;
    area.present().map_err(said)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_have_round_distances() {
        assert_eq!(step(9.3), 2.0);
        assert_eq!(step(1000.0), 200.0);
        assert_eq!(step(0.04), 0.01);
        assert_eq!([tick(2.0, 2.0), tick(0.5, 0.1), tick(400.0, 200.0)], ["2", "0.5", "400"]);
    }

    #[test]
    fn percentiles_have_the_digits_they_need() {
        assert_eq!([1.0, 2.0, 3.0, 4.0].map(percentile), ["90 %", "99 %", "99.9 %", "99.99 %"]);
    }
}
