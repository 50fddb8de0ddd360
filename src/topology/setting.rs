//! The settings of a topology that can cause errors of a node.

/// Identifies a setting of a topology.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setting<'a> {
    /// The section of a node.
    Node(&'a str),
    /// The memory of a node.
    Memory(&'a str),
    /// The pages of a node.
    HugePages(&'a str),
    /// The Unix socket of a node.
    Socket(&'a str),
    /// The TCP address of a node.
    Tcp(&'a str),
    /// The users and the group whose processes may connect to a node.
    Access(&'a str),
    /// The executor of a node.
    NodeExecutor(&'a str),
    /// The address of a node's metrics.
    Metrics(&'a str),
    /// The description of a node's program.
    #[cfg(feature = "describe")]
    Description(&'a str),
    /// The service in the list of its node.
    Service(&'a str),
    /// The executor of a service.
    Executor(&'a str),
    /// Where a service runs.
    Run(&'a str),
    /// The scheduling class of a service's thread.
    Class(&'a str),
    /// The executor of a service, or where it runs.
    Execution(&'a str),
    /// The task queue of a service.
    Queue(&'a str),
    /// The task queue of a node.
    NodeQueue(&'a str),
    /// The policy of a subscription, by service and port.
    Policy(&'a str, &'a str),
    /// The topic of a named port, by service and port.
    Port(&'a str, &'a str),
    /// The section of a supervisor.
    Supervisor(&'a str),
    /// The child in the list of its supervisor.
    SupervisedChild(&'a str, &'a str),
    /// The capacity of a topic.
    Capacity(&'a str),
    /// The size of the arenas of a topic.
    Arena(&'a str),
    /// What a topic retains.
    Retain(&'a str),
    /// Whether a topic is a work queue.
    WorkQueue(&'a str),
    /// The transport of a topic.
    Transport(&'a str),
    /// The transport of the link between two nodes.
    LinkTransport(&'a str, &'a str),
    /// A file of the section `tls`.
    #[cfg(feature = "tls")]
    Tls(mycelium_transports::tls::TlsFile),
}
