//! Limits of supervisors and of services: which one counts.

use std::sync::Arc;
use std::time::Duration;

use mycelium::{Restart, StartError, Supervisor, Topology};
use mycelium_tokio::Tokio;

use crate::supervision::worker::{Crew, Diary, Do, crew, quick};

fn tokio_here() -> Arc<Tokio> {
    Arc::new(Tokio::current().unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_supervisor_is_that_of_all_its_children_together() {
    let diary = Diary::default();
    let top = Supervisor::one_for_one("top").named_service("A").named_service("B");
    let mut crew =
        Crew::start(crew("AB", &diary).supervisor(top.restart(quick(3))), &diary, tokio_here());
    diary.has(&["+A", "+B"]).await;
    for name in ['A', 'B', 'A'] {
        crew.order(name, Do::Fail).await;
        diary.has(&[&format!("-{name}"), &format!("+{name}")]).await;
    }
    crew.order('B', Do::Fail).await;
    let error = crew.running.join().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "service `B` failed permanently after 3 restarts by supervisor `top` within 3600s: \
         ordered to fail [M0054]"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_may_have_a_lower_limit_than_its_supervisor() {
    let diary = Diary::default();
    let top = Supervisor::one_for_one("top").named_service("A").restart(quick(100));
    let builder = crew("A", &diary).supervisor(top).restart("A", quick(1));
    let mut crew = Crew::start(builder, &diary, tokio_here());
    diary.has(&["+A"]).await;
    crew.order('A', Do::Fail).await;
    diary.has(&["-A", "+A"]).await;
    crew.order('A', Do::Fail).await;
    let StartError::ServiceFailed { restarts, supervisor, .. } =
        crew.running.join().await.unwrap_err()
    else {
        panic!("another error");
    };
    assert_eq!((restarts, supervisor), (1, None));
}

/// With its supervisor's limit of 1000 and no limit of its own, it is restarted more than ten
/// times.
#[tokio::test(start_paused = true)]
async fn a_service_with_a_supervisor_has_no_limit_of_its_own_by_default() {
    let text = "[supervisor.top]\nchildren = [\"A\"]\nmax_restarts = 1000\n[service.A]\nbackoff = \"1us\"\n";
    let diary = Diary::default();
    let feed = diary.clone();
    let builder = mycelium::Node::builder("main")
        .topology(Topology::parse("t.toml", text).unwrap())
        .named_service("A", move || crate::supervision::worker::Worker {
            number: 0,
            diary: feed.clone(),
        });
    let mut crew = Crew::start(builder, &diary, tokio_here());
    diary.has(&["+A"]).await;
    for _ in 0..50 {
        crew.order('A', Do::Fail).await;
        diary.has(&["-A", "+A"]).await;
    }
    crew.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_a_quiet_time_ends_that() {
    let diary = Diary::default();
    let second = Duration::from_secs(1);
    let restart =
        Restart { backoff: second, longest: 60 * second, window: 1000 * second, limit: 100 };
    let top = Supervisor::one_for_all("top").named_service("A").named_service("B");
    let builder = crew("AB", &diary).supervisor(top.restart(quick(100))).restart("B", restart);
    let mut crew = Crew::start(builder, &diary, tokio_here());
    diary.has(&["+A", "+B"]).await;
    let mut before = Duration::ZERO;
    for _ in 0..4 {
        let begin = tokio::time::Instant::now();
        crew.order('B', Do::Fail).await;
        diary.has(&["-B", "-A", "+A", "+B"]).await;
        // The clock is virtual. Jitter takes up to a half, and the next pause is twice as long.
        let pause = begin.elapsed();
        assert!(pause > before, "{pause:?} after {before:?}");
        before = pause;
    }
    tokio::time::advance(1001 * second).await;
    let begin = tokio::time::Instant::now();
    crew.order('B', Do::Fail).await;
    diary.has(&["-B", "-A", "+A", "+B"]).await;
    assert!(begin.elapsed() <= second + Duration::from_millis(10), "{:?}", begin.elapsed());
    crew.end().await.unwrap();
}
