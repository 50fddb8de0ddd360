//! Peers of Zenoh that only find each other.

use std::net::SocketAddr;

use mycelium_zenoh::Zenoh;

/// Returns a peer that listens here, without multicast.
pub(crate) fn listening(at: SocketAddr) -> Zenoh {
    configured(&format!("listen: {{ endpoints: [\"tcp/{at}\"] }}"))
}

/// Returns a peer that connects to this address, without multicast.
pub(crate) fn connecting(to: SocketAddr) -> Zenoh {
    configured(&format!(
        "listen: {{ endpoints: [\"tcp/127.0.0.1:0\"] }},
         connect: {{ endpoints: [\"tcp/{to}\"], retry: {{ period_init_ms: 50, period_max_ms: 200 }} }}"
    ))
}

/// Returns a client of the router at this address.
pub(crate) fn client_of(router: SocketAddr) -> Zenoh {
    Zenoh::from_json5(&format!(
        "{{ mode: \"client\",
            connect: {{ endpoints: [\"tcp/{router}\"], retry: {{ period_init_ms: 50, period_max_ms: 200 }} }},
            scouting: {{ multicast: {{ enabled: false }} }} }}"
    ))
}

fn configured(endpoints: &str) -> Zenoh {
    Zenoh::from_json5(&format!(
        "{{ {endpoints},
            scouting: {{ multicast: {{ enabled: false }}, gossip: {{ enabled: false }} }} }}"
    ))
}
