//! How a node reaches its server: a context of NATS's own command line.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs};

use async_nats::jetstream;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

/// How often a silent server is asked whether it is there. The second missing answer ends the
/// connection.
const PING: Duration = Duration::from_secs(5);
/// The most packets that wait for the connection. Publishers wait when this many do.
const OUTGOING: usize = 64;
/// The most received packets of a topic that wait. Further ones are dropped.
const INCOMING: usize = 1024;

/// How a node reaches its server.
#[derive(Clone)]
pub(crate) struct Server {
    context: Context,
    /// Where relative paths of the context begin.
    directory: PathBuf,
}

/// The keys of a context, as `nats context save` writes it. Empty means absent.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Context {
    description: String,
    /// One address or several, with commas between.
    url: String,
    token: String,
    user: String,
    password: String,
    /// A file with a JWT and the seed of its key.
    creds: PathBuf,
    /// A file with the seed of a key.
    nkey: PathBuf,
    user_jwt: String,
    user_seed: String,
    cert: PathBuf,
    key: PathBuf,
    ca: PathBuf,
    tls_first: bool,
    inbox_prefix: String,
    jetstream_domain: String,
    jetstream_api_prefix: String,
    /// Keys that only the command line reads.
    #[serde(skip_serializing)]
    color_scheme: String,
    #[serde(skip_serializing)]
    jetstream_event_prefix: String,
    /// What is refused, unless it is empty.
    #[serde(skip_serializing)]
    socks_proxy: String,
    #[serde(skip_serializing)]
    nsc: String,
    #[serde(skip_serializing)]
    windows_cert_store: String,
    #[serde(skip_serializing)]
    windows_cert_match_by: String,
    #[serde(skip_serializing)]
    windows_cert_match: String,
    #[serde(skip_serializing)]
    windows_ca_certs_match: Vec<String>,
}

impl Server {
    /// Returns the server at this address, such as `nats://10.0.0.1:4222`, or at the first of
    /// several that answers, with commas between them.
    pub(crate) fn at(url: &str) -> Server {
        let context = Context { url: url.to_owned(), ..Context::default() };
        Server { context, directory: PathBuf::new() }
    }

    pub(crate) fn from_file(path: &Path) -> Result<Server, String> {
        let read = || {
            let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
            let context: Context =
                serde_json::from_str(&text).map_err(|error| error.to_string())?;
            context.check()?;
            Ok(context)
        };
        let context = read().map_err(|error: String| {
            format!("cannot use the file `{}`: {error}", path.display())
        })?;
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Server { context, directory })
    }

    /// Returns the addresses, without passwords in them.
    pub(crate) fn urls(&self) -> String {
        self.context.urls().map(without_secret).collect::<Vec<_>>().join(", ")
    }

    /// Tries once to connect.
    pub(crate) async fn connect(&self, options: ConnectOptions) -> Result<Client, ConnectError> {
        let context = &self.context;
        let parse = |url: &str| {
            let address = url.parse::<ServerAddr>();
            address
                .map_err(|error| ConnectError::fatal(format!("`{}`: {error}", without_secret(url))))
        };
        let addresses = context.urls().map(parse).collect::<Result<Vec<_>, _>>()?;
        let options = match addresses.iter().find_map(named) {
            Some((user, Some(password))) => options.user_and_password(user, password),
            Some((token, None)) => options.token(token),
            None => options,
        };
        let options = self.secured(options).await.map_err(ConnectError::fatal)?;
        options.connect(addresses).await.map_err(|error| {
            use ConnectErrorKind::{Dns, Io, MaxReconnects, TimedOut};
            let may_pass = matches!(error.kind(), Dns | Io | MaxReconnects | TimedOut);
            ConnectError { problem: error.to_string(), may_pass }
        })
    }

    /// Returns the interface of the server's storage.
    pub(crate) fn jetstream(&self, client: Client) -> jetstream::Context {
        let Context { jetstream_domain, jetstream_api_prefix, .. } = &self.context;
        if !jetstream_domain.is_empty() {
            jetstream::with_domain(client, jetstream_domain)
        } else if !jetstream_api_prefix.is_empty() {
            jetstream::with_prefix(client, jetstream_api_prefix)
        } else {
            jetstream::new(client)
        }
    }

    /// Adds what the context says of names, keys and certificates.
    async fn secured(&self, mut options: ConnectOptions) -> Result<ConnectOptions, String> {
        let context = &self.context;
        let file = |path: &Path| self.directory.join(path);
        let failed = |what: &str, path: &Path, error: &dyn fmt::Display| {
            format!("cannot use the file `{}` of `{what}`: {error}", file(path).display())
        };
        options = options.ping_interval(PING).client_capacity(OUTGOING);
        options = options.subscription_capacity(INCOMING).no_echo();
        if !context.user.is_empty() {
            options = options.user_and_password(context.user.clone(), context.password.clone());
        }
        if !context.token.is_empty() {
            options = options.token(context.token.clone());
        }
        if has(&context.nkey) {
            let seed = fs::read_to_string(file(&context.nkey));
            let seed = seed.map_err(|error| failed("nkey", &context.nkey, &error))?;
            options = options.nkey(seed.trim().to_owned());
        }
        if !context.user_jwt.is_empty() {
            let (jwt, seed) = (&context.user_jwt, &context.user_seed);
            let text = format!(
                "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
                 -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
            );
            options = options.credentials(&text).map_err(|error| format!("`user_jwt`: {error}"))?;
        }
        if has(&context.creds) {
            let read = options.credentials_file(file(&context.creds)).await;
            options = read.map_err(|error| failed("creds", &context.creds, &error))?;
        }
        if has(&context.ca) {
            options = options.add_root_certificates(file(&context.ca)).require_tls(true);
        }
        if has(&context.cert) {
            let [cert, key] = [&context.cert, &context.key].map(|path| file(path));
            options = options.add_client_certificate(cert, key).require_tls(true);
        }
        if context.tls_first {
            options = options.tls_first();
        }
        if !context.inbox_prefix.is_empty() {
            options = options.custom_inbox_prefix(&context.inbox_prefix);
        }
        Ok(options)
    }
}

/// Returns an address without the user and the password in it.
fn without_secret(url: &str) -> String {
    let scheme = url.find("://").map_or(0, |at| at + 3);
    match url.rfind('@') {
        Some(at) if at >= scheme => format!("{}…{}", &url[..scheme], &url[at..]),
        _ => url.to_owned(),
    }
}

/// Returns the user and the password in an address, or a token alone. The client ignores them.
fn named(address: &ServerAddr) -> Option<(String, Option<String>)> {
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((plain(address.username()?), address.password().map(plain)))
}

fn has(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

/// Why the client did not connect.
pub(crate) struct ConnectError {
    pub(crate) problem: String,
    /// It may help to try again.
    pub(crate) may_pass: bool,
}

impl ConnectError {
    fn fatal(problem: String) -> ConnectError {
        ConnectError { problem, may_pass: false }
    }
}

impl Context {
    /// Returns the addresses.
    fn urls(&self) -> impl Iterator<Item = &str> {
        let urls = if self.url.is_empty() { "nats://127.0.0.1:4222" } else { &self.url };
        urls.split(',').map(str::trim)
    }

    /// Refuses what has no effect here.
    fn check(&self) -> Result<(), String> {
        let refused = [
            ("socks_proxy", self.socks_proxy.is_empty()),
            ("nsc", self.nsc.is_empty()),
            ("windows_cert_store", self.windows_cert_store.is_empty()),
            ("windows_cert_match", self.windows_cert_match.is_empty()),
            ("windows_cert_match_by", self.windows_cert_match_by.is_empty()),
            ("windows_ca_certs_match", self.windows_ca_certs_match.is_empty()),
        ];
        match refused.iter().find(|(_, is_empty)| !is_empty) {
            Some((key, _)) => Err(format!("`{key}` is not supported: expected \"\"")),
            None => Ok(()),
        }
    }
}

/// Without the context, which has secrets.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("urls", &self.urls()).finish_non_exhaustive()
    }
}

/// Prints the context with all keys, as JSON. Secrets are left out.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = Context { url: self.urls(), ..self.context.clone() };
        for secret in [&mut shown.token, &mut shown.password, &mut shown.user_seed] {
            if !secret.is_empty() {
                "…".clone_into(secret);
            }
        }
        f.write_str(&serde_json::to_string_pretty(&shown).map_err(|_| fmt::Error)?)
    }
}
