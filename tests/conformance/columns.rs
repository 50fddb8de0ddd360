//! The columns of the table: each transport on each executor, and on each pair of executors.

use mycelium_transports::conformance::{self, Filled, Link, Local, TestExecutor, TestTransport};

use crate::subjects::{self, TcpSockets, UnixSockets};
use crate::table::Column;
#[cfg(feature = "tls")]
use crate::tls::TlsSockets;

/// Returns one column for each transport on each executor and each pair of executors.
pub(crate) fn columns() -> Vec<Column> {
    let (adapters, others) = (subjects::adapters(), subjects::without_network());
    let mut columns = Vec::new();
    for (publishers, readers) in pairs(&adapters) {
        columns.push(column::<Local>(publishers, readers));
        columns.push(column::<Link<UnixSockets>>(publishers, readers));
        columns.push(column::<Link<UnixSockets, true>>(publishers, readers));
        columns.push(column::<Link<TcpSockets>>(publishers, readers));
        // Between two executors TLS adds nothing to TCP: each end sees only its own stream.
        #[cfg(feature = "tls")]
        if publishers.name == readers.name {
            columns.push(column::<Link<TlsSockets>>(publishers, readers));
        }
    }
    for one in &adapters {
        columns.push(traced(column::<Local>(*one, *one), "local, traced"));
        columns.push(traced(column::<Link<UnixSockets>>(*one, *one), "unix, traced"));
        columns.push(traced(column::<Link<UnixSockets, true>>(*one, *one), "shm, traced"));
        columns.extend(of_any_length(*one));
    }
    let all = [adapters, others.clone()].concat();
    let without = |executor: &TestExecutor| others.iter().any(|other| other.name == executor.name);
    let locals = pairs(&all).into_iter().filter(|(one, two)| without(one) || without(two));
    columns.extend(locals.map(|(publishers, readers)| column::<Local>(publishers, readers)));
    columns
}

/// Returns each executor paired with itself, then all other pairs.
fn pairs(executors: &[TestExecutor]) -> Vec<(TestExecutor, TestExecutor)> {
    let with = |one: &TestExecutor| executors.iter().map(|two| (*one, *two)).collect::<Vec<_>>();
    let mut pairs: Vec<_> = executors.iter().flat_map(with).collect();
    pairs.sort_by_key(|(one, two)| one.name != two.name);
    pairs
}

/// Returns the column with the same laws on topics whose messages have traces.
fn traced(mut column: Column, transport: &'static str) -> Column {
    column.transport = transport;
    column.laws.iter_mut().for_each(|law| law.is_traced = true);
    column
}

/// Returns the columns with messages that are not fixed.
fn of_any_length(one: TestExecutor) -> Vec<Column> {
    let named = |mut column: Column, transport| {
        column.transport = transport;
        column
    };
    vec![
        named(column::<Local<Filled>>(one, one), "local, any length"),
        traced(column::<Local<Filled>>(one, one), "local, any length, traced"),
        named(column::<Link<UnixSockets, false, Filled>>(one, one), "unix, any length"),
        named(column::<Link<UnixSockets, true, Filled>>(one, one), "shm, any length"),
        named(column::<Link<TcpSockets, false, Filled>>(one, one), "tcp, any length"),
        #[cfg(feature = "tls")]
        named(column::<Link<TlsSockets, false, Filled>>(one, one), "tls, any length"),
    ]
}

fn column<T: TestTransport>(publishers: TestExecutor, readers: TestExecutor) -> Column {
    Column { transport: T::NAME, publishers, readers, laws: conformance::laws::<T>() }
}
