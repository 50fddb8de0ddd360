//! The content of the picture, with its texts and their sizes: nodes with services and ports, links
//! with their carriers and topics.

use std::collections::BTreeMap;

use mycelium::observe::Carrier;
use mycelium::overview::{LinkOverview, NodeOverview, Overview, PortOverview, ServiceOverview};
use unicode_width::UnicodeWidthStr;

use super::layout::{Edge, Layout, Size, layout};
use super::text::{SHARED, bytes};

/// The most characters of a text; a longer one is cut, and shown as a whole beside the pointer.
const LONGEST: usize = 42;
/// The most ports of a service that are shown; the others are counted.
const MOST_PORTS: usize = 14;
/// The space around the texts of a box.
pub(super) const INSET: f64 = 10.0;
/// The height of a line of a port or a topic.
pub(super) const ROW: f64 = 17.0;
/// The height of the title of a service, or of the carrier of a link.
pub(super) const TITLE: f64 = 20.0;
/// The height of the lines above the services of a node.
pub(super) const HEAD: f64 = 64.0;
/// The space between services.
pub(super) const BETWEEN: f64 = 8.0;

/// A text, and its beginning if it is too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) whole: String,
    pub(super) shown: String,
}

impl Text {
    pub(super) fn new(text: impl Into<String>) -> Text {
        let whole = text.into();
        let shown = match whole.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &whole[..end]),
            None => whole.clone(),
        };
        Text { whole, shown }
    }

    /// Returns the approximate width of the text. Fonts differ: this is more than most of them
    /// need.
    pub(super) fn width(&self, size: f64, is_bold: bool) -> f64 {
        let each = if is_bold { 0.67 } else { 0.61 };
        self.shown.width() as f64 * size * each
    }
}

/// A node.
pub(super) struct NodeBox {
    pub(super) name: Text,
    pub(super) below: Text,
    pub(super) memory: Text,
    /// The share of the memory budget that the rings take.
    pub(super) share: f64,
    pub(super) services: Vec<ServiceBox>,
    pub(super) size: Size,
}

/// A service in its node.
pub(super) struct ServiceBox {
    pub(super) name: Text,
    pub(super) is_added: bool,
    /// How the service is executed, if not by default.
    pub(super) below: Option<Text>,
    pub(super) rows: Vec<Row>,
    pub(super) height: f64,
}

/// A port of a service, or a topic of a link.
pub(super) struct Row {
    pub(super) text: Text,
    /// The colour of the topic; `None` for a row that counts other rows.
    pub(super) colour: Option<usize>,
    /// Whether the row is on the right side: it is a publisher, or a topic that goes to the right.
    pub(super) is_right: bool,
    /// Whether the row is about requests.
    pub(super) is_request: bool,
}

/// A link between two nodes, with its label.
pub(super) struct LinkBox {
    /// The indices of the nodes.
    pub(super) ends: [usize; 2],
    pub(super) nodes: [String; 2],
    pub(super) carrier: Carrier,
    pub(super) title: Text,
    pub(super) rows: Vec<Row>,
    /// Whether topics go from the first end to the second, and from the second to the first.
    pub(super) directions: [bool; 2],
    pub(super) size: Size,
}

/// The boxes and edges of the picture with their places.
pub(super) struct Picture {
    pub(super) nodes: Vec<NodeBox>,
    pub(super) links: Vec<LinkBox>,
    pub(super) layout: Layout,
}

impl Picture {
    pub(super) fn new(overview: &Overview) -> Picture {
        let topics = overview.topics.iter().map(|topic| topic.name.as_str());
        let requests = overview.requests.iter().map(|request| request.topic.as_str());
        let colours: BTreeMap<&str, usize> =
            topics.chain(requests).enumerate().map(|(place, topic)| (topic, place)).collect();
        let nodes: Vec<NodeBox> =
            overview.nodes.iter().map(|node| node_box(node, &colours)).collect();
        let places: BTreeMap<&str, usize> =
            overview.nodes.iter().enumerate().map(|(place, node)| (&*node.name, place)).collect();
        let links = overview.links.iter().filter_map(|link| link_box(link, &places, &colours));
        let links: Vec<LinkBox> = links.collect();
        let sizes: Vec<Size> = nodes.iter().map(|node| node.size).collect();
        let edges = links.iter().map(|link| Edge {
            from: link.ends[0],
            to: link.ends[1],
            label: link.size,
        });
        let layout = layout(&sizes, &edges.collect::<Vec<_>>());
        Picture { nodes, links, layout }
    }
}

fn node_box(node: &NodeOverview, colours: &BTreeMap<&str, usize>) -> NodeBox {
    let host = node.host.iter().map(|host| format!("host {host} · ")).collect::<String>();
    let total = node.memory.rings.total();
    let services: Vec<ServiceBox> =
        node.services.iter().map(|service| service_box(service, colours)).collect();
    let name = Text::new(node.name.clone());
    let below = Text::new(format!("{host}{}", node.program));
    let memory = Text::new(format!("rings {} of {}", bytes(total), bytes(node.memory.budget)));
    let widths = [name.width(15.0, true), below.width(11.0, false), memory.width(11.0, false)];
    let of_services = services.iter().map(|service| {
        let below = service.below.iter().map(|text| text.width(10.0, false));
        let rows = service.rows.iter().map(|row| row.text.width(12.0, false) + 22.0);
        let inner = below.chain(rows).fold(service.name.width(12.0, true), f64::max);
        inner + 2.0 * INSET
    });
    let width = widths.into_iter().chain(of_services).fold(130.0, f64::max) + 2.0 * INSET;
    let heights = services.iter().map(|service| service.height + BETWEEN);
    let height = HEAD + heights.sum::<f64>() + INSET - BETWEEN.min(INSET);
    NodeBox {
        name,
        below,
        memory,
        share: (total as f64 / node.memory.budget.max(1) as f64).min(1.0),
        services,
        size: Size { width, height: height + 4.0 },
    }
}

fn service_box(service: &ServiceOverview, colours: &BTreeMap<&str, usize>) -> ServiceBox {
    let row = |port: &PortOverview, is_right: bool, is_request: bool| {
        let name = port.port.iter().map(|name| format!("{name}: ")).collect::<String>();
        let policy = port.policy.map(|policy| format!(" · {policy}")).unwrap_or_default();
        let text = Text::new(format!("{name}{}{policy}", port.topic));
        let colour = colours.get(port.topic.as_str()).copied();
        Row { text, colour, is_right, is_request }
    };
    let reads = service.reads.iter().map(|port| row(port, false, false));
    let answers = service.answers.iter().map(|port| row(port, false, true));
    let emits = service.emits.iter().map(|port| row(port, true, false));
    let requests = service.requests.iter().map(|port| row(port, true, true));
    let rows = limited(reads.chain(answers).chain(emits).chain(requests).collect());
    let below = (service.execution != SHARED).then(|| Text::new(service.execution.clone()));
    let lines = rows.len() as f64 * ROW + below.iter().count() as f64 * 14.0;
    ServiceBox {
        name: Text::new(service.name.clone()),
        is_added: service.is_added,
        below,
        height: TITLE + lines + 8.0,
        rows,
    }
}

fn link_box(
    link: &LinkOverview,
    places: &BTreeMap<&str, usize>,
    colours: &BTreeMap<&str, usize>,
) -> Option<LinkBox> {
    let forth = link.flows.iter().filter(|flow| flow.from == link.nodes[0]).count();
    let back = link.flows.len() - forth;
    // The end that sends more topics is on the left.
    let nodes = match back > forth {
        true => [link.nodes[1].clone(), link.nodes[0].clone()],
        false => link.nodes.clone(),
    };
    let ends = [*places.get(nodes[0].as_str())?, *places.get(nodes[1].as_str())?];
    let rows = link.flows.iter().map(|flow| {
        let is_right = flow.from == nodes[0];
        let socket = if flow.is_on_socket { " (on its socket)" } else { "" };
        let colour = colours.get(flow.topic.as_str()).copied();
        let arrow = if is_right { "" } else { "← " };
        let text = Text::new(format!("{arrow}{}{socket}", flow.topic));
        Row { text, colour, is_right, is_request: false }
    });
    let rows = limited(rows.collect());
    let title = Text::new(link.carrier.to_string());
    let widths = rows.iter().map(|row| row.text.width(12.0, false) + 14.0);
    let width = widths.fold(title.width(12.0, true), f64::max) + 2.0 * INSET;
    let height = TITLE + rows.len() as f64 * ROW + 8.0;
    let goes_from = |node: &String| link.flows.iter().any(|flow| flow.from == *node);
    let directions = [goes_from(&nodes[0]), goes_from(&nodes[1])];
    let (carrier, size) = (link.carrier, Size { width, height });
    Some(LinkBox { ends, nodes, carrier, title, rows, directions, size })
}

/// Returns the first rows, and one that counts the others if there are too many.
fn limited(mut rows: Vec<Row>) -> Vec<Row> {
    if rows.len() > MOST_PORTS {
        let more = rows.len() - MOST_PORTS + 1;
        rows.truncate(MOST_PORTS - 1);
        let text = Text::new(format!("and {more} more"));
        rows.push(Row { text, colour: None, is_right: false, is_request: false });
    }
    rows
}
