//! Collects the services of a node and checks that they fit together.

use std::collections::BTreeSet;
use std::fmt;

use super::{Hook, Node, Registered, prepare};
use crate::error::BuildError;
use crate::plan::Plan;
use crate::service::Service;
use crate::topology::Topology;

/// Collects the services of a [`Node`].
pub struct Builder {
    name: String,
    topology: Topology,
    services: Vec<Registered>,
    hooks: Vec<Hook>,
}

impl Builder {
    pub(super) fn new(name: &str) -> Builder {
        Builder {
            name: name.to_owned(),
            topology: Topology::default(),
            services: Vec::new(),
            hooks: Vec::new(),
        }
    }

    /// What the node does differently from the defaults.
    #[must_use]
    pub fn topology(mut self, topology: Topology) -> Builder {
        self.topology = topology;
        self
    }

    /// Adds a service. The factory makes it when the node starts, and again after each panic, on the thread where it
    /// runs.
    #[must_use]
    pub fn service<S: Service>(self, factory: impl FnMut() -> S + Send + 'static) -> Builder {
        self.named_service(S::NAME, factory)
    }

    /// Adds a service under a name of its own, for a second one of the same type.
    #[must_use]
    pub fn named_service<S: Service>(
        mut self,
        name: &str,
        factory: impl FnMut() -> S + Send + 'static,
    ) -> Builder {
        self.services.push(Registered {
            name: name.to_owned(),
            ports: S::ports(),
            local: (!S::is_send()).then(std::any::type_name::<S>),
            prepare: Box::new(move |shared, name| prepare(shared, name, Box::new(factory))),
        });
        self
    }

    /// Adds something to do at the very end, when all services have ended or were abandoned: close what they shared,
    /// say goodbye. Hooks run one after the other, in the reverse of their order here, and have as long as the services
    /// have at a shutdown.
    #[must_use]
    pub fn on_stop<F: Future<Output = ()> + Send + 'static>(
        mut self,
        hook: impl FnOnce() -> F + Send + 'static,
    ) -> Builder {
        self.hooks.push(Box::new(move || Box::pin(hook())));
        self
    }

    /// Checks that the services fit together. If the topology places services on this node, exactly those are part
    /// of it, in that order; otherwise all are.
    ///
    /// # Errors
    /// If names or ids collide, the topology does not fit, services would hold each other up, or the rings would take
    /// more memory than the node may use.
    pub fn build(self) -> Result<Node, BuildError> {
        let mut names = BTreeSet::new();
        for service in &self.services {
            // Names stand in counters' labels and in logs.
            if service.name.is_empty()
                || service.name.contains(|c: char| c.is_control() || " =".contains(c))
            {
                return Err(BuildError::Name { name: service.name.clone() });
            }
            if !names.insert(service.name.as_str()) {
                return Err(BuildError::DuplicateService { name: service.name.clone() });
            }
        }
        let known: Vec<&str> = names.into_iter().collect();
        let placed = self.topology.place(&self.name, &known)?;
        let ports_of = |services: &[Registered]| -> Vec<_> {
            services.iter().map(|service| (service.name.clone(), service.ports.clone())).collect()
        };
        let mut services = self.services;
        let all = ports_of(&services);
        if let Some(placed) = placed {
            services.retain(|service| placed.contains(&service.name));
            services.sort_by_key(|service| placed.iter().position(|name| *name == service.name));
        }
        let plan = Plan::new(&self.name, self.topology, &all, &ports_of(&services))?;
        Ok(Node { plan, services, hooks: self.hooks })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services: Vec<_> = self.services.iter().map(|service| &service.name).collect();
        f.debug_struct("Builder").field("name", &self.name).field("services", &services).finish()
    }
}
