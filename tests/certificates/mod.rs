//! Makes certificates of nodes for tests.
#![allow(dead_code)] // each test file uses its part

pub(crate) mod raw;

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Issues certificates of nodes.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(authority(name), key).unwrap())
    }

    /// Returns an intermediate authority with a certificate of this one.
    pub(crate) fn intermediate(&self, name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::signed_by(authority(name), key, &self.0).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Returns a certificate and its key for a node with this name.
    pub(crate) fn issue(&self, node: &str) -> (String, String) {
        self.issue_as(CertificateParams::new([node.to_owned()]).unwrap())
    }

    pub(crate) fn issue_as(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// Returns the paths of a node's files in a directory.
#[cfg(feature = "tls")]
pub(crate) fn of_node(directory: &Path, node: &str) -> mycelium_transports::tls::TlsFiles {
    let file = |name: &str| directory.join(name);
    let (certificate, key) = (file(&format!("{node}.pem")), file(&format!("{node}.key")));
    mycelium_transports::tls::TlsFiles { certificate, key, authorities: file("ca.pem") }
}

/// A directory with `ca.pem`, and with `<node>.pem` and `<node>.key` of each node.
pub(crate) struct Certificates(PathBuf);

impl Certificates {
    pub(crate) fn new(name: &str) -> Certificates {
        let name = format!("mycelium-tls-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        Certificates(directory)
    }

    /// Makes a directory with one authority, and the certificates of these nodes.
    pub(crate) fn of(name: &str, nodes: &[&str]) -> Certificates {
        Certificates::new(name).with(nodes)
    }

    /// Makes the same files in a directory that the caller names.
    pub(crate) fn in_directory(directory: &Path, nodes: &[&str]) -> Certificates {
        fs::create_dir_all(directory).unwrap();
        Certificates(directory.to_owned()).with(nodes)
    }

    fn with(self, nodes: &[&str]) -> Certificates {
        let (certificates, authority) = (self, Authority::new("test"));
        certificates.write("ca.pem", &authority.pem());
        nodes.iter().for_each(|node| certificates.write_pair(node, &authority.issue(node)));
        certificates
    }

    /// Replaces a file atomically: a reader sees the old or the new one.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let (new, path) = (self.0.join(format!(".{file}")), self.0.join(file));
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
    }

    pub(crate) fn write_pair(&self, node: &str, (certificate, key): &(String, String)) {
        self.write(&format!("{node}.key"), key);
        self.write(&format!("{node}.pem"), certificate);
    }

    /// Returns the section of a topology file that names these files.
    pub(crate) fn section(&self) -> String {
        let directory = self.0.display();
        format!(
            "[tls]\ncertificate = \"{directory}/{{node}}.pem\"\nkey = \"{directory}/{{node}}.key\"\n\
             authorities = \"{directory}/ca.pem\"\n"
        )
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}
