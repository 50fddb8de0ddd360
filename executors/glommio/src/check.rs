//! Checks glommio's requirements before its use: glommio itself panics, or ends the process, if the
//! machine does not meet them.

use std::fs;

use io_uring::{IoUring, Probe, opcode};
use mycelium_executor::ThreadError;
use rustix::process::{Resource, getrlimit};

/// The least number of bytes that glommio must be able to lock in memory.
const LOCKED: u64 = 512 * 1024;

/// Checks whether an executor can be created on this machine.
///
/// # Errors
/// If the machine does not meet a requirement. The error says which one, and what to change.
pub fn check() -> Result<(), ThreadError> {
    memory().and_then(|()| ring()).map_err(error)
}

/// Creates an error of this executor: what is wrong, and what to change.
pub(crate) fn error(error: String) -> ThreadError {
    ThreadError::Executor { executor: "glommio".to_owned(), error }
}

fn memory() -> Result<(), String> {
    // `None` means unlimited.
    match getrlimit(Resource::Memlock).current {
        Some(bytes) if bytes < LOCKED => Err(format!(
            "the process may lock {} KiB of memory, but io_uring needs {} KiB: raise the limit (`ulimit -l {}`, \
             LimitMEMLOCK of a service, `--ulimit memlock` of a container), or choose another executor",
            bytes / 1024,
            LOCKED / 1024,
            LOCKED / 1024,
        )),
        _ => Ok(()),
    }
}

fn ring() -> Result<(), String> {
    let ring = IoUring::new(2).map_err(|error| {
        let switch = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
        let why = match switch.trim() {
            "1" => "`sysctl kernel.io_uring_disabled` is 1: add the group to kernel.io_uring_group, or make it 0",
            "2" => "`sysctl kernel.io_uring_disabled` is 2: make it 0",
            _ => "allow its system calls if they are filtered (in a container), or use Linux 5.8 or later",
        };
        format!("io_uring is not available ({error}): {why}; or choose another executor")
    })?;
    let mut probe = Probe::new();
    let probed = ring.submitter().register_probe(&mut probe);
    let needed = [
        opcode::Nop::CODE,
        opcode::Readv::CODE,
        opcode::Writev::CODE,
        opcode::Fsync::CODE,
        opcode::ReadFixed::CODE,
        opcode::WriteFixed::CODE,
        opcode::PollAdd::CODE,
        opcode::PollRemove::CODE,
        opcode::SendMsg::CODE,
        opcode::RecvMsg::CODE,
        opcode::Timeout::CODE,
        opcode::TimeoutRemove::CODE,
        opcode::Accept::CODE,
        opcode::LinkTimeout::CODE,
        opcode::Connect::CODE,
        opcode::Fallocate::CODE,
        opcode::OpenAt::CODE,
        opcode::Close::CODE,
        opcode::Statx::CODE,
        opcode::Read::CODE,
        opcode::Write::CODE,
        opcode::Send::CODE,
        opcode::Recv::CODE,
    ];
    if probed.is_err() || !needed.into_iter().all(|operation| probe.is_supported(operation)) {
        return Err(
            "this system's io_uring is too old: use Linux 5.8 or later, or choose another executor"
                .to_owned(),
        );
    }
    Ok(())
}
