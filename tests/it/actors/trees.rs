//! Parents and children, watchers, and linked actors.

use std::time::Duration;

use mycelium::actors::ActorEnd;

use super::probe::{
    Seen, actors, children, does, fail, named, panics, probe, restarts, run, settled,
};

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_permanently_fails_its_parent_which_is_restarted() {
    let (actors, seen) = (actors(), Seen::default());
    let make = named(&seen, &Seen::default(), "parent");
    let mut parent = actors.actor(make).restart(restarts(1)).spawn().unwrap();
    for round in 0..2 {
        let mut both = children(&mut parent, &seen, ["a", "b"]).await;
        both[0].try_tell(panics()).unwrap();
        if round == 0 {
            // Two failures at once count as one failure of the parent.
            both[1].try_tell(panics()).unwrap();
        }
        assert!(both[0].ended().await.is_failure());
        assert_eq!(both[1].ended().await.is_failure(), round == 0);
        if round == 0 {
            settled(&mut parent).await;
            assert_eq!(seen.take(), "+parent +a +b +parent");
        }
    }
    let ActorEnd::Failed { error } = parent.ended().await else { panic!("it has not failed") };
    assert!(error.starts_with("child `a`: it failed: panic: told to panic"), "{error}");
    assert_eq!(seen.take(), "+a +b -b -parent");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_ends_without_a_failure_is_no_failure_of_its_parent() {
    let (actors, seen) = (actors(), Seen::default());
    let mut parent = actors.spawn(named(&seen, &Seen::default(), "parent")).unwrap();
    let [child] = children(&mut parent, &seen, ["a"]).await;
    child.stop();
    child.ended().await;
    assert_eq!(run(&mut parent, |_, ctx| ctx.children()).await, 0);
    assert_eq!(seen.take(), "+parent +a -a");
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_linked_with_itself_ends() {
    let actors = actors();
    let mut itself = actors.actor(probe(&Seen::default())).temporary().spawn().unwrap();
    let same = itself.clone();
    let link = does(move |_, ctx| {
        ctx.link(&same);
        ctx.watch(&same);
    });
    itself.tell(link).await.unwrap();
    itself.tell(fail()).await.unwrap();
    assert!(itself.ended().await.is_failure());
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_shuts_down_spawns_no_more_children() {
    let (actors, seen) = (actors(), Seen::default());
    let mut parent = actors.spawn(probe(&seen)).unwrap();
    settled(&mut parent).await;
    let spawn = does(|parent, ctx| {
        assert!(ctx.is_stopping());
        parent.seen.add(ctx.spawn(probe(&Seen::default())).unwrap_err());
    });
    parent.tell(spawn).await.unwrap();
    assert!(actors.shutdown(Duration::from_secs(1)).await.is_empty());
    let refused = "actor `Probe` was not spawned: ";
    assert!(seen.take().starts_with(&format!("started {refused}")));
}
