//! A crash storm: a thousand services that fail repeatedly, in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::running::{end, start};
use mycelium::observe::HealthState;
use mycelium::supervision::{Restart, Strategy, Supervisor};
use mycelium::{Builder, Context, Error, Node, Result, service};

const SERVICES: usize = 1000;

/// Fails in each run while failures are left, then waits for the shutdown.
struct Fails(Arc<AtomicU64>);

#[service(send)]
impl Fails {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let take = |left: u64| left.checked_sub(1);
        if self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            return Err(Error::msg("again"));
        }
        ctx.shutdown_requested().await;
        Ok(())
    }
}

fn storm(failures: u64) -> Builder {
    let left = Arc::new(AtomicU64::new(failures));
    let mut builder = Node::builder("main");
    for number in 0..SERVICES {
        let left = left.clone();
        builder = builder.named_service(&format!("S{number}"), move || Fails(left.clone()));
    }
    builder
}

fn supervisor(strategy: Strategy, limit: u32) -> Supervisor {
    // With `one-for-all`, the first child is the only one to fail, at the end with pauses of 10 s.
    let window = Duration::from_secs(24 * 3600);
    let top = Supervisor::new("top", strategy);
    let top = top.restart(Restart { limit, window, ..Restart::default() });
    (0..SERVICES).fold(top, |top, number| top.named_service(&format!("S{number}")))
}

#[tokio::test(start_paused = true)]
async fn a_thousand_services_that_fail_come_back_when_they_can() {
    let running =
        start(storm(5 * SERVICES as u64).supervisor(supervisor(Strategy::OneForOne, u32::MAX)));
    while running.health().node() != HealthState::Ready {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(running.health().supervisor("top"), Some(HealthState::Ready));
    let report = end(running).await;
    let starts = report.services.iter().map(|it| it.starts).sum::<u64>();
    let errors = report.services.iter().map(|it| it.errors).sum::<u64>();
    assert_eq!((starts, errors), (6 * SERVICES as u64, 5 * SERVICES as u64));
}

/// The work is bounded by the number of restarts, not by the square of the number of services.
#[tokio::test(start_paused = true)]
async fn a_storm_that_does_not_end_makes_the_supervisor_give_up() {
    for strategy in Strategy::ALL {
        let running = start(storm(u64::MAX).supervisor(supervisor(strategy, 50)));
        let error = running.join().await.unwrap_err();
        let text = error.to_string();
        let expected = "` failed permanently after 50 restarts by supervisor `top` within \
                        86400s: again [M0054]";
        assert!(text.ends_with(expected), "{strategy}: {text}");
    }
}
