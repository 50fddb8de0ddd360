//! The laws of supervision that depend on tasks and timers, run on each executor.

use std::sync::Arc;
use std::time::Duration;

use mycelium::Builder;
use mycelium::counters::Kind;
use mycelium::observe::{HealthState, Outcome};
use mycelium::supervision::{Lifetime, Restart, Strategy, Supervisor};
use mycelium_executor::Executor;

use crate::actors::laws::on_each;
use crate::actors::probe::Seen as Diary;
use crate::running::{Says, end, sum};
use crate::supervision::worker::{Crew, Do, quick};

/// Runs laws on all executors; each law is a test.
macro_rules! laws {
    ($($law:ident)*) => {
        mod on_each_executor {
            $(#[test]
            fn $law() {
                super::on_each([], |executor| Box::pin(super::$law(executor)));
            })*
        }
    };
}

laws! {
    each_strategy_restarts_its_children_in_order
    a_message_in_hand_at_a_stop_comes_again_and_this_is_no_failure
    lifetimes_say_what_is_restarted
    a_supervisor_that_gives_up_is_restarted_by_its_parent
    a_permanent_error_ends_the_node_through_all_supervisors
    a_run_that_does_not_start_within_its_deadline_has_failed
    a_shutdown_while_children_wait_lets_them_drain
}

/// Returns a supervisor of `A`, `B` and `C`.
fn three(strategy: Strategy) -> Supervisor {
    ["A", "B", "C"].iter().fold(Supervisor::new("top", strategy), |it, name| it.named_service(name))
}

async fn start_three(strategy: Strategy, executor: Arc<dyn Executor>) -> Crew {
    let top = three(strategy).restart(quick(100));
    Crew::of("ABC", executor, |builder| builder.supervisor(top)).await
}

/// Children stop in reverse order, and start in order.
async fn each_strategy_restarts_its_children_in_order(executor: Arc<dyn Executor>) {
    let all_of_b = "-B -C -A +A +B +C";
    let all_of_a = "-A -C -B +A +B +C";
    let cases: [(Strategy, char, Do, &str); 7] = [
        (Strategy::OneForOne, 'B', Do::Fail, "-B +B"),
        (Strategy::OneForOne, 'B', Do::Panic, "-B +B"),
        (Strategy::OneForAll, 'B', Do::Fail, all_of_b),
        (Strategy::OneForAll, 'A', Do::Panic, all_of_a),
        (Strategy::RestForOne, 'B', Do::Fail, "-B -C +B +C"),
        (Strategy::RestForOne, 'C', Do::Fail, "-C +C"),
        (Strategy::RestForOne, 'A', Do::Fail, all_of_a),
    ];
    for strategy in Strategy::ALL {
        let mut crew = start_three(strategy, executor.clone()).await;
        for (_, name, what, expected) in cases.iter().filter(|(it, ..)| *it == strategy) {
            crew.after(*name, *what, expected).await;
        }
        let report = crew.end().await.unwrap();
        let failures = report.services.iter().map(|service| service.errors + service.panics);
        let count = cases.iter().filter(|(it, ..)| *it == strategy).count();
        assert_eq!(failures.sum::<u64>(), count as u64, "a stop does not count as a failure");
    }
}

async fn a_message_in_hand_at_a_stop_comes_again_and_this_is_no_failure(
    executor: Arc<dyn Executor>,
) {
    let mut crew = start_three(Strategy::RestForOne, executor).await;
    crew.after('C', Do::Keep, "C:keeps").await;
    // More failures than one message may cause before it is a dead letter.
    for _ in 0..5 {
        crew.after('B', Do::Fail, "-B -C +B +C C:again").await;
    }
    let report = crew.end().await.unwrap();
    assert_eq!(sum(&report.counters, Kind::Service, "dead_letters"), 0);
}

async fn lifetimes_say_what_is_restarted(executor: Arc<dyn Executor>) {
    let mut crew = Crew::of("ABC", executor, |builder| {
        builder
            .lifetime("A", Lifetime::Permanent)
            .lifetime("C", Lifetime::Temporary)
            .supervisor(three(Strategy::OneForOne).restart(quick(100)))
    })
    .await;
    crew.after('A', Do::Return, "-A +A").await;
    crew.after('A', Do::Fail, "-A +A").await;
    crew.after('B', Do::Fail, "-B +B").await;
    crew.after('B', Do::Return, "-B").await;
    crew.after('C', Do::Fail, "-C").await;
    let diary = crew.diary.clone();
    let report = crew.end().await.unwrap();
    assert_eq!(diary.take(), "-A");
    let reason = "ordered to fail".to_owned();
    let outcomes: Vec<_> = report.services.into_iter().map(|it| it.outcome).collect();
    let expected = [Outcome::Completed, Outcome::Completed, Outcome::NotRestarted { reason }];
    assert_eq!(outcomes, expected);
}

async fn a_supervisor_that_gives_up_is_restarted_by_its_parent(executor: Arc<dyn Executor>) {
    let below = Supervisor::one_for_one("below").named_service("B").named_service("C");
    let top = Supervisor::rest_for_one("top")
        .named_service("A")
        .supervisor(below.restart(quick(1)))
        .named_service("D")
        .restart(quick(1));
    let mut crew = Crew::of("ABCD", executor, |builder| builder.supervisor(top)).await;
    crew.after('C', Do::Fail, "-C +C").await;
    // One restart more than the limit of the inner supervisor.
    crew.after('B', Do::Fail, "-B -C -D +B +C +D").await;
    // The restarted supervisor counts from zero.
    crew.after('C', Do::Fail, "-C +C").await;
    crew.end().await.unwrap();
}

async fn a_permanent_error_ends_the_node_through_all_supervisors(executor: Arc<dyn Executor>) {
    let below = Supervisor::one_for_all("below").named_service("B").named_service("C");
    let top = Supervisor::one_for_all("top").named_service("A").supervisor(below);
    let mut crew = Crew::of("ABC", executor, |builder| builder.supervisor(top)).await;
    crew.order('B', Do::FailForGood).await;
    let error = crew.running.join().await.unwrap_err();
    error.says("service `B` failed permanently: ordered to fail permanently [M0054]");
}

async fn a_run_that_does_not_start_within_its_deadline_has_failed(executor: Arc<dyn Executor>) {
    use mycelium::{Context, Node, Result, service};

    use crate::supervision::worker::Order;

    /// Connects in its first run to a host that never answers.
    struct Connects {
        diary: Diary,
        is_first: bool,
    }

    #[service(send, reads(Order))]
    impl Connects {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            self.diary.add("connects");
            if self.is_first {
                std::future::pending::<()>().await;
            }
            let mut orders = ctx.subscribe::<Order>()?;
            self.diary.add("connected");
            while orders.recv().await.is_some() {}
            Ok(())
        }
    }

    let (diary, mut made) = (Diary::default(), 0);
    let connects = diary.clone();
    let builder = Node::builder("main")
        .service(move || {
            made += 1;
            Connects { diary: connects.clone(), is_first: made == 1 }
        })
        .restart("Connects", quick(5))
        .start_deadline("Connects", Duration::from_millis(20));
    let running = builder.build().unwrap().start(executor.clone()).unwrap();
    diary.has(&executor, "connects connects connected").await;
    let report = end(running).await;
    let service = &report.services[0];
    assert_eq!((service.starts, service.errors), (2, 1));
    assert_eq!(
        service.last_failure.as_deref(),
        Some("it did not start within 20ms: it has not taken subscription `Connects.orders`")
    );
}

async fn a_shutdown_while_children_wait_lets_them_drain(executor: Arc<dyn Executor>) {
    let hour = Duration::from_secs(3600);
    let hourly = Restart { backoff: hour, longest: hour, ..quick(5) };
    let top = three(Strategy::OneForAll).restart(quick(100));
    let change = |builder: Builder| builder.restart("B", hourly).supervisor(top);
    let mut crew = Crew::of("ABC", executor, change).await;
    crew.after('C', Do::Keep, "C:keeps").await;
    crew.after('B', Do::Fail, "-B -C -A").await;
    // The last service notes its end before the node knows of it.
    while crew.running.health().supervisor("top") != Some(HealthState::BackingOff) {
        mycelium_executor::yield_now().await;
    }
    let report = crew.end().await.unwrap();
    assert!(report.services.iter().all(|it| it.outcome == Outcome::Completed));
    // All services were restarted, and have received the remaining messages.
    assert!(report.services.iter().all(|it| it.starts == 2));
}
