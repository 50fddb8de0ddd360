//! The node of spans and metrics, as an OpenTelemetry *resource*.

use std::process;

use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;

use super::common::{number, text};

/// The node that sends spans and metrics, as attributes of OpenTelemetry's *resource*. For spans
/// each service of the node is its own resource, and `service.name` is the name of the service. For
/// metrics the node is one resource, and `service.name` is the name of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The name of the node: `mycelium.node`.
    pub node: String,
    /// The host: `host.name`.
    pub host: Option<String>,
    /// A UUID of this start of the node: `service.instance.id`.
    pub instance: u128,
    /// The id of the process: `process.pid`.
    pub process: u32,
}

impl Resource {
    /// Creates the resource of a node in this process. `random` is a random number for the
    /// instance.
    pub fn of_node(node: &str, random: u128) -> Resource {
        // A random UUID: version 4, with the variant of RFC 9562.
        let instance = random & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
        Resource { node: node.to_owned(), host: host(), instance, process: process::id() }
    }

    /// Returns the OTLP message, with this `service.name`.
    pub(crate) fn message(&self, service: &str, namespace: Option<&str>) -> OtlpResource {
        let Resource { node, host, instance: _, process } = self;
        let mut attributes = vec![
            text("service.name", service),
            text("service.instance.id", &self.instance_id()),
            text("mycelium.node", node),
            text("telemetry.sdk.name", "mycelium"),
            text("telemetry.sdk.language", "rust"),
            text("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
            number("process.pid", (*process).into()),
        ];
        attributes.extend(namespace.map(|namespace| text("service.namespace", namespace)));
        attributes.extend(host.as_ref().map(|host| text("host.name", host)));
        OtlpResource { attributes, ..OtlpResource::default() }
    }

    /// Returns the instance as text.
    fn instance_id(&self) -> String {
        let digits = format!("{:032x}", self.instance);
        let ends = [8, 12, 16, 20, 32];
        let starts = [0].into_iter().chain(ends);
        let parts = starts.zip(ends).map(|(start, end)| &digits[start..end]);
        parts.collect::<Vec<_>>().join("-")
    }
}

/// Returns the name of this host.
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
