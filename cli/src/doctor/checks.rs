//! The checks of `doctor`. Each reads a few files, or tries a call. A finding has the values, their
//! meaning for a node, and the command that fixes them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mycelium_transports::endpoint::LONGEST_PATH;
use mycelium_transports::memory::Mapping;
use serde::Serialize;

use super::machine::{Machine, list};
use super::needs::Needs;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Everything is in order.
    Ok,
    /// The thing works, but may be slower or less regular; or its state is unknown.
    Note,
    /// Something does not work.
    Problem,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The thing that was checked.
    pub(super) check: &'static str,
    /// How the check ended.
    pub(super) level: Level,
    /// The values.
    pub(super) found: String,
    /// The meaning of the values for a node; may be empty.
    pub(super) meaning: String,
    /// The fix: a command, or what to write. Empty if there is nothing to fix.
    pub(super) fix: String,
}

impl Finding {
    fn new(level: Level, found: impl Into<String>) -> Finding {
        let (meaning, fix) = (String::new(), String::new());
        Finding { check: "", level, found: found.into(), meaning, fix }
    }

    fn ok(found: impl Into<String>) -> Finding {
        Finding::new(Level::Ok, found)
    }

    fn note(found: impl Into<String>) -> Finding {
        Finding::new(Level::Note, found)
    }

    fn problem(found: impl Into<String>) -> Finding {
        Finding::new(Level::Problem, found)
    }

    fn unknown(file: &str) -> Finding {
        Finding::note("unknown").means(format!("`{file}` is missing or has another form"))
    }

    fn means(self, meaning: impl Into<String>) -> Finding {
        Finding { meaning: meaning.into(), ..self }
    }

    fn fix(self, fix: impl Into<String>) -> Finding {
        Finding { fix: fix.into(), ..self }
    }
}

/// The number of bytes that glommio's io_uring locks.
const LOCKED: u64 = 512 << 10;
/// The length of the part of a socket's path below the runtime directory, for an example.
const SOCKET: usize = "/mycelium-application/a-node.sock".len();
const CAP_SYS_NICE: u32 = 23;
/// The frequency governors of Linux.
const GOVERNORS: [&str; 6] =
    ["performance", "powersave", "ondemand", "conservative", "schedutil", "userspace"];
/// Clocks that a process reads without the kernel.
const FAST_CLOCKS: [&str; 4] =
    ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"];
/// Clocks that only the kernel can read.
const SLOW_CLOCKS: [&str; 5] =
    ["hpet", "acpi_pm", "jiffies", "refined-jiffies", "hyperv_clocksource_msr"];

/// Checks a machine, and whether it has everything that a topology needs.
pub(super) fn all(
    machine: &Machine,
    needs: Option<&Needs>,
    runtime: Option<PathBuf>,
) -> Vec<Finding> {
    let findings = [
        ("kernel", kernel(machine)),
        ("shared memory", shared_memory(machine)),
        ("runtime directory", runtime_directory(machine, runtime)),
        ("descriptors", descriptors(machine, needs)),
        ("locked memory", locked_memory(machine, needs)),
        ("io_uring", io_uring(machine, needs)),
        ("cores", cores(machine)),
        ("pinned services", pinned(machine, needs)),
        ("isolated cores", isolated(machine)),
        ("SMT siblings", siblings(machine)),
        ("CPU governor", governor(machine)),
        ("turbo", turbo(machine)),
        ("clock", clock(machine)),
        ("memory", memory(machine, needs)),
        ("huge pages", huge_pages(machine, needs)),
        ("transparent huge pages", transparent(machine)),
        ("real-time class", real_time(machine, needs)),
        ("CPU quota", cpu_quota(machine)),
        ("memory limit", memory_limit(machine)),
        ("task limit", task_limit(machine)),
    ];
    findings.map(|(check, finding)| Finding { check, ..finding }).into()
}

fn kernel(machine: &Machine) -> Finding {
    let file = "/proc/sys/kernel/osrelease";
    let release = machine.text(file);
    let version = release.as_deref().and_then(|release| {
        let (major, rest) = release.split_once('.')?;
        let minor = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    let Some((release, version)) = release.zip(version) else {
        return Finding::unknown(file);
    };
    let finding = |level| Finding::new(level, release.escape_debug().to_string());
    match version {
        (..5, _) | (5, ..10) => finding(Level::Problem)
            .means("shared memory and the control sockets need Linux 5.10")
            .fix("update the kernel to 5.10 or later"),
        (5, _) | (6, ..5) => finding(Level::Note)
            .means("SO_PEERPIDFD is missing: the end of a peer is found by its pid and a ping"),
        _ => finding(Level::Ok),
    }
}

fn shared_memory(machine: &Machine) -> Finding {
    if !machine.is_real() {
        return Finding::note("unknown").means("it was not tried");
    }
    let tried = Mapping::create(512, "mycelium-doctor", false)
        .and_then(|(_, file)| Mapping::attach(file, 512, false));
    match tried {
        Ok(_) => Finding::ok("a sealed memfd was made and mapped"),
        Err(error) => Finding::problem(format!("{error} [{}]", error.code()))
            .means("links between processes cannot use shared memory")
            .fix(
                "allow memfd_create and fcntl in the container's seccomp profile, or write \
                  `transport = \"unix\"`",
            ),
    }
}

fn runtime_directory(machine: &Machine, runtime: Option<PathBuf>) -> Finding {
    let Some(user) = machine.user() else { return Finding::unknown("/proc/self/status") };
    let Some(path) = runtime else {
        return Finding::note("`XDG_RUNTIME_DIR` is not set")
            .means("sockets of nodes are made in the directory for temporary files")
            .fix("export XDG_RUNTIME_DIR=/run/user/$(id -u)");
    };
    let shown = path.display().to_string();
    let Some((owner, mode)) = machine.directory(&path) else {
        return Finding::note(format!("`{shown}` is not a directory"))
            .means("nodes cannot make their sockets there")
            .fix(format!("loginctl enable-linger, or: sudo install -d -m 700 -o {user} {shown}"));
    };
    let length = path.as_os_str().len().saturating_add(SOCKET);
    if owner != user || mode & 0o022 != 0 {
        return Finding::problem(format!("`{shown}` has mode {mode:04o} and owner {owner}"))
            .means("other users could replace sockets, so nodes do not listen there")
            .fix(format!("sudo chown {user} {shown} && chmod 700 {shown}"));
    }
    if length > LONGEST_PATH {
        return Finding::note(format!("`{shown}` has {} bytes", path.as_os_str().len()))
            .means(format!("the path of a socket has at most {LONGEST_PATH} bytes"))
            .fix("export XDG_RUNTIME_DIR=/run/user/$(id -u)");
    }
    Finding::ok(format!("`{shown}`, mode {mode:04o}"))
}

fn descriptors(machine: &Machine, needs: Option<&Needs>) -> Finding {
    let Some((soft, hard)) = machine.limit("Max open files") else {
        return Finding::unknown("/proc/self/limits");
    };
    let needed = needs.map_or(1024, Needs::descriptors);
    let found = format!("{}, {} at most", count(soft), count(hard));
    if soft >= needed {
        return Finding::ok(found);
    }
    let level = if needs.is_some() { Level::Problem } else { Level::Note };
    Finding::new(level, found)
        .means(format!("a node takes up to {needed}: sockets, and regions of shared memory"))
        .fix(format!("ulimit -n {}", needed.next_power_of_two()))
}

fn locked_memory(machine: &Machine, needs: Option<&Needs>) -> Finding {
    let Some((soft, _)) = machine.limit("Max locked memory") else {
        return Finding::unknown("/proc/self/limits");
    };
    let found = size(soft);
    if soft >= LOCKED {
        return Finding::ok(found);
    }
    Finding::new(of_glommio(needs), found)
        .means(format!("glommio does not start with less than {}", size(LOCKED)))
        .fix("ulimit -l 512, or LimitMEMLOCK=512K in the unit of systemd")
}

/// Returns the level if glommio does not work: a problem only if a node needs it.
fn of_glommio(needs: Option<&Needs>) -> Level {
    match needs {
        Some(needs) if needs.glommio => Level::Problem,
        _ => Level::Note,
    }
}

fn io_uring(machine: &Machine, needs: Option<&Needs>) -> Finding {
    let file = "/proc/sys/kernel/io_uring_disabled";
    let not = |found: String| Finding::new(of_glommio(needs), found).means("only glommio needs it");
    let state = match machine.number(file) {
        Some(2) => Some("turned off"),
        Some(1) => Some("turned off for most users"),
        // Kernels before 6.6 do not have the setting.
        _ => None,
    };
    if let Some(state) = state {
        return not(state.to_owned()).fix("sudo sysctl kernel.io_uring_disabled=0");
    }
    if !machine.is_real() {
        return Finding::note("unknown").means("it was not tried");
    }
    match io_uring::IoUring::new(8) {
        Ok(_) => Finding::ok("a ring was made"),
        Err(error) => not(format!("no ring was made: {error}"))
            .fix("allow io_uring_setup in the container's seccomp profile"),
    }
}

fn cores(machine: &Machine) -> Finding {
    let Some(allowed) = machine.allowed_cores() else {
        return Finding::unknown("/proc/self/status");
    };
    let online = machine.cores("/sys/devices/system/cpu/online");
    match online {
        Some(online) if !online.is_subset(&allowed) => {
            let found = format!("{} of {}", list(&allowed), list(&online));
            Finding::note(found)
                .means("services can be pinned to these only: a cpuset or an affinity is set")
        }
        Some(_) => Finding::ok(list(&allowed)),
        None => Finding::ok(list(&allowed)).means("the cores of the machine are unknown"),
    }
}

fn pinned(machine: &Machine, needs: Option<&Needs>) -> Finding {
    let Some(needs) = needs else {
        return Finding::ok("none: no topology is given");
    };
    let Some(mut allowed) = machine.allowed_cores() else {
        return Finding::unknown("/proc/self/status");
    };
    // A process does not inherit them, but its threads may be pinned to them.
    allowed.extend(machine.cores(ISOLATED).into_iter().flatten());
    let mut wrong = needs.pinned.iter().filter(|(_, cores)| !cores.is_subset(&allowed));
    if let Some((service, cores)) = wrong.next() {
        let missing: BTreeSet<_> = cores.difference(&allowed).copied().collect();
        return Finding::problem(format!("`{service}` on cores {}", list(cores)))
            .means(format!(
                "this process may not use {}: the service does not start",
                list(&missing)
            ))
            .fix(format!(
                "run = \"pinned(..)\" in `[service.{service}]` with some of {}",
                list(&allowed)
            ));
    }
    Finding::ok(needs.pinned.len().to_string())
}

/// The cores of the kernel's parameter `isolcpus`.
const ISOLATED: &str = "/sys/devices/system/cpu/isolated";

fn isolated(machine: &Machine) -> Finding {
    if let Some(cores) = machine.cores(ISOLATED) {
        return Finding::ok(list(&cores))
            .means("the scheduler puts no other work there: pin services to them");
    }
    if machine.is_empty(ISOLATED) {
        return Finding::ok("none")
            .means("for the steadiest latency boot with `isolcpus=` and pin services there");
    }
    Finding::unknown(ISOLATED)
}

fn siblings(machine: &Machine) -> Finding {
    let file = "/sys/devices/system/cpu/smt/active";
    match machine.number(file) {
        Some(0) => Finding::ok("off"),
        Some(1) => Finding::note("on")
            .means("two cores share one set of units: a busy sibling slows a pinned service")
            .fix("echo off | sudo tee /sys/devices/system/cpu/smt/control"),
        _ => Finding::unknown(file),
    }
}

fn governor(machine: &Machine) -> Finding {
    let of = |core: &usize| {
        machine.text(&format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"))
    };
    let allowed = machine.allowed_cores().unwrap_or_default();
    let governors: BTreeSet<String> = allowed.iter().filter_map(of).collect();
    if governors.is_empty() || !governors.iter().all(|it| GOVERNORS.contains(&&**it)) {
        return Finding::unknown("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    }
    let found = governors.iter().cloned().collect::<Vec<_>>().join(", ");
    if governors.iter().all(|governor| governor == "performance") {
        return Finding::ok(found);
    }
    Finding::note(found)
        .means("cores change their clock rate, so the first messages after a pause are slower")
        .fix("sudo cpupower frequency-set -g performance")
}

fn turbo(machine: &Machine) -> Finding {
    let off = machine.number("/sys/devices/system/cpu/intel_pstate/no_turbo");
    let on = machine.number("/sys/devices/system/cpu/cpufreq/boost");
    match (off, on) {
        (Some(1), _) | (None, Some(0)) => Finding::ok("off"),
        (Some(0), _) | (None, Some(1)) => {
            Finding::ok("on").means("the clock rate depends on the work of other cores")
        }
        _ => Finding::unknown("/sys/devices/system/cpu/cpufreq/boost"),
    }
}

fn clock(machine: &Machine) -> Finding {
    let file = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    match machine.text(file).as_deref() {
        Some(source) if FAST_CLOCKS.contains(&source) => Finding::ok(source),
        Some(source) if SLOW_CLOCKS.contains(&source) => Finding::note(source)
            .means("to read the clock is a system call")
            .fix("boot with `tsc=reliable`, if the machine has an invariant TSC"),
        _ => Finding::unknown(file),
    }
}

fn memory(machine: &Machine, needs: Option<&Needs>) -> Finding {
    let Some(available) = machine.memory("MemAvailable") else {
        return Finding::unknown("/proc/meminfo");
    };
    let found = format!("{} available", size(available));
    match needs {
        Some(needs) if needs.memory > available => Finding::note(found)
            .means(format!("the nodes may take {} for rings, all together", size(needs.memory)))
            .fix("lower `memory` of the nodes, or `capacity` of topics"),
        _ => Finding::ok(found),
    }
}

fn huge_pages(machine: &Machine, needs: Option<&Needs>) -> Finding {
    let (total, free) = (machine.memory("HugePages_Total"), machine.memory("HugePages_Free"));
    let Some((total, free)) = total.zip(free) else {
        return Finding::unknown("/proc/meminfo");
    };
    let found = format!("{free} free of {total}");
    match needs.and_then(|needs| needs.huge_pages.as_ref()) {
        Some(node) if free == 0 => Finding::problem(found)
            .means(format!("node `{node}` has `huge_pages`, and does not start without them"))
            .fix("sudo sysctl vm.nr_hugepages=128"),
        _ => Finding::ok(found),
    }
}

fn transparent(machine: &Machine) -> Finding {
    let file = "/sys/kernel/mm/transparent_hugepage/enabled";
    let text = machine.text(file);
    let chosen = text.as_deref().and_then(|text| text.split_once('[')?.1.split_once(']'));
    match chosen {
        Some(("always", _)) => Finding::note("always")
            .means("the kernel may stop a process while it joins pages")
            .fix("echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"),
        Some((chosen @ ("madvise" | "never"), _)) => Finding::ok(chosen),
        _ => Finding::unknown(file),
    }
}

fn real_time(machine: &Machine, needs: Option<&Needs>) -> Finding {
    let Some((soft, _)) = machine.limit("Max realtime priority") else {
        return Finding::unknown("/proc/self/limits");
    };
    let may = machine.has_capability(CAP_SYS_NICE);
    let found = match may {
        Some(true) => "every priority, by CAP_SYS_NICE".to_owned(),
        _ if soft == 0 => "none".to_owned(),
        _ => format!("up to priority {}", count(soft)),
    };
    let asked = needs.and_then(|needs| needs.fifo.iter().max_by_key(|(_, priority)| *priority));
    match asked {
        Some((service, priority)) if may != Some(true) && *priority > soft => {
            Finding::problem(found)
                .means(format!("service `{service}` has `class = \"fifo({priority})\"`"))
                .fix(format!(
                    "ulimit -r {priority}, LimitRTPRIO={priority} in the unit of systemd, \
                              or `if_refused = \"warn\"`"
                ))
        }
        _ => Finding::ok(found),
    }
}

fn cpu_quota(machine: &Machine) -> Finding {
    let quota = machine.of_group("cpu.max", ("cpu", "cpu.cfs_quota_us"));
    match quota.as_deref().and_then(|text| text.split_whitespace().next()) {
        Some("max" | "-1") => Finding::ok("none"),
        Some(quota) if quota.parse::<u64>().is_ok() => {
            Finding::note(format!("{quota} µs in each period"))
                .means("a service that spins uses it up, and then waits until the period ends")
                .fix("remove the limit of the container (`cpu.max`), or give it whole cores")
        }
        _ => Finding::unknown("/sys/fs/cgroup/cpu.max"),
    }
}

fn memory_limit(machine: &Machine) -> Finding {
    let limit = machine.limit_of_group("memory.max", ("memory", "memory.limit_in_bytes"));
    match limit {
        // Version 1 of control groups has the largest number of pages instead of no limit.
        Some(limit) if limit > 1 << 60 => Finding::ok("none"),
        Some(limit) => Finding::ok(size(limit))
            .means("rings in shared memory count as memory of the container"),
        None => Finding::unknown("/sys/fs/cgroup/memory.max"),
    }
}

fn task_limit(machine: &Machine) -> Finding {
    match machine.limit_of_group("pids.max", ("pids", "pids.max")) {
        Some(u64::MAX) => Finding::ok("none"),
        Some(tasks) if tasks >= 256 => Finding::ok(count(tasks)),
        Some(tasks) => Finding::note(count(tasks))
            .means("threads and processes of all nodes count")
            .fix("raise `pids.max` of the container"),
        None => Finding::unknown("/sys/fs/cgroup/pids.max"),
    }
}

fn count(number: u64) -> String {
    if number == u64::MAX { "unlimited".to_owned() } else { number.to_string() }
}

fn size(bytes: u64) -> String {
    match bytes {
        u64::MAX => "unlimited".to_owned(),
        _ if bytes >= 10 << 30 => format!("{} GiB", bytes >> 30),
        _ if bytes >= 10 << 20 => format!("{} MiB", bytes >> 20),
        _ => format!("{} KiB", bytes >> 10),
    }
}
