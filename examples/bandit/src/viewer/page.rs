//! The page of the viewer: HTML for a browser, without scripts and without anything from elsewhere.

use std::fmt::Write as _;

use super::{
    store::Traces,
    svg::{Escaped, title, waterfall},
    trace::Trace,
};
use crate::report::grouped;

/// The most traces of a part of the page.
const MOST: usize = 4;

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="3">
<title>Traces</title>
<style>
body { margin: 1.5rem auto; max-width: 60rem; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif;
       color: #1c2127; background: #f4f6f8; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
figure { margin: 0 0 1rem; } svg { width: 100%; height: auto; }
a { color: #2563a8; } p { max-width: 46rem; }
@media (prefers-color-scheme: dark) {
  body { color: #e6eaee; background: #15191d; } a { color: #8ab8ee; }
}
</style>
</head>
<body>
<h1>Traces</h1>
"#;

/// The page. `program` names what is observed.
#[must_use]
pub fn page(program: &str, traces: &Traces) -> String {
    let mut page = HEAD.to_owned();
    let _ = writeln!(
        page,
        "<p>A trace is what one message has caused. Each row is a service that handled a message of \
         it, each bar the time that this took. {} has sent {} spans; {} traces are kept. The page \
         is read again every three seconds.</p>",
        Escaped(program),
        grouped(traces.spans()),
        traces.len()
    );
    if traces.is_empty() {
        page.push_str(
            "<p>No span has arrived. The first ones arrive about a second after the first \
             message.</p>\n",
        );
    }
    part(&mut page, "Through the most processes", &traces.furthest());
    part(&mut page, "Latest", &traces.latest());
    part(&mut page, "Slowest", &traces.slowest());
    page.push_str("</body>\n</html>\n");
    page
}

fn part(page: &mut String, heading: &str, traces: &[&Trace]) {
    if traces.is_empty() {
        return;
    }
    let _ = writeln!(page, "<h2>{heading}</h2>");
    for trace in traces.iter().take(MOST) {
        let (id, title) = (trace.id, title(trace));
        let _ = writeln!(
            page,
            "<figure>\n{}<figcaption><a href=\"/trace/{id}.svg\">{title}</a></figcaption>\n\
             </figure>",
            waterfall(trace)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::trace::{TraceId, tests::span},
        *,
    };

    #[test]
    fn a_page_shows_traces_and_no_element_of_others() {
        let mut traces = Traces::default();
        assert!(page("bandit", &traces).contains("No span has arrived"));
        let id = TraceId([7; 16]);
        traces.add(id, span(1, 0, "<img src=x>", 0));
        traces.add(id, span(2, 1, "Store", 0));
        // Its first span is missing.
        traces.add(TraceId([8; 16]), span(2, 1, "Lost", 0));
        let page = page("<bandit>", &traces);
        assert_eq!(page.matches("<figure>").count(), 3);
        assert!(page.contains(&format!("href=\"/trace/{id}.svg\"")) && page.contains("Store"));
        assert!(page.contains("&lt;bandit&gt; has sent 3 spans; 2 traces are kept"));
        assert!(!page.contains("<img") && !page.contains("Lost"));
    }
}
