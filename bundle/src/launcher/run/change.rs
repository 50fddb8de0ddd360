//! Changes of the members while the bundle runs.

use super::Run;
use super::slot::{Next, Slot, State};
use crate::launcher::handle::MemberId;
use crate::launcher::member::{Change, Member};
use crate::launcher::order;
use crate::launcher::report::ChangeError;
use crate::protocol::MemberState;

impl Run {
    /// Begins all changes, or none if one is invalid.
    pub(super) fn change(&mut self, changes: Vec<Change>) -> Result<(), ChangeError> {
        if self.stopping {
            return Err(ChangeError::Ended);
        }
        self.check(&changes)?;
        for change in changes {
            match change {
                Change::Add(member) => self.add(member),
                Change::Remove(name) => {
                    for slot in self.slots.values_mut() {
                        slot.future_mut().feeders.retain(|feeder| *feeder != name);
                    }
                    self.leave(&name, Next::Nothing);
                }
                Change::Replace(member) => {
                    let name = member.name.clone();
                    self.leave(&name, Next::Other(member));
                }
            }
        }
        Ok(())
    }

    /// Checks that the members are valid after the changes.
    fn check(&self, changes: &[Change]) -> Result<(), ChangeError> {
        let present = self.slots.values().filter_map(Slot::future).map(Member::name_and_feeders);
        let (mut staying, mut new): (Vec<_>, Vec<_>) = (present.collect(), Vec::new());
        for change in changes {
            let name: &str = match change {
                Change::Add(member) => {
                    new.push(member.name_and_feeders());
                    continue;
                }
                Change::Remove(name) => name,
                Change::Replace(member) => &member.name,
            };
            let of_name = |(member, _): &(&str, _)| *member == name;
            if let Some(place) = staying.iter().position(of_name) {
                staying.remove(place);
            } else if let Some(place) = new.iter().position(of_name) {
                new.remove(place);
            } else {
                let members = staying.iter().chain(&new);
                let known = members.map(|(name, _)| (*name).to_owned()).collect();
                return Err(ChangeError::NoMember { member: name.to_owned(), known });
            }
            match change {
                Change::Replace(member) => new.push(member.name_and_feeders()),
                // The remaining members no longer wait for the removed member when they end.
                _ => staying.iter_mut().for_each(|(_, feeders)| feeders.retain(|it| *it != name)),
            }
        }
        staying.append(&mut new);
        Ok(order::check(&staying)?)
    }

    fn add(&mut self, member: Member) {
        // A new member replaces a member of the same name that has not ended yet.
        let leaving = self.slots.values_mut().find(|slot| slot.member.name == member.name);
        match leaving {
            Some(slot) => slot.next = Next::Other(member),
            None => {
                self.written.entry(member.name.clone()).or_insert(MemberState::Expected);
                let id = MemberId(self.next_id);
                self.next_id += 1;
                self.slots.insert(id, Slot::new(member));
                self.order_is_old = true;
            }
        }
    }

    /// Sets the next step of a member, and executes it at once if no process runs the member.
    fn leave(&mut self, name: &str, next: Next) {
        let id =
            self.slots.iter().find_map(|(id, slot)| (slot.member.name == *name).then_some(*id));
        let Some(id) = id else { return };
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.next = next;
            if !slot.runs() {
                self.follow(id);
            }
        }
    }

    /// Executes the next step of a member whose process has exited.
    pub(super) fn follow(&mut self, id: MemberId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        match std::mem::replace(&mut slot.next, Next::Same) {
            Next::Same => return,
            Next::Nothing => {
                self.slots.remove(&id);
                self.handle.lock().remove(&id);
            }
            Next::Other(member) => *slot = Slot::new(member),
        }
        self.order_is_old = true;
    }

    /// Returns whether a member's first start must wait for processes that a change is ending.
    pub(super) fn is_held(&self, slot: &Slot) -> bool {
        slot.starts == 0 && self.slots.values().any(|slot| slot.is_leaving() && slot.runs())
    }

    /// Computes the order of the members again if they have changed.
    pub(super) fn reorder(&mut self) {
        if !std::mem::take(&mut self.order_is_old) {
            return;
        }
        let members: Vec<&Member> = self.slots.values().map(|slot| &slot.member).collect();
        let order = order::stop_order(&members);
        let ids: Vec<MemberId> = self.slots.keys().copied().collect();
        for (slot, places) in self.slots.values_mut().zip(order) {
            slot.waits_for = places.into_iter().map(|place| ids[place]).collect();
        }
    }

    /// Returns whether the process of a member should end.
    pub(super) fn is_to_end(&self, slot: &Slot) -> bool {
        matches!(slot.state, State::Running { .. }) && (self.stopping || slot.is_leaving())
    }
}
