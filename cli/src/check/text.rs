//! The result as lines for people.

use std::fmt::Write;

use mycelium::overview::{MemberOverview, NodeOverview, Overview, PortOverview, ServiceOverview};

use crate::shared::output::{count, printable};

/// The most characters of a line, unless a single name is longer.
const WIDTH: usize = 96;
/// How a service is executed if nothing says otherwise.
pub(super) const SHARED: &str = "run = \"shared\"";

/// Returns the text of an overview.
pub(super) fn text(file: &str, overview: &Overview) -> String {
    let mut text = String::new();
    let services = overview.nodes.iter().flat_map(|node| &node.services);
    let own = services.filter(|service| !service.is_added).count();
    let counts = [
        count(overview.nodes.len(), "node"),
        count(own, "service"),
        count(overview.topics.len(), "topic"),
        count(overview.links.len(), "link"),
    ];
    line(&mut text, &format!("{file}: {}; no mistake found", counts.join(", ")));
    overview.nodes.iter().for_each(|node| add_node(&mut text, node));
    if !overview.links.is_empty() {
        line(&mut text, "\nlinks");
        add_links(&mut text, overview);
    }
    if !overview.topics.is_empty() {
        line(&mut text, "\ntopics");
        add_topics(&mut text, overview);
    }
    if !overview.requests.is_empty() {
        line(&mut text, "\nrequests");
        for request in &overview.requests {
            let (topic, message) = (&request.topic, &request.message);
            line(&mut text, &format!("  {topic}: {message}, {} places", request.capacity));
            words(&mut text, "    from ", members(&request.requesters));
            words(&mut text, "    to   ", members(&request.responders));
        }
    }
    if !overview.listeners.is_empty() {
        line(&mut text, "\nlisteners for clients of the original system");
        for listener in &overview.listeners {
            let node = listener.node.iter().map(|node| format!(" in node {node}"));
            let node: String = node.collect();
            line(&mut text, &format!("  {}{node} at {}", listener.name, listener.endpoint));
            let types = listener.types.iter().map(|of| {
                let direction = match (of.from_clients, of.to_clients) {
                    (true, false) => "from clients",
                    (false, true) => "to clients",
                    _ => "both ways",
                };
                format!("{} is {} ({direction})", of.id, of.topic)
            });
            words(&mut text, "    types ", types.collect());
        }
    }
    if !overview.warnings.is_empty() {
        line(&mut text, "\nwarnings");
        for warning in &overview.warnings {
            let nodes = warning.nodes.join(", ");
            line(&mut text, &format!("  {nodes}: {}", warning.text));
        }
    }
    text
}

fn add_node(text: &mut String, node: &NodeOverview) {
    let host = node.host.iter().map(|host| format!(" on host {host}")).collect::<String>();
    let executor = node.executor.iter().map(|it| format!(", on {it}")).collect::<String>();
    line(text, &format!("\nnode {}{host}: {}{executor}", node.name, node.program));
    let memory = &node.memory.rings;
    let shared = match (memory.shared, memory.huge_pages) {
        (0, _) => String::new(),
        (shared, 0) => format!(" ({} of it shared)", bytes(shared)),
        (shared, pages) => format!(" ({} of it shared, {pages} huge pages)", bytes(shared)),
    };
    let shutdown = humantime::format_duration(node.shutdown);
    let (total, budget) = (bytes(memory.total()), bytes(node.memory.budget));
    line(text, &format!("  memory of rings {total} of {budget}{shared}; shutdown {shutdown}"));
    for supervisor in &node.supervisors {
        let window = humantime::format_duration(supervisor.window);
        let parent = supervisor.parent.iter().map(|parent| format!(" below {parent}"));
        line(
            text,
            &format!(
                "  supervisor {}{}: {}, {} in {window}, of {}",
                supervisor.name,
                parent.collect::<String>(),
                supervisor.strategy,
                count(supervisor.max_restarts as usize, "restart"),
                supervisor.children.join(", ")
            ),
        );
    }
    node.services.iter().for_each(|service| add_service(text, service));
}

fn add_service(text: &mut String, service: &ServiceOverview) {
    let mut words_of = Vec::new();
    if service.is_added {
        words_of.push("added by the library".to_owned());
    }
    if service.execution != SHARED {
        words_of.push(service.execution.clone());
    }
    if !service.is_added {
        words_of.extend(service.max_restarts.map(|limit| count(limit as usize, "restart")));
        words_of.extend(service.supervisor.iter().map(|name| format!("below {name}")));
        if service.lifetime != "transient" {
            words_of.push(service.lifetime.to_owned());
        }
    }
    line(text, &format!("  {:<28}  {}", service.name, words_of.join(", ")));
    let kinds = [
        ("reads", &service.reads),
        ("emits", &service.emits),
        ("requests", &service.requests),
        ("answers", &service.answers),
    ];
    for (kind, ports) in kinds.into_iter().filter(|(_, ports)| !ports.is_empty()) {
        words(text, &format!("    {kind:<8} "), ports.iter().map(port).collect());
    }
}

fn add_links(text: &mut String, overview: &Overview) {
    for link in &overview.links {
        let reason = link.reason.iter().map(|reason| format!(": {reason}")).collect::<String>();
        line(text, &format!("  {} - {}: {}{reason}", link.nodes[0], link.nodes[1], link.carrier));
        let width = |name: &String| name.chars().count();
        let widest = link.nodes.iter().map(width).max().unwrap_or_default();
        for flow in &link.flows {
            let policy = flow.policy.map(|policy| format!(" ({policy})")).unwrap_or_default();
            let socket = if flow.is_on_socket { ", on the socket" } else { "" };
            let (from, to) = (&flow.from, &flow.to);
            line(
                text,
                &format!("    {from:>widest$} -> {to:<widest$}  {}{policy}{socket}", flow.topic),
            );
        }
    }
}

fn add_topics(text: &mut String, overview: &Overview) {
    for topic in &overview.topics {
        let (name, message, size) = (&topic.name, &topic.message, topic.size);
        let id = topic.id.map(|id| format!("id {id}, ")).unwrap_or_default();
        let evicts = topic.evict_after.map(humantime::format_duration);
        let evicts = evicts.map(|time| format!(", stalled readers are evicted after {time}"));
        let carries = if topic.carries_requests { ", for requests" } else { "" };
        let evicts = evicts.unwrap_or_default();
        let at_most = match topic.rings.iter().any(|ring| ring.arena_bytes.is_some()) {
            true => "at most ",
            false => "",
        };
        line(text, &format!("  {name}: {message} ({id}{at_most}{size} bytes){carries}{evicts}"));
        words(text, "    from  ", members(&topic.publishers));
        words(text, "    to    ", members(&topic.readers));
        if let Some(list) = &topic.list {
            let where_to = match &list.copied_because {
                None => "`reserve` writes it in the ring".to_owned(),
                Some(because) => format!("`reserve` copies it, because {because}"),
            };
            line(text, &format!("    list  {}: {where_to}", list.field));
        }
        let rings = topic.rings.iter().map(|ring| {
            let place = if ring.is_shared { " shared" } else { "" };
            let (rings, slots, size) = (ring.rings, ring.capacity, ring.slot_bytes);
            let arena = ring.arena_bytes.map(|bytes| format!(" + {bytes}")).unwrap_or_default();
            let retained = ring.retained.iter();
            let retained =
                retained.map(|it| format!(", {} retained in {} bytes", it.most, it.bytes));
            let retained: String = retained.collect();
            format!("{} {rings} x {slots} x {size}{arena} bytes{place}{retained}", ring.node)
        });
        words(text, "    rings ", rings.collect());
    }
}

fn members(members: &[MemberOverview]) -> Vec<String> {
    if members.is_empty() {
        return vec!["nothing".to_owned()];
    }
    let names = members.iter().map(|member| {
        let policy = member.port.policy.map(|policy| format!(" ({policy})"));
        format!("{}.{}{}", member.node, member.service, policy.unwrap_or_default())
    });
    names.collect()
}

fn port(port: &PortOverview) -> String {
    let mut words = Vec::new();
    words.extend(port.port.iter().map(|name| format!("as {name}")));
    words.extend(port.policy.map(|policy| policy.to_string()));
    words.extend(port.from_oldest.then(|| "from the oldest".to_owned()));
    match words.is_empty() {
        true => port.topic.clone(),
        false => format!("{} ({})", port.topic, words.join(", ")),
    }
}

/// Adds a list. Its further lines begin below its first word.
fn words(text: &mut String, start: &str, words: Vec<String>) {
    let (mut row, indent) = (start.to_owned(), " ".repeat(start.chars().count()));
    let last = words.len().saturating_sub(1);
    for (place, word) in words.into_iter().enumerate() {
        let word = if place == last { word } else { format!("{word},") };
        let is_first = row.trim().len() <= start.trim().len();
        if !is_first && row.chars().count() + 1 + word.chars().count() > WIDTH {
            line(text, &row);
            row.clone_from(&indent);
        } else if !is_first {
            row.push(' ');
        }
        row.push_str(&word);
    }
    line(text, &row);
}

/// Adds a line. Names come from files and programs: no control character of them reaches a
/// terminal.
fn line(text: &mut String, line: &str) {
    let (breaks, line) = match line.strip_prefix('\n') {
        Some(line) => ("\n", line),
        None => ("", line),
    };
    let _ = writeln!(text, "{breaks}{}", printable(line.trim_end()));
}

/// Returns a number of bytes with a unit.
pub(super) fn bytes(bytes: usize) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 100.0 || value.fract() == 0.0 { 0 } else { 1 };
    format!("{value:.digits$} {}", units[unit])
}
