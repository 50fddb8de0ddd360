//! Requests to actors: what their errors name.

use mycelium::WhenFull;

use super::probe::{Ask, FAIL, Seen, actors, probe};

#[tokio::test(start_paused = true)]
async fn an_error_names_the_actor_that_was_asked() {
    let (actors, request) = (actors(), Ask { value: 3 });
    let mut named = actors.actor(probe(&Seen::default())).name("pool-7").spawn().unwrap();
    let failed = named.ask(Ask { value: FAIL }).await.unwrap_err().to_string();
    assert!(
        failed.starts_with("request `probe.asks` to actor `pool-7` has no reply: "),
        "{failed}"
    );
    named.stop();
    named.ended().await;
    assert_eq!(
        named.ask(request).await.unwrap_err().to_string(),
        "request `probe.asks` to actor `pool-7` has no reply: the actor has ended [M0250]"
    );
    let full = actors.actor(probe(&Seen::default())).capacity(2).when_full(WhenFull::Refuse);
    let mut full = full.spawn().unwrap();
    let _open = [full.ask(request), full.ask(request)];
    let label = full.label();
    assert_eq!(label, format!("Probe#{}", full.id()).into());
    assert_eq!(
        full.ask(request).await.unwrap_err().to_string(),
        format!(
            "request `probe.asks` to actor `{label}` has no reply: its mailbox is full [M0251]"
        )
    );
}
