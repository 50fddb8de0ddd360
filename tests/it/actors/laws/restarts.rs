//! What a failure changes, how many times an actor is restarted, and which others restart with it.

use std::sync::Arc;
use std::time::Duration;

use mycelium::Error;
use mycelium::actors::{ActorEnd, ActorRef, ActorSupervisor, Actors, OnError};
use mycelium::channel::Queue;
use mycelium::supervision::{Restart, Strategy};
use mycelium_executor::Executor;

use super::super::probe::{Do, Hook, Probe, does, fail, job, panics, scripted};
use super::{Diary, for_each_queue, until};

/// Returns an actor that notes its starts and the drops of its instances.
fn part(diary: &Diary, name: &'static str) -> impl FnMut() -> Probe + Send + use<> + 'static {
    let diary = diary.clone();
    scripted(&Diary::default(), OnError::Restart, move |hook| {
        match hook {
            Hook::Started => diary.add(format_args!("+{name}")),
            Hook::Dropped => diary.add("dropped"),
            Hook::Made | Hook::Gone | Hook::OnError | Hook::Stopped => {}
        }
        Ok(())
    })
}

/// Makes the actor add the number to the sum of this instance, and note the sum.
fn note(diary: &Diary, number: u32) -> Do {
    let diary = diary.clone();
    does(move |probe, ctx| {
        probe.sum += number;
        diary.add(format_args!("{}={}", ctx.label(), probe.sum));
    })
}

const MS: Duration = Duration::from_millis(1);

fn limits(limit: u32) -> Restart {
    Restart { limit, window: Duration::from_secs(60), backoff: 4 * MS, longest: 4 * MS }
}

pub(super) async fn a_restart_keeps_the_mailbox_and_the_references(executor: Arc<dyn Executor>) {
    async fn law<Q: Queue>(executor: &Arc<dyn Executor>) {
        let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
        let one = actors.actor(part(&diary, "p")).name("p").restart(limits(9)).queue::<Q>();
        let mut one = one.spawn().unwrap();
        let id = one.id();
        let (note, late) = (|number| note(&diary, number), note(&diary, 1_000));
        let timer_and_fail = job(|_, ctx| {
            ctx.tell_after(MS, late);
            Err(Error::msg("told to fail"))
        });
        // An error keeps the state, a panic does not. Both end the timers.
        for what in [note(1), timer_and_fail, note(2), panics(), note(4), note(8)] {
            one.tell(what).await.unwrap();
        }
        diary.has(executor, "+p p=1 +p p=3 dropped +p p=4 p=12").await;
        assert_eq!((one.id(), &*one.label(), one.is_gone()), (id, "p", false));
        one.drain();
        assert_eq!(one.ended().await, ActorEnd::Stopped);
        diary.has(executor, "dropped").await;
    }

    for_each_queue!(law(&executor));
}

pub(super) async fn a_pause_is_no_shorter_than_half_of_it_and_ends_with_a_stop(
    executor: Arc<dyn Executor>,
) {
    let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
    let pause = |pause| Restart { backoff: pause, longest: pause, ..limits(9) };
    let one = actors.actor(part(&diary, "p")).name("p").restart(pause(20 * MS));
    let mut one = one.spawn().unwrap();
    diary.has(&executor, "+p").await;
    let begin = executor.now();
    one.tell(fail()).await.unwrap();
    diary.has(&executor, "+p").await;
    assert!(executor.now() - begin >= 10 * MS);

    let hour = Duration::from_secs(3_600);
    for drains in [false, true] {
        let one = actors.actor(part(&diary, "q")).name("q").restart(pause(hour));
        let mut one: ActorRef<Probe> = one.spawn().unwrap();
        diary.has(&executor, "+q").await;
        one.tell(fail()).await.unwrap();
        until(&executor, || one.depth() == 0).await;
        one.tell(note(&diary, 1)).await.unwrap();
        match drains {
            true => one.drain(),
            false => one.stop(),
        }
        assert_eq!(one.ended().await, ActorEnd::Stopped);
        diary.has(&executor, if drains { "+q q=1 dropped" } else { "dropped" }).await;
    }
}

/// Returns a supervisor of `a`, `b` and `c`, which have started.
async fn three(
    executor: &Arc<dyn Executor>,
    group: &ActorSupervisor,
    diary: &Diary,
) -> [ActorRef<Probe>; 3] {
    let all = ["a", "b", "c"].map(|name| {
        group.actor(part(diary, name)).name(name).restart(limits(100)).spawn().unwrap()
    });
    until(executor, || diary.0.lock().unwrap().len() >= 3).await;
    let mut started = std::mem::take(&mut *diary.0.lock().unwrap());
    started.sort();
    assert_eq!(started, ["+a", "+b", "+c"]);
    all
}

pub(super) async fn each_strategy_restarts_its_children(executor: Arc<dyn Executor>) {
    // After an error, the actor that failed keeps its state.
    let cases = [
        (Strategy::OneForOne, panics(), "dropped +b"),
        (Strategy::OneForOne, fail(), "+b"),
        (Strategy::RestForOne, panics(), "dropped dropped +b +c"),
        (Strategy::RestForOne, fail(), "dropped +b +c"),
        (Strategy::OneForAll, panics(), "dropped dropped dropped +a +b +c"),
        (Strategy::OneForAll, fail(), "dropped dropped +a +b +c"),
    ];
    for (strategy, fails, expected) in cases {
        let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
        let group = actors.supervisor("group", strategy, limits(100));
        let [a, mut b, c] = three(&executor, &group, &diary).await;
        b.tell(fails).await.unwrap();
        diary.has(&executor, expected).await;
        // No message was lost, and their order stays.
        b.tell(note(&diary, 1)).await.unwrap();
        b.tell(note(&diary, 2)).await.unwrap();
        diary.has(&executor, "b=1 b=3").await;
        assert!(!a.is_gone() && !c.is_gone());
        group.stop();
        for it in [&a, &b, &c] {
            assert_eq!(it.ended().await, ActorEnd::Stopped);
        }
        assert_eq!(actors.count(), 0);
    }
}

pub(super) async fn a_supervisor_that_gives_up_is_restarted_by_its_parent(
    executor: Arc<dyn Executor>,
) {
    let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
    let outer = actors.supervisor("outer", Strategy::OneForOne, limits(1));
    let inner = outer.supervisor("inner", Strategy::OneForOne, limits(0));
    let [a, mut b, c] = three(&executor, &inner, &diary).await;
    b.tell(panics()).await.unwrap();
    // The outer supervisor restarts all of them, in their order.
    diary.has(&executor, "dropped dropped dropped +a +b +c").await;
    b.tell(note(&diary, 1)).await.unwrap();
    diary.has(&executor, "b=1").await;
    // The limit of the outer supervisor is exceeded. It has no parent, so it gives up.
    b.tell(fail()).await.unwrap();
    assert_eq!(b.ended().await, ActorEnd::Failed { error: "told to fail".into() });
    for other in [a, c] {
        assert_eq!(other.ended().await, ActorEnd::Stopped);
    }
    diary.has(&executor, "dropped dropped dropped").await;
    assert!(inner.actor(part(&diary, "d")).spawn().is_err() && actors.count() == 0);
}
