//! Which processor it is, as the system says it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A processor, as `/proc/cpuinfo` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Processor {
    /// Who made it: `AuthenticAMD`, `GenuineIntel`, or the number of an implementer on ARM.
    pub vendor: String,
    /// Processors of one family share a design, so that a result on one says something about the others.
    pub family: String,
    /// Which of the family.
    pub model: String,
    /// What it is sold as.
    pub name: String,
}

impl Processor {
    /// Reads the first processor of a `cpuinfo`; what it does not say is `unknown`.
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

    /// What results are grouped by.
    #[must_use]
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
        let arm =
            Processor::of("CPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd0c\n");
        assert_eq!(arm.to_string(), "unknown (0x41, family 8, model 0xd0c)");
    }
}
