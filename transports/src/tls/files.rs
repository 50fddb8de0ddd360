//! The TLS files of a node: its certificate, the certificate's private key, and the authorities.
//! They are checked when they are read.

use std::fs::{self, File};
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use futures_rustls::pki_types::pem::{self, PemObject};
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use futures_rustls::rustls::client::danger::ServerCertVerifier;
use futures_rustls::rustls::server::danger::ClientCertVerifier;
use futures_rustls::rustls::{self, CertificateError, RootCertStore};

use super::error::{TlsError, TlsFile, TlsProblem, reason};

/// The most bytes of a file. A longer file is an error.
const LONGEST: u64 = 1 << 20;

/// The files that a node needs for TLS, all in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the node, which has its name, followed by the certificates between it and
    /// the authority, if there are any.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// The certificates of the authorities that may issue certificates of nodes.
    pub authorities: PathBuf,
}

/// The bytes of the files. Comparing them shows whether a file has changed.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Vec<u8>,
}

/// The decoded content of the files.
pub(super) struct Credentials {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) authorities: RootCertStore,
}

impl TlsFiles {
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        let read = |file| read_file(self.path(file)).map_err(|problem| self.error(file, problem));
        Ok(Contents {
            certificate: read(TlsFile::Certificate)?,
            key: read(TlsFile::Key)?,
            authorities: read(TlsFile::Authorities)?,
        })
    }

    /// Checks the node's own certificate as its peers do, so that a mistake is an error here and
    /// not at each peer.
    pub(super) fn check(
        &self,
        node: &str,
        chain: &[CertificateDer<'_>],
        readers: &dyn ServerCertVerifier,
        publishers: &dyn ClientCertVerifier,
    ) -> Result<(), TlsError> {
        if !can_prove(node) {
            let reason = "no certificate can have this name".to_owned();
            let problem = TlsProblem::Name { node: node.to_owned(), reason };
            return Err(self.error(TlsFile::Certificate, problem));
        }
        let name = ServerName::try_from(node).map_err(|error| {
            let (node, reason) = (node.to_owned(), error.to_string());
            self.error(TlsFile::Certificate, TlsProblem::Name { node, reason })
        })?;
        let (own, issuers) = chain.split_at_checked(1).unwrap_or_default();
        let now = UnixTime::now();
        let checked = own.iter().try_for_each(|own| {
            readers.verify_server_cert(own, issuers, &name, &[], now)?;
            publishers.verify_client_cert(own, issuers, now).map(drop)
        });
        checked.map_err(|error| {
            let problem = match &error {
                rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                ) => TlsProblem::Name { node: node.to_owned(), reason: reason(&error) },
                _ => {
                    let authorities = self.authorities.clone();
                    TlsProblem::Invalid { reason: reason(&error), authorities }
                }
            };
            self.error(TlsFile::Certificate, problem)
        })
    }

    pub(super) fn no_authorities(&self, reason: String) -> TlsError {
        self.error(TlsFile::Authorities, TlsProblem::NoAuthority { reason })
    }

    /// Returns the error of a `key` that belongs to another certificate, or cannot be used.
    pub(super) fn no_key(&self, error: &rustls::Error, key: &PrivateKeyDer<'_>) -> TlsError {
        let certificate = self.certificate.clone();
        let problem = match (error, rsa_bits(key.secret_der())) {
            (rustls::Error::InconsistentKeys(_), _) => TlsProblem::OtherKey { certificate },
            (_, Some(bits)) if !RSA_BITS.contains(&bits) => TlsProblem::KeySize { bits },
            (other, _) => TlsProblem::Key { reason: other.to_string() },
        };
        self.error(TlsFile::Key, problem)
    }

    fn error(&self, file: TlsFile, problem: TlsProblem) -> TlsError {
        TlsError { file, path: self.path(file).to_owned(), problem }
    }

    fn path(&self, file: TlsFile) -> &Path {
        match file {
            TlsFile::Certificate => &self.certificate,
            TlsFile::Key => &self.key,
            TlsFile::Authorities => &self.authorities,
        }
    }
}

impl Contents {
    pub(super) fn parse(&self, files: &TlsFiles) -> Result<Credentials, TlsError> {
        let no_pem = |file, expected, error: Option<pem::Error>| {
            let found = match error {
                Some(pem::Error::NoItemsFound) | None => "",
                Some(pem::Error::MissingSectionEnd { .. }) => ": the end of an entry is missing",
                Some(pem::Error::IllegalSectionStart { .. }) => ": an entry has no valid begin",
                Some(_) => ": an entry is not base64",
            };
            files.error(file, TlsProblem::Pem { expected, found })
        };
        let certificates = |file, bytes| {
            let all = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
            match all {
                Ok(all) if !all.is_empty() => Ok(all),
                all => Err(no_pem(file, "a certificate", all.err())),
            }
        };
        let chain = certificates(TlsFile::Certificate, &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let kind = if self.key.windows(ENCRYPTED.len()).any(|text| text == ENCRYPTED) {
            "a private key without a password"
        } else {
            "a private key"
        };
        let key = key.map_err(|error| no_pem(TlsFile::Key, kind, Some(error)))?;
        let mut authorities = RootCertStore::empty();
        for authority in certificates(TlsFile::Authorities, &self.authorities)? {
            let added = authorities.add(authority);
            added.map_err(|error| files.no_authorities(reason(&error)))?;
        }
        Ok(Credentials { chain, key, authorities })
    }
}

/// The sizes of RSA keys that can be used.
const RSA_BITS: RangeInclusive<usize> = 2048..=4096;

/// Returns the size of a key, in DER form, if it is an RSA key: the size of the number after the
/// version, which is 0.
fn rsa_bits(key: &[u8]) -> Option<usize> {
    const VERSION_THEN_NUMBER: [u8; 4] = [2, 1, 0, 2];
    let start = key.windows(4).position(|bytes| bytes == VERSION_THEN_NUMBER)?;
    let (length, number) = match *key.get(start + 4..)? {
        [0x81, length, ref number @ ..] => (usize::from(length), number),
        [0x82, high, low, ref number @ ..] => {
            (usize::from(u16::from_be_bytes([high, low])), number)
        }
        [length, ref number @ ..] if length < 0x80 => (usize::from(length), number),
        _ => return None,
    };
    let digits = number.get(..length)?;
    let zeros = digits.iter().take_while(|&&digit| digit == 0).count();
    let first = digits.get(zeros)?;
    Some((length - zeros) * 8 - first.leading_zeros() as usize)
}

/// The beginning of a private key with a password.
const ENCRYPTED: &[u8] = b"BEGIN ENCRYPTED PRIVATE KEY";

fn read_file(path: &Path) -> Result<Vec<u8>, TlsProblem> {
    // Checks the kind of file first, because opening a pipe would wait for its other side.
    if !fs::metadata(path).map_err(TlsProblem::Unreadable)?.is_file() {
        return Err(TlsProblem::NoFile);
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    match read.map_err(TlsProblem::Unreadable)? {
        // The reader above stops one byte after the limit.
        count if count as u64 > LONGEST => Err(TlsProblem::TooLong { limit: LONGEST }),
        _ => Ok(bytes),
    }
}

// The names of nodes that certificates can have.

/// Whether a certificate can prove exactly this name.
pub(super) fn can_prove(node: &str) -> bool {
    let is_exact = !node.ends_with('.') && !node.contains(char::is_uppercase);
    is_exact && matches!(ServerName::try_from(node), Ok(ServerName::DnsName(_)))
}
