//! What the spans of a node have in common.

use std::process;

/// The node that spans come from, as attributes of OpenTelemetry's *resource*. Each service of the
/// node is a resource of its own: `service.name` is the name of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The name of the node: `mycelium.node`.
    pub node: String,
    /// The host: `host.name`.
    pub host: Option<String>,
    /// `service.instance.id`, as a UUID, which only this start of the node has.
    pub instance: u128,
    /// `process.pid`.
    pub process: u32,
}

impl Resource {
    /// A node in this process. `random` is a random number, which makes its instance.
    #[must_use]
    pub fn of_node(node: &str, random: u128) -> Resource {
        // Version 4 of the variant of RFC 9562: random.
        let instance = random & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
        Resource { node: node.to_owned(), host: host(), instance, process: process::id() }
    }

    /// The instance as text.
    pub(super) fn instance_id(&self) -> String {
        let digits = format!("{:032x}", self.instance);
        let ends = [8, 12, 16, 20, 32];
        let starts = [0].into_iter().chain(ends);
        let parts = starts.zip(ends).map(|(start, end)| &digits[start..end]);
        parts.collect::<Vec<_>>().join("-")
    }
}

/// The name of this host.
fn host() -> Option<String> {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_str().ok().map(str::to_owned);
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").ok();
    name.filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_a_random_uuid() {
        let id = |random| Resource::of_node("main", random).instance_id();
        assert_eq!(id(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(id(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
