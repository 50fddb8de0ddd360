//! Certificates for trying out a topology with TLS: an authority of its own, and a certificate for
//! each node.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Writes `ca.pem`, and `<node>.pem` and `<node>.key` for each node. The key of the authority is
/// not kept, so nobody can issue another certificate.
pub(crate) fn write(directory: &Path, nodes: &[String]) -> mycelium::Result<()> {
    fs::create_dir_all(directory)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "bandit");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    for node in nodes {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([node.clone()])?;
        params.distinguished_name.push(DnType::CommonName, node.as_str());
        let certificate = params.signed_by(&key, &authority)?;
        write_file(&directory.join(format!("{node}.key")), &key.serialize_pem(), 0o600)?;
        write_file(&directory.join(format!("{node}.pem")), &certificate.pem(), 0o644)?;
    }
    write_file(&directory.join("ca.pem"), &authority.pem(), 0o644)?;
    Ok(())
}

/// Replaces a file as a whole.
fn write_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let new = path.with_added_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, path)
}
