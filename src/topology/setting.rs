//! The settings that errors of a node are about.

use std::fmt;

/// Names a setting of a topology.
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
    /// The transport of a topic.
    Transport(&'a str),
    /// The transport of the link between two nodes.
    LinkTransport(&'a str, &'a str),
    /// A file of the section `tls`, by its key.
    #[cfg(feature = "tls")]
    Tls(&'static str),
}

/// Writes its path in the file. Those that stand for several keys have a name of their own.
impl fmt::Display for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Node(node) => write!(f, "node.{node}"),
            Setting::Memory(node) => write!(f, "node.{node}.memory"),
            Setting::HugePages(node) => write!(f, "node.{node}.huge_pages"),
            Setting::Socket(node) => write!(f, "node.{node}.socket"),
            Setting::Tcp(node) => write!(f, "node.{node}.address"),
            Setting::Access(node) => write!(f, "node.{node}.users"),
            Setting::NodeExecutor(node) => write!(f, "node.{node}.executor"),
            Setting::Metrics(node) => write!(f, "node.{node}.listen_metrics"),
            Setting::NodeQueue(node) => write!(f, "node.{node}.shares"),
            Setting::Service(service) => write!(f, "service.{service}"),
            Setting::Execution(service) => write!(f, "service.{service}.execution"),
            Setting::Executor(service) => write!(f, "service.{service}.executor"),
            Setting::Run(service) => write!(f, "service.{service}.run"),
            Setting::Class(service) => write!(f, "service.{service}.class"),
            Setting::Queue(service) => write!(f, "service.{service}.shares"),
            Setting::Port(service, port) => write!(f, "service.{service}.ports.{port}"),
            Setting::Policy(service, key) => write!(f, "subscription.{service}.{key}.policy"),
            Setting::Supervisor(name) => write!(f, "supervisor.{name}"),
            Setting::SupervisedChild(name, child) => {
                write!(f, "supervisor.{name}.children.{child}")
            }
            Setting::Capacity(topic) => write!(f, "topic.{topic}.capacity"),
            Setting::Transport(topic) => write!(f, "topic.{topic}.transport"),
            Setting::LinkTransport(node, other) => write!(f, "link.{node}-{other}.transport"),
            #[cfg(feature = "tls")]
            Setting::Tls(key) => write!(f, "tls.{key}"),
        }
    }
}
