//! The two ends of a connection with TLS.

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::{env, fs};

use mycelium_executor::Stream;
use mycelium_transports::endpoint::Gate;
use mycelium_transports::tls::{Tls, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Encrypts a stream at the end that connects, while the other end accepts it.
pub(crate) async fn connect(stream: Stream) -> Stream {
    ENDS[0].connect(stream, NAMES[1]).await.expect(VALID)
}

pub(crate) async fn accept(stream: Stream) -> Stream {
    ENDS[1].secure(stream).await.expect(VALID).stream
}

const VALID: &str = "both ends have valid certificates";

const NAMES: [&str; 2] = ["connects", "accepts"];

const WRITTEN: &str = "the directory for temporary files can be written";

/// Both ends, with their certificates.
static ENDS: LazyLock<[Arc<Tls>; 2]> = LazyLock::new(|| {
    let directory = env::temp_dir().join(format!("mycelium-benches-tls-{}", std::process::id()));
    let file = |name: String| directory.join(name);
    fs::create_dir_all(&directory).expect(WRITTEN);
    write_certificates(&directory, NAMES).expect(WRITTEN);
    let ends = NAMES.map(|name| {
        let files = TlsFiles {
            certificate: file(format!("{name}.pem")),
            key: file(format!("{name}.key")),
            authorities: file("ca.pem".to_owned()),
        };
        Arc::new(Tls::load(name, files, Box::new(|_| ())).expect("the files are valid"))
    });
    // The files are no longer needed: both ends have read them.
    _ = fs::remove_dir_all(&directory);
    ends
});

/// Writes an authority, and certificates that it has issued for these names.
pub(crate) fn write_certificates(dir: &Path, names: [&str; 2]) -> Result<(), Box<dyn Error>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(dir.join("ca.pem"), authority.pem())?;
    for name in names {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &authority)?;
        fs::write(dir.join(format!("{name}.pem")), certificate.pem())?;
        fs::write(dir.join(format!("{name}.key")), key.serialize_pem())?;
    }
    Ok(())
}
