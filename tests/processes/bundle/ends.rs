//! The order in which a bundle ends its members.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::mpsc::channel;

use mycelium_bundle::{BundleEvent, Member, MemberPhase};

use crate::bundle::{end, speaking};

#[test]
fn sources_end_first() {
    // The order of adding differs from the order of ending, and must not matter.
    let mut bundle = speaking()
        .with("wait", "sink", &["left", "right"])
        .with("wait", "left", &["source"])
        .with("wait", "right", &["source"])
        .with("wait", "source", &[]);
    let (handle, running) = bundle.started::<4>();
    let report = end(&handle, running);
    assert!(report.members.iter().all(|member| member.phase == MemberPhase::Completed));
    assert_eq!(bundle.said.next(), "source ends");
    assert_eq!(bundle.said.sorted(), ["left ends", "right ends"]);
    assert_eq!(bundle.said.next(), "sink ends");
    // A member exits before the members after it get SIGTERM.
    let mut here = vec!["left", "right", "sink", "source"];
    for event in bundle.events {
        match event {
            BundleEvent::Exited { member, .. } => here.retain(|name| **name != member),
            BundleEvent::Stopping { member } if member == "sink" => assert_eq!(here, ["sink"]),
            BundleEvent::Stopping { member } if member != "source" => {
                assert!(!here.contains(&"source"))
            }
            _ => (),
        }
    }
}

#[test]
fn members_in_a_circle_end_together() {
    let mut bundle = speaking().with("wait", "a", &["b"]).with("wait", "b", &["a"]);
    let (handle, running) = bundle.started::<2>();
    end(&handle, running);
    assert_eq!(bundle.said.sorted(), ["a ends", "b ends"]);
}

#[test]
fn a_bundle_that_was_stopped_before_starts_nothing() {
    let bundle = speaking().with("wait", "source", &[]);
    bundle.bundle.handle().stop();
    let report = bundle.bundle.run().unwrap();
    assert_eq!((report.members[0].phase, report.members[0].starts), (MemberPhase::Stopped, 0));
}

#[test]
fn a_panic_leaves_no_process() {
    let bundle = speaking().with("hang", "source", &[]).with("hang", "sink", &[]);
    let handle = bundle.bundle.handle();
    let (sender, started) = channel();
    let run = bundle.bundle.observe(move |event| {
        if let BundleEvent::Started { member, .. } = event {
            sender.send(()).unwrap();
            assert_ne!(member, "sink", "this is the panic");
        }
    });
    catch_unwind(AssertUnwindSafe(|| run.run())).unwrap_err();
    assert_eq!(started.iter().count(), 2);
    assert_eq!(handle.pid("source"), None);
    drop(bundle.writer);
    bundle.said.rest();
}

#[test]
fn what_a_member_leaves_in_its_group_goes_with_it() {
    let bundle = speaking();
    let writer = bundle.writer.try_clone().unwrap();
    let member = Member::new("shell", move || {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & exit 0"]).stdout(writer.try_clone().unwrap());
        command
    });
    let report = bundle.bundle.member(member).run().unwrap();
    assert_eq!(report.members[0].phase, MemberPhase::Completed);
    drop(bundle.writer);
    bundle.said.rest();
}

#[test]
fn a_member_that_reads_its_input_to_the_end_waits_for_the_launcher() {
    let mut bundle = speaking();
    bundle.bundle = bundle.bundle.member(Member::new("cat", || Command::new("cat")));
    let (handle, running) = bundle.run();
    bundle.wait_for("cat: started");
    let report = end(&handle, running);
    assert_eq!(report.members[0].phase, MemberPhase::Stopped);
    assert_eq!(report.members[0].last_exit.unwrap().to_string(), "signal: 15 (SIGTERM)");
}
