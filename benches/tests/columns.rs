//! Runs every column of every table with few messages: each must move all of them unchanged.

use mycelium_benches::{Options, run};

fn options(arguments: &[&str]) -> Options {
    Options::read(arguments.iter().map(|argument| (*argument).to_owned())).unwrap()
}

#[test]
fn every_column_moves_every_message() {
    let program = env!("CARGO_BIN_EXE_mycelium-benches");
    let options =
        options(&["--quick", "--rounds", "1", "--operations", "600", "--program", program]);
    let mut printed = Vec::new();
    let report = run(&options, &mut printed).unwrap();
    let printed = String::from_utf8(printed).unwrap();

    let mut keys: Vec<_> = report.tables.iter().map(|table| table.header.key).collect();
    keys.dedup();
    let expected = [
        "emit",
        "emit-batch",
        "emit-receive",
        "emit-traces",
        "fan-out",
        "scale",
        "threads",
        "encode",
        "view",
        "push",
        "spsc",
        "spsc-batches",
        "spsc-56",
        "spsc-64",
        "trip",
        "mpmc",
        "publish",
        "publish-read",
        "tasks",
        "scrape",
        "link",
        "tcp",
        "tls",
        "shm",
        "handler",
        "request",
        "wake",
        "pinned",
        "start",
        "nodes",
        "routes",
        "actors",
    ];
    assert_eq!(keys, expected);
    let loads: Vec<_> =
        report.loads.iter().map(|table| (table.header.key, table.curves.len())).collect();
    assert_eq!(loads, [("link", 3), ("tcp", 3), ("shm", 2)]);
    let (fairness, counts): (Vec<_>, Vec<_>) =
        report.counts.iter().partition(|table| table.header.key == "fairness");
    assert!(!report.latencies.is_empty() && fairness.len() == 4);
    let counts: Vec<_> =
        counts.iter().map(|table| (table.header.slug(), table.counts.len())).collect();
    let expected = [
        ("link-memory", 1),
        ("link-spent", 12),
        ("link-spent-trip", 6),
        ("tcp-spent", 12),
        ("tcp-spent-trip", 6),
        ("shm-spent", 4),
        ("shm-spent-trip", 4),
        ("idle-node", 6),
        ("actors-memory", 14),
        ("actors-spent-tell", 6),
        ("actors-spent-ask", 6),
        ("actors-spent-start", 6),
        ("actors-spent-hop", 6),
    ];
    assert_eq!(counts, expected.map(|(slug, count)| (slug.to_owned(), count)));
    let of_links = report.tables.iter().filter(|table| table.header.key == "link");
    let mut names = of_links.flat_map(|table| table.figures.iter().map(|figures| figures.name));
    assert!(names.any(|name| name == "emit to receive"));
    assert!(report.rows.is_empty(), "a quick run decides no goals");
    for table in &report.tables {
        assert!(table.figures.len() >= 2 && !table.ratios.is_empty(), "{table}");
        assert!(printed.contains(&table.to_string()));
        for ratio in &table.ratios {
            assert!(ratio.ratio.lower <= ratio.ratio.upper, "{table}");
        }
    }
    for table in &report.latencies {
        assert!(table.rows.len() >= 2);
        assert!(table.rows.iter().all(|row| row.p50 <= row.p99 && row.p999 <= row.max), "{table}");
    }
}

#[test]
fn each_table_has_a_chart() {
    let directory = std::env::temp_dir().join(format!("mycelium-plots-{}", std::process::id()));
    let path = directory.to_str().unwrap();
    let only = "publish,trip,link,jitter";
    let arguments = ["--quick", "--only", only, "--operations", "512", "--plots", path];
    let arguments = arguments.into_iter().map(str::to_owned);
    let mut printed = Vec::new();
    let code = mycelium_benches::main(arguments, &mut printed);
    assert_eq!(code, std::process::ExitCode::SUCCESS, "{}", String::from_utf8_lossy(&printed));
    for (file, name) in [
        ("publish", "tokio broadcast to 16"),
        ("trip-latency-yield", "rtrb"),
        ("link-load", "link, low latency"),
        ("jitter-latency-late", "not pinned"),
    ] {
        let chart = std::fs::read_to_string(directory.join(file).with_extension("svg")).unwrap();
        assert!(chart.starts_with("<svg") && chart.contains(name), "{chart}");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn tables_and_columns_can_be_chosen() {
    let options = options(&["--quick", "--only", "emit", "--column", "emit"]);
    let report = run(&options, &mut Vec::new()).unwrap();
    assert_eq!(report.tables.len(), 1);
    assert_eq!(report.tables[0].figures.len(), 1);
    assert!(report.tables[0].ratios.is_empty() && report.latencies.is_empty());
}
