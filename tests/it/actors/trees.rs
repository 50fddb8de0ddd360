//! Parents and children, those who watch, and those who are linked.

use std::sync::Arc;
use std::time::Duration;

use mycelium::{ActorEnd, ActorRef, Error, OnError, SpawnActorError};

use super::probe::{
    Hook, Probe, Seen, Wait, actors, fail, job, panics, probe, restarts, scripted, settled,
};

/// A child that notes its name in each hook.
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
        both[0].tell(panics()).await.unwrap();
        assert!(both[0].ended().await.is_failure());
        assert_eq!(both[1].ended().await, ActorEnd::Stopped);
        if round == 0 {
            settled(&mut parent).await;
            assert_eq!(seen.take(), "parent+ a+ b+ b- parent+");
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
async fn a_thousand_children_that_crash_at_once_are_one_failure_of_their_parent() {
    let (actors, seen) = (actors(), Seen::default());
    let mut parent = actors.actor(named(&seen, "parent")).restart(restarts(1)).spawn().unwrap();
    let (give, children) = std::sync::mpsc::channel();
    let spawn = job(move |_, ctx| {
        for _ in 0..1_000 {
            let child =
                ctx.spawn_as(probe(&Seen::default()), |child| child.temporary().capacity(2));
            give.send(child?).unwrap();
        }
        Ok(())
    });
    parent.tell(spawn).await.unwrap();
    settled(&mut parent).await;
    let mut children: Vec<_> = children.try_iter().collect();
    assert_eq!(actors.count(), 1_001);
    for child in &mut children {
        child.try_tell(panics()).unwrap();
    }
    for child in &children {
        assert!(child.ended().await.is_failure());
    }
    settled(&mut parent).await;
    assert_eq!(seen.take(), "parent+ parent+");
    assert_eq!(actors.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn names_are_free_again_when_those_who_wait_for_the_end_learn_of_it() {
    let actors = actors();
    for _ in 0..3 {
        let one = actors.actor(probe(&Seen::default())).name("one").spawn().unwrap();
        let taken = actors.actor(probe(&Seen::default())).name("one").spawn().unwrap_err();
        assert!(matches!(taken, SpawnActorError::NameTaken { .. }), "{taken}");
        one.stop();
        one.ended().await;
    }
    let (seen, name) = (Seen::default(), "two");
    let two = actors.actor(probe(&Seen::default())).name(name).spawn().unwrap();
    let all = actors.clone();
    // `gone` of a watcher spawns the next one with the name.
    let mut watcher = actors
        .spawn(scripted(&seen, OnError::Stop, move |hook| {
            if hook == Hook::Gone {
                all.actor(probe(&Seen::default())).name(name).keep().spawn()?;
            }
            Ok(())
        }))
        .unwrap();
    let watched = two.clone();
    watcher.tell(job(move |_, ctx| Ok(ctx.watch(&watched)))).await.unwrap();
    settled(&mut watcher).await;
    two.stop();
    two.ended().await;
    settled(&mut watcher).await;
    assert_eq!(seen.take(), "started two: it was stopped");
    assert!(actors.by_name::<Probe>(name).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_watcher_learns_of_each_end_once_also_after_a_restart_and_of_an_earlier_end() {
    let (actors, seen) = (actors(), Seen::default());
    let one = actors.actor(probe(&Seen::default())).name("one").spawn().unwrap();
    let earlier = actors.actor(probe(&Seen::default())).name("earlier").spawn().unwrap();
    earlier.stop();
    earlier.ended().await;
    let mut watcher = actors.spawn(probe(&seen)).unwrap();
    for _ in 0..2 {
        let watched = one.clone();
        // As in `started`, which runs again after a restart.
        watcher.tell(job(move |_, ctx| Ok(ctx.watch(&watched)))).await.unwrap();
        watcher.tell(fail()).await.unwrap();
    }
    settled(&mut watcher).await;
    watcher.tell(job(move |_, ctx| Ok(ctx.watch(&earlier)))).await.unwrap();
    settled(&mut watcher).await;
    one.stop();
    one.ended().await;
    settled(&mut watcher).await;
    settled(&mut watcher).await;
    assert_eq!(
        seen.take(),
        "started (told to fail) started (told to fail) started earlier: it was stopped one: it was \
         stopped"
    );
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
async fn a_parent_that_shuts_down_spawns_no_more_children_and_its_late_children_are_abandoned() {
    let (actors, seen) = (actors(), Seen::default());
    let mut parent = actors.actor(named(&seen, "parent")).name("parent").spawn().unwrap();
    let mut child = children(&mut parent, &seen, ["child"]).await.remove(0);
    // Its handler never ends.
    child.tell(Wait(Arc::default())).await.unwrap();
    settled(&mut parent).await;
    let spawn = job(|_, ctx| {
        assert!(ctx.is_stopping());
        let refused = ctx.spawn(probe(&Seen::default())).unwrap_err();
        Err(Error::msg(refused.to_string()).permanent())
    });
    parent.tell(spawn).await.unwrap();
    let late = actors.shutdown(Duration::from_secs(1)).await;
    let late: Vec<_> = late.iter().map(|name| name.to_string()).collect();
    assert_eq!(late, ["parent", "child"]);
    assert_eq!(child.ended().await, ActorEnd::Abandoned);
    // It waited for its child.
    assert_eq!(parent.ended().await, ActorEnd::Abandoned);
    assert_eq!(actors.count(), 0);
}
