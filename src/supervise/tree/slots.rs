//! The storage for children and supervisors of a tree: slots are reused, but their keys are not.

use std::collections::BTreeMap;

use mycelium_bundle::Failures;

use super::kinds::{
    Child, ChildId, ChildSpec, Key, Phase, State, Supervisor, SupervisorId, SupervisorSpec,
};

#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    node: Option<Node>,
}

#[derive(Debug)]
struct Node {
    parent: Option<SupervisorId>,
    /// The place among the siblings, starting at 1.
    order: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Child(Child),
    Supervisor(Box<Supervisor>),
}

impl Slots {
    pub(super) fn add_child(&mut self, parent: SupervisorId, spec: ChildSpec) -> ChildId {
        let child = Child { spec, failures: None, state: State::Waiting, has_started: false };
        ChildId(self.add(Some(parent), Kind::Child(child)))
    }

    pub(super) fn add_supervisor(
        &mut self,
        parent: Option<SupervisorId>,
        spec: SupervisorSpec,
    ) -> SupervisorId {
        let supervisor = Supervisor {
            spec,
            restarts: Failures::default(),
            failures: Failures::default(),
            children: BTreeMap::new(),
            next_order: 1,
            phase: Phase::Down,
        };
        SupervisorId(self.add(parent, Kind::Supervisor(Box::new(supervisor))))
    }

    pub(super) fn reserve(&mut self, nodes: usize) {
        self.slots.reserve_exact(nodes);
    }

    fn add(&mut self, parent: Option<SupervisorId>, kind: Kind) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 children")
        });
        let key = Key { index, generation: self.slots[index as usize].generation };
        let order = parent.map_or(0, |parent| {
            let is_root = self.parent(parent.0).is_none();
            let parent = self.supervisor_mut(parent);
            let order = parent.next_order;
            parent.next_order += 1;
            // The root needs no order: it starts its children in no order, and never stops them.
            if !is_root {
                parent.children.insert(order, key);
            }
            order
        });
        self.slots[index as usize].node = Some(Node { parent, order, kind });
        key
    }

    /// Removes a child, or a supervisor without children.
    pub(super) fn remove(&mut self, key: Key) {
        if self.node(key).is_none() {
            return;
        }
        let slot = &mut self.slots[key.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        let node = slot.node.take();
        self.free.push(key.index);
        if let Some(Node { parent: Some(parent), order, .. }) = node {
            self.supervisor_mut(parent).children.remove(&order);
        }
    }

    fn node(&self, key: Key) -> Option<&Node> {
        let slot = self.slots.get(key.index as usize)?;
        slot.node.as_ref().filter(|_| slot.generation == key.generation)
    }

    fn node_mut(&mut self, key: Key) -> Option<&mut Node> {
        let slot = self.slots.get_mut(key.index as usize)?;
        slot.node.as_mut().filter(|_| slot.generation == key.generation)
    }

    pub(super) fn child(&self, id: ChildId) -> Option<&Child> {
        match &self.node(id.0)?.kind {
            Kind::Child(child) => Some(child),
            Kind::Supervisor(_) => None,
        }
    }

    pub(super) fn child_mut(&mut self, id: ChildId) -> Option<&mut Child> {
        match &mut self.node_mut(id.0)?.kind {
            Kind::Child(child) => Some(child),
            Kind::Supervisor(_) => None,
        }
    }

    pub(super) fn supervisor(&self, id: SupervisorId) -> Option<&Supervisor> {
        match &self.node(id.0)?.kind {
            Kind::Child(_) => None,
            Kind::Supervisor(supervisor) => Some(supervisor),
        }
    }

    /// Returns a supervisor. It cannot have ended: the caller has just found it, or it has
    /// children.
    pub(super) fn supervisor_mut(&mut self, id: SupervisorId) -> &mut Supervisor {
        match self.node_mut(id.0).map(|node| &mut node.kind) {
            Some(Kind::Supervisor(supervisor)) => supervisor,
            Some(Kind::Child(_)) | None => unreachable!("a supervisor outlives its children"),
        }
    }

    pub(super) fn parent(&self, key: Key) -> Option<SupervisorId> {
        self.node(key)?.parent
    }

    /// Returns the parent of `key`, and the place of `key` among the children of the parent.
    pub(super) fn place(&self, key: Key) -> (Option<SupervisorId>, u64) {
        self.node(key).map_or((None, 0), |node| (node.parent, node.order))
    }

    /// Returns the child with this key; `None` if it is a supervisor.
    pub(super) fn as_child(&self, key: Key) -> Option<ChildId> {
        self.child(ChildId(key)).map(|_| ChildId(key))
    }

    pub(super) fn children(&self) -> Vec<ChildId> {
        self.keys().filter_map(|key| self.as_child(key)).collect()
    }

    pub(super) fn supervisors(&self) -> Vec<SupervisorId> {
        let all = self.keys().map(SupervisorId);
        all.filter(|id| self.supervisor(*id).is_some()).collect()
    }

    fn keys(&self) -> impl Iterator<Item = Key> {
        let slots = (0..).zip(&self.slots);
        slots.map(|(index, slot)| Key { index, generation: slot.generation })
    }
}
