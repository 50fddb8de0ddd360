//! Parents and children, watchers, and linked actors.

use std::time::Duration;

use mycelium::actors::{ActorEnd, ActorRef, OnError};

use super::probe::{
    Hook, Probe, Seen, actors, fail, job, panics, probe, restarts, scripted, settled,
};

/// Returns a child that notes its name in each hook.
fn named(seen: &Seen, name: &'static str) -> impl FnMut() -> Probe + Send + use<> + 'static {
    let log = seen.clone();
    scripted(&Seen::default(), OnError::Restart, move |hook| {
        match hook {
            Hook::Started => log.add(format_args!("{name}+")),
            Hook::Stopped => log.add(format_args!("{name}-")),
            Hook::Made | Hook::Gone | Hook::OnError | Hook::Dropped => {}
        }
        Ok(())
    })
}

/// Spawns children of the actor, and returns references to them.
async fn children<const N: usize>(
    parent: &mut ActorRef<Probe>,
    seen: &Seen,
    names: [&'static str; N],
) -> Vec<ActorRef<Probe>> {
    let (give, children) = std::sync::mpsc::channel();
    let seen = seen.clone();
    let spawn = job(move |_, ctx| {
        for name in names {
            let make = named(&seen, name);
            let child = ctx.spawn_as(make, |child| child.name(name).temporary())?;
            give.send(child).unwrap();
        }
        Ok(())
    });
    parent.tell(spawn).await.unwrap();
    settled(parent).await;
    children.try_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_permanently_fails_its_parent_which_is_restarted() {
    let (actors, seen) = (actors(), Seen::default());
    let mut parent = actors.actor(named(&seen, "parent")).restart(restarts(1)).spawn().unwrap();
    for round in 0..2 {
        let mut both = children(&mut parent, &seen, ["a", "b"]).await;
        settled(&mut both[0]).await;
        settled(&mut both[1]).await;
        both[0].try_tell(panics()).unwrap();
        if round == 0 {
            // Two failures at once count as one failure of the parent.
            both[1].try_tell(panics()).unwrap();
        }
        assert!(both[0].ended().await.is_failure());
        assert_eq!(both[1].ended().await.is_failure(), round == 0);
        if round == 0 {
            settled(&mut parent).await;
            assert_eq!(seen.take(), "parent+ a+ b+ parent+");
        }
    }
    let ActorEnd::Failed { error } = parent.ended().await else { panic!("it has not failed") };
    assert!(error.starts_with("child `a`: it failed: panic: told to panic"), "{error}");
    assert_eq!(seen.take(), "a+ b+ b- parent-");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_ends_without_a_failure_is_no_failure_of_its_parent() {
    let (actors, seen) = (actors(), Seen::default());
    let mut parent = actors.spawn(named(&seen, "parent")).unwrap();
    let mut child = children(&mut parent, &seen, ["a"]).await.remove(0);
    settled(&mut child).await;
    child.stop();
    child.ended().await;
    let log = seen.clone();
    parent.tell(job(move |_, ctx| Ok(log.add(ctx.children())))).await.unwrap();
    settled(&mut parent).await;
    assert_eq!(seen.take(), "parent+ a+ a- 0");
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_linked_with_itself_ends() {
    let actors = actors();
    let mut itself = actors.actor(probe(&Seen::default())).temporary().spawn().unwrap();
    let same = itself.clone();
    let link = job(move |_, ctx| {
        ctx.link(&same);
        ctx.watch(&same);
        Ok(())
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
    let spawn = job(|parent, ctx| {
        assert!(ctx.is_stopping());
        Ok(parent.seen.add(ctx.spawn(probe(&Seen::default())).unwrap_err()))
    });
    parent.tell(spawn).await.unwrap();
    assert!(actors.shutdown(Duration::from_secs(1)).await.is_empty());
    let refused = "actor `Probe` was not spawned: ";
    assert!(seen.take().starts_with(&format!("started {refused}")));
}
