//! Subscriptions and publishers that are made before the node starts.

use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};

use mycelium::error::{BuildError, SubscribeError};
use mycelium::{Context, Node, Policy, Result, Subscription, message, service};
use mycelium_tokio::Tokio;

use crate::node::services::{Number, Square};
use crate::running::{Says, main_with};
use crate::testing::service_test::{Squarer, number};

/// Emits in its first poll, and ends.
struct Burst;

#[service(emits(Number))]
impl Burst {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in 0..100 {
            ctx.try_emit(number(value))?;
        }
        Ok(())
    }
}

async fn rest(subscription: &mut Subscription<Number>) -> Vec<u64> {
    let mut values = Vec::new();
    while let Some(delivery) = subscription.recv().await {
        values.extend(delivery.message().map(|number| number.value));
    }
    values
}

#[tokio::test]
async fn l7_a_subscription_gets_all_and_ends_although_a_publisher_is_left() {
    let node = Node::builder("main").service(|| Burst).build().unwrap();
    let mut early = node.subscribe::<Number>("early", Policy::Block).unwrap();
    let mut outside = node.publisher::<Number>("outside").unwrap();
    outside.try_emit(number(1_000)).unwrap();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    let mut values = rest(&mut early).await;
    values.sort_unstable();
    assert_eq!(values, (0..100).chain([1_000]).collect::<Vec<_>>());
    let mut late = running.subscribe::<Number>("late", Policy::Block).unwrap();
    running.join().await.unwrap();
    assert_eq!(late.recv().await, None);
    drop(outside);
}

#[tokio::test(start_paused = true)]
async fn a_stop_hook_may_wait_for_the_end_of_a_subscription() {
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let node = Node::builder("main").service(|| Burst).on_stop(|| async { end.await.unwrap() });
    let node = node.build().unwrap();
    let mut unfed = node.subscribe::<Square>("unfed", Policy::Block).unwrap();
    let begin = tokio::time::Instant::now();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    tokio::spawn(async move {
        assert_eq!(unfed.recv().await, None);
        ended.send(()).unwrap();
    });
    running.join().await.unwrap();
    // No paused time has passed, so the hook did not end by its timeout.
    assert_eq!(begin.elapsed(), std::time::Duration::ZERO);
}

/// A node that was never started ends its subscriptions, too.
#[test]
fn the_end_of_a_node_or_its_executor_ends_a_subscription() {
    for starts in [false, true] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let node = Node::builder("main").service(|| Squarer).build().unwrap();
        let mut unfed = node.subscribe::<Number>("unfed", Policy::Block).unwrap();
        let mut next = pin!(unfed.recv());
        let mut context = TaskContext::from_waker(Waker::noop());
        assert!(next.as_mut().poll(&mut context).is_pending());
        if starts {
            let start = async { node.start(Tokio::current().unwrap()).unwrap() };
            let running = runtime.block_on(start);
            drop(runtime);
            assert_eq!(next.as_mut().poll(&mut context), Poll::Ready(None));
            drop(running);
        } else {
            drop(node);
            assert_eq!(next.as_mut().poll(&mut context), Poll::Ready(None));
        }
    }
}

#[message(topic = "numbers", id = 8)]
#[derive(Debug)]
struct Impostor {
    value: u32,
}

#[test]
fn a_topic_with_another_message_refuses_both() {
    let node = Node::builder("main").service(|| Burst).build().unwrap();
    let refused = node.subscribe::<Impostor>("early", Policy::Block).unwrap_err();
    assert!(matches!(refused, SubscribeError::Topic(_)), "{refused}");
    let refused = node.publisher::<Impostor>("early").unwrap_err();
    assert!(matches!(refused, BuildError::Topic(_)), "{refused}");
    let _ = Impostor { value: 1 };
}

#[test]
fn a4_a_topology_sets_the_capacity_and_a_full_ring_refuses() {
    let node = main_with("[topic.numbers]\ncapacity = 4").service(|| Burst).build().unwrap();
    let _early = node.subscribe::<Number>("early", Policy::Block).unwrap();
    let mut numbers = node.publisher::<Number>("outside").unwrap();
    (0..4).for_each(|value| numbers.try_emit(number(value)).unwrap());
    numbers.try_emit(number(4)).unwrap_err().mentions("early");
}
