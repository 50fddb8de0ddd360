//! What an actor does after failures: its state, mailbox and timers, and how many times it
//! restarts.

use std::time::Duration;

use mycelium::Error;
use mycelium::actors::{ActorEnd, OnError, TellError};
use mycelium::supervision::Restart;

use super::probe::{
    Hook, Number, Seen, actors, does, fail, job, panic_in, probe, restarts, run, scripted, settled,
};

#[tokio::test(start_paused = true)]
async fn on_error_decides_and_a_permanent_error_or_a_temporary_actor_is_not_restarted() {
    let (actors, seen) = (actors(), Seen::default());
    let make = |on_error| scripted(&seen, on_error, |_| Ok(()));
    let failed = ActorEnd::Failed { error: "told to fail".into() };

    let temporary = actors.actor(make(OnError::Restart)).temporary();
    for actor in [actors.actor(make(OnError::Stop)), temporary] {
        let mut probe = actor.spawn().unwrap();
        probe.tell(fail()).await.unwrap();
        assert_eq!(probe.ended().await, failed);
        assert_eq!(seen.take(), "started (told to fail) stopped");
        let refused = probe.try_tell(Number(1)).unwrap_err();
        assert_eq!(refused, TellError::Gone(Number(1)));
        assert_eq!(refused.to_string(), "the message was not told: the actor has ended [M0260]");
    }

    let mut probe = actors.spawn(make(OnError::Restart)).unwrap();
    probe.tell(job(|_, _| Err(Error::msg("permanent").permanent()))).await.unwrap();
    assert_eq!(probe.ended().await, ActorEnd::Failed { error: "permanent".into() });
}

/// A panic in each hook, and the expected actions until the actor has ended.
#[tokio::test(start_paused = true)]
async fn a_panic_in_a_hook_is_a_failure_and_the_actor_ends_as_it_was_told() {
    let cases = [
        (Hook::Made, "started 1 stopped"),
        (Hook::Started, "started started 1 stopped"),
        (Hook::OnError, "started (told to fail) started 1 stopped"),
        (Hook::Gone, "started other: it was stopped started 1 stopped"),
        (Hook::Stopped, "started 1 stopped"),
        (Hook::Dropped, "started 1 stopped"),
    ];
    for (hook, expected) in cases {
        let (actors, seen) = (actors(), Seen::default());
        let script = panic_in(hook, 1);
        let mut one = actors.spawn(scripted(&seen, OnError::Continue, script)).unwrap();
        if hook == Hook::OnError {
            one.tell(fail()).await.unwrap();
        }
        if hook == Hook::Gone {
            let other = actors.actor(probe(&Seen::default())).name("other").spawn().unwrap();
            let watched = other.clone();
            run(&mut one, move |_, ctx| ctx.watch(&watched)).await;
            other.stop();
            other.ended().await;
        }
        one.tell(Number(1)).await.unwrap();
        one.drain();
        assert_eq!(one.ended().await, ActorEnd::Stopped, "{hook:?}");
        assert_eq!(seen.take(), expected, "{hook:?}");
        assert_eq!(actors.count(), 0, "{hook:?}");
        #[cfg(feature = "metrics")]
        assert_eq!(super::probe::counted(&actors, "panics"), 1, "{hook:?}");
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a message that is dropped");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn panics_of_dead_mail_and_of_its_hook_change_nothing_of_the_end() {
    for hook_panics in [false, true] {
        let (actors, seen) = (actors(), Seen::default());
        if hook_panics {
            assert!(actors.on_dead_mail(|mail| panic!("{}", mail.message_type())));
        }
        let mut probe = actors.spawn(probe(&seen)).unwrap();
        for _ in 0..3 {
            let bomb = Bomb;
            probe.tell(does(move |_, _| std::mem::forget(bomb))).await.unwrap();
        }
        probe.stop();
        assert_eq!(probe.ended().await, ActorEnd::Stopped);
        assert_eq!(seen.take(), "started stopped");
    }
}

#[tokio::test(start_paused = true)]
async fn timers_end_with_a_restart_and_one_of_before_cancels_none_of_after() {
    let (actors, seen) = (actors(), Seen::default());
    let mut probe = actors.spawn(probe(&seen)).unwrap();
    let second = Duration::from_secs(1);
    let old = run(&mut probe, move |_, ctx| ctx.tell_every(second, Number(7)).unwrap()).await;
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(seen.take(), "started 7 7");
    probe.tell(fail()).await.unwrap();
    settled(&mut probe).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(seen.take(), "(told to fail) started");
    let is_cancelled = run(&mut probe, move |_, ctx| {
        ctx.tell_after(second, Number(9));
        ctx.cancel(old)
    });
    assert!(!is_cancelled.await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(seen.take(), "9");
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_is_always_due_does_not_hold_up_the_mailbox() {
    let (actors, seen) = (actors(), Seen::default());
    let mut probe = actors.spawn(probe(&seen)).unwrap();
    let busy = does(|_, ctx| {
        for _ in 0..50 {
            ctx.tell_after(Duration::ZERO, Number(0));
        }
    });
    probe.tell(busy).await.unwrap();
    probe.tell(Number(1)).await.unwrap();
    settled(&mut probe).await;
    let seen = seen.take();
    let before = seen.split(' ').take_while(|what| *what != "1").count();
    assert!(before <= 3, "{seen}");
}

/// Between two restarts, the deadline of a shutdown must be able to end the task.
#[tokio::test(start_paused = true)]
async fn restarts_without_limit_and_pause_let_other_tasks_run() {
    let (actors, seen) = (actors(), Seen::default());
    let restart = Restart { backoff: Duration::ZERO, ..restarts(u32::MAX) };
    let script = |hook| match hook == Hook::Started {
        true => Err(Error::msg("never starts")),
        false => Ok(()),
    };
    let make = scripted(&seen, OnError::Restart, script);
    let probe = actors.actor(make).restart(restart).spawn().unwrap();
    probe.drain();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    probe.stop();
    assert_eq!(probe.ended().await, ActorEnd::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_panic_whose_payload_panics_is_a_failure_like_any_other() {
    let (actors, seen) = (actors(), Seen::default());
    let mut probe = actors.spawn(probe(&seen)).unwrap();
    probe.tell(job(|_, _| std::panic::panic_any(Bomb))).await.unwrap();
    probe.tell(Number(1)).await.unwrap();
    probe.drain();
    assert_eq!(probe.ended().await, ActorEnd::Stopped);
    assert_eq!(seen.take(), "started started 1 stopped");
}
