//! How actors end, in which order, and which other actors learn of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mycelium::actors::{ActorEnd, ActorRef, Actors, FindActorError};
use mycelium::channel::Queue;
use mycelium_executor::Executor;

use super::super::probe::{Number, Probe, Wait, children, does, fail, named, run, settled};
use super::{AT_ONCE, Diary, for_each_queue, task, until};

/// Spawns an actor that notes its name, its numbers, and the ends of actors that it watches.
fn spawn(actors: &Actors, diary: &Diary, name: &'static str) -> ActorRef<Probe> {
    actors.actor(named(diary, diary, name)).name(name).temporary().spawn().unwrap()
}

/// Returns how many notes of the end of this actor there are.
fn gone(diary: &Diary, name: &str) -> usize {
    diary.all().matches(&format!(" {name}: ")).count()
}

pub(super) async fn all_who_wait_for_an_end_agree(executor: Arc<dyn Executor>) {
    async fn law<Q: Queue>(executor: &Arc<dyn Executor>) {
        let failed = ActorEnd::Failed { error: "told to fail".into() };
        for expected in [ActorEnd::Stopped, ActorEnd::Unreferenced, failed] {
            let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
            let mut watcher = spawn(&actors, &diary, "watcher");
            let one = actors.actor(named(&diary, &diary, "one")).temporary().name("one");
            let mut one = one.queue::<Q>().spawn().unwrap();
            let (weak, all) = (one.downgrade(), actors.clone());
            if Q::SHARED {
                let watched = weak.upgrade().unwrap();
                run(&mut watcher, move |_, ctx| ctx.watch(&watched)).await;
            }
            let waits = join_all((0..4).map(|_| {
                let (ended, weak, all) = (weak.ended(), weak.clone(), all.clone());
                task(executor, async move {
                    let end = ended.await;
                    // All of the end is visible at once, on each thread.
                    assert!(weak.is_gone() && weak.upgrade().is_none());
                    let found = all.by_name_and_queue::<Probe, Q>("one");
                    assert!(matches!(found, Err(FindActorError::Unknown { .. })));
                    end
                })
            }));
            match &expected {
                ActorEnd::Unreferenced => drop(one),
                ActorEnd::Stopped => {
                    one.stop();
                    // An upgraded reference behaves as any other.
                    assert_eq!(one.ended().await, expected);
                    assert!(one.try_tell(Number(1)).is_err());
                }
                _ => {
                    one.tell(fail()).await.unwrap();
                    assert_eq!(one.ended().await, expected);
                }
            }
            for end in waits.await {
                assert_eq!(end, expected, "{}", Q::NAME);
            }
            // A wait that begins after the end gets the same answer.
            assert_eq!(weak.ended().await, expected, "{}", Q::NAME);
            if Q::SHARED {
                until(executor, || gone(&diary, "one") > 0).await;
            }
            watcher.stop();
            assert_eq!(watcher.ended().await, ActorEnd::Stopped);
            assert_eq!(actors.count(), 0);
        }
    }

    for_each_queue!(law(&executor));
}

pub(super) async fn children_end_before_their_parent(executor: Arc<dyn Executor>) {
    for ends in 0..4 {
        let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
        let parent = actors.actor(named(&diary, &Diary::default(), "parent")).temporary();
        let mut parent = parent.spawn().unwrap();
        let mut ab = children(&mut parent, &diary, ["a", "b"]).await;
        let a1 = children(&mut ab[0], &diary, ["a1"]).await;
        diary.0.lock().unwrap().clear();
        let ended = parent.ended();
        match ends {
            0 => parent.stop(),
            1 => parent.drain(),
            2 => parent.tell(fail()).await.unwrap(),
            _ => drop(parent),
        }
        ended.await;
        assert_eq!(diary.all(), "-b -a1 -a -parent", "{ends}");
        assert!(ab.iter().chain(&a1).all(ActorRef::is_gone));
        assert_eq!(actors.count(), 0);
    }
}

pub(super) async fn a_watcher_learns_of_an_end_once(executor: Arc<dyn Executor>) {
    let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
    let watcher = actors.actor(named(&diary, &diary, "watcher")).restart(AT_ONCE);
    let mut watcher = watcher.spawn().unwrap();
    let all = ["a", "b", "c"].map(|name| spawn(&actors, &Diary::default(), name));
    all[0].stop();
    all[0].ended().await;
    for _ in 0..2 {
        let watched = all.clone();
        run(&mut watcher, move |_, ctx| watched.iter().for_each(|it| ctx.watch(it))).await;
        // A watch survives a restart of the watcher.
        watcher.tell(fail()).await.unwrap();
    }
    // The actors are stopped at the same time, by several tasks.
    let stops = all.clone().map(|it| task(&executor, async move { it.stop() }));
    join_all(stops).await;
    for it in &all {
        it.ended().await;
        until(&executor, || gone(&diary, &it.label()) > 0).await;
    }
    settled(&mut watcher).await;
    // `a` had ended before both calls, and each of them reports it.
    assert_eq!(["a", "b", "c"].map(|name| gone(&diary, name)), [2, 1, 1]);
}

pub(super) async fn a_link_passes_on_failures_alone(executor: Arc<dyn Executor>) {
    for fails_first in [false, true] {
        for stops in [false, true] {
            let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
            let (mut one, other) = (spawn(&actors, &diary, "one"), spawn(&actors, &diary, "other"));
            let linked = other.clone();
            run(&mut one, move |_, ctx| ctx.link(&linked)).await;
            let (mut ends, mut learns) = if fails_first { (one, other) } else { (other, one) };
            match stops {
                true => ends.stop(),
                false => ends.tell(fail()).await.unwrap(),
            }
            assert_eq!(ends.ended().await.is_failure(), !stops);
            if stops {
                settled(&mut learns).await;
                learns.stop();
            }
            let ActorEnd::Failed { error } = learns.ended().await else {
                assert!(stops, "it learned nothing");
                continue;
            };
            assert!(!stops && error.contains("linked actor") && error.contains("told to fail"));
        }
    }
}

pub(super) async fn failures_of_linked_actors_that_watch_each_other_cross(
    executor: Arc<dyn Executor>,
) {
    for _ in 0..20 {
        let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
        let mut all = ["a", "b", "c"].map(|name| spawn(&actors, &diary, name));
        for index in 0..3 {
            let (next, last) = (all[(index + 1) % 3].clone(), all[(index + 2) % 3].clone());
            run(&mut all[index], move |_, ctx| {
                ctx.link(&next);
                ctx.watch(&last);
            })
            .await;
        }
        let fails = all.each_ref().map(|it| {
            let mut it = it.clone();
            task(&executor, async move { it.tell(fail()).await })
        });
        // A linked actor may have failed before, so these messages may fail.
        join_all(fails).await;
        for it in all {
            assert!(it.ended().await.is_failure());
        }
        assert_eq!(actors.count(), 0);
        for name in ["a", "b", "c"] {
            assert!(gone(&diary, name) <= 1, "{}", diary.all());
        }
    }
}

pub(super) async fn a_shutdown_ends_all_that_were_spawned_before_it(executor: Arc<dyn Executor>) {
    for pause in 0..6 {
        let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
        let spawners = join_all((0..3).map(|_| {
            let (actors, diary) = (actors.clone(), diary.clone());
            task(&executor, async move {
                let mut all = Vec::new();
                while let Ok(mut actor) = actors.spawn(named(&diary, &diary, "one")) {
                    let told = actor.try_tell(Number(7)).is_ok();
                    all.push((actor, told));
                    mycelium_executor::yield_now().await;
                }
                all
            })
        }));
        for _ in 0..pause {
            mycelium_executor::yield_now().await;
        }
        assert_eq!(actors.shutdown(Duration::from_secs(60)).await, []);
        assert_eq!(actors.count(), 0);
        let (mut count, mut told) = (0, 0);
        for (actor, was_told) in spawners.await.into_iter().flatten() {
            // All actors have ended when the shutdown returns.
            assert!(actor.is_gone());
            (count, told) = (count + 1, told + usize::from(was_told));
        }
        let all = diary.all();
        assert_eq!(all.matches('7').count(), told);
        assert_eq!((all.matches('+').count(), all.matches('-').count()), (count, count));
    }
}

pub(super) async fn timers_fire_in_their_order_and_not_early(executor: Arc<dyn Executor>) {
    let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
    let mut actor = spawn(&actors, &diary, "actor");
    let ms = Duration::from_millis(1);
    let begin = executor.now();
    let (tick, never, late) = (Number(0), Number(8), Number(9));
    let timer = run(&mut actor, move |_, ctx| {
        for (after, number) in [(60, 3), (20, 1), (40, 2)] {
            ctx.tell_after(after * ms, Number(number));
        }
        let never = ctx.tell_after(30 * ms, never);
        assert!(ctx.cancel(never));
        ctx.tell_every(10 * ms, tick).unwrap()
    });
    let timer = timer.await;
    // A timer needs no room in the mailbox, and messages do not hold it up.
    until(&executor, || diary.all().contains('3')).await;
    assert!(executor.now() - begin >= 60 * ms);
    assert!(run(&mut actor, move |_, ctx| ctx.cancel(timer)).await);
    let all = diary.all();
    let place = |number| all.find(number).unwrap_or(usize::MAX);
    assert!(place('1') < place('2') && place('2') < place('3'), "{all}");
    assert!(place('0') < usize::MAX && !all.contains('8'), "{all}");
    // The cancelled timer ticks no more, and pending timers end with their actor.
    let ticks = || diary.all().matches('0').count();
    let before = ticks();
    run(&mut actor, move |_, ctx| ctx.tell_after(10 * ms, late)).await;
    actor.stop();
    actor.ended().await;
    executor.sleep_until(executor.now() + 30 * ms).await;
    assert_eq!(ticks(), before);
    assert!(!diary.all().contains('9'));
}

pub(super) async fn a_shutdown_by_a_deadline_leaves_nothing(executor: Arc<dyn Executor>) {
    let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
    let mut parent = spawn(&actors, &diary, "parent");
    let mut ab = children(&mut parent, &diary, ["a", "b"]).await;
    let mut other = spawn(&actors, &diary, "other");
    // The gate never opens.
    ab[0].tell(Wait(Arc::default())).await.unwrap();
    for it in [&mut ab[1], &mut other] {
        let diary = diary.clone();
        let note = format!("{}:drained", it.label());
        it.tell(does(move |_, _| diary.add(note))).await.unwrap();
    }
    until(&executor, || ab[0].depth() == 0).await;
    let mut late = actors.shutdown(Duration::from_millis(50)).await;
    late.sort();
    let late: Vec<_> = late.iter().map(|it| &**it).collect();
    assert_eq!(late, ["a", "parent"]);
    assert_eq!(other.ended().await, ActorEnd::Stopped);
    assert_eq!(ab[1].ended().await, ActorEnd::Stopped);
    assert_eq!(ab[0].ended().await, ActorEnd::Abandoned);
    assert_eq!(parent.ended().await, ActorEnd::Abandoned);
    for note in ["b:drained", "other:drained"] {
        assert!(diary.all().contains(note), "{}", diary.all());
    }
    assert_eq!(actors.count(), 0);
    assert!(actors.spawn(named(&diary, &diary, "late")).is_err());
    // No task and no value of the actors is left.
    until(&executor, || Arc::strong_count(&diary.0) == 1).await;
}
