//! Addresses in a topology file: those of nodes, with a port, and those of hosts, without one.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Addresses with ports: `"10.0.0.1:7400"`, `"[fd00::1]:7400"`, `"feed.example:7400"`, or a list of
/// them.
#[derive(Clone, Debug)]
pub(super) struct Addresses(pub(super) Vec<String>);

/// Addresses without ports: `"10.0.0.1"`, `"fd00::1"`, `"feed.example"`, or a list of them.
#[derive(Clone, Debug)]
pub(super) struct HostAddresses(pub(super) Vec<String>);

/// A port to which others connect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port(pub(super) u16);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Addresses, D::Error> {
        let addresses = one_or_more(deserializer, "10.0.0.1:7400")?;
        addresses.iter().try_for_each(|text| check(text)).map_err(D::Error::custom)?;
        Ok(Addresses(addresses))
    }
}

impl<'de> Deserialize<'de> for HostAddresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HostAddresses, D::Error> {
        let addresses = one_or_more(deserializer, "10.0.0.1")?;
        addresses.iter().try_for_each(|text| check_host(text)).map_err(D::Error::custom)?;
        Ok(HostAddresses(addresses))
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Port, D::Error> {
        let number = i64::deserialize(deserializer)?;
        match u16::try_from(number) {
            Ok(port @ 1..) => Ok(Port(port)),
            _ => {
                Err(D::Error::custom(format!("invalid port {number}: expected 1 to {}", u16::MAX)))
            }
        }
    }
}

impl HostAddresses {
    /// Its addresses with a port.
    pub(super) fn with_port(&self, Port(port): Port) -> Vec<String> {
        let with_port = |address: &String| match address.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, port).to_string(),
            Err(_) => format!("{address}:{port}"),
        };
        self.0.iter().map(with_port).collect()
    }
}

fn one_or_more<'de, D: Deserializer<'de>>(
    deserializer: D,
    example: &str,
) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Raw {
        One(String),
        More(Vec<String>),
    }
    match Raw::deserialize(deserializer) {
        Ok(Raw::One(one)) => Ok(vec![one]),
        Ok(Raw::More(more)) if !more.is_empty() => Ok(more),
        _ => Err(D::Error::custom(format!(
            "invalid address: expected a text such as \"{example}\", or a list of them"
        ))),
    }
}

fn check(text: &str) -> Result<(), String> {
    let split = text.rsplit_once(':');
    let is_port = |port: &str| port.parse().is_ok_and(|port: u16| port > 0);
    let is_host = |host: &str| match host.strip_prefix('[') {
        Some(rest) => {
            rest.strip_suffix(']').is_some_and(|it| matches!(it.parse(), Ok(IpAddr::V6(_))))
        }
        None => !host.contains(':') && check_host(host).is_ok(),
    };
    if split.is_some_and(|(host, port)| is_host(host) && is_port(port)) {
        return Ok(());
    }
    let mut hint = "";
    if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) {
        hint = " (an IPv6 address is in brackets)";
    }
    Err(format!(
        "invalid address `{text}`: expected a host and a port, such as `10.0.0.1:7400`{hint}"
    ))
}

fn check_host(text: &str) -> Result<(), String> {
    let is_name = || {
        let is_plain = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
        !text.is_empty() && text.chars().all(is_plain)
    };
    if text.parse::<IpAddr>().is_ok() || is_name() {
        return Ok(());
    }
    let hint = if text.contains(':') { "; the port is a key of a node (`port`)" } else { "" };
    Err(format!(
        "invalid address `{text}`: expected one without a port, such as `10.0.0.1` or `feed.example`{hint}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_nodes_have_ports() {
        for valid in ["10.0.0.1:1", "[::1]:7400", "feed.example:65535", "localhost:7400"] {
            assert_eq!(check(valid), Ok(()), "{valid}");
        }
        for invalid in
            ["", ":", "a", "10.0.0.1", "10.0.0.1:0", "a:70000", "a:x", "[a]:1", "::1:7400", "a b:1"]
        {
            assert!(check(invalid).is_err(), "{invalid}");
        }
        let error = check("::1").unwrap_err();
        assert!(error.ends_with("`10.0.0.1:7400` (an IPv6 address is in brackets)"), "{error}");
    }

    #[test]
    fn a_host_and_a_port_are_an_address() {
        let addresses = ["10.0.0.1", "fd00::1", "feed.example"].map(str::to_owned).to_vec();
        assert!(addresses.iter().all(|text| check_host(text).is_ok()));
        let joined = HostAddresses(addresses).with_port(Port(7400));
        assert_eq!(joined, ["10.0.0.1:7400", "[fd00::1]:7400", "feed.example:7400"]);
        assert!(joined.iter().all(|text| check(text).is_ok()));
        let error = check_host("10.0.0.1:7400").unwrap_err();
        assert!(error.ends_with("the port is a key of a node (`port`)"), "{error}");
    }
}
