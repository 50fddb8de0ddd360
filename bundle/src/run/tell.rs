//! Reports to the members, to other threads and to people.

use std::io::{self, Write};

use super::slot::State;
use super::{Run, now};
use crate::handle::MemberId;
use crate::protocol::MemberState;
use crate::report::BundleEvent;

impl Run {
    /// Writes to all processes what has changed since the last call.
    pub(super) fn write_changes(&mut self) {
        let mut changed = Vec::new();
        if std::mem::take(&mut self.removed_is_new) {
            changed.extend(self.removed.iter().map(|name| MemberState::Gone.line(name)));
        }
        for slot in self.slots.values_mut() {
            let state = slot.reported();
            if std::mem::replace(&mut slot.written, state) != state {
                changed.push(state.line(&slot.member.name));
            }
        }
        if changed.is_empty() {
            return;
        }
        let all = self.lines();
        for slot in self.slots.values_mut() {
            if let State::Running { pipe, .. } = &mut slot.state {
                pipe.write(&changed, &all);
            }
        }
    }

    /// The state of each member, as lines.
    pub(super) fn lines(&self) -> Vec<String> {
        let removed = self.removed.iter().map(|name| MemberState::Gone.line(name));
        let members = self.slots.values().map(|slot| slot.reported().line(&slot.member.name));
        removed.chain(members).collect()
    }

    /// Shows other threads how a member is.
    pub(super) fn publish(&mut self, id: MemberId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            self.handle.publish(id, slot.published(now()));
        }
    }

    pub(super) fn publish_all(&mut self) {
        let now = now();
        for (id, slot) in &mut self.slots {
            self.handle.publish(*id, slot.published(now));
        }
    }

    pub(super) fn report_event(&mut self, event: BundleEvent) {
        let (member, predicate) = (event.member(), event.predicate());
        match event {
            BundleEvent::GivenUp { .. } | BundleEvent::Killed { .. } => {
                tracing::error!("member `{member}` {predicate}");
                self.print("error", &event);
            }
            BundleEvent::NotStarted { .. } | BundleEvent::Restarting { .. } => {
                tracing::warn!("member `{member}` {predicate}");
                self.print("warning", &event);
            }
            _ => tracing::info!("member `{member}` {predicate}"),
        }
        self.settings.observer.iter_mut().for_each(|observer| observer(&event));
    }

    /// Prints a failure that nobody would see otherwise. If standard error is closed, the line is
    /// lost.
    fn print(&self, level: &str, event: &BundleEvent) {
        if self.settings.observer.is_none() && !tracing::dispatcher::has_been_set() {
            let line =
                format!("mycelium: {level}: member `{}` {}\n", event.member(), event.predicate());
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }
}
