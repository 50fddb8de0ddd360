//! Codes of errors, which users look up. A code stays the same when its text is improved.
//!
//! This is the list of all codes, for all packages. A code never changes its meaning, and the
//! number of a removed code is not used again. The types of errors return their codes by `code()`,
//! with an exhaustive match, and `docs/errors.md` has an entry for each code.

use core::fmt;
use core::str::FromStr;

/// The code of an error, such as `M0105`. The tool explains it: `mycelium explain M0105`.
///
/// ```
/// use mycelium_core::Code;
///
/// let text = "app.toml:5:1: unknown key `size`: expected one of: capacity, trace [M0105]";
/// assert_eq!(Code::at_end(text), Some(Code::UNKNOWN_NAME));
/// assert_eq!(Code::UNKNOWN_NAME.to_string(), "M0105");
/// assert_eq!("m105".parse(), Ok(Code::UNKNOWN_NAME));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

macro_rules! codes {
    ($($number:literal $name:ident $meaning:literal)+) => {
        impl Code {
            $(
                #[doc = concat!("`M", stringify!($number), "`: ", $meaning, ".")]
                pub const $name: Code = Code($number);
            )+

            /// All codes, in ascending order.
            pub const ALL: &[Code] = &[$(Code::$name),+];

            /// Returns the meaning of the code, in one line.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self.0 {
                    $($number => $meaning,)+
                    _ => "",
                }
            }
        }
    };
}

codes! {
    // Services, topics and ports that contradict each other.
    1 SERVICE_TWICE "two services have one name"
    2 SERVICE_NAME "invalid name of a service"
    3 MESSAGE_ID_TWICE "two messages have one id"
    4 TOPIC_TYPE "a topic has two message types"
    5 TOPIC_NAME "invalid name of a topic"
    6 PORT_UNBOUND "a port is bound to no topic"
    7 PORT_BINDING "a port cannot be bound so"
    8 DEADLOCK "services deadlock: each waits for the next one's full queue"
    9 RING_MEMORY "the rings of a node take more memory than it may use"
    10 TRACE_SHARE "invalid share of the traces to record"
    11 EXECUTION "a service cannot be executed so"
    12 BACKPRESSURE_THRESHOLD "invalid threshold of a topic"
    13 ON_STALL "invalid setting for stalled readers"
    14 LATENCY_SAMPLE "invalid share of messages to measure"
    15 EXECUTION_OF_UNKNOWN "an execution is set for an unknown service"
    16 LINK_LIMIT "one node reads more from another than a link carries"
    17 REQUEST_TYPE "a topic has two request types"
    18 MAILBOX_CAPACITY "invalid capacity of a mailbox"
    19 RESPONDERS "two nodes answer the requests of one topic"
    20 FAST_HANDLER "a fast handler cannot be registered"
    21 EXECUTOR_TWICE "two executors have one name"
    22 SERVICE_ONLY_DESCRIBED "a service is known by its description only"
    23 TRANSPORT "a transport cannot carry a topic"
    // Supervisors.
    30 SUPERVISOR_CHILD "a supervisor has an unknown child"
    31 SUPERVISED_TWICE "a service or supervisor is supervised twice"
    32 SUPERVISOR_CIRCLE "supervisors supervise each other"
    33 SUPERVISOR_EMPTY "a supervisor has no children"
    34 SUPERVISOR_OF_SERVICE_NAME "a supervisor has the name of a service"
    35 SUPERVISOR_TWICE "two supervisors have one name"
    36 SUPERVISOR_NAME "invalid name of a supervisor"
    37 SUPERVISOR_OF_TWO_NODES "a supervisor has services of two nodes"
    38 SUPERVISION_OF_UNKNOWN "supervision is set for an unknown service"
    // Start and end of a node.
    50 SERVICE_NOT_SEND "a service that is not Send cannot run on this executor"
    51 OTHER_EXECUTOR "the topology requests another executor"
    52 TASK_QUEUE "a node or service cannot have a task queue of its own"
    53 THREADS_LEFT "threads still run though their services have ended"
    54 SERVICE_FAILED "a service failed"
    55 EXECUTOR_ENDED "the executor ended before the node had"
    56 NO_LINKS "a node cannot have its links"
    57 NO_METRICS "a node cannot serve its metrics"
    58 NO_SHARED_MEMORY "a node cannot have its shared memory"
    59 NO_TLS "a node cannot use TLS"
    60 SOCKET_UNREACHABLE "users who may connect cannot reach the socket"
    61 OTHER_LAYOUT "a topic has another layout in another node"
    62 UNDELIVERED "messages could not be delivered before the end"
    63 ABANDONED "services ignored the shutdown"
    64 UNFINISHED "work did not finish"
    65 POLL_HANGS "a service blocks its thread"
    // Tasks and threads.
    70 EXECUTOR_GONE "the executor has ended"
    71 TASK_NOT_SEND "a task that is not Send cannot run on this executor"
    72 WRONG_THREAD "a local task was spawned on another thread"
    73 NO_THREAD "the system starts no thread"
    74 NO_CORE "a core does not exist, or may not be used"
    75 NOT_PINNED "the system does not pin a thread"
    76 NO_CLASS "the system does not grant a scheduling class"
    77 NO_EXECUTOR "an executor cannot be made on a thread"
    78 PLACEMENT_UNSUPPORTED "the executor does not support a placement"
    // Sockets.
    80 SOCKET_PATH "invalid path of a socket"
    81 SOCKET_PATH_TOO_LONG "the path of a socket is too long"
    82 SOCKET_DIRECTORY "the directory of a socket cannot be used"
    83 ADDRESS_IN_USE "another process listens at this address"
    84 SOCKET_REPLACED "another file has replaced the socket"
    85 SOCKET_OCCUPIED "a file that is not a socket has its path"
    86 TCP_ADDRESS "a node cannot listen at a TCP address"
    87 SOCKET_SYSTEM "a system call on a socket or its files failed"
    88 SOCKET_OTHER_USER "a process of another user listens in place of a node"
    // The topology file.
    100 TOPOLOGY_UNREADABLE "the topology cannot be read"
    101 TOPOLOGY_SYNTAX "invalid text or value in the topology"
    102 TOPOLOGY_VARIABLE "a variable of the environment is not set, or written wrongly"
    103 TOPOLOGY_INCLUDE "a file cannot be included"
    104 KEY_IN_TWO_FILES "two files set one key"
    105 UNKNOWN_NAME "unknown name"
    106 NODE_NAME "invalid name of a node"
    107 NODE_MISSING "the file has no such node"
    108 NAMED_TWICE "two sections name one thing"
    109 LINK_AMBIGUOUS "the name of a link fits two pairs of nodes"
    110 KEY_OF_POLICY "a key has no meaning with the policy"
    111 KEY_FIELD "a field cannot be the key of a subscription"
    112 NODE_NOT_LISTED "a node reads or writes a topic and is not on its list"
    113 NOT_OF_REQUESTS "a key has no effect on requests"
    114 CONTRADICTION "two keys contradict each other"
    115 LINK_WITHOUT_MEMORY "a link cannot go through shared memory"
    116 HOST_UNKNOWN "this machine is none of the hosts, or several"
    117 HOSTS_APART "nodes of two hosts have no memory and no Unix socket in common"
    118 TOPIC_TRANSPORT "a topic cannot go through what its section says"
    119 NODE_WITHOUT_ADDRESS "a node is read over TCP and has no address"
    120 PEER_UNPROVEN "a topic has a list of nodes, but a peer may have any name"
    121 ASKER_UNPROVEN "a node may use actors, but a peer may have any name"
    122 PLACED_TWICE "a service is placed twice"
    123 TOPIC_ARENA "invalid arena of a topic"
    // Programs of a topology.
    130 NODE_WITHOUT_PROGRAM "no program is known for a node"
    131 PROGRAMS_OF_TWO_MESSAGES "two programs have different messages on a topic"
    132 PROGRAMS_OF_TWO_SERVICES "two programs have different ports of a service"
    133 EXECUTOR_UNKNOWN "a service names an executor that its program does not have"
    134 DESCRIPTION_DAMAGED "the description of a program is damaged"
    135 DESCRIPTION_NEWER "the description of a program has a newer version"
    // Topics, subscriptions and emits.
    200 TOPIC_LAYOUT "a topic carries another message"
    201 TOPIC_KEY "the key of a subscription is a field of another message"
    202 TOPIC_CAPACITY "invalid capacity of a topic"
    203 TOPIC_MEMORY "a topic cannot have its memory"
    204 DROP_NEWEST_IN_MEMORY "a drop-newest subscription cannot read shared memory"
    205 EPOCH_TAKEN "a topic has a publisher with this epoch"
    206 UNREAD_PUBLISHERS "too many ended publishers have unread messages"
    207 NO_PLACE_FOR_READER "a topic has no place for another subscription"
    210 SUBSCRIPTION_TAKEN "a subscription is taken twice"
    211 SUBSCRIPTION_ENDED "a subscription was ended"
    212 SUBSCRIPTION_HELD "an earlier run of the service holds its subscription"
    213 SUBSCRIPTION_REFUSED "a node cannot have such a subscription"
    220 TOPIC_FULL "a topic is full"
    221 TOPIC_REJECTS "a topic is full, and a subscription rejects"
    222 EMIT_DEADLINE "a topic had no room in time"
    223 SHUTTING_DOWN "the node is shutting down"
    224 HANDLER_REFUSED "a fast handler refused a message"
    225 HANDLER_PANICKED "a fast handler panicked"
    226 HANDLER_REENTERED "a fast handler emits to its own topic"
    227 NO_PUBLISHER "a handler emits a message that has no publisher"
    228 ZERO_PERIOD "invalid period of an interval"
    229 READER_WAITED_FOR "a publisher waits for a reader"
    230 TOO_MANY_KEYS "a topic retains messages of no more keys"
    // Metrics of services.
    240 METRIC_NAME "invalid name of a metric"
    241 METRIC_LABEL "invalid key of a label"
    242 METRIC_VALUE "invalid value of a label"
    243 METRIC_TOO_LONG "the names of a metric are too long"
    244 METRIC_KIND "a metric has another kind"
    245 METRIC_HANDLES "a service has too many handles of metrics"
    // Requests.
    250 REQUEST_GONE "nothing answers a request"
    251 REQUEST_REFUSED "the mailbox of a request is full"
    252 REQUEST_DEADLINE "a request has no reply in time"
    253 REQUEST_FAILED "the service or actor with a request failed"
    254 REQUEST_UNREACHABLE "the node that answers a request is not connected"
    255 REQUEST_MISMATCH "an actor cannot answer a request"
    256 REQUEST_NOT_FOUND "no actor has the name to which a request was sent"
    // Actors.
    260 ACTOR_GONE "an actor has ended"
    261 ACTOR_FULL "the mailbox of an actor is full"
    262 ACTOR_NAME_TAKEN "another actor has the name"
    263 ACTOR_CAPACITY "invalid capacity of an actor's mailbox"
    264 ACTOR_LIMIT "too many keyed actors live"
    265 ACTOR_UNKNOWN "no actor has the name"
    266 ACTOR_TYPE "an actor has another type"
    267 ACTOR_ONE_SENDER "the mailbox of an actor has its one sender"
    268 ACTOR_ENDING "an actor is about to end"
    269 ACTOR_ADDRESS "invalid address of an actor"
    270 ACTOR_NODE_UNKNOWN "the address of an actor names an unknown node"
    271 ACTOR_OF_THIS_NODE "the address of an actor names this node"
    272 ACTOR_NOT_GRANTED "a node may not use the actors of another one"
    273 ACTORS_WITHOUT_NODE "these actors belong to no node"
    274 ACTOR_FAILED "an actor failed"
    275 ACTOR_NAME "invalid name of an actor"
    276 ACTOR_LIMIT_ZERO "invalid limit of keyed actors"
    277 ACTOR_NOWHERE "keyed actors have no executor"
    // Memory.
    300 MEMORY_UNSUPPORTED "this system cannot share memory"
    301 MEMORY_SIZE "invalid size of a region"
    302 MEMORY_EXHAUSTED "the system has not enough memory"
    303 HUGE_PAGES "the system has not enough huge pages"
    304 MEMORY_OF_PEER "the memory of a peer is not acceptable"
    305 MEMORY_SYSTEM "a system call on memory failed"
    306 CONTROL_THREAD "the control thread cannot work"
    // Links.
    320 LINK_PROTOCOL "a peer broke the protocol"
    321 LINK_VERSION "two nodes have no common version of the protocol"
    322 LINK_FRAME_LIMIT "the frame limit of a peer is too small"
    323 LINK_HANDSHAKE "a peer did not answer in time"
    324 LINK_SILENT "a peer has sent nothing for too long"
    325 LINK_TOO_MANY "too many streams or subscriptions on a link"
    326 LINK_NUMBERS "a link has used all its numbers"
    327 LINK_SHUTDOWN "a node closed a link because it shuts down"
    328 LINK_NOT_ALLOWED "a node does not let another one connect"
    329 LINK_BUSY "a node has too many links"
    330 LINK_NAME_TAKEN "another process with this name is connected"
    331 LINK_CLOSED "a link was closed for a reason of a later version"
    332 CONNECTION_CLOSED "a connection was closed before its link"
    333 CONNECTION_FAILED "a connection failed"
    334 LINK_SETTINGS "a link cannot have these settings"
    335 PEER_UNREACHABLE "a node cannot connect to another one"
    336 TOPIC_REFUSED "a node does not send a topic"
    337 RETAINED_UNKNOWN "a node does not send retained messages"
    338 DEAD_LETTER "a message failed at each delivery"
    339 NO_CONNECTIONS "a node cannot accept connections"
    340 OTHER_NODE "another node answers at an address"
    341 NO_CATALOGUE "a node does not say which topics it has"
    // Bytes that are not a message.
    350 MESSAGE_TYPE "a frame has another message"
    351 MESSAGE_SIZE "a message has another size"
    352 MESSAGE_ALIGNMENT "the bytes of a message are not aligned"
    353 FIELD_VALUE "a field has an invalid value"
    354 FIELD_CONTENT "a text or list in a message is invalid"
    355 MESSAGE_TOO_LONG "a message is longer than its `max`"
    356 KEY_TOO_LONG "the key of a message is too long"
    357 MESSAGE_SERIALIZE "serde cannot encode a message"
    // Counters of processes.
    360 NO_PROCESS "no process has the number"
    361 COUNTERS_OF_OTHERS "the counters of another user cannot be read"
    362 NO_COUNTERS "a process has no counters"
    363 COUNTERS_VERSION "the counters of a process have another version"
    364 COUNTERS_DAMAGED "the counters of a process are damaged"
    365 COUNTERS_SYSTEM "a system call on another process failed"
    // Collectors of traces and metrics.
    380 COLLECTOR_URL "invalid URL of a collector"
    381 COLLECTOR_HEADER "invalid header for a collector"
    382 COLLECTOR_TIMEOUT "invalid timeout of a request to a collector"
    383 SPAN_QUEUE "invalid queue of spans"
    384 SPAN_BATCH "invalid batch of spans"
    385 PUSH_INTERVAL "invalid interval between pushes of metrics"
    // Several processes.
    400 MEMBER_TWICE "two members of a bundle have one name"
    401 MEMBER_UNKNOWN "a member ends after a member that does not exist"
    402 MEMBER_PROGRAM "the program of a member cannot be run"
    403 MEMBER_FAILED "a member failed permanently"
    404 MEMBER_REFUSED "a member does not want to be restarted"
    405 MEMBER_UNDELIVERED "a member ended with messages that it could not deliver"
    406 MEMBER_STOPPED "a member failed while the bundle ended"
    407 MEMBER_NAME "invalid name of a member"
    408 MEMBER_KILLED "members did not end and were killed"
    409 LAUNCHER "the launcher cannot watch its members"
    410 NO_MEMBER "the bundle has no such member"
    411 BUNDLE_ENDED "the bundle has ended, or is about to"
    412 BUNDLE_OBSERVER "the observer of a bundle wants to change it"
}

impl Code {
    /// Returns the code in brackets at the end of an error's text, or of a text that ends with one.
    #[must_use]
    pub fn at_end(text: &str) -> Option<Code> {
        Code::split(text).1
    }

    /// Splits a text into the part before the code at its end, and that code.
    ///
    /// ```
    /// use mycelium_core::Code;
    ///
    /// assert_eq!(Code::split("it failed [M0054]"), ("it failed", Some(Code::SERVICE_FAILED)));
    /// assert_eq!(Code::split("it failed"), ("it failed", None));
    /// ```
    #[must_use]
    pub fn split(text: &str) -> (&str, Option<Code>) {
        let parts = text.strip_suffix(']').and_then(|text| text.rsplit_once(" ["));
        let parts = parts.filter(|(_, code)| code.len() == 5 && code.starts_with('M'));
        match parts.and_then(|(text, code)| Some((text, code.parse().ok()?))) {
            Some((text, code)) => (text, Some(code)),
            None => (text, None),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "M{:04}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a code of the list.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown code: expected one such as `M0105`")]
pub struct UnknownCode;

crate::debug_as_display!(UnknownCode);

impl FromStr for Code {
    type Err = UnknownCode;

    /// Reads `M0105`, also written as `m105` or `105`.
    fn from_str(text: &str) -> Result<Code, UnknownCode> {
        let digits = text.strip_prefix(['M', 'm']).unwrap_or(text);
        let is_number = digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| is_number);
        let code = number.map(Code).filter(|code| !code.meaning().is_empty());
        code.ok_or(UnknownCode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_ascend() {
        assert!(Code::ALL.is_sorted_by(|one, next| one < next), "a code has its place once");
    }

    #[test]
    fn a_code_is_read_as_it_is_written_and_shorter() {
        for text in ["M0105", "m0105", "M105", "m105", "105", "0105"] {
            assert_eq!(text.parse(), Ok(Code::UNKNOWN_NAME), "{text}");
        }
        for text in ["", "M", "M9999", "00105", "+105", "M-1", "x105", "105 ", "é105"] {
            assert_eq!(text.parse::<Code>(), Err(UnknownCode), "{text}");
        }
    }

    #[test]
    fn only_a_code_in_brackets_ends_a_text() {
        assert_eq!(Code::at_end("x [M0105]"), Some(Code::UNKNOWN_NAME));
        for text in ["", "]", " [", "x [M105]", "x [m0105]", "x[M0105]", "x [M9999]", "[M0105] x"] {
            assert_eq!(Code::split(text), (text, None));
        }
    }
}
