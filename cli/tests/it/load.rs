//! `mycelium load`: the built-in system on each carrier, programs of users, and systems that stop,
//! end or lose messages.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::thread::yield_now;

use mycelium::counters::Attached;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Ended, Process, kill, tool};
use crate::world::now;

const SHORT: [&str; 6] = ["--seconds", "200ms", "--warm-up", "50ms", "--runs", "1"];
const SHM: [&str; 2] = ["--carrier", "shm"];
const REPORT: &str = r#"{"due": 10, "sent": 10, "received": 9, "missed": 1, "seconds": 0.5,
    "latency": {"p50": 1000, "p90": 2000, "p99": 3000, "p999": 4000, "max": 5000}}"#;

/// Returns `load` with these arguments, in this directory, which also has its temporary files.
fn load(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = tool(&["load"]);
    command.args(arguments).current_dir(directory.path());
    fs::create_dir_all(directory.path().join("tmp")).unwrap();
    command.env("TMPDIR", directory.path().join("tmp"));
    command
}

fn run(directory: &TempDir, arguments: &[&str]) -> Ended {
    let ended = Ended::of(&load(directory, arguments).output().unwrap());
    let left: Vec<_> = fs::read_dir(directory.path().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    ended
}

/// Runs `load` with a script of the shell as the program.
fn script(directory: &TempDir, text: &str, more: &[&str]) -> Ended {
    let program = ["--", "sh", "-c", text, "script"];
    run(directory, &[&SHORT[..], &["--rate", "1k"], more, &program].concat())
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_built_in_system_delivers_each_message_on_each_carrier() {
    let directory = directory();
    let files = ["--json", "all.jsonl", "--svg", "load.svg", "--page", "page.md", "-o", "json"];
    let out = run(&directory, &[&SHORT[..], &["--rate", "500,max"], &files].concat());
    let rows: Vec<Value> = serde_json::from_str(&out.expect_success()).unwrap();
    assert_eq!(rows.len(), 10);
    for row in &rows {
        let system = row["system"].as_str().unwrap();
        assert_eq!(row["missed"], 0, "{row}");
        assert!(row["per_second"].as_u64() > Some(0) && row["mib"].as_u64() > Some(1), "{row}");
        assert!(row["p50_us"].as_f64() > Some(0.0), "{row}");
        assert!(row["max_us"].as_f64() >= row["p99_us"].as_f64(), "{row}");
        let carriers = ["local", "shm", "unix", "tcp", "tls"];
        assert!(carriers.iter().any(|carrier| system.starts_with(carrier)), "{row}");
    }
    let text = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    roxmltree::Document::parse(&text("load.svg")).unwrap();
    let line: Value = serde_json::from_str(&text("all.jsonl")).unwrap();
    let report = &line["results"][0]["runs"][0];
    assert_eq!(report["due"], 100);
    assert_eq!(report["sent"], report["received"]);
    assert!(text("page.md").contains("\n| shm, tokio, park | "), "{}", text("page.md"));

    // A later measurement takes the place of an earlier one.
    script(
        &directory,
        &format!("echo '{}'", REPORT.replace('\n', "")),
        &["--json", "all.jsonl", "--name", "mine"],
    );
    let shown = run(&directory, &["--from", "all.jsonl", "--page", "page.md"]).expect_success();
    assert_eq!(shown.lines().count(), 12, "{shown}");
    assert!(text("page.md").contains("\n| mine | 1.0 / 3.0, 0.0"), "{}", text("page.md"));
}

#[test]
fn executors_and_waits_are_cases_and_presets_are_those_of_sockets() {
    let directory = directory();
    let cases = ["--executor", "smol,glommio", "--wait", "spin,spin-then-park(10)"];
    let more =
        ["--carrier", "local,unix", "--preset", "low-latency,high-throughput", "--rate", "200"];
    let out = run(&directory, &[&SHORT[..], &cases, &more].concat()).expect_success();
    assert_eq!(out.lines().count(), 1 + 2 * 2 * (1 + 2), "{out}");
    assert!(
        out.contains("local, glommio, spin-then-park(10)  ")
            && out.contains("unix, smol, spin, high-throughput"),
        "{out}"
    );
}

#[test]
fn a_program_is_called_with_the_offer_and_reports() {
    let directory = directory();
    let report = REPORT.replace('\n', "");
    let text =
        format!("echo \"$@\" > offer; echo nonsense >&2; echo a line; echo '{report}'; echo");
    let out = script(&directory, &text, &["--name", "mine", "-o", "csv"]).expect_success();
    let last = out.lines().next_back().unwrap();
    assert!(last.starts_with("mine,1k,18,1.0,3.0,4.0,5.0,"), "{out}");
    assert!(last.ends_with(",1,0"), "{out}");
    let offer = fs::read_to_string(directory.path().join("offer")).unwrap();
    assert_eq!(offer, "--rate 1000 --seconds 200ms --warm-up 50ms\n");
}

/// Runs a script three times, and has these words of its reports replaced in each.
fn three(directory: &TempDir, words: [&[(&str, &str)]; 3], more: &[&str]) -> Ended {
    let lines = words.map(|words| {
        let report = REPORT.replace('\n', "");
        words.iter().fold(report, |report, (old, new)| report.replace(old, new))
    });
    fs::write(directory.path().join("reports"), lines.join("\n") + "\n").unwrap();
    let text = "head -1 reports; sed -i 1d reports";
    let program = ["--runs", "3", "--rate", "1k", "--", "sh", "-c", text, "script"];
    run(directory, &[&SHORT[..4], more, &program].concat())
}

#[test]
fn several_runs_make_a_line_and_the_last_measurement_counts() {
    let directory = directory();
    let runs: [&[_]; 3] = [
        &[("10,", "20,"), ("received\": 9", "received\": 19"), ("5000", "90000")],
        &[("due\": 10", "due\": 14"), ("9,", "10,"), ("ssed\": 1", "ssed\": 0"), ("000,", "200,")],
        &[("0.5", "0.25"), ("000,", "900,")],
    ];
    let names = ["--name", "mine", "--json", "all.jsonl", "--page", "page.md"];
    let out = three(&directory, runs, &[&names[..], &["-o", "csv"]].concat()).expect_success();
    let last = out.lines().next_back().unwrap();
    assert!(last.starts_with("mine,1k,36,1.2,3.2,4.2,90.0,"), "{out}");
    assert!(last.ends_with(",2,4"), "{out}");
    let page = || fs::read_to_string(directory.path().join("page.md")).unwrap();
    assert!(page().contains("\n| mine | late, 36 a second | "), "{}", page());

    let lost = [runs[0], &[("ssed\": 1", "ssed\": 0")], runs[2]];
    let ended = three(&directory, lost, &names).expect(1);
    assert!(ended.err.contains("mine at 1k: received and missed messages do not add"), "{ended:?}");
    assert!(page().contains("\n| mine | 1.0 / 3.0, "), "{}", page());
    assert_eq!(page().matches("\n| mine | ").count(), 1, "{}", page());
}

#[test]
fn above_its_capacity_a_system_is_late_and_its_own_rate_is_measured() {
    let directory = directory();
    let times = ["--warm-up", "300ms", "--seconds", "200ms", "--runs", "1", "--rate", "100M"];
    let carriers = ["--carrier", "local,shm", "--json", "all.jsonl", "-o", "json"];
    let out = run(&directory, &[&times[..], &carriers].concat()).expect_success();
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap();
    for row in &rows {
        assert!(
            row["per_second"].as_u64() > Some(0) && row["p50_us"].as_f64() > Some(0.0),
            "{row}"
        );
        assert!(row["unsent"].as_u64() > Some(0), "{row}");
    }
    let line = fs::read_to_string(directory.path().join("all.jsonl")).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    for result in line["results"].as_array().unwrap() {
        let run = &result["runs"][0];
        assert_eq!((&run["due"], &run["sent"]), (&20_000_000.into(), &run["received"]), "{run}");
    }
}

#[test]
fn a_pause_of_the_source_is_in_the_latencies() {
    let directory = directory();
    let (load, [source, _]) = long(&directory, "5s", &SHM);
    // The warm-up has at most 500 messages.
    while sent(source) < 600 {
        yield_now();
    }
    kill(source, Signal::STOP);
    assert!(Command::new("sleep").arg("0.6").status().unwrap().success());
    kill(source, Signal::CONT);
    let rows: Vec<Value> = serde_json::from_str(&load.ended().expect_success()).unwrap();
    assert!(rows[0]["max_us"].as_f64() > Some(500e3), "{rows:?}");
    assert!(rows[0]["p99_us"].as_f64() > Some(300e3), "{rows:?}");
}

#[test]
fn a_case_is_what_its_name_says() {
    for (carrier, executor, wait, preset, has) in [
        ("shm", "tokio", "spin", "balanced", "tokio-rt-worker\n"),
        ("tls", "smol", "park", "low-latency", "smol-1\n"),
        ("unix", "glommio", "spin-then-park(5)", "high-throughput", "anon_inode:[io_uring]"),
    ] {
        let directory = directory();
        let case = ["--carrier", carrier, "--executor", executor, "--wait", wait];
        let (load, parts) = long(&directory, "100s", &[&case[..], &["--preset", preset]].concat());
        let file = fs::read_dir(directory.path().join("tmp")).unwrap().next().unwrap().unwrap();
        let text = fs::read_to_string(file.path().join("load.toml")).unwrap();
        for (key, value) in [("transport", carrier), ("wait", wait), ("preset", preset)] {
            assert!(text.contains(&format!("{key} = \"{value}\"")), "{text}");
        }
        for part in parts {
            let files = fs::read_dir(format!("/proc/{part}/fd")).unwrap().flatten();
            let files = files.flat_map(|file| fs::read_link(file.path()));
            let files = files.map(|file| file.to_string_lossy().into_owned());
            let names: Vec<_> = threads(part).into_iter().chain(files).collect();
            assert!(names.iter().any(|name| name == has), "{names:?}");
        }
        kill(load.pid(), Signal::INT);
        load.ended().expect_failure(3);
    }
}

#[test]
fn processor_time_and_memory_are_those_of_all_processes() {
    let directory = directory();
    let report = REPORT.replace('\n', "");
    let burn = "sh -c 'i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done'; times > times;
        head -c 60000000 /dev/zero | tail -c 60000000 | (sleep 0.5; cat > /dev/null)";
    let begin = now();
    let out = script(&directory, &format!("{burn}; echo '{report}'"), &["-o", "json"]);
    let (rows, elapsed) = (out.expect_success(), begin.elapsed().as_secs_f64());
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    let times = fs::read_to_string(directory.path().join("times")).unwrap();
    // The second line is that of children: `0m0.520s 0m0.010s`.
    let burned = times.lines().nth(1).unwrap().split(['m', 's']).nth(1).unwrap();
    let least = 80.0 * burned.parse::<f64>().unwrap() / elapsed;
    let most = 200.0;
    let found = rows[0]["cpu_%"].as_f64().unwrap();
    assert!((least..most).contains(&found), "{found}, {times}, {elapsed}");
    assert!(rows[0]["mib"].as_u64() > Some(57), "{rows:?}");

    let report = report.replace("}}", "}, \"generator_seconds\": 1000}");
    let out = script(&directory, &format!("{burn}; echo '{report}'"), &["-o", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&out.expect_success()).unwrap();
    assert_eq!(rows[0]["cpu_%"], 0.0);
}

#[test]
fn what_was_measured_is_shown_though_the_next_system_fails_or_a_file_is_full() {
    let directory = directory();
    let text = format!("[ $2 = 1000 ] && echo '{}'", REPORT.replace('\n', ""));
    let more = ["--rate", "1k,2k", "--name", "mine", "--json", "all.jsonl"];
    let ended = script(&directory, &text, &more).expect(3);
    assert!(ended.out.contains("\nmine    1k"), "{}", ended.out);
    assert!(ended.err.starts_with("error: mine at 2k: it failed"), "{}", ended.err);
    assert!(!directory.path().join("all.jsonl").exists());
    let ended = script(&directory, &text, &["--page", "/dev/full"]).expect(3);
    assert!(ended.out.contains("  1k"), "{}", ended.out);
    // A file whose last line has no end.
    fs::write(directory.path().join("all.jsonl"), "").unwrap();
    script(&directory, &text, &["--json", "all.jsonl"]).expect_success();
    let all = || fs::read_to_string(directory.path().join("all.jsonl")).unwrap();
    fs::write(directory.path().join("all.jsonl"), all().trim_end()).unwrap();
    script(&directory, &text, &["--json", "all.jsonl"]).expect_success();
    assert_eq!(all().lines().count(), 2, "{}", all());
}

#[test]
fn a_program_that_loses_fails_or_says_nothing_is_named() {
    let directory = directory();
    for (number, wrong, expected) in [
        (
            "3000",
            "1",
            "`latency` is Latency { p50: 1000, p90: 2000, p99: 1, p999: 4000, max: 5000 }",
        ),
        ("\"sent\": 10", "\"sent\": 11", "`sent` is 11: expected at most 10, which were due"),
        ("0.5", "0", "`seconds` is 0 for 9 messages: `{"),
        ("0.5", "1e308", "`seconds` is 1"),
    ] {
        let untrue = REPORT.replace('\n', "").replace(number, wrong);
        let error = script(&directory, &format!("echo '{untrue}'"), &[]).expect_failure(3);
        assert!(
            error.contains("its last line is not a report: ") && error.contains(expected),
            "{error}"
        );
    }
    let lost = REPORT.replace('\n', "").replace("\"missed\": 1", "\"missed\": 0");
    let ended = script(&directory, &format!("echo '{lost}'"), &["--name", "mine"]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.starts_with("error: mine at 1k: received and missed messages do not add up"),
        "{}",
        ended.err
    );
    for (text, expected) in [
        ("echo 'no room' >&2; exit 7", "it failed (exit status: 7)\n  no room\n"),
        ("kill -9 $$", "it failed (signal: 9 (SIGKILL))\n"),
        (
            "true",
            "its last line is not a report: EOF while parsing a value at line 1 column 0: ``\n",
        ),
        (
            "echo '{\"due\": -1}'",
            "its last line is not a report: invalid value: integer `-1`, expected u64 at line",
        ),
        ("yes '' | head -c 300000 >&2; echo '{}'; exit 1", "it failed (exit status: 1)\n"),
        ("head -c 300000 /dev/zero; exit 1", "it failed (exit status: 1)\n"),
    ] {
        let error =
            script(&directory, text, &["--name", "mine", "--json", "none.jsonl"]).expect_failure(3);
        assert!(
            error.starts_with("error: mine at 1k: ") && error.contains(expected),
            "{text}: {error}"
        );
    }
    let none = ["--rate", "1k", "--", "./no-such-program"];
    let error = run(&directory, &none).expect_failure(3);
    assert!(
        error.starts_with("error: no-such-program at 1k: it cannot be started: No such file"),
        "{error}"
    );
    let text = "echo $$ > pid; echo stuck >&2; exec sleep 1000";
    let error = script(&directory, text, &["--patience", "100ms"]).expect_failure(3);
    assert!(error.contains("it did not end within 350ms, and was killed: a part"), "{error}");
    assert!(error.ends_with("\n  stuck\n"), "{error}");
    let pid = fs::read_to_string(directory.path().join("pid")).unwrap();
    until_gone([pid.trim().parse().unwrap()]);
    assert!(!directory.path().join("none.jsonl").exists());
}

#[test]
fn results_of_another_version_and_bad_arguments_leave_the_page_as_it_is() {
    let directory = directory();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("page.md", "before");
    write("empty.jsonl", "\n");
    let untrue = REPORT.replace('\n', "").replace("0.5", "-1");
    let untrue = untrue.strip_suffix('}').unwrap().to_owned() + ", \"cores\": 1, \"memory\": 1}";
    let line = |runs: &str| {
        let results = format!("[{{\"system\": \"mine\", \"rate\": 5, \"runs\": [{runs}]}}]");
        format!(
            "{{\"mycelium_load\": 1, \"date\": \"\", \"version\": \"\", \"family\": \"\", \
             \"processor\": \"\", \"cores\": 1, \"busy\": null, \"results\": {results}}}"
        )
    };
    for (text, expected) in [
        ("{\"mycelium_load\": 2}", "line 1 has version 2, and this tool reads version 1\n"),
        ("\n{\"mycelium_load\": 1", "line 2 is not a measurement of `mycelium load`: EOF"),
        ("[]\n", "line 1 is not a measurement of `mycelium load`: "),
        ("{\"mycelium_load\": 1, \"date\": 5}\n", "line 1 is not a measurement"),
        (&line(""), "line 1 is not a measurement of `mycelium load`: `mine` has no run\n"),
        (&line(&untrue), "`seconds` is -1: expected 0 to 1000000000\n"),
        ("\u{0}\u{0}", "line 1 is not a measurement"),
    ] {
        write("all.jsonl", text);
        for way in ["--from", "--json"] {
            let error = run(&directory, &[way, "all.jsonl", "--page", "page.md"]).expect_failure(2);
            assert!(error.starts_with("error: all.jsonl: ") && error.contains(expected), "{error}");
        }
        assert_eq!(fs::read_to_string(directory.path().join("all.jsonl")).unwrap(), text);
    }
    assert_eq!(fs::read_to_string(directory.path().join("page.md")).unwrap(), "before");
    for arguments in [
        &["--rate", "0"][..],
        &["--rate", "1G"],
        &["--rate", "200M"],
        &["--wait", "sleep"],
        &["--seconds", "0s"],
        &["--runs", "0"],
        &["--carrier", "pigeon"],
        &["--from", "no.jsonl"],
        &["--name", "mine"],
        &["--json", "x", "--from", "x"],
        &["--from", "x", "--rate", "1k"],
        &["--json", "x", "--page", "x"],
        &["--from", "empty.jsonl"],
        &["--warm-up", "1000y"],
        &["--name", "", "--", "true"],
        &["--json", "no/such.jsonl"],
        &["--svg", "no/such.svg"],
    ] {
        run(&directory, arguments).expect_failure(2);
    }
}

#[test]
fn the_page_of_results_is_that_of_the_file() {
    let directory = directory();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let file = format!("{root}/benches/load.jsonl");
    run(&directory, &["--from", &file, "--page", "page.md"]).expect_success();
    assert_eq!(
        fs::read_to_string(directory.path().join("page.md")).unwrap(),
        fs::read_to_string(format!("{root}/docs/results.md")).unwrap(),
        "`mycelium load --from benches/load.jsonl --page docs/results.md` writes it"
    );
}

#[test]
fn names_are_text_and_only_files_are_replaced() {
    let directory = directory();
    let report = format!("echo '{}'", REPORT.replace('\n', ""));
    let name = ["--name", "a|b\n| <b>c", "--json", "all.jsonl", "--page", "page.md"];
    script(&directory, &report, &name).expect_success();
    let page = fs::read_to_string(directory.path().join("page.md")).unwrap();
    assert!(page.contains("\n| a\\|b\\n\\| &lt;b>c | 1.0 / 3.0, "), "{page}");

    symlink("page.md", directory.path().join("link")).unwrap();
    fs::write(directory.path().join("page.md"), "before").unwrap();
    run(&directory, &["--from", "all.jsonl", "--page", "link"]).expect_success();
    assert_eq!(fs::read_link(directory.path().join("link")).unwrap().to_str(), Some("page.md"));
    assert_eq!(fs::read_to_string(directory.path().join("page.md")).unwrap(), page);
    let out = run(&directory, &["--from", "all.jsonl", "--page", "/dev/stdout"]).expect_success();
    assert!(out.ends_with(&page), "{out}");
    let error = run(&directory, &["--json", "/dev/null"]).expect_failure(2);
    assert_eq!(error, "error: /dev/null: expected a file\n");
    // No message is due after the warm-up.
    let none = ["--rate", "1", "--carrier", "local", "-o", "csv"];
    let out = run(&directory, &[&SHORT[..], &none].concat()).expect_success();
    assert!(out.contains("1,0,,,,,"), "{out}");
    let error = run(&directory, &["--rate", "max", "--svg", "max.svg"]).expect_failure(2);
    assert_eq!(error, "error: a picture needs a `--rate` beside `max`\n");
}

/// Waits until none of these processes runs.
fn until_gone<const N: usize>(processes: [u32; N]) {
    for process in processes {
        let status = format!("/proc/{process}/status");
        while fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ")) {
            yield_now();
        }
    }
}

/// Returns how many messages a process has sent.
fn sent(process: u32) -> u64 {
    let regions = Attached::of_process(process).unwrap().regions;
    let lines = regions.into_iter().flat_map(|mut region| region.read().unwrap().lines);
    lines.filter(|line| line.kind.name == "publisher").filter_map(|line| line.value("sent")).sum()
}

/// Starts `load` for this time, and returns it with the processes of the source and the sink.
fn long(directory: &TempDir, seconds: &str, case: &[&str]) -> (Process, [u32; 2]) {
    let arguments = ["--rate", "1k", "--seconds", seconds, "--runs", "1", "--patience", "1s"];
    let mut command = load(directory, &[&arguments[..], &["-o", "json"], case].concat());
    let mut load = Process::run(command.stderr(Stdio::piped()));
    let pid = load.pid();
    let mut wait = || {
        assert_eq!(load.child.try_wait().unwrap(), None, "it has ended");
        yield_now();
    };
    let mut child = |of: u32| loop {
        let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
        if let Some(child) = children.split(' ').next().and_then(|child| child.parse().ok()) {
            return child;
        }
        wait();
    };
    let source = child(pid);
    let sink = child(source);
    // The last thread of a node: from then on a signal ends it in order.
    for part in [source, sink] {
        while !threads(part).iter().any(|name| name == "signals\n") {
            wait();
        }
    }
    (load, [source, sink])
}

/// Returns the names of the threads of a process.
fn threads(process: u32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    threads.flat_map(|it| fs::read_to_string(it.path().join("comm"))).collect()
}

#[test]
fn a_part_that_dies_or_stops_ends_the_measurement_and_nothing_stays() {
    for (signal, part, expected) in [
        (Signal::KILL, 1, "the receiving process failed: "),
        (Signal::TERM, 1, "the receiving process failed: "),
        (Signal::TERM, 0, "it was ended before its last message"),
    ] {
        let directory = directory();
        let (load, parts) = long(&directory, "100s", &SHM);
        kill(parts[part], signal);
        let error = load.ended().expect_failure(3);
        assert!(error.starts_with("error: shm, tokio, park at 1k: it failed ("), "{error}");
        assert!(error.contains(expected), "{error}");
        until_gone(parts);
        assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
    }
    let directory = directory();
    let (mut load, parts) = long(&directory, "100s", &SHM);
    load.kill();
    until_gone(parts);
    assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
    let directory = self::directory();
    let (load, parts) = long(&directory, "100s", &SHM);
    kill(load.pid(), Signal::INT);
    let error = load.ended().expect_failure(3);
    assert!(error.contains("a signal ended the measurement"), "{error}");
    until_gone(parts);
}
