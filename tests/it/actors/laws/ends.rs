//! How actors end, in which order, and which other actors learn of it.

use std::sync::Arc;
use std::time::Duration;

use mycelium::actors::{ActorContext, ActorEnd, ActorRef, Actors, FindActorError, Gone};
use mycelium::channel::Queue;
use mycelium::{Error, Result, actor};
use mycelium_executor::Executor;

use super::{AT_ONCE, Diary, for_each_queue, task, until};

/// Executes the orders of a test.
struct Person {
    diary: Diary,
}

/// Makes the actor call the function.
struct Job(Box<dyn FnOnce(&mut ActorContext<Person>) -> Result<()> + Send>);

/// Makes the actor note the text.
#[derive(Clone)]
struct Note(&'static str);

/// Makes the actor wait forever in its handler.
struct Hang;

#[actor(send)]
impl Person {
    #[tell]
    fn job(&mut self, Job(job): Job, ctx: &mut ActorContext<Self>) -> Result<()> {
        job(ctx)
    }

    #[tell]
    fn note(&mut self, Note(text): Note, ctx: &mut ActorContext<Self>) {
        self.diary.add(format_args!("{}:{text}", ctx.label()));
    }

    #[tell]
    async fn hang(&mut self, _: Hang) {
        std::future::pending().await
    }

    fn gone(&mut self, gone: Gone) {
        self.diary.add(format_args!("{} is gone", gone.actor));
    }

    fn started(&mut self, ctx: &mut ActorContext<Self>) {
        self.diary.add(format_args!("+{}", ctx.label()));
    }

    fn stopped(&mut self, ctx: &mut ActorContext<Self>) {
        self.diary.add(format_args!("-{}", ctx.label()));
    }
}

fn person(diary: &Diary) -> impl FnMut() -> Person + Send + use<> + 'static {
    let diary = diary.clone();
    move || Person { diary: diary.clone() }
}

fn spawn(actors: &Actors, diary: &Diary, name: &'static str) -> ActorRef<Person> {
    actors.actor(person(diary)).name(name).temporary().spawn().unwrap()
}

/// Makes the actor run the job, and returns when it has.
async fn run<T: Send + 'static>(
    person: &mut ActorRef<Person>,
    job: impl FnOnce(&mut ActorContext<Person>) -> T + Send + 'static,
) -> T {
    let (done, output) = tokio::sync::oneshot::channel();
    let job = Job(Box::new(move |ctx| {
        let _ = done.send(job(ctx));
        Ok(())
    }));
    person.tell(job).await.unwrap();
    output.await.unwrap()
}

fn fails() -> Job {
    Job(Box::new(|_| Err(Error::msg("told to fail"))))
}

pub(super) async fn all_who_wait_for_an_end_agree(executor: Arc<dyn Executor>) {
    async fn law<Q: Queue>(executor: &Arc<dyn Executor>) {
        let failed = ActorEnd::Failed { error: "told to fail".into() };
        for expected in [ActorEnd::Stopped, ActorEnd::Unreferenced, failed] {
            let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
            let mut watcher = spawn(&actors, &diary, "watcher");
            let one = actors.actor(person(&diary)).temporary().name("one").queue::<Q>();
            let mut one = one.spawn().unwrap();
            let (weak, all) = (one.downgrade(), actors.clone());
            if Q::SHARED {
                let watched = weak.upgrade().unwrap();
                run(&mut watcher, move |ctx| ctx.watch(&watched)).await;
            }
            let waits: Vec<_> = (0..4)
                .map(|_| {
                    let (ended, weak, all) = (weak.ended(), weak.clone(), all.clone());
                    task(executor, async move {
                        let end = ended.await;
                        // All of the end is visible at once, on each thread.
                        assert!(weak.is_gone() && weak.upgrade().is_none());
                        let found = all.by_name_and_queue::<Person, Q>("one");
                        assert!(matches!(found, Err(FindActorError::Unknown { .. })));
                        end
                    })
                })
                .collect();
            match &expected {
                ActorEnd::Unreferenced => drop(one),
                ActorEnd::Stopped => {
                    one.stop();
                    // An upgraded reference behaves as any other.
                    assert_eq!(one.ended().await, expected);
                    assert!(one.try_tell(Note("late")).is_err());
                }
                _ => {
                    one.tell(fails()).await.unwrap();
                    assert_eq!(one.ended().await, expected);
                }
            }
            for wait in waits {
                assert_eq!(wait.await, expected, "{}", Q::NAME);
            }
            // A wait that begins after the end gets the same answer.
            assert_eq!(weak.ended().await, expected, "{}", Q::NAME);
            if Q::SHARED {
                until(executor, || diary.all().contains("one is gone")).await;
            }
            watcher.stop();
            assert_eq!(watcher.ended().await, ActorEnd::Stopped);
            assert_eq!(actors.count(), 0);
        }
    }

    for_each_queue!(law(&executor));
}

/// Makes the actor spawn children with these names, and waits until they have started.
async fn children(
    executor: &Arc<dyn Executor>,
    parent: &mut ActorRef<Person>,
    diary: &Diary,
    names: &'static [&'static str],
) -> Vec<ActorRef<Person>> {
    let shared = diary.clone();
    let spawned = run(parent, move |ctx| {
        let spawn = |name: &&'static str| {
            ctx.spawn_as(person(&shared), |child| child.name(*name).temporary()).unwrap()
        };
        names.iter().map(spawn).collect::<Vec<_>>()
    });
    let spawned = spawned.await;
    for name in names {
        until(executor, || diary.all().contains(&format!("+{name}"))).await;
    }
    spawned
}

pub(super) async fn children_end_before_their_parent(executor: Arc<dyn Executor>) {
    for ends in 0..4 {
        let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
        let parent = actors.actor(person(&diary)).name("parent").temporary();
        let mut parent = parent.spawn().unwrap();
        let mut ab = children(&executor, &mut parent, &diary, &["a", "b"]).await;
        let a1 = children(&executor, &mut ab[0], &diary, &["a1"]).await;
        diary.0.lock().unwrap().clear();
        let ended = parent.ended();
        match ends {
            0 => parent.stop(),
            1 => parent.drain(),
            2 => parent.tell(fails()).await.unwrap(),
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
    let mut watcher =
        actors.actor(person(&diary)).name("watcher").restart(AT_ONCE).spawn().unwrap();
    let all = ["a", "b", "c"].map(|name| spawn(&actors, &Diary::default(), name));
    all[0].stop();
    all[0].ended().await;
    for _ in 0..2 {
        let watched = all.clone();
        run(&mut watcher, move |ctx| watched.iter().for_each(|it| ctx.watch(it))).await;
        // A watch survives a restart of the watcher.
        watcher.tell(fails()).await.unwrap();
    }
    // The actors are stopped at the same time, by several tasks.
    let stops = all.clone().map(|it| task(&executor, async move { it.stop() }));
    for stop in stops {
        stop.await;
    }
    for it in &all {
        it.ended().await;
        until(&executor, || diary.all().contains(&format!("{} is gone", it.label()))).await;
    }
    run(&mut watcher, |_| ()).await;
    let count = |name: &str| diary.all().matches(&format!("{name} is gone")).count();
    assert_eq!((count("b"), count("c")), (1, 1));
    // `a` had ended before both calls, and each of them reports it.
    assert_eq!(count("a"), 2);
}

pub(super) async fn a_link_passes_on_failures_alone(executor: Arc<dyn Executor>) {
    for fails_first in [false, true] {
        for stops in [false, true] {
            let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
            let (mut one, other) = (spawn(&actors, &diary, "one"), spawn(&actors, &diary, "other"));
            let linked = other.clone();
            run(&mut one, move |ctx| ctx.link(&linked)).await;
            let (mut ends, mut learns) = if fails_first { (one, other) } else { (other, one) };
            match stops {
                true => ends.stop(),
                false => ends.tell(fails()).await.unwrap(),
            }
            assert_eq!(ends.ended().await.is_failure(), !stops);
            if stops {
                run(&mut learns, |_| ()).await;
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
            run(&mut all[index], move |ctx| {
                ctx.link(&next);
                ctx.watch(&last);
            })
            .await;
        }
        let fails = all.each_ref().map(|it| {
            let mut it = it.clone();
            task(&executor, async move { it.tell(fails()).await })
        });
        for it in fails {
            // A linked actor may have failed before, so this message may fail.
            drop(it.await);
        }
        for it in all {
            assert!(it.ended().await.is_failure());
        }
        assert_eq!(actors.count(), 0);
        for name in ["a", "b", "c"] {
            let gone = format!("{name} is gone");
            assert!(diary.all().matches(&gone).count() <= 1, "{}", diary.all());
        }
    }
}

pub(super) async fn a_shutdown_ends_all_that_were_spawned_before_it(executor: Arc<dyn Executor>) {
    for pause in 0..6 {
        let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
        let spawners: Vec<_> = (0..3)
            .map(|_| {
                let (actors, diary) = (actors.clone(), diary.clone());
                task(&executor, async move {
                    let mut all = Vec::new();
                    while let Ok(mut actor) = actors.spawn(person(&diary)) {
                        let told = actor.try_tell(Note("told")).is_ok();
                        all.push((actor, told));
                        mycelium_executor::yield_now().await;
                    }
                    all
                })
            })
            .collect();
        for _ in 0..pause {
            mycelium_executor::yield_now().await;
        }
        assert_eq!(actors.shutdown(Duration::from_secs(60)).await, []);
        assert_eq!(actors.count(), 0);
        let (mut count, mut told) = (0, 0);
        for spawner in spawners {
            for (actor, was_told) in spawner.await {
                // All actors have ended when the shutdown returns.
                assert!(actor.is_gone());
                (count, told) = (count + 1, told + usize::from(was_told));
            }
        }
        let all = diary.all();
        assert_eq!(all.matches(":told").count(), told);
        assert_eq!((all.matches('+').count(), all.matches('-').count()), (count, count));
    }
}

pub(super) async fn timers_fire_in_their_order_and_not_early(executor: Arc<dyn Executor>) {
    let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
    let mut actor = spawn(&actors, &diary, "actor");
    let ms = Duration::from_millis(1);
    let begin = executor.now();
    let timer = run(&mut actor, move |ctx| {
        ctx.tell_after(60 * ms, Note("third"));
        ctx.tell_after(20 * ms, Note("first"));
        ctx.tell_after(40 * ms, Note("second"));
        let never = ctx.tell_after(30 * ms, Note("never"));
        assert!(ctx.cancel(never));
        ctx.tell_every(10 * ms, Note("tick")).unwrap()
    });
    let timer = timer.await;
    // A timer needs no room in the mailbox, and messages do not hold it up.
    until(&executor, || diary.all().contains("third")).await;
    assert!(executor.now() - begin >= 60 * ms);
    assert!(run(&mut actor, move |ctx| ctx.cancel(timer)).await);
    let all = diary.all();
    let place = |text| all.find(text).unwrap_or(usize::MAX);
    assert!(place("first") < place("second") && place("second") < place("third"), "{all}");
    assert!(place("tick") < usize::MAX && !all.contains("never"), "{all}");
    // The cancelled timer ticks no more, and pending timers end with their actor.
    let ticks = diary.all().matches("tick").count();
    run(&mut actor, move |ctx| _ = ctx.tell_after(10 * ms, Note("late"))).await;
    actor.stop();
    actor.ended().await;
    executor.sleep_until(executor.now() + 30 * ms).await;
    assert_eq!(diary.all().matches("tick").count(), ticks);
    assert!(!diary.all().contains("late"));
}

pub(super) async fn a_shutdown_by_a_deadline_leaves_nothing(executor: Arc<dyn Executor>) {
    let (actors, diary) = (Actors::on(executor.clone()), Diary::default());
    let mut parent = spawn(&actors, &diary, "parent");
    let mut ab = children(&executor, &mut parent, &diary, &["a", "b"]).await;
    let mut other = spawn(&actors, &diary, "other");
    ab[0].tell(Hang).await.unwrap();
    ab[1].tell(Note("drained")).await.unwrap();
    other.tell(Note("drained")).await.unwrap();
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
    assert!(actors.spawn(person(&diary)).is_err());
    // No task and no value of the actors is left.
    until(&executor, || Arc::strong_count(&diary.0) == 1).await;
}
