//! Invalid settings of a program: the error of `build` names the setting and the valid values.

use std::sync::Arc;
use std::time::Duration;

use mycelium::{Builder, Node, OnStall, Policy, Topology};

use crate::node::asks::Answerer;
use crate::node::services::{ENDLESS, Number, Square};

fn evicts(node: Builder, topic: &str, seconds: u64) -> Builder {
    node.on_stall(topic, OnStall::EvictAfter(Duration::from_secs(seconds)))
}

fn answers(node: Builder) -> Builder {
    node.service(|| Answerer(Arc::default()))
}

/// Changes a node so that its build fails.
type Mistake = fn(Builder) -> Builder;

#[test]
fn settings_that_do_not_fit_are_errors_of_the_build() {
    let cases: [(Mistake, &str); 15] = [
        (
            |node| node.backpressure_threshold("number", 80),
            "the threshold of topic `number` (`Builder::backpressure_threshold`): unknown topic: \
             did you mean `numbers`? (expected one of: numbers) [M0012]",
        ),
        (
            |node| node.backpressure_threshold("numbers", 101),
            "the threshold of topic `numbers` (`Builder::backpressure_threshold`): invalid \
             percentage 101: expected 1 to 100 [M0012]",
        ),
        (
            |node| evicts(node, "number", 5),
            "`Builder::on_stall` of topic `number`: unknown topic: did you mean `numbers`? \
             (expected one of: numbers) [M0013]",
        ),
        (
            |node| evicts(node, "numbers", 0),
            "`Builder::on_stall` of topic `numbers`: invalid time: expected more than 0 s [M0013]",
        ),
        (
            |node| node.latency_sample("numbers", 1.5),
            "`Builder::latency_sample` of topic `numbers`: invalid share 1.5: expected a number \
             from 0 to 1 [M0014]",
        ),
        (|node| node.latency_sample("numbers", f64::NAN), "invalid share NaN: expected a number"),
        (
            |node| node.latency_sample("number", 1.0),
            "`Builder::latency_sample` of topic `number`: unknown topic: did you mean `numbers`? \
             (expected one of: numbers) [M0014]",
        ),
        (
            |node| answers(node).latency_sample("doubles", 1.0),
            "`Builder::latency_sample` of topic `doubles`: it has requests, whose latency is not \
             measured [M0014]",
        ),
        (
            |node| {
                let text = "[topic.doubles]\nlatency_sample = 0.1";
                answers(node).topology(Topology::parse("t.toml", text).unwrap())
            },
            "t.toml:2:18: topic `doubles` carries requests, on which `latency_sample` has no \
             effect: remove the key [M0113]",
        ),
        (
            |node| answers(node).subscription("Answerer", "doubles", Policy::Latest),
            "port `Answerer.doubles`: requests wait in a mailbox, which has a policy, `block` or \
             `reject`, and no other key [M0007]",
        ),
        (
            |node| {
                node.fast_handler("limit", |_: &Number| Ok(())).fast_handler_of(
                    "other",
                    "limit",
                    |_: &Number| Ok(()),
                )
            },
            "fast handler `limit` (`Builder::fast_handler`): two fast handlers have this name: \
             give one of them another name [M0020]",
        ),
        (
            |node| node.fast_handler_of("numbers", "limit", |_: &Square| Ok(())),
            "topic `numbers` carries Number (id 1, 8 bytes, digest",
        ),
        (
            |node| node.fast_handler("a limit", |_: &Number| Ok(())),
            "fast handler `a limit` (`Builder::fast_handler`): invalid name: expected at least one \
             character, and no space, `=` or control character [M0020]",
        ),
        (|node| node.named_service("a=b", || ENDLESS), "invalid service name `a=b`: "),
        (
            |node| node.fast_handler_of("mycelium.dead-letters", "limit", |_: &Number| Ok(())),
            "invalid topic `mycelium.dead-letters`: names that start with `mycelium.` are reserved \
             [M0020]",
        ),
    ];
    for (set, expected) in cases {
        let error = set(Node::builder("main").service(|| ENDLESS)).build().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\ninstead of\n{expected}");
    }
}
