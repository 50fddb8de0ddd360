//! The results file, and the page generated from it.

use std::path::Path;

use mycelium_benches::results::{parse, render};

/// A run with one goal.
fn run(vendor: &str, goal: &str) -> String {
    let processor =
        format!(r#"{{"vendor":"{vendor}","family":"25","model":"17","name":"Some {vendor}"}}"#);
    format!(
        r#"{{"date":"2026-11-21","revision":"abc","processor":{processor},"cores":2,"load":0.25,"raw_trip":113.2,"goals":[{goal}]}}"#
    ) + "\n"
}

fn goal(rival: &str, limit: &str, upper: f64, verdict: &str) -> String {
    format!(
        r#"{{"row":"spsc","table":"spsc","ours":{{"column":"our spsc","point":"busy","nanoseconds":5.1}},"rival":{{"column":"{rival}","point":"pauses","nanoseconds":9.9}},"best":true,"measure":"time","goal":"{limit}","ratio":{{"lower":0.4,"median":0.5,"upper":{upper}}},"verdict":"{verdict}"}}"#
    )
}

#[test]
fn a_line_is_read_as_it_was_written() {
    let text = run("AMD", &goal("rtrb", "<= 0.8", 0.55, "met"));
    let records = parse(&text).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].line().unwrap(), text);
}

#[test]
fn an_invalid_line_is_named() {
    let text = run("AMD", "") + "\n{\"date\":1}\n";
    let error = parse(&text).unwrap_err().to_string();
    assert!(error.starts_with("line 3 of the results file is not a run: "), "{error}");
}

#[test]
fn the_page_has_a_table_for_each_family_with_the_worst_run() {
    let text = [
        run("AMD", &goal("rtrb", "<= 0.8", 0.55, "met")),
        run("AMD", &goal("ringbuf", "<= 0.8", 0.95, "missed")),
        run("Intel", &goal("rtrb", "<= 0.8", 0.6, "met")),
        // The ratio is far from that of the times beside it.
        run("Some", &goal("rtrb", "<= 0.8", 0.6, "met").replace("9.9", "29.9")),
    ];
    let page = render(&parse(&text.concat()).unwrap());
    let (amd, others) = page.split_once("## Intel, family 25").unwrap();
    let (intel, some) = others.split_once("## Some, family 25").unwrap();
    assert!(some.contains("| met, unsteady in 1 |\n"), "{page}");
    assert!(amd.contains("## AMD, family 25\n\nRuns: 2 (2026-11-21)."), "{page}");
    let line = "| spsc | `spsc` | our spsc / the best: ringbuf or rtrb | time <= 0.8 | 2 | 0.50 | \
                0.95 (our spsc 5.10 ns at busy, ringbuf 9.90 ns at pauses) | met in 1 of 2, unsteady in 1 |";
    assert!(amd.contains(line), "{page}");
    assert!(amd.contains("Goals met in every run, and steady: 0 of 1."), "{page}");
    assert!(intel.contains("| 1 | 0.50 | 0.60 (our spsc"), "{page}");
    assert!(intel.contains("Goals met in every run, and steady: 1 of 1."), "{page}");
}

#[test]
fn a_run_with_another_limit_is_shown_and_does_not_count() {
    let text = run("AMD", &goal("rtrb", "<= 0.5", 0.55, "missed"))
        + &run("AMD", &goal("rtrb", "<= 0.8", 0.55, "met"));
    let page = render(&parse(&text).unwrap());
    assert!(page.contains("| time <= 0.8 | 2 | 0.50 |") && page.contains("| met |\n"), "{page}");
}

#[test]
fn the_page_matches_the_results_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let results = std::fs::read_to_string(root.join("results.jsonl")).unwrap();
    let page = std::fs::read_to_string(root.join("../docs/comparisons.md")).unwrap();
    assert!(
        page == render(&parse(&results).unwrap()),
        "docs/comparisons.md does not match benches/results.jsonl; update it with:\n\
         cargo run -p mycelium-benches -- --page docs/comparisons.md --from benches/results.jsonl"
    );
}
