//! Members that are added, removed and replaced while the bundle runs.

use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use mycelium_bundle::{
    BundleError, BundleEvent, BundleHandle, Change, ChangeError, Member, MemberPhase, MemberStatus,
};
use rustix::process::Signal;

use crate::bundle::{LATE, PATIENCE, end, kill, speaking};

/// Returns a value of each member.
fn of_each<T>(handle: &BundleHandle, value: fn(MemberStatus) -> T) -> Vec<T> {
    handle.members().into_iter().map(value).collect()
}

/// Returns the texts of the remaining events from the first one on that begins with this text.
fn events_from(events: &Receiver<BundleEvent>, start: &str) -> Vec<String> {
    let events: Vec<String> = events.iter().map(|event| event.to_string()).collect();
    events[place_of(&events, start)..].to_vec()
}

/// Returns the position of the first event that begins with this text.
fn place_of(events: &[String], start: &str) -> usize {
    let place = events.iter().position(|event| event.starts_with(start));
    place.unwrap_or_else(|| panic!("`{start}` in {events:?}"))
}

#[test]
fn replaced_members_end_in_order_and_start_when_all_have_ended() {
    let mut bundle = speaking()
        .with("wait", "sink", &["middle"])
        .with("wait", "middle", &["source"])
        .with("wait", "source", &[]);
    let (handle, running) = bundle.started::<3>();
    let middle = handle.pid("middle").unwrap();
    let sink = Change::Replace(bundle.member("wait", "sink", &["middle"]));
    let added = Change::Add(bundle.member("wait", "added", &["source"]));
    let source = Change::Replace(bundle.member("wait", "source", &[]));
    handle.change([sink, added, source]).unwrap();
    assert_eq!([bundle.said.next(), bundle.said.next()], ["source ends", "sink ends"]);
    assert_eq!(bundle.said.sorted(), ["added waits", "sink waits", "source waits"]);
    assert_eq!(handle.pid("middle"), Some(middle));
    end(&handle, running);
    let again = events_from(&bundle.events, "sink: exited");
    for started in ["added: started", "sink: started", "source: started"] {
        place_of(&again, started);
    }
}

#[test]
fn one_change_that_does_not_fit_refuses_all() {
    let mut bundle = speaking().with("wait", "sink", &["source"]).with("wait", "source", &[]);
    let (handle, running) = bundle.started::<2>();
    let before = of_each(&handle, |member| member.pid);
    let member = |name: &'static str| Member::new(name, || Command::new("/nowhere"));
    let good = || Change::Remove("sink".into());
    let unknown = "the bundle has no member `sauce`; its members are: source [M0410]";
    let twice = "two members are called `source`: give one of them another name [M0400]";
    let feeder = "member `new` ends after `sink`, which is not a member; expected one of: source, \
                  new [M0401]";
    let name = "invalid member name `two words`: expected 1 to 62 bytes without white space and \
                control characters [M0407]";
    let refused = [
        (Change::Remove("sauce".into()), unknown),
        (Change::Replace(member("sauce")), unknown),
        (Change::Add(member("source")), twice),
        (Change::Add(member("new").ends_after("sink")), feeder),
        (Change::Add(member("two words")), name),
    ];
    for (change, message) in refused {
        let error = handle.change([good(), change]).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(of_each(&handle, |member| member.pid), before);
    handle.change([]).unwrap();
    end(&handle, running);
    let error = handle.change([]).unwrap_err();
    assert!(matches!(error, ChangeError::Ended), "{error}");
    let ended =
        "the bundle has ended, or is about to: its members can no longer be changed [M0411]";
    assert_eq!(error.to_string(), ended);
}

#[test]
fn an_observer_that_wants_a_change_gets_an_error() {
    let (sender, errors) = channel();
    let bundle = speaking().with("complete", "source", &[]);
    let handle = bundle.bundle.handle();
    let bundle = bundle.bundle.observe(move |_| {
        let _ = sender.send(handle.remove("source").unwrap_err().to_string());
    });
    bundle.run().unwrap();
    let expected =
        "the observer of a bundle cannot change it: call this from another thread [M0412]";
    assert_eq!(errors.recv().unwrap(), expected);
}

#[test]
fn a_removed_member_that_hangs_or_fails_does_not_end_the_others() {
    let mut bundle = speaking().with("wait", "source", &[]).with("hang", "sink", &[]);
    bundle = bundle.with("fail-at-the-end", "odd", &[]);
    bundle.bundle = bundle.bundle.deadline(Duration::from_millis(50));
    let (handle, running) = bundle.started::<3>();
    let odd = bundle.member("wait", "odd", &[]);
    handle.change([Change::Remove("sink".into()), Change::Replace(odd)]).unwrap();
    bundle.wait_for("sink: did not end and was killed");
    bundle.wait_for("odd: started");
    assert_eq!(of_each(&handle, |member| member.name), ["source", "odd"]);
    bundle.said.sorted::<2>();
    handle.stop_within(PATIENCE);
    assert!(running.join().unwrap().is_ok());
}

#[test]
fn a_replaced_member_that_loses_messages_ends_the_bundle() {
    let mut bundle =
        speaking().with("wait", "source", &[]).with("undelivered-at-the-end", "sink", &["source"]);
    let (handle, running) = bundle.started::<2>();
    handle.replace(bundle.member("wait", "sink", &["source"])).unwrap();
    let error = running.join().unwrap().unwrap_err();
    assert!(matches!(error, BundleError::Undelivered { member } if member == "sink"));
}

#[test]
fn a_replaced_member_that_has_completed_or_backs_off_starts_at_once() {
    let mut bundle = speaking().with("wait", "source", &[]).with("complete", "done", &[]);
    let failing = bundle.member("fail", "failing", &[]).restart(LATE);
    bundle.bundle = bundle.bundle.member(failing);
    let (handle, running) = bundle.started::<2>();
    bundle.wait_for("failing: will be restarted");
    let failing = handle.members().into_iter().find(|member| member.name == "failing").unwrap();
    assert_eq!((failing.phase, failing.pid), (MemberPhase::Waiting, None));
    assert_eq!(failing.last_exit.unwrap().code(), Some(3));
    let new = ["done", "failing"].map(|name| Change::Replace(bundle.member("wait", name, &[])));
    handle.change(new).unwrap();
    assert_eq!(bundle.said.sorted(), ["done waits", "failing waits"]);
    end(&handle, running);
}

#[test]
fn added_and_replaced_members_end_in_their_new_order() {
    let mut bundle = speaking().with("wait", "replaced", &[]).with("wait", "source", &[]);
    let (handle, running) = bundle.started::<2>();
    handle.add(bundle.member("wait", "added", &["source"])).unwrap();
    assert_eq!(bundle.said.next(), "added waits");
    handle.replace(bundle.member("wait", "replaced", &["added"])).unwrap();
    assert_eq!([bundle.said.next(), bundle.said.next()], ["replaced ends", "replaced waits"]);
    end(&handle, running);
    let events = events_from(&bundle.events, "source: was sent SIGTERM");
    for (feeder, after) in [("source", "added"), ("added", "replaced")] {
        let exited = place_of(&events, &format!("{feeder}: exited"));
        assert!(exited < place_of(&events, &format!("{after}: was sent SIGTERM")), "{events:?}");
    }
}

#[test]
fn a_member_that_fails_during_a_change_starts_again_at_once() {
    let mut bundle = speaking().with("hang", "slow", &[]).with("wait", "other", &[]);
    let (handle, running) = bundle.started::<2>();
    handle.replace(bundle.member("wait", "slow", &[])).unwrap();
    bundle.wait_for("slow: was sent SIGTERM");
    kill(handle.pid("other").unwrap(), Signal::KILL);
    assert_eq!(bundle.said.next(), "other waits");
    kill(handle.pid("slow").unwrap(), Signal::KILL);
    assert_eq!(bundle.said.next(), "slow waits");
    end(&handle, running);
}

#[test]
fn members_are_told_who_is_gone_and_who_is_back() {
    let mut bundle = speaking().with("hear", "ear", &[]);
    let (handle, running) = bundle.run();
    let hears = |line: &str| while bundle.said.next() != format!("ear {line}") {};
    hears("hears");
    for round in 0..2 {
        handle.add(bundle.member("hang", "sink", &[])).unwrap();
        handle.add(bundle.member("hang", "other", &[])).unwrap();
        // The calls return before the processes have started.
        let pid = |name| std::iter::repeat_with(|| handle.pid(name)).find_map(|pid| pid).unwrap();
        let [sink, other] = ["sink", "other"].map(pid);
        hears(&format!("member other {other}"));
        handle.remove("other").unwrap();
        kill(other, Signal::KILL);
        // Only `other` has gone; `sink` still runs.
        loop {
            let line = bundle.said.next();
            assert_ne!(line, "ear gone sink", "round {round}");
            if line == "ear gone other" {
                break;
            }
        }
        handle.remove("sink").unwrap();
        kill(sink, Signal::KILL);
        hears("gone sink");
    }
    end(&handle, running);
}

#[test]
fn a_stop_during_a_change_starts_nothing_new() {
    let mut bundle = speaking().with("wait", "source", &[]).with("hang", "sink", &["source"]);
    let (handle, running) = bundle.started::<2>();
    let [source, sink] = ["source", "sink"].map(|name| bundle.member("wait", name, &[]));
    handle.change([Change::Replace(source), Change::Replace(sink)]).unwrap();
    assert_eq!(bundle.said.next(), "source ends");
    bundle.wait_for("sink: was sent SIGTERM");
    handle.stop();
    kill(handle.pid("sink").unwrap(), Signal::KILL);
    let error = running.join().unwrap().unwrap_err();
    assert!(matches!(&error, BundleError::Stopped { member, .. } if member == "sink"), "{error}");
    drop(bundle.writer);
    assert!(bundle.said.rest().is_empty());
    let started = |event: &BundleEvent| matches!(event, BundleEvent::Started { .. });
    assert_eq!(bundle.events.iter().filter(started).count(), 0);
}
