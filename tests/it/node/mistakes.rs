//! Invalid settings of a program: the error of `build` names the setting and the valid values.

use std::sync::Arc;
use std::time::Duration;

use mycelium::subscribe::OnStall;
use mycelium::{Builder, Node, Policy, Topology};

use crate::node::asks::Answerer;
use crate::node::services::{ENDLESS, Number, Square};
use crate::running::Says;

fn evicts(node: Builder, topic: &str, seconds: u64) -> Builder {
    node.on_stall(topic, OnStall::EvictAfter(Duration::from_secs(seconds)))
}

fn answers(node: Builder) -> Builder {
    node.service(|| Answerer(Arc::default()))
}

/// Returns the error of the build of a node with this change.
fn refused(change: impl FnOnce(Builder) -> Builder) -> String {
    change(Node::builder("main").service(|| ENDLESS)).build().unwrap_err().to_string()
}

#[test]
fn settings_that_do_not_fit_are_errors_of_the_build() {
    refused(|node| node.backpressure_threshold("number", 80)).mentions(
        "the threshold of topic `number` (`Builder::backpressure_threshold`): unknown topic: \
         did you mean `numbers`? (expected one of: numbers) [M0012]",
    );
    refused(|node| node.backpressure_threshold("numbers", 101)).mentions(
        "the threshold of topic `numbers` (`Builder::backpressure_threshold`): invalid \
         percentage 101: expected 1 to 100 [M0012]",
    );
    refused(|node| evicts(node, "number", 5)).mentions(
        "`Builder::on_stall` of topic `number`: unknown topic: did you mean `numbers`? \
         (expected one of: numbers) [M0013]",
    );
    refused(|node| evicts(node, "numbers", 0)).mentions(
        "`Builder::on_stall` of topic `numbers`: invalid time: expected more than 0 s [M0013]",
    );
    refused(|node| node.latency_sample("numbers", 1.5)).mentions(
        "`Builder::latency_sample` of topic `numbers`: invalid share 1.5: expected a number \
         from 0 to 1 [M0014]",
    );
    refused(|node| node.latency_sample("numbers", f64::NAN))
        .mentions("invalid share NaN: expected a number");
    refused(|node| node.latency_sample("number", 1.0)).mentions(
        "`Builder::latency_sample` of topic `number`: unknown topic: did you mean `numbers`? \
         (expected one of: numbers) [M0014]",
    );
    refused(|node| answers(node).latency_sample("doubles", 1.0)).mentions(
        "`Builder::latency_sample` of topic `doubles`: it has requests, whose latency is not \
         measured [M0014]",
    );
    refused(|node| {
        let text = "[topic.doubles]\nlatency_sample = 0.1";
        answers(node).topology(Topology::parse("t.toml", text).unwrap())
    })
    .mentions(
        "t.toml:2:18: topic `doubles` carries requests, on which `latency_sample` has no \
         effect: remove the key [M0113]",
    );
    refused(|node| answers(node).subscription("Answerer", "doubles", Policy::Latest)).mentions(
        "port `Answerer.doubles`: requests wait in a mailbox, which has a policy, `block` or \
         `reject`, and no other key [M0007]",
    );
    refused(|node| {
        let node = node.fast_handler("limit", |_: &Number| Ok(()));
        node.fast_handler_of("other", "limit", |_: &Number| Ok(()))
    })
    .mentions(
        "fast handler `limit` (`Builder::fast_handler`): two fast handlers have this name: \
         give one of them another name [M0020]",
    );
    refused(|node| node.fast_handler_of("numbers", "limit", |_: &Square| Ok(())))
        .mentions("topic `numbers` carries Number (id 1, 8 bytes, digest");
    refused(|node| node.fast_handler("a limit", |_: &Number| Ok(()))).mentions(
        "fast handler `a limit` (`Builder::fast_handler`): invalid name: expected at least one \
         character, and no space, `=` or control character [M0020]",
    );
    refused(|node| node.named_service("a=b", || ENDLESS)).mentions("invalid service name `a=b`: ");
    let dead_letters = "mycelium.dead-letters";
    refused(|node| node.fast_handler_of(dead_letters, "limit", |_: &Number| Ok(()))).mentions(
        "invalid topic `mycelium.dead-letters`: names that start with `mycelium.` are reserved \
         [M0020]",
    );
}
