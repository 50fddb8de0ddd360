//! The result as a picture. Names come from files and programs, so all of them are escaped.

use std::fmt::{self, Write};

use mycelium::observe::Carrier;
use mycelium::overview::Overview;

use super::layout::{Corner, PlacedEdge};
use super::picture::{BETWEEN, HEAD, INSET, LinkBox, NodeBox, Picture, ROW, Row, TITLE, Text};
use crate::shared::output::Escaped;

/// The space around the picture.
const MARGIN: f64 = 24.0;
/// The heights of the title above and of the legend below.
const TOP: f64 = 40.0;
const LEGEND: f64 = 34.0;

const INK: &str = "#1f2733";
const FAINT: &str = "#68727f";
/// The colours of topics, one after the other.
const COLOURS: [&str; 10] = [
    "#2f6fd6", "#d9480f", "#2b8a3e", "#9c36b5", "#c2255c", "#0c8599", "#e8890c", "#5f3dc4",
    "#5c940d", "#495057",
];
const CARRIERS: [Carrier; 7] = [
    Carrier::SharedMemory,
    Carrier::UnixSocket,
    Carrier::Tls,
    Carrier::Tcp,
    Carrier::Zenoh,
    Carrier::Nats,
    Carrier::JetStream,
];

/// Returns the picture of an overview.
pub(super) fn svg(file: &str, overview: &Overview) -> String {
    let picture = Picture::new(overview);
    let size = picture.layout.size;
    let carriers: Vec<Carrier> = CARRIERS
        .into_iter()
        .filter(|carrier| picture.links.iter().any(|link| link.carrier == *carrier))
        .collect();
    let legend = if carriers.is_empty() { 0.0 } else { LEGEND };
    let title = Text::new(file);
    let width = size.width.max(title.width(16.0, true)).max(carriers.len() as f64 * 140.0);
    let (width, height) = (width + 2.0 * MARGIN, TOP + size.height + legend + 2.0 * MARGIN);
    let mut svg = Svg(String::new());
    svg.line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" font-family="Verdana, 'DejaVu Sans', Arial, sans-serif" fill="{INK}">"#
    ));
    svg.line(format_args!("<title>{}</title>", Escaped(file)));
    svg.line(format_args!(r##"<rect width="100%" height="100%" fill="#ffffff"/>"##));
    let at = Corner { x: MARGIN, y: MARGIN + 14.0 };
    svg.text(&title, at, r#"font-size="16" font-weight="bold""#);
    svg.line(format_args!(r#"<g transform="translate({MARGIN} {})">"#, MARGIN + TOP));
    for (link, edge) in picture.links.iter().zip(&picture.layout.edges) {
        svg.link(link, edge);
    }
    for (node, corner) in picture.nodes.iter().zip(&picture.layout.boxes) {
        svg.node(node, *corner);
    }
    for (place, carrier) in carriers.iter().enumerate() {
        let (x, y) = (place as f64 * 140.0, size.height + legend);
        let (colour, dash) = style(*carrier);
        svg.line(format_args!(
            r#"<path d="M {x} {y} h 26" stroke="{colour}" stroke-width="2.5"{dash}/>"#
        ));
        let at = Corner { x: x + 34.0, y: y + 4.0 };
        svg.text(&Text::new(carrier.to_string()), at, r#"font-size="12""#);
    }
    svg.line(format_args!("</g>"));
    svg.line(format_args!("</svg>"));
    svg.0
}

struct Svg(String);

impl Svg {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{line}");
    }

    /// Draws a text that begins at a place, or ends there if the style says so.
    fn text(&mut self, text: &Text, at: Corner, style: &str) {
        let Corner { x, y } = at;
        let shown = Escaped(&text.shown);
        match text.shown == text.whole {
            true => {
                self.line(format_args!(r#"<text x="{x:.1}" y="{y:.1}" {style}>{shown}</text>"#))
            }
            false => self.line(format_args!(
                r#"<text x="{x:.1}" y="{y:.1}" {style}>{shown}<title>{}</title></text>"#,
                Escaped(&text.whole)
            )),
        }
    }

    fn node(&mut self, node: &NodeBox, corner: Corner) {
        let (width, height) = (node.size.width, node.size.height);
        let (x, y) = (corner.x, corner.y);
        self.line(format_args!(r#"<g class="node" transform="translate({x:.1} {y:.1})">"#));
        self.line(format_args!("<title>node {}</title>", Escaped(&node.name.whole)));
        self.line(format_args!(
            r##"<rect width="{width:.1}" height="{height:.1}" rx="8" fill="#f4f6f9" stroke="#aab4c0"/>"##
        ));
        let at = |y| Corner { x: INSET, y };
        self.text(&node.name, at(20.0), r#"font-size="15" font-weight="bold""#);
        let faint = format!(r#"font-size="11" fill="{FAINT}""#);
        self.text(&node.below, at(36.0), &faint);
        self.text(&node.memory, at(50.0), &faint);
        let (bar, part) = (width - 2.0 * INSET, (width - 2.0 * INSET) * node.share);
        let colour = if node.share > 0.8 { "#d9480f" } else { "#5b7fb5" };
        self.line(format_args!(
            r##"<rect x="{INSET}" y="54.5" width="{bar:.1}" height="3" rx="1.5" fill="#dde3ea"/>"##
        ));
        self.line(format_args!(
            r#"<rect x="{INSET}" y="54.5" width="{:.1}" height="3" rx="1.5" fill="{colour}"/>"#,
            part.max(2.0)
        ));
        let mut y = HEAD;
        for service in &node.services {
            let inner = width - 2.0 * INSET;
            let (fill, stroke) = match service.is_added {
                true => ("#f4f6f9", "#c5cdd6"),
                false => ("#ffffff", "#8d99a8"),
            };
            self.line(format_args!(r#"<g class="service" transform="translate({INSET} {y:.1})">"#));
            self.line(format_args!("<title>service {}</title>", Escaped(&service.name.whole)));
            self.line(format_args!(
                r#"<rect width="{inner:.1}" height="{:.1}" rx="5" fill="{fill}" stroke="{stroke}"/>"#,
                service.height
            ));
            self.text(
                &service.name,
                Corner { x: INSET, y: 16.0 },
                r#"font-size="12" font-weight="bold""#,
            );
            let mut at = TITLE + 12.0;
            if let Some(below) = &service.below {
                let style = format!(r#"font-size="10" fill="{FAINT}""#);
                self.text(below, Corner { x: INSET, y: at - 2.0 }, &style);
                at += 14.0;
            }
            for row in &service.rows {
                self.port(row, inner, at);
                at += ROW;
            }
            self.line(format_args!("</g>"));
            y += service.height + BETWEEN;
        }
        self.line(format_args!("</g>"));
    }

    /// Draws a port. Its dot is on the left or right side of the service.
    fn port(&mut self, row: &Row, width: f64, y: f64) {
        let (x, at, anchor) = match row.is_right {
            true => (width, width - 12.0, r#" text-anchor="end""#),
            false => (0.0, 12.0, ""),
        };
        if let Some(colour) = row.colour {
            let colour = COLOURS[colour % COLOURS.len()];
            let fill = if row.is_request { "#ffffff" } else { colour };
            self.line(format_args!(
                r#"<circle cx="{x:.1}" cy="{:.1}" r="4.5" fill="{fill}" stroke="{colour}" stroke-width="1.5"/>"#,
                y - 4.0
            ));
        }
        let style = format!(r#"font-size="12"{anchor}"#);
        self.text(&row.text, Corner { x: at, y }, &style);
    }

    fn link(&mut self, link: &LinkBox, edge: &PlacedEdge) {
        let (colour, dash) = style(link.carrier);
        self.line(format_args!(r#"<g class="link">"#));
        self.line(format_args!(
            "<title>link {} - {}: {}</title>",
            Escaped(&link.nodes[0]),
            Escaped(&link.nodes[1]),
            link.carrier
        ));
        self.line(format_args!(
            r#"<path d="{}" fill="none" stroke="{colour}" stroke-width="2.5"{dash}/>"#,
            path(edge)
        ));
        // The second end is on the right side, unless the edge is reversed.
        let [mut right, mut left] = link.directions;
        if edge.is_reversed {
            (right, left) = (left, right);
        }
        let first = edge.parts.first().map(|part| part[0]);
        let last = edge.parts.last().map(|part| part[1]);
        for (corner, step) in [(first.filter(|_| left), 9.0), (last.filter(|_| right), -9.0)] {
            let Some(Corner { x, y }) = corner else { continue };
            self.line(format_args!(
                r#"<path d="M {x:.1} {y:.1} l {step} -5 v 10 z" fill="{colour}"/>"#
            ));
        }
        let (Corner { x, y }, size) = (edge.label, link.size);
        self.line(format_args!(r#"<g transform="translate({x:.1} {y:.1})">"#));
        self.line(format_args!(
            r##"<rect width="{:.1}" height="{:.1}" rx="6" fill="#ffffff" stroke="{colour}"/>"##,
            size.width, size.height
        ));
        let bold = format!(r#"font-size="12" font-weight="bold" fill="{colour}""#);
        self.text(&link.title, Corner { x: INSET, y: 17.0 }, &bold);
        let mut at = TITLE + 14.0;
        for row in &link.rows {
            if let Some(colour) = row.colour {
                self.line(format_args!(
                    r#"<circle cx="{:.1}" cy="{:.1}" r="4" fill="{}"/>"#,
                    INSET + 4.0,
                    at - 4.0,
                    COLOURS[colour % COLOURS.len()]
                ));
            }
            self.text(&row.text, Corner { x: INSET + 14.0, y: at }, r#"font-size="12""#);
            at += ROW;
        }
        self.line(format_args!("</g>"));
        self.line(format_args!("</g>"));
    }
}

/// Returns the path of an edge: straight parts, and bends between them.
fn path(edge: &PlacedEdge) -> String {
    let mut path = String::new();
    let mut before: Option<Corner> = None;
    for [from, to] in &edge.parts {
        let _ = match before {
            None => write!(path, "M {:.1} {:.1}", from.x, from.y),
            Some(end) => {
                let middle = (end.x + from.x) / 2.0;
                write!(
                    path,
                    " C {middle:.1} {:.1} {middle:.1} {:.1} {:.1} {:.1}",
                    end.y, from.y, from.x, from.y
                )
            }
        };
        let _ = write!(path, " H {:.1}", to.x);
        before = Some(*to);
    }
    path
}

fn style(carrier: Carrier) -> (&'static str, &'static str) {
    match carrier {
        Carrier::SharedMemory => ("#2b8a3e", ""),
        Carrier::UnixSocket => ("#2f6fd6", r#" stroke-dasharray="7 4""#),
        Carrier::Tls => ("#5f3dc4", ""),
        Carrier::Zenoh => ("#0c8599", r#" stroke-dasharray="9 3 2 3""#),
        Carrier::Nats => ("#9c36b5", r#" stroke-dasharray="9 3 2 3""#),
        Carrier::JetStream => ("#9c36b5", ""),
        _ => ("#d9480f", r#" stroke-dasharray="3 3""#),
    }
}
