//! Limits of supervisors and of services, and which of them applies.

use std::sync::Arc;

use mycelium::Builder;
use mycelium::error::StartError;
use mycelium::supervision::Supervisor;
use mycelium_tokio::Tokio;

use crate::actors::probe::Seen as Diary;
use crate::running::main_with;
use crate::supervision::worker::{Crew, Do, Worker, quick};

#[tokio::test(start_paused = true)]
async fn a_service_may_have_a_lower_limit_than_its_supervisor() {
    let top = Supervisor::one_for_one("top").named_service("A").restart(quick(100));
    let change = |builder: Builder| builder.supervisor(top).restart("A", quick(1));
    let mut crew = Crew::of("A", Arc::new(Tokio::current().unwrap()), change).await;
    crew.after('A', Do::Fail, "-A +A").await;
    crew.order('A', Do::Fail).await;
    let error = crew.running.join().await.unwrap_err();
    let StartError::ServiceFailed { restarts, supervisor, .. } = error else { panic!("{error}") };
    assert_eq!((restarts, supervisor), (1, None));
}

/// The service has no limit of its own, and its supervisor a limit of 1000, so it is restarted more
/// than ten times.
#[tokio::test(start_paused = true)]
async fn a_service_with_a_supervisor_has_no_limit_of_its_own_by_default() {
    let text = "[supervisor.top]\nchildren = [\"A\"]\nmax_restarts = 1000\n[service.A]\nbackoff = \"1us\"\n";
    let diary = Diary::default();
    let feed = diary.clone();
    let worker = move || Worker { number: 0, diary: feed.clone() };
    let builder = main_with(text).named_service("A", worker);
    let mut crew = Crew::start(builder, diary, Arc::new(Tokio::current().unwrap()));
    crew.has("+A").await;
    for _ in 0..50 {
        crew.after('A', Do::Fail, "-A +A").await;
    }
    crew.end().await.unwrap();
}
