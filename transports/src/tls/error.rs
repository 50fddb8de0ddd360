//! Errors of TLS: why a node cannot prove its name.

use std::fmt;
use std::io;
use std::path::PathBuf;

use futures_rustls::rustls::{self, CertificateError};
use mycelium_core::debug_as_display;
use thiserror::Error;

/// Why a node cannot use its [`TlsFiles`](super::TlsFiles).
#[derive(Error)]
#[error("{file} `{}`: {problem}", path.display())]
pub struct TlsError {
    /// The file with the problem.
    pub file: TlsFile,
    /// The path of the file.
    pub path: PathBuf,
    /// The mistake in the file.
    pub problem: TlsProblem,
}

/// One of the [`TlsFiles`](super::TlsFiles).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFile {
    /// The certificate.
    Certificate,
    /// The certificate's private key.
    Key,
    /// The authorities.
    Authorities,
}

impl fmt::Display for TlsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsFile::Certificate => "certificate",
            TlsFile::Key => "key",
            TlsFile::Authorities => "authorities",
        })
    }
}

/// The mistake in a file of [`TlsFiles`](super::TlsFiles).
#[derive(Error)]
#[non_exhaustive]
pub enum TlsProblem {
    /// The system cannot read the file.
    #[error("cannot read it: {0}")]
    Unreadable(#[source] io::Error),
    /// The file has more bytes than such a file may have.
    #[error("it has more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: u64,
    },
    /// The file has no entry in PEM form of the expected kind.
    #[error("expected {expected} in PEM form{found}")]
    Pem {
        /// The kind of entry.
        expected: &'static str,
        /// The end of the error's text: the fault of an entry, if there is one.
        found: &'static str,
    },
    /// The path is a directory or a pipe.
    #[error("it is not a file")]
    NoFile,
    /// The file contains no authority.
    #[error("no authority can be used: {reason}")]
    NoAuthority {
        /// The reason.
        reason: String,
    },
    /// The certificate is for other names.
    #[error("it is not the certificate of node `{node}`: {reason}")]
    Name {
        /// The name of the node.
        node: String,
        /// The text with the names in the certificate.
        reason: String,
    },
    /// The certificate is not valid: no peer would accept it.
    #[error("no peer would accept it: {reason}; the authorities are those of `{}`", authorities.display())]
    Invalid {
        /// The reason.
        reason: String,
        /// The file of the authorities.
        authorities: PathBuf,
    },
    /// The key belongs to another certificate.
    #[error("it is not the key of `{}`, but that of another certificate", certificate.display())]
    OtherKey {
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// The key is an RSA key of a size that cannot be used.
    #[error("an RSA key has 2048 to 4096 bits, and this one has {bits}")]
    KeySize {
        /// The size of the key in bits.
        bits: usize,
    },
    /// The key cannot be used.
    #[error("expected an ECDSA key (P-256 or P-384), an Ed25519 key or an RSA key: {reason}")]
    Key {
        /// The reason.
        reason: String,
    },
}

debug_as_display!(TlsError, TlsProblem);

/// Returns the reason why a certificate was refused, without the prefix of the library.
pub(super) fn reason(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(error) = error else { return error.to_string() };
    match error {
        CertificateError::UnknownIssuer => "none of the authorities has issued it".to_owned(),
        CertificateError::BadSignature => "the authority of this name has not signed it".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            let since = time.as_secs().saturating_sub(not_after.as_secs());
            format!("it expired {} ago", span(since))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let until = not_before.as_secs().saturating_sub(time.as_secs());
            format!("it becomes valid in {}", span(until))
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its purposes (extended key usage) are not both `serverAuth` and `clientAuth`"
                .to_owned()
        }
        CertificateError::BadEncoding => {
            "its bytes are not those of a certificate, or it is larger than the library reads"
                .to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed by an algorithm that the library does not know".to_owned()
        }
        CertificateError::Other(other) => in_words(&other.0.to_string()),
        other => other.to_string(),
    }
}

/// Describes an error of the library that has only a name.
fn in_words(name: &str) -> String {
    let known = match name {
        "CaUsedAsEndEntity" => "it is the certificate of an authority (`CA:TRUE`), not of a node",
        "EndEntityUsedAsCa" => {
            "a certificate that is not of an authority (`CA:FALSE`) has issued it"
        }
        "NameConstraintViolation" => "its authority may not issue certificates with this name",
        "PathLenConstraintViolated" => {
            "more certificates are between it and the authority than the authority permits"
        }
        "UnsupportedCriticalExtension" => {
            "it has a critical extension that the library does not know"
        }
        "UnsupportedCertVersion" => "it is not an X.509 certificate of version 3",
        _ => return format!("the library says `{name}`"),
    };
    known.to_owned()
}

/// Describes a number of seconds in words.
fn span(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (unit, name) =
        units.into_iter().find(|(unit, _)| seconds >= *unit).unwrap_or((1, "second"));
    let count = seconds / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}
