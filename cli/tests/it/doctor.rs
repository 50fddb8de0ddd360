//! `doctor` on machines that are directories: good machines, bad ones, and machines whose files are
//! missing or garbage.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Ended, run};

/// A directory with the files of a machine, which the test writes.
struct Fake(TempDir);

/// The files of a machine without findings to mend.
const GOOD: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "6.8.0-31-generic\n"),
    ("proc/sys/kernel/io_uring_disabled", "0\n"),
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max open files            65536                1048576              files     \n\
         Max locked memory         unlimited            unlimited            bytes     \n\
         Max realtime priority     0                    0                              \n",
    ),
    ("proc/meminfo", "MemAvailable:   16000000 kB\nHugePages_Total:  64\nHugePages_Free:   60\n"),
    ("proc/self/cgroup", "0::/app\n"),
    ("sys/fs/cgroup/app/cpu.max", "max 100000\n"),
    ("sys/fs/cgroup/app/memory.max", "max\n"),
    ("sys/fs/cgroup/app/pids.max", "max\n"),
    ("sys/devices/system/cpu/online", "0-3\n"),
    ("sys/devices/system/cpu/isolated", "3\n"),
    ("sys/devices/system/cpu/smt/active", "0\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/intel_pstate/no_turbo", "1\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
];

impl Fake {
    fn new() -> Fake {
        let fake = Fake(tempfile::tempdir().unwrap());
        let user = fake.user();
        GOOD.iter().for_each(|(path, text)| fake.write(path, text));
        let status = format!("Uid:\t{user}\t{user}\t0\t0\nCapEff:\t0000000000000000\n");
        fake.write("proc/self/status", status + "Cpus_allowed_list:\t0-3\n");
        let runtime = fake.path(&format!("run/user/{user}"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(runtime).unwrap();
        fake
    }

    fn user(&self) -> u32 {
        fs::metadata(self.0.path()).unwrap().uid()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Returns the findings and the exit code.
    fn check(&self, arguments: &[&str]) -> (Vec<Value>, i32) {
        let root = self.0.path().to_str().unwrap();
        let Ended { code, out, err } =
            run(&[&["doctor", "-o", "json", "--root", root], arguments].concat());
        (serde_json::from_str(&out).expect(&err), code.expect("no signal"))
    }

    /// Returns the finding of one check.
    fn finding(&self, check: &str, arguments: &[&str]) -> Value {
        let (findings, _) = self.check(arguments);
        findings.into_iter().find(|it| it["check"] == check).unwrap_or_else(|| panic!("{check}"))
    }
}

#[test]
fn a_good_machine_has_nothing_to_mend() {
    let fake = Fake::new();
    let (findings, code) = fake.check(&[]);
    assert_eq!(code, 0);
    // These checks try the system of this process, not the files.
    let tried = ["shared memory", "io_uring"];
    for finding in &findings {
        let expected = if tried.iter().any(|it| finding["check"] == *it) { "note" } else { "ok" };
        assert_eq!(finding["level"], expected, "{finding}");
        assert_eq!(finding["fix"], "", "{finding}");
    }
    assert!(findings.len() >= 19, "{}", findings.len());
}

#[test]
fn each_fault_is_found_with_what_mends_it() {
    let files = "Max open files   256   256   units\n";
    let memory = "Max locked memory   65536   65536   units\n";
    let governor = "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor";
    let clock = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    let pages = ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
    let cases = [
        ("kernel", "proc/sys/kernel/osrelease", "5.4.0\n", "problem", "5.10"),
        ("kernel", "proc/sys/kernel/osrelease", "5.15.0-1\n", "note", ""),
        ("descriptors", "proc/self/limits", files, "note", "ulimit -n 1024"),
        ("locked memory", "proc/self/limits", memory, "note", "ulimit -l 512"),
        ("io_uring", "proc/sys/kernel/io_uring_disabled", "2", "note", "sudo sysctl"),
        ("cores", "sys/devices/system/cpu/online", "0-7\n", "note", ""),
        ("SMT siblings", "sys/devices/system/cpu/smt/active", "1", "note", "smt/control"),
        ("CPU governor", governor, "powersave\n", "note", "cpupower"),
        ("clock", clock, "hpet", "note", "tsc=reliable"),
        ("transparent huge pages", pages.0, pages.1, "note", "echo madvise"),
        ("CPU quota", "sys/fs/cgroup/app/cpu.max", "50000 100000", "note", "cpu.max"),
        ("task limit", "sys/fs/cgroup/app/pids.max", "64", "note", "pids.max"),
    ];
    for (check, path, text, level, fix) in cases {
        let fake = Fake::new();
        fake.write(path, text);
        let finding = fake.finding(check, &[]);
        assert_eq!(finding["level"], level, "{finding}");
        assert!(finding["fix"].as_str().unwrap().contains(fix), "{finding}");
        assert_ne!(finding["meaning"], "", "{finding}");
        assert_eq!(fake.check(&[]).1, i32::from(level == "problem"), "{check}");
    }
}

#[test]
fn a_topology_is_compared_with_the_machine() {
    let fake = Fake::new();
    let file = fake.path("app.toml");
    let file = file.to_str().unwrap();
    fake.write(
        "app.toml",
        "[node.main]\nservices = [\"Sum\"]\nexecutor = \"glommio\"\nhuge_pages = true\n\
         memory = \"64 GiB\"\n[service.Sum]\nrun = \"pinned(2, 9)\"\nclass = \"fifo(50)\"\n",
    );
    fake.write("proc/meminfo", "MemAvailable: 1000 kB\nHugePages_Total: 0\nHugePages_Free: 0\n");
    let limits = "Max open files 64 64 files\nMax locked memory 0 0 bytes\n";
    fake.write("proc/self/limits", limits.to_owned() + "Max realtime priority 10 10\n");
    fake.write("proc/sys/kernel/io_uring_disabled", "2");
    let (findings, code) = fake.check(&[file]);
    assert_eq!(code, 1);
    let of = |level: &str| -> Vec<&str> {
        let found = findings.iter().filter(|finding| finding["level"] == level);
        found.filter_map(|finding| finding["check"].as_str()).collect()
    };
    let problems =
        "descriptors, locked memory, io_uring, pinned services, huge pages, real-time class";
    assert_eq!(of("problem").join(", "), problems);
    assert_eq!(of("note"), ["shared memory", "memory"]);
    let pinned = fake.finding("pinned services", &[file]);
    assert_eq!(pinned["found"], "`Sum` on cores 2,9");
    assert!(pinned["meaning"].as_str().unwrap().contains("may not use 9"), "{pinned}");
    fake.write("sys/devices/system/cpu/isolated", "8-9\n");
    assert_eq!(fake.finding("pinned services", &[file])["level"], "ok", "they are isolated");
    let status = "Uid:\t1\t1\nCapEff:\t0000000000800000\nCpus_allowed_list:\t0-9\n";
    fake.write("proc/self/status", status);
    assert_eq!(fake.finding("real-time class", &[file])["level"], "ok");
    assert_eq!(fake.finding("pinned services", &[file])["level"], "ok");
}

#[test]
fn a_directory_that_others_may_write_is_a_problem() {
    let fake = Fake::new();
    let runtime = fake.path(&format!("run/user/{}", fake.user()));
    fs::set_permissions(&runtime, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let finding = fake.finding("runtime directory", &[]);
    assert_eq!((&finding["level"], fake.check(&[]).1), (&"problem".into(), 1), "{finding}");
    fs::remove_dir(&runtime).unwrap();
    assert_eq!(fake.finding("runtime directory", &[])["level"], "note");
}

#[test]
fn the_older_control_groups_are_read() {
    let fake = Fake::new();
    fake.write("proc/self/cgroup", "4:cpu,cpuacct:/a\n3:memory:/a\n2:pids:/a\n1:name=systemd:/\n");
    fake.write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "50000\n");
    fake.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    // A container does not see its own group.
    fake.write("sys/fs/cgroup/pids/pids.max", "100\n");
    assert_eq!(fake.finding("CPU quota", &[])["found"], "50000 µs in each period");
    assert_eq!(fake.finding("memory limit", &[])["found"], "none");
    assert_eq!(fake.finding("task limit", &[])["found"], "100");
}

#[test]
fn files_that_are_missing_or_garbage_are_unknown() {
    let paths: Vec<&str> = GOOD.iter().map(|(path, _)| *path).chain(["proc/self/status"]).collect();
    let garbage: [&[u8]; 8] = [
        b"",
        b"\xff\xfe\x00",
        b"-1",
        b"99999999999999999999999999",
        b"[\n::\n]: [",
        b"0-4294967295",
        b"Max open files\nUid:\nCapEff: xyz\nMemAvailable: kB kB kB\n1:2",
        "\u{1b}[31m ü".as_bytes(),
    ];
    let fake = Fake::new();
    for (number, garbage) in garbage.iter().enumerate() {
        paths.iter().for_each(|path| fake.write(path, garbage));
        let (findings, code) = fake.check(&[]);
        assert_eq!(code, 0, "{number}: {findings:?}");
        assert!(findings.iter().all(|it| it["level"] != "problem"), "{number}: {findings:?}");
        assert!(!format!("{findings:?}").contains('\u{1b}'));
    }
    let fake = Fake::new();
    for directory in ["proc", "sys", "run"] {
        fs::remove_dir_all(fake.path(directory)).unwrap();
    }
    let (findings, code) = fake.check(&[]);
    assert_eq!(code, 0);
    let unknown = findings.iter().filter(|finding| finding["found"] == "unknown").count();
    assert!(unknown + 3 >= findings.len(), "{findings:?}");
}

#[test]
fn this_machine_is_checked() {
    let Ended { code, out: text, .. } = run(&["doctor"]);
    assert!([Some(0), Some(1)].contains(&code));
    for check in ["kernel", "shared memory", "descriptors", "clock", "CPU quota"] {
        assert!(text.contains(check), "{text}");
    }
    assert!(!text.contains('\x1b'), "no colours in a pipe");
}
