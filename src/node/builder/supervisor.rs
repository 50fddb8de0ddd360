//! A supervisor as a program configures it.

use mycelium_bundle::Restart;

use crate::service::Service;
use crate::supervise::{Strategy, SupervisorSetting};

/// A supervisor of services and of other supervisors: it starts them in order, restarts them when
/// one fails, and gives up after too many restarts.
/// [`Builder::supervisor`](crate::Builder::supervisor) adds it to a node. `docs/actors.md` has
/// the rules.
///
/// A service without a supervisor is restarted alone. If it fails more often than its own limit
/// allows, the node shuts down.
///
/// ```
/// use std::time::Duration;
///
/// use mycelium::supervision::{Restart, Supervisor};
/// use mycelium::{Context, Node, Result, service};
///
/// struct Feed;
///
/// #[service()]
/// impl Feed {
///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
///         ctx.shutdown_requested().await;
///         Ok(())
///     }
/// }
///
/// struct Book;
///
/// #[service()]
/// impl Book {
///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
///         ctx.shutdown_requested().await;
///         Ok(())
///     }
/// }
///
/// let limits = Restart { limit: 5, window: Duration::from_secs(10), ..Restart::default() };
/// let pricing = Supervisor::one_for_all("pricing").service::<Feed>().service::<Book>();
/// let node = Node::builder("main")
///     .service(|| Feed)
///     .service(|| Book)
///     .supervisor(pricing.restart(limits))
///     .build()?;
/// # Ok::<(), mycelium::error::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Supervisor {
    setting: SupervisorSetting,
    /// The supervisors that this one supervises.
    below: Vec<Supervisor>,
}

impl Supervisor {
    /// Creates a supervisor without children. Its name is used in logs, in the health of the node,
    /// and in the topology: `[supervisor.NAME]`.
    #[must_use]
    pub fn new(name: &str, strategy: Strategy) -> Supervisor {
        Supervisor {
            setting: SupervisorSetting {
                name: name.to_owned(),
                strategy: Some(strategy),
                children: Some(Vec::new()),
                ..SupervisorSetting::default()
            },
            below: Vec::new(),
        }
    }

    /// Creates a supervisor that restarts only the child that failed.
    #[must_use]
    pub fn one_for_one(name: &str) -> Supervisor {
        Supervisor::new(name, Strategy::OneForOne)
    }

    /// Creates a supervisor that restarts all children when one fails.
    #[must_use]
    pub fn one_for_all(name: &str) -> Supervisor {
        Supervisor::new(name, Strategy::OneForAll)
    }

    /// Creates a supervisor that restarts the child that failed and the children after it.
    #[must_use]
    pub fn rest_for_one(name: &str) -> Supervisor {
        Supervisor::new(name, Strategy::RestForOne)
    }

    /// Adds a service after the other children.
    #[must_use]
    pub fn service<S: Service>(self) -> Supervisor {
        self.named_service(S::NAME)
    }

    /// Adds a service that has its own name, after the other children.
    #[must_use]
    pub fn named_service(mut self, name: &str) -> Supervisor {
        self.setting.children.get_or_insert_default().push(name.to_owned());
        self
    }

    /// Adds a supervisor after the other children. If it gives up, this supervisor restarts it,
    /// like a service.
    #[must_use]
    pub fn supervisor(self, supervisor: Supervisor) -> Supervisor {
        let mut own = self.named_service(&supervisor.setting.name);
        own.below.push(supervisor);
        own
    }

    /// Sets the limit of this supervisor: the maximum of restarts of all its children together
    /// within the window. At the next failure the supervisor gives up. The pauses of `restart`
    /// apply when the supervisor is restarted by its parent; each service has its own pauses. The
    /// default is the [default of a service](Restart::default).
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Supervisor {
        self.setting.restart = restart.into();
        self
    }

    /// Creates a supervisor with this setting.
    #[cfg(feature = "describe")]
    pub(crate) fn from_setting(setting: SupervisorSetting) -> Supervisor {
        Supervisor { setting, below: Vec::new() }
    }

    /// Returns the setting of this supervisor, and the settings of the supervisors below it.
    pub(crate) fn settings(self) -> Vec<SupervisorSetting> {
        let mut settings = vec![self.setting];
        settings.extend(self.below.into_iter().flat_map(Supervisor::settings));
        settings
    }
}
