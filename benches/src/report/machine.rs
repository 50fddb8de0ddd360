//! The processor, as the system describes it, and the conditions of a run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The machine that a run was made on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor.
    pub processor: Processor,
    /// Number of cores that the process could use before its threads were pinned.
    pub cores: usize,
    /// The round trip of a number between two cores without a queue, in nanoseconds: the shortest
    /// that this machine allows.
    pub raw_trip: f64,
    /// Whether threads could be pinned to cores, in words.
    pub pinning: String,
    /// Load average of the minute before the run.
    pub load: Option<f64>,
    /// Whether the run was `--quick`.
    pub quick: bool,
}

impl Machine {
    pub(crate) fn new(cores: usize, pinning: String, raw_trip: f64, quick: bool) -> Machine {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let processor = Processor::of(&read("/proc/cpuinfo"));
        let load = read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok());
        Machine { processor, cores, raw_trip, pinning, load, quick }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "processor: {}", self.processor)?;
        writeln!(f, "raw round trip: {:.0} ns", self.raw_trip)?;
        writeln!(f, "pinning: {}", self.pinning)?;
        let Some(load) = self.load else { return Ok(()) };
        let warning = if load > 0.5 { ": the machine is busy, trust ratios only" } else { "" };
        writeln!(f, "load at the start: {load}{warning}")
    }
}

/// A processor, as `/proc/cpuinfo` describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processor {
    /// `AuthenticAMD`, `GenuineIntel`, or the number of an implementer on ARM.
    pub vendor: String,
    /// Processors of one family share a design, so their results are comparable.
    pub family: String,
    /// The model within the family.
    pub model: String,
    /// The product name.
    pub name: String,
}

impl Processor {
    /// Reads the first processor of a `cpuinfo`; a missing field is `unknown`.
    pub(crate) fn of(cpuinfo: &str) -> Processor {
        let field = |names: [&str; 2]| {
            let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
            let found = fields.find(|(name, _)| names.contains(&name.trim()));
            found.map_or("unknown", |(_, value)| value.trim()).to_owned()
        };
        Processor {
            vendor: field(["vendor_id", "CPU implementer"]),
            family: field(["cpu family", "CPU architecture"]),
            model: field(["model", "CPU part"]),
            name: field(["model name", "Model"]),
        }
    }

    /// Returns the vendor and the family: the groups of the results page.
    pub fn family(&self) -> String {
        format!("{}, family {}", self.vendor, self.family)
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, model {})", self.name, self.family(), self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_read_from_cpuinfo() {
        let cpuinfo = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n\
                       model name\t: AMD EPYC\n\nprocessor\t: 1\nvendor_id\t: other\n";
        let processor = Processor::of(cpuinfo);
        assert_eq!(processor.to_string(), "AMD EPYC (AuthenticAMD, family 25, model 17)");
    }
}
