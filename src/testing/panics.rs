//! The texts with which a [`ServiceTest`] panics: the mistake, and what the services are doing.

use mycelium_core::Message;
use mycelium_transports::local::Schema;

use super::{MANY, MEMORY, ServiceTest};
use crate::observe::report::Outcome;
use crate::shared::probe;

impl ServiceTest {
    #[track_caller]
    pub(super) fn panic_of_unread_message<M: Message>(&self, topic: &str) -> ! {
        let inputs = self.probe.inputs();
        let other = inputs.iter().find(|input| input.message == Schema::of::<M>().name());
        let other = other.map(|input| input.topic.clone());
        let reads = list(inputs.into_iter().map(|input| {
            (input.service, format!("reads `{}` (topic `{}`)", input.message, input.topic))
        }));
        let read = if reads.is_empty() { "they read nothing".to_owned() } else { reads };
        panic!(
            "the test sends `{}`, but no service of this test reads topic `{topic}`: {read}{}",
            Schema::of::<M>().name(),
            other.map_or_else(String::new, |topic| format!("; use `send_to(\"{topic}\", ..)`"))
        )
    }

    #[track_caller]
    pub(super) fn panic_of_unknown_output<M: Message>(&self, topic: &str) -> ! {
        let outputs = self.probe.outputs();
        let other = outputs.iter().find(|output| output.message == Schema::of::<M>().name());
        let other = other.map(|output| output.topic.clone());
        let emits = list(outputs.into_iter().map(|output| {
            (output.service, format!("emits `{}` (topic `{}`)", output.message, output.topic))
        }));
        let emitted = if emits.is_empty() { "they emit nothing".to_owned() } else { emits };
        panic!(
            "the test receives `{}`, but no service of this test emits it to topic `{topic}`: \
             {emitted}{}",
            Schema::of::<M>().name(),
            other.map_or_else(String::new, |topic| format!("; use `receive_from(\"{topic}\")`"))
        )
    }

    #[track_caller]
    pub(super) fn panic_of_full_queue<M: Message>(&mut self, topic: &str) -> ! {
        let (publisher, sent) = self.publisher::<M>(topic);
        let (reader, sent) = (publisher.blocked_by(), *sent);
        let reader = reader.as_deref().unwrap_or("a service");
        let inputs = self.probe.inputs();
        let input = inputs.iter().find(|input| input.member == reader);
        panic!(
            "`{reader}` has not taken its messages: the queue of topic `{topic}` is full, after \
             {sent} messages; {}",
            self.what_it_does(input.map_or(reader, |input| &*input.service))
        )
    }

    #[track_caller]
    pub(super) fn panic_of_silence<M: Message>(&self, topic: &str) -> ! {
        let emitters = self.probe.outputs().into_iter().filter(|output| output.topic == topic);
        let states: Vec<_> = emitters.map(|output| self.what_it_does(&output.service)).collect();
        panic!("no `{}` was emitted: {}", Schema::of::<M>().name(), states.join("; "))
    }

    #[track_caller]
    pub(super) fn panic_of_many_messages(&self, messages: usize, bytes: usize) -> ! {
        panic!(
            "{} emitted {messages} messages ({bytes} bytes) at one time of the clock, but a test \
             keeps at most {MANY} messages and {} MiB: receive them one by one (`receive`), or let \
             the service wait (`sleep`)",
            self.running_services(),
            MEMORY >> 20
        )
    }

    #[track_caller]
    pub(super) fn panic_of_busy_services(&self) -> ! {
        panic!(
            "{} ran {} steps at one time of the clock and never waited: let it wait in its loop \
             (`recv`, `sleep`), or allow more steps (`ServiceTest::steps`)",
            self.running_services(),
            self.steps
        )
    }

    /// Returns a text that lists the services that have not ended.
    pub(super) fn running_services(&self) -> String {
        let ended = self.node.services.ended();
        let names =
            self.running.start_report().placements.iter().map(|placement| &placement.service);
        let names = names.filter(|name| !ended.contains_key(*name));
        names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
    }

    /// Returns what a service is doing, in a few words.
    fn what_it_does(&self, service: &str) -> String {
        match self.node.services.ended().get(service) {
            Some(Outcome::Failed { error, .. }) => {
                return format!("`{service}` failed permanently: {error}");
            }
            Some(_) => return format!("`{service}` has ended"),
            None => {}
        }
        let runs = self.node.services.runs_of(service);
        if runs.starts == runs.errors + runs.panics {
            return format!("`{service}` has failed, and its restart waits for time (`advance`)");
        }
        let (taken, untaken): (Vec<_>, Vec<_>) = self
            .probe
            .inputs()
            .into_iter()
            .filter(|input| input.service == service)
            .partition(probe::Input::was_taken);
        if let Some(input) = untaken.first() {
            return format!("`{service}` has not called `{}`", input.subscribe);
        }
        let taken: Vec<_> = taken.into_iter().map(|input| format!("`{}`", input.topic)).collect();
        match taken.as_slice() {
            [] => format!("`{service}` reads nothing and waits, perhaps for time (`advance`)"),
            topics => {
                format!("`{service}` waits for {}, or for time (`advance`)", topics.join(", "))
            }
        }
    }
}

/// Returns a text that lists each service with what it is doing.
fn list(of: impl Iterator<Item = (String, String)>) -> String {
    let texts: Vec<_> = of.map(|(service, what)| format!("`{service}` {what}")).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::ServiceTest;
    use crate::{Context, Result, message, service};

    /// Emits large messages and never waits.
    struct Heavy;

    #[message(topic = "blobs", id = 9)]
    struct Blob {
        bytes: [u8; 4096],
    }

    #[service(emits(Blob))]
    impl Heavy {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            loop {
                ctx.emit(Blob { bytes: [0; 4096] }).await?;
            }
        }
    }

    #[test]
    #[should_panic(expected = "and 1 MiB: receive them one by one")]
    fn large_messages_are_kept_up_to_a_number_of_bytes() {
        ServiceTest::new(|| Heavy).run();
    }
}
