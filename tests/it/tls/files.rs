//! The files of a node: mistakes in them, and their replacement while the node runs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use mycelium_transports::tls::{Tls, TlsError};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa,
    date_time_ymd,
};

use crate::certificates::{Authority, Certificates, of_node};
use crate::numbers::{all_arrive, within};
use crate::running::{LONG, Says, end, of_links};
use crate::tls::hostile::{executor, to_far};
use crate::tls::pair::{NONE, Pair, rejected, two_hosts, until};

const COUNT: u64 = 100;

/// Returns the start error of `far` with these files, without the directory.
fn start_error(name: &str, prepare: impl FnOnce(&Certificates)) -> String {
    let certificates = Certificates::of(name, &["far", "near"]);
    prepare(&certificates);
    let text = two_hosts(&certificates, "");
    let (pair, _received) = Pair::new(name, text);
    let error = pair.start_error("far");
    assert!(!error.is_permanent(), "the files may be there at the next start");
    error.to_string().replace(&format!("{}/", certificates.path().display()), "")
}

/// Writes the files of a new authority, and a certificate with these changes.
fn issue(files: &Certificates, change: impl FnOnce(&mut CertificateParams)) {
    let authority = Authority::new("test");
    let mut params = CertificateParams::new(["far".to_owned()]).unwrap();
    change(&mut params);
    files.write("ca.pem", &authority.pem());
    files.write_pair("far", &authority.issue_as(params));
}

/// Returns the start error of `far` with these files: its place and its cause.
fn mistake(prepare: impl FnOnce(&Certificates)) -> String {
    let error = start_error("mistakes", prepare);
    let text = error.strip_prefix("t.toml:").and_then(|it| it.strip_suffix(" [M0059]"));
    let parts = text.and_then(|it| it.split_once(": node `far` cannot use TLS: "));
    let (place, cause) = parts.expect(&error);
    format!("{place}: {cause}")
}

#[tokio::test]
async fn mistakes_in_files_are_start_errors_with_their_place() {
    mistake(|files| std::fs::remove_file(files.path().join("far.pem")).unwrap()).says(
        "3:15: certificate `far.pem`: cannot read it: No such file or directory (os error 2)",
    );
    mistake(|files| files.write("far.key", ""))
        .says("4:7: key `far.key`: expected a private key in PEM form");
    mistake(|files| files.write("ca.pem", "no PEM"))
        .says("5:15: authorities `ca.pem`: expected a certificate in PEM form");
    mistake(|files| files.write("ca.pem", &"-".repeat((1 << 20) + 1)))
        .says("5:15: authorities `ca.pem`: it has more than 1048576 bytes");
    mistake(|files| files.write("far.key", &Authority::new("test").issue("far").1)).says(
        "4:7: key `far.key`: it is not the key of `far.pem`, but that of another certificate",
    );
    let error = mistake(|files| {
        for kind in ["pem", "key"] {
            let near = files.path().join(format!("near.{kind}"));
            std::fs::copy(near, files.path().join(format!("far.{kind}"))).unwrap();
        }
    });
    error.says(
        "3:15: certificate `far.pem`: it is not the certificate of node `far`: certificate not \
         valid for name \"far\"; certificate is only valid for DnsName(\"near\")",
    );
    let cause = |prepare: fn(&Certificates)| {
        let error = mistake(prepare);
        let text = error.strip_suffix("; the authorities are those of `ca.pem`").expect(&error);
        let cause = text.strip_prefix("3:15: certificate `far.pem`: no peer would accept it: ");
        cause.expect(&error).to_owned()
    };
    cause(|files| files.write_pair("far", &Authority::new("another one").issue("far")))
        .says("none of the authorities has issued it");
    // The library has only identifiers for these mistakes, so the texts are ours.
    cause(|files| issue(files, |it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)))
        .says("it is the certificate of an authority (`CA:TRUE`), not of a node");
    let error = cause(|files| {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        extension.set_criticality(true);
        issue(files, |it| it.custom_extensions = vec![extension]);
    });
    error.says("it has a critical extension that the library does not know");
    // A node that only reads connects as a client, and its certificate must allow that.
    let error = cause(|files| {
        let servers = vec![ExtendedKeyUsagePurpose::ServerAuth];
        issue(files, |it| it.extended_key_usages = servers);
    });
    error.says("its purposes (extended key usage) are not both `serverAuth` and `clientAuth`");
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_now_is_a_start_error() {
    let at = |name: &str, from: i32, to: i32| {
        start_error(name, |files| {
            issue(files, |params| {
                params.not_before = date_time_ymd(from, 1, 1);
                params.not_after = date_time_ymd(to, 1, 1);
            });
        })
    };
    let start = "t.toml:3:15: node `far` cannot use TLS: certificate `far.pem`: no peer would \
                 accept it: it";
    let expired = at("expired", 2000, 2001);
    expired.begins(&format!("{start} expired "));
    expired.mentions(" days ago; the authorities are those of ");
    at("early", 4000, 4001).begins(&format!("{start} becomes valid in "));
}

/// At first, the two have no authority in common. The files of `near` are replaced while both run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_uses_the_files_that_replace_its_own() {
    let (far_files, near_files) =
        (Certificates::of("reload-far", &["far"]), Certificates::of("reload-near", &["near"]));
    let text = two_hosts(&far_files, "");
    let (pair, _received) = Pair::new("reload-far", text.clone());
    let far = pair.start("far", COUNT);
    let text = text.replace(&far_files.section(), &near_files.section());
    let (pair, received) = Pair::new("reload-near", text);
    let near = pair.start("near", COUNT);
    // `near` does not trust the authority of `far`.
    let authority = Authority::new("both");
    until(|| rejected(&far) >= 2).await;
    // Invalid files do not replace the files in use.
    near_files.write("near.pem", "");
    let before = rejected(&far);
    until(|| rejected(&far) >= before + 2).await;
    assert_eq!(of_links(&far, "connections"), 0);
    // Each node reads all of its files again before its next handshake.
    for (files, node) in [(&far_files, "far"), (&near_files, "near")] {
        files.write_pair(node, &authority.issue(node));
        files.write("ca.pem", &authority.pem());
    }
    all_arrive([near, far], &received, COUNT).await;
}

/// A new certificate does not end an open connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_outlives_its_certificates() {
    let certificates = Certificates::of("outlives", &["far", "near"]);
    let (pair, _received) = Pair::new("outlives", two_hosts(&certificates, ""));
    let near = pair.start("near", NONE);
    let far = pair.start("far", NONE);
    within(near.ready()).await.unwrap();
    let authority = Authority::new("new");
    certificates.write("ca.pem", &authority.pem());
    within(end(near)).await;
    within(end(far)).await;
}

/// Peers know only the root, so the node's file has the intermediate authorities.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_of_a_node_may_need_an_intermediate() {
    let root = Authority::new("root");
    let intermediate = root.intermediate("intermediate");
    let leaf = |node: &str| intermediate.issue(node);
    let chain = |node: &str| {
        let (leaf, key) = leaf(node);
        (format!("{leaf}{}", intermediate.pem()), key)
    };
    let alone = start_error("leaf", |files| {
        files.write("ca.pem", &root.pem());
        files.write_pair("far", &leaf("far"));
    });
    alone.ends(
        "none of the authorities has issued it; the authorities are those of `ca.pem` [M0059]",
    );

    let certificates = Certificates::new("chain");
    certificates.write("ca.pem", &root.pem());
    ["far", "near"].iter().for_each(|node| certificates.write_pair(node, &chain(node)));
    let text = two_hosts(&certificates, "");
    let (pair, received) = Pair::new("chain", text);
    let near = pair.start("near", COUNT);
    let far = pair.start("far", COUNT);
    all_arrive([near, far], &received, COUNT).await;
}

/// A node whose connections fail; each failure makes it read its files again.
struct Rereading {
    certificates: Certificates,
    authority: Authority,
    tls: Arc<Tls>,
    /// For each report: why the new files are not in use, or `None` if they are.
    reports: Arc<Mutex<Vec<Option<String>>>>,
}

impl Rereading {
    fn new(name: &str) -> Rereading {
        let (certificates, authority) = (Certificates::new(name), Authority::new("test"));
        certificates.write("ca.pem", &authority.pem());
        certificates.write_pair("near", &authority.issue("near"));
        let files = of_node(certificates.path(), "near");
        let reports = Arc::new(Mutex::new(Vec::new()));
        let reported = reports.clone();
        let on_reload = Box::new(move |error: Option<&TlsError>| {
            reported.lock().unwrap().push(error.map(ToString::to_string));
        });
        let tls = Arc::new(Tls::load("near", files, on_reload).unwrap());
        Rereading { certificates, authority, tls, reports }
    }

    /// Replaces the certificate.
    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(["near".to_owned()]).unwrap();
        change(&mut params);
        self.certificates.write_pair("near", &self.authority.issue_as(params));
    }

    /// Makes a connection that is closed without a handshake.
    async fn connect(&self) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = vec![listener.local_addr().unwrap().to_string()];
        let accepting = std::thread::spawn(move || drop(listener.accept()));
        let endpoint = to_far(self.tls.clone(), addresses, LONG);
        assert!(within(endpoint.connect(&executor())).await.is_err());
        accepting.join().unwrap();
    }

    fn reports(&self) -> Vec<Option<String>> {
        self.reports.lock().unwrap().clone()
    }
}

/// A file that could not be read was once reported as changed, each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_read_has_not_changed() {
    let node = Rereading::new("unreadable");
    let unreadable = |report: &Option<String>| {
        report.as_ref().is_some_and(|text| text.ends_with("(os error 2)"))
    };
    let (path, aside) =
        (node.certificates.path().join("near.pem"), node.certificates.path().join("aside.pem"));
    let hidden = async || {
        std::fs::rename(&path, &aside).unwrap();
        node.connect().await;
        std::fs::rename(&aside, &path).unwrap();
        node.connect().await;
    };
    hidden().await;
    assert!(matches!(&*node.reports(), [gone] if unreadable(gone)), "{:?}", node.reports());
    // Invalid files that were reported before have not changed either.
    node.issue(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    node.connect().await;
    hidden().await;
    let reports = node.reports();
    let [_, Some(_), gone] = &*reports else { panic!("{reports:?}") };
    assert!(unreadable(gone), "{reports:?}");
}

/// Clocks differ, so a new certificate may not be valid yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_becomes_valid_is_used_then() {
    let node = Rereading::new("early-later");
    node.issue(|params| {
        let soon = executor().wall_clock() + Duration::from_secs(2);
        params.not_before = date_time_ymd(1970, 1, 1) + soon.duration_since(UNIX_EPOCH).unwrap();
    });
    within(async {
        while !node.reports().contains(&None) {
            node.connect().await;
        }
    })
    .await;
    let reports = node.reports();
    let [Some(refused), None] = &*reports else { panic!("{reports:?}") };
    refused.mentions("it becomes valid in ");
}
