//! The two ends of a connection with TLS.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::{env, fs, io};

use mycelium_executor::Stream;
use mycelium_transports::endpoint::Gate;
use mycelium_transports::tls::{Tls, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsEnd {
    Connects,
    Accepts,
}

impl TlsEnd {
    /// Encrypts a stream, which the other end has to do at the same time.
    pub(crate) async fn secure(self, stream: Stream) -> Stream {
        let secured = match self {
            TlsEnd::Connects => ENDS[0].connect(stream, NAMES[1]).await,
            TlsEnd::Accepts => ENDS[1].secure(stream).await.map(|secured| secured.stream),
        };
        secured.expect("both ends have valid certificates")
    }
}

const NAMES: [&str; 2] = ["connects", "accepts"];

/// Both ends, with their certificates.
static ENDS: LazyLock<[Arc<Tls>; 2]> = LazyLock::new(|| {
    let directory = env::temp_dir().join(format!("mycelium-benches-tls-{}", std::process::id()));
    let file = |name: String| directory.join(name);
    let written =
        fs::create_dir_all(&directory).and_then(|()| write_certificates(&directory, NAMES));
    written.expect("the directory for temporary files can be written");
    let ends = NAMES.map(|name| {
        let files = TlsFiles {
            certificate: file(format!("{name}.pem")),
            key: file(format!("{name}.key")),
            authorities: file("ca.pem".to_owned()),
        };
        Arc::new(Tls::load(name, files, Box::new(|_| ())).expect("the files are valid"))
    });
    // An end whose files are gone keeps what it has read.
    _ = fs::remove_dir_all(&directory);
    ends
});

/// Writes an authority, and certificates that it has issued for these names.
pub(crate) fn write_certificates(directory: &Path, names: [&str; 2]) -> io::Result<()> {
    let issue = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        fs::write(directory.join("ca.pem"), authority.pem())?;
        for name in names {
            let key = KeyPair::generate()?;
            let certificate =
                CertificateParams::new([name.to_owned()])?.signed_by(&key, &authority)?;
            fs::write(directory.join(format!("{name}.pem")), certificate.pem())?;
            fs::write(directory.join(format!("{name}.key")), key.serialize_pem())?;
        }
        Ok(())
    };
    issue().map_err(io::Error::other)
}
