//! The latencies of systems against the messages that they took, as a picture.

use plotters::prelude::*;
use plotters::style::Palette99;

use super::report::Summary;
use super::results::{Measured, short};
use crate::shared::exit::Failure;
use crate::shared::output::printable;

/// Why there is no picture.
pub(super) const NO_RATE: &str = "a picture needs a `--rate` beside `max`";
/// Why there is no picture, either.
const NOTHING: &str = "a picture needs a system that received messages";

/// Draws for each system the median as a thin line, and the 99th percentile as a thick one. Both
/// axes are logarithmic. `max` is not in the picture: there the latency is that of a full ring.
///
/// # Errors
/// If no result has a rate and a message that was received.
pub(super) fn draw(results: &[Measured]) -> Result<String, Failure> {
    let mut systems: Vec<(&str, Vec<[f64; 3]>)> = Vec::new();
    for Measured { system, runs, .. } in results.iter().filter(|it| it.rate.0.is_some()) {
        let Summary { throughput, latency: Some(latency), .. } = Summary::of(runs) else {
            continue;
        };
        let microseconds = |time: u64| (time as f64 / 1000.0).max(0.01);
        let point = [throughput.max(1.0), microseconds(latency.p50), microseconds(latency.p99)];
        match systems.iter_mut().find(|(name, _)| name == system) {
            Some((_, points)) => points.push(point),
            None => systems.push((system, vec![point])),
        }
    }
    if systems.is_empty() {
        let has_rate = results.iter().any(|it| it.rate.0.is_some());
        return Err(Failure::Usage(if has_rate { NOTHING } else { NO_RATE }.to_owned()));
    }
    let mut picture = String::new();
    chart(&mut picture, &systems)
        .map_err(|error| Failure::Unavailable(format!("the picture: {error}")))?;
    Ok(picture)
}

fn chart(
    picture: &mut String,
    systems: &[(&str, Vec<[f64; 3]>)],
) -> Result<(), Box<dyn std::error::Error>> {
    let points = || systems.iter().flat_map(|(_, points)| points);
    let range = |at: fn(&[f64; 3]) -> [f64; 2]| {
        let least = points().map(|point| at(point)[0]).fold(f64::INFINITY, f64::min);
        let most = points().map(|point| at(point)[1]).fold(0.0, f64::max);
        (least / 1.5..most * 1.5).log_scale()
    };
    let root = SVGBackend::with_string(picture, (1100, 540)).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(780);
    let mut chart = ChartBuilder::on(&left)
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(range(|it| [it[0], it[0]]), range(|it| [it[1], it[2]]))?;
    let mut mesh = chart.configure_mesh();
    let label = |number: &f64| short(*number).replace(".0", "");
    mesh.x_label_formatter(&label).y_label_formatter(&label);
    mesh.light_line_style(TRANSPARENT).x_desc("messages a second");
    mesh.y_desc("microseconds: median (thin), 99th percentile (thick)").draw()?;
    for (number, (name, points)) in systems.iter().enumerate() {
        let colour = Palette99::pick(number);
        let line = |at: usize| points.iter().map(move |point| (point[0], point[at]));
        chart.draw_series(LineSeries::new(line(1), colour.stroke_width(1)))?;
        chart.draw_series(LineSeries::new(line(2), colour.stroke_width(3)).point_size(3))?;
        let height = 24 + 18 * number as i32;
        right.draw(&PathElement::new([(0, height), (20, height)], colour.stroke_width(3)))?;
        right.draw(&Text::new(printable(name), (28, height - 6), ("sans-serif", 13)))?;
    }
    root.present()?;
    Ok(())
}
