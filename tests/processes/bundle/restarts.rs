//! Members that end by themselves: with success, with a failure, and with a permanent one.

use std::sync::mpsc::channel;

use mycelium::Restart;
use mycelium_bundle::{BundleError, BundleEvent, Member, MemberOutcome};
use rustix::process::Signal;

use crate::bundle::{PATIENCE, SOON, kill, speaking};

#[test]
fn a_member_that_is_killed_runs_again_as_another_process() {
    let mut bundle = speaking().with("wait", "source", &[]);
    assert_eq!(bundle.bundle.handle().pid("source"), None);
    let (handle, running) = bundle.run();
    assert_eq!(bundle.said.next(), "source waits");
    let first = handle.pid("source").unwrap();
    kill(first, Signal::KILL);
    assert_eq!(bundle.said.next(), "source waits");
    let second = handle.pid("source").unwrap();
    assert_ne!(first, second);
    handle.stop();
    let report = running.join().unwrap().unwrap();
    assert_eq!(handle.pid("source"), None);
    assert_eq!(
        (report.members[0].outcome, report.members[0].starts),
        (MemberOutcome::Completed, 2)
    );
    let lines = bundle.events.iter().map(|event| event.to_string()).collect::<Vec<_>>();
    assert_eq!(lines[0], format!("source: started as process {first}"));
    assert_eq!(lines[1], "source: exited, signal: 9 (SIGKILL)");
    assert!(lines[2].starts_with("source: will be restarted in "), "{}", lines[2]);
    let rest = [
        format!("source: started as process {second}"),
        "source: was sent SIGTERM".into(),
        "source: exited, exit status: 0".into(),
    ];
    assert_eq!(lines[3..], rest);
}

#[test]
fn too_many_failures_end_all() {
    let bundle = speaking().with("wait", "source", &[]).with("fail", "sink", &["source"]);
    let error = bundle.bundle.run().unwrap_err();
    assert_eq!(
        error.to_string(),
        "member `sink` failed permanently after 3 restarts within 60s: exit status: 3 [M0403]"
    );
    assert!(matches!(error, BundleError::Failed { restarts: 3, .. }));
    drop(bundle.writer);
    bundle.said.rest();
    let given_up = |event: &BundleEvent| *event == BundleEvent::GivenUp { member: "sink".into() };
    assert!(bundle.events.iter().any(|event| given_up(&event)));
}

#[test]
fn a_member_that_refuses_or_could_not_deliver_is_not_started_again() {
    for role in ["refuse", "undelivered"] {
        let bundle = speaking().with("wait", "source", &[]).with(role, "sink", &["source"]);
        let member = match bundle.bundle.run().unwrap_err() {
            BundleError::Refused { member } if role == "refuse" => member,
            BundleError::Undelivered { member } if role == "undelivered" => member,
            other => panic!("{other}"),
        };
        assert_eq!(member, "sink");
        let started = |event: &BundleEvent| matches!(event, BundleEvent::Started { member, .. } if member == "sink");
        assert_eq!(bundle.events.iter().filter(started).count(), 1);
        drop(bundle.writer);
        bundle.said.rest();
    }
}

#[test]
fn a_stop_does_not_wait_for_a_restart() {
    let slow = Restart { backoff: PATIENCE * 60, longest: PATIENCE * 60, ..SOON };
    let (sender, failed) = channel();
    let bundle = speaking();
    let member = bundle.member("fail", "source", &[]).restart(slow);
    let bundle = bundle.bundle.member(member).observe(move |event| {
        if let BundleEvent::Restarting { .. } = event {
            sender.send(()).unwrap();
        }
    });
    let handle = bundle.handle();
    let running = std::thread::spawn(|| bundle.run());
    failed.recv_timeout(PATIENCE).unwrap();
    handle.stop();
    let report = running.join().unwrap().unwrap();
    assert_eq!(report.members[0].outcome, MemberOutcome::Stopped);
    assert_eq!(report.members[0].status.unwrap().code(), Some(3));
}

#[test]
fn a_program_that_is_not_there_ends_all() {
    let bundle = speaking().with("wait", "source", &[]);
    let missing = Member::new("sink", || std::process::Command::new("/nowhere/sink"));
    let error = bundle.bundle.member(missing).run().unwrap_err();
    assert_eq!(
        error.to_string(),
        "member `sink` did not start: cannot run `/nowhere/sink`: No such file or directory (os error 2) [M0402]"
    );
    drop(bundle.writer);
    bundle.said.rest();
}
