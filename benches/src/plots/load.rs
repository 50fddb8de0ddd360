//! Latency against offered load: for each column the median as a line, the 99th percentile as a thin one, and a point
//! before the knee.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::{GRID, page};
use crate::report::{LoadPoint, LoadTable};

pub(super) fn loads(file: &Path, table: &LoadTable) -> Result<(), Box<dyn Error + Send + Sync>> {
    let points = || table.curves.iter().flat_map(|curve| &curve.points);
    let ends = |of: fn(&LoadPoint) -> [u64; 2]| {
        let values = || points().flat_map(of).map(|value| value.max(1) as f64);
        (values().fold(f64::INFINITY, f64::min) / 1.2)..(values().fold(2.0, f64::max) * 1.2)
    };
    let offered = ends(|point| [point.offered; 2]);
    let times = ends(|point| [point.p50, point.p99]);
    let said = |error: DrawingAreaErrorKind<_>| error.to_string();
    let area = page(file, table.key, &table.title).map_err(said)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .margin_right(40)
        .margin_top(44)
        .x_label_area_size(44)
        .y_label_area_size(78)
        .build_cartesian_2d(offered.log_scale(), times.log_scale())
        .map_err(said)?;
    chart
        .configure_mesh()
        .x_label_formatter(&|rate| format!("{rate:.0}"))
        .y_label_formatter(&|time| format!("{time:.0}"))
        .x_desc("messages a second that are due")
        .y_desc("nanoseconds; line: median, thin: 99 %, point: before the knee")
        .light_line_style(WHITE)
        .draw()
        .map_err(said)?;
    for (index, curve) in table.curves.iter().enumerate() {
        let color = Palette99::pick(index);
        let line = |of: fn(&LoadPoint) -> u64| {
            curve.points.iter().map(move |point| (point.offered as f64, of(point).max(1) as f64))
        };
        let thin = LineSeries::new(line(|point| point.p99), color.stroke_width(1));
        chart.draw_series(thin).map_err(said)?;
        let style = color.stroke_width(3);
        chart
            .draw_series(LineSeries::new(line(|point| point.p50), style))
            .map_err(said)?
            .label(curve.name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
        let knee = curve.points.iter().filter(|point| Some(point.offered) == curve.knee);
        let knee = knee.map(|point| {
            Circle::new((point.offered as f64, point.p50.max(1) as f64), 6, color.filled())
        });
        chart.draw_series(knee).map_err(said)?;
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
