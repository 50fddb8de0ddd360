//! Messages are handled in order, until the actor ends.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mycelium::{
    ActorContext, ActorEnd, Actors, FindActorError, Result, SpawnActorError, TellError, actor,
};
use mycelium_tokio::Tokio;

/// The texts that actors have seen.
type Seen = Arc<Mutex<Vec<String>>>;

struct Log {
    seen: Seen,
}

struct Line(u32);

#[actor(send)]
impl Log {
    fn started(&mut self) {
        self.add("started");
    }

    #[tell]
    fn line(&mut self, Line(number): Line) {
        self.add(&number.to_string());
    }

    #[tell]
    async fn text(&mut self, text: String, ctx: &mut ActorContext<Self>) -> Result<()> {
        ctx.sleep(Duration::from_millis(1)).await?;
        self.add(&text);
        Ok(())
    }

    async fn stopped(&mut self) {
        self.add("stopped");
    }

    fn add(&self, text: &str) {
        self.seen.lock().unwrap().push(text.to_owned());
    }
}

fn actors() -> Actors {
    Actors::on(Tokio::current().unwrap())
}

fn log(seen: &Seen) -> impl FnMut() -> Log + Send + 'static {
    let seen = seen.clone();
    move || Log { seen: seen.clone() }
}

fn seen(seen: &Seen) -> String {
    seen.lock().unwrap().join(" ")
}

#[tokio::test(start_paused = true)]
async fn messages_of_several_types_are_handled_in_order_between_started_and_stopped() {
    let (actors, lines) = (actors(), Seen::default());
    let mut log = actors.spawn(log(&lines)).unwrap();
    log.tell(Line(1)).await.unwrap();
    log.tell("two".to_owned()).await.unwrap();
    log.try_tell(Line(3)).unwrap();
    log.drain();
    assert_eq!(log.ended().await, ActorEnd::Stopped);
    assert_eq!(seen(&lines), "started 1 two 3 stopped");
    assert_eq!(
        log.tell(Line(4)).await.unwrap_err().to_string(),
        "the message was not told: the actor has ended [M0260]"
    );
    assert!(log.is_gone());
    assert_eq!(actors.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_kept_lives_without_references_and_is_found_by_its_name() {
    let (actors, lines) = (actors(), Seen::default());
    drop(actors.actor(log(&lines)).name("log").keep().spawn().unwrap());
    let mut found = actors.by_name::<Log>("log").unwrap();
    found.tell(Line(1)).await.unwrap();
    assert_eq!(actors.all::<Log>().len(), 1);
    let error = actors.actor(log(&lines)).name("log").spawn().unwrap_err();
    assert!(matches!(error, SpawnActorError::NameTaken { .. }), "{error}");
    assert_eq!(
        actors.by_name::<Log>("lag").unwrap_err().to_string(),
        "no actor has the name `lag`: did you mean `log`? (expected one of: log) [M0265]"
    );
    assert_eq!(actors.shutdown(Duration::from_secs(1)).await, Vec::<Arc<str>>::new());
    assert_eq!(seen(&lines), "started 1 stopped");
    assert!(matches!(actors.by_name::<Log>("log"), Err(FindActorError::Unknown { .. })));
    let error = actors.spawn(log(&lines)).unwrap_err();
    assert!(matches!(error, SpawnActorError::ShuttingDown { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_queue_behind_messages_and_what_is_left_is_dead_mail() {
    let (actors, lines, dead) = (actors(), Seen::default(), Seen::default());
    let letters = dead.clone();
    assert!(actors.on_dead_mail(move |mail| {
        let Line(number) = mail.message().unwrap();
        letters.lock().unwrap().push(format!("{} {number}", mail.actor()));
    }));
    let mut log = actors.spawn(log(&lines)).unwrap();
    for number in 1..=3 {
        log.tell(Line(number)).await.unwrap();
    }
    log.stop();
    assert_eq!(log.ended().await, ActorEnd::Stopped);
    assert_eq!(seen(&lines), "started stopped");
    assert_eq!(seen(&dead), "Log#1 1 Log#1 2 Log#1 3");
    assert!(matches!(log.try_tell(Line(4)), Err(TellError::Gone(Line(4)))));
}
