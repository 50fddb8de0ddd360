//! Ends members in order: all of them, or those that a change stops.

use super::slot::{Slot, State, StopRequest};
use super::{Run, now};
use crate::handle::MemberId;
use crate::report::{BundleEvent, MemberOutcome};

impl Run {
    /// Sends SIGTERM to the members whose feeders have exited, and kills those whose time is over.
    pub(super) fn stop_next(&mut self) {
        if self.stopping {
            self.handle.set_ending();
            self.stopped_early |= !self.slots.values().all(Slot::has_ended);
            for slot in self.slots.values_mut() {
                if let State::Waiting { .. } = slot.state {
                    slot.state = State::Ended(MemberOutcome::Stopped);
                }
            }
        }
        let leaving = self.slots.iter().filter(|(_, slot)| self.is_to_end(slot));
        for id in leaving.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.stop_if_due(id);
        }
    }

    fn stop_if_due(&mut self, id: MemberId) {
        let is_next = self.slots.get(&id).is_some_and(|slot| {
            let feeders = slot.waits_for.iter().filter_map(|feeder| self.slots.get(feeder));
            !feeders.into_iter().any(|feeder| self.is_to_end(feeder))
        });
        let now = now().saturating_duration_since(self.origin);
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let State::Running { process, stop, .. } = &mut slot.state else { return };
        let overdue = matches!(stop, StopRequest::Term { until } if *until <= now);
        match stop {
            StopRequest::No | StopRequest::Term { .. } if self.killing || overdue => {
                *stop = StopRequest::Kill;
                process.kill();
                self.publish(id);
            }
            StopRequest::No if is_next => {
                *stop = StopRequest::Term { until: now.saturating_add(self.settings.deadline) };
                process.terminate();
                let member = slot.member.name.clone();
                self.publish(id);
                self.report_event(BundleEvent::Stopping { member });
            }
            _ => (),
        }
    }
}
