//! The keys for TLS in a topology file.

use crate::certificates::Certificates;
use crate::running::Says;
use crate::tls::pair::{Pair, two_hosts};

#[test]
fn a_node_has_tls_at_all_addresses_or_at_none() {
    let certificates = Certificates::new("mixed");
    let third = "[node.third]\nhost = \"here\"\nservices = [\"Beside\"]\n";
    let build = |more: &str| {
        let text = two_hosts(&certificates, &format!("{third}{more}"));
        let (pair, _received) = Pair::new("mixed", text);
        pair.build("far", 1)
    };
    let plain = "[link.\"far-third\"]\ntransport = \"tcp\"\n";
    build(plain).unwrap_err().says(
        "t.toml:27:13: node `far` would be read over TLS by `near`, and over plain TCP by \
         `third`: a node has TLS at all of its addresses, or at none; write the same `transport` \
         for both links [M0114]",
    );
    assert!(build("").is_ok());
    assert!(build(&format!("{plain}[link.\"far-near\"]\ntransport = \"tcp\"\n")).is_ok());
}

#[test]
fn a_certificate_must_be_able_to_have_the_name() {
    let certificates = Certificates::new("names");
    let text = two_hosts(&certificates, "").replace("[node.near]", "[node.near-]");
    let (pair, _received) = Pair::new("names", text);
    pair.build("far", 1).unwrap_err().says(
        "t.toml:15:7: node `near-` has links over TLS, but no certificate can have its name: \
         expected one like that of a host, such as `feed` or `feed-1.example` [M0114]",
    );
}
