//! Members that end by themselves: successfully, with a failure, or with a permanent failure.

use std::process::Command;

use mycelium_bundle::{Bundle, BundleError, BundleEvent, Member, MemberPhase};

use crate::bundle::{LATE, end, speaking};

#[test]
fn too_many_failures_end_all() {
    let bundle = speaking().with("wait", "source", &[]).with("fail", "sink", &["source"]);
    let error = bundle.bundle.run().unwrap_err();
    let failed =
        "member `sink` failed permanently after 3 restarts within 60s: exit status: 3 [M0403]";
    assert_eq!(error.to_string(), failed);
    assert!(matches!(error, BundleError::Failed { restarts: 3, .. }));
    drop(bundle.writer);
    bundle.said.rest();
    let given_up = |event: &BundleEvent| *event == BundleEvent::GivenUp { member: "sink".into() };
    assert!(bundle.events.iter().any(|event| given_up(&event)));
}

#[test]
fn a_stop_does_not_wait_for_a_restart() {
    let mut bundle = speaking();
    let member = bundle.member("fail", "source", &[]).restart(LATE);
    bundle.bundle = bundle.bundle.member(member);
    let (handle, running) = bundle.run();
    bundle.wait_for("source: will be restarted");
    let report = end(&handle, running);
    assert_eq!(report.members[0].phase, MemberPhase::Stopped);
    assert_eq!(report.members[0].last_exit.unwrap().code(), Some(3));
}

/// The sources of the member may have messages for it, so it is restarted at once.
#[test]
fn a_stop_restarts_a_member_whose_sources_run() {
    let directory = std::env::temp_dir().join(format!("stop-restarts-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let pipe = directory.join("read");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let shell = |name: &str, script: &str| {
        let (script, directory) = (script.to_owned(), directory.clone());
        Member::new(name, move || {
            let mut command = Command::new("sh");
            command.args(["-c", &script]).current_dir(&directory);
            command
        })
    };
    let wait = "while :; do sleep 1000 & wait $!; done";
    let source = "trap 'read word <read; exit 0' TERM; touch traps";
    let source = shell("source", &format!("{source}; {wait}"));
    let again = format!("trap 'exit 0' TERM; echo all >read; {wait}");
    // The stop, which follows its failure, must not come before the source can handle it.
    let fail = "until [ -e traps ]; do sleep 0.01; done; touch ran; exit 3";
    let sink = shell("sink", &format!("if [ -e ran ]; then {again}; fi; {fail}"));
    let mut bundle = speaking();
    let sink = sink.restart(LATE).ends_after("source");
    bundle.bundle = bundle.bundle.member(source).member(sink);
    let (handle, running) = bundle.run();
    bundle.wait_for("sink: will be restarted");
    let report = end(&handle, running);
    std::fs::remove_dir_all(directory).unwrap();
    assert!(report.members.iter().all(|it| it.phase == MemberPhase::Completed));
    assert_eq!(report.members.iter().map(|it| it.starts).sum::<u64>(), 3);
}

#[test]
fn a_program_that_is_not_there_ends_all() {
    for is_first in [false, true] {
        let bundle = speaking();
        let missing = Member::new("sink", || Command::new("/nowhere/sink"));
        let mut members = [bundle.member("wait", "source", &[]), missing];
        if is_first {
            members.reverse();
        }
        let error = members.into_iter().fold(bundle.bundle, Bundle::member).run().unwrap_err();
        let expected = "member `sink` did not start: cannot run `/nowhere/sink`: No such file or \
                        directory (os error 2) [M0402]";
        assert_eq!(error.to_string(), expected);
        drop(bundle.writer);
        bundle.said.rest();
        // Members after the failed one do not start.
        let is_started = |event: BundleEvent| matches!(event, BundleEvent::Started { .. });
        assert_eq!(bundle.events.into_iter().any(is_started), !is_first);
    }
}
