//! The URL of a collector, and the headers of requests to it.

use std::fmt;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING, USER_AGENT,
};
use hyper::http::uri::PathAndQuery;
use thiserror::Error;

/// The URL of a collector: `http://`, a host and a port, and an optional path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host and the port, as `host:port`, with an IPv6 address in brackets.
    authority: String,
    /// The start of the path for spans and of the path for metrics: empty, or with a slash at its
    /// start and none at its end.
    path: String,
    /// The header `host`.
    pub(crate) host: HeaderValue,
    /// The path for spans; `metrics` is the path for metrics.
    pub(crate) traces: PathAndQuery,
    pub(crate) metrics: PathAndQuery,
}

/// A text that is no valid URL of a collector.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid URL of a collector `{}`: {problem}, as in `http://127.0.0.1:4318`", url.escape_debug())]
pub struct EndpointError {
    url: String,
    problem: &'static str,
}

const PLAIN: &str = "expected a host, a port and a path of plain letters";
/// The path for spans below the path of the collector.
const TRACES: &str = "/v1/traces";
/// The path for metrics below the path of the collector.
const METRICS: &str = "/v1/metrics";

impl Endpoint {
    /// Parses a URL. Removes `/v1/traces` or `/v1/metrics` from the end of its path.
    ///
    /// ```
    /// use mycelium_telemetry::otlp::Endpoint;
    ///
    /// let tempo = Endpoint::parse("http://tempo.example:4318")?;
    /// assert_eq!(tempo, Endpoint::parse("http://tempo.example:4318/v1/traces")?);
    /// let error = Endpoint::parse("tempo.example:4318").unwrap_err();
    /// assert!(error.to_string().contains("expected `http://`"));
    /// # Ok::<(), mycelium_telemetry::otlp::EndpointError>(())
    /// ```
    ///
    /// # Errors
    /// If it does not begin with `http://`, or has no port. Spans and metrics go without TLS to a
    /// collector on the same host or in the same network, which may forward them over TLS.
    pub fn parse(url: &str) -> Result<Endpoint, EndpointError> {
        let error = |problem| EndpointError { url: url.to_owned(), problem };
        if url.starts_with("https://") {
            return Err(error(
                "requests are sent without TLS: expected the `http://` of a collector near this \
                 node, which passes them on",
            ));
        }
        let rest = url.strip_prefix("http://").ok_or_else(|| error("expected `http://`"))?;
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains(['?', '#', '@']) {
            return Err(error(PLAIN));
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) =
            authority.rsplit_once(':').ok_or_else(|| error("expected a port after the host"))?;
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        if !is_port || port.starts_with('+') {
            return Err(error("expected a port after the host, from 1 to 65535"));
        }
        let is_v6 = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || (host.contains([':', '[', ']']) && !is_v6) {
            return Err(error("expected a host, with an IPv6 address in brackets"));
        }
        let path = path.trim_end_matches('/');
        let before = |signal| path.strip_suffix(signal);
        let path = before(TRACES).or_else(|| before(METRICS)).unwrap_or(path).trim_end_matches('/');
        let of = |signal| format!("{path}{signal}").parse().map_err(|_| error(PLAIN));
        let (traces, metrics) = (of(TRACES)?, of(METRICS)?);
        let host = authority.parse().map_err(|_| error(PLAIN))?;
        let (authority, path) = (authority.to_owned(), path.to_owned());
        Ok(Endpoint { authority, path, host, traces, metrics })
    }

    /// Returns the host and the port, as `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// Headers for requests to a collector, such as `authorization`. Their values may be secret, so
/// `Debug` does not show them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub(crate) HeaderMap);

/// A header that cannot be sent, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid header `{}`: {problem}", name.escape_debug())]
pub struct HeaderError {
    name: String,
    problem: &'static str,
}

/// The headers that the client sets itself.
const OWN: [HeaderName; 6] =
    [HOST, CONTENT_TYPE, CONTENT_LENGTH, CONNECTION, TRANSFER_ENCODING, USER_AGENT];

impl Headers {
    /// Adds a header, which replaces an earlier one of the same name.
    ///
    /// # Errors
    /// If the name is invalid for a header or the exporter sets this header itself, or if the value
    /// has control characters or is not ASCII.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let error = |problem| HeaderError { name: name.to_owned(), problem };
        let header: HeaderName =
            name.parse().map_err(|_| error("expected letters, digits and `-`"))?;
        if OWN.contains(&header) {
            return Err(error("the exporter writes it itself"));
        }
        let value = HeaderValue::from_str(value).ok().filter(|value| value.to_str().is_ok());
        let mut value =
            value.ok_or_else(|| error("expected a value of ASCII letters, on one line"))?;
        value.set_sensitive(true);
        self.0.insert(header, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_collectors_are_read() {
        for (url, authority, traces) in [
            ("http://127.0.0.1:4318", "127.0.0.1:4318", "/v1/traces"),
            ("http://127.0.0.1:4318/", "127.0.0.1:4318", "/v1/traces"),
            ("http://[::1]:4318/v1/traces/", "[::1]:4318", "/v1/traces"),
            ("http://a.example:80/otlp", "a.example:80", "/otlp/v1/traces"),
            ("http://a.example:80/otlp/v1/traces", "a.example:80", "/otlp/v1/traces"),
            ("http://a.example:80/otlp/v1/metrics", "a.example:80", "/otlp/v1/traces"),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!((endpoint.authority(), endpoint.traces.as_str()), (authority, traces));
            assert_eq!(endpoint.metrics, traces.replace("traces", "metrics"), "{url}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for (url, problem) in [
            ("", "expected `http://`"),
            ("127.0.0.1:4318", "expected `http://`"),
            ("grpc://127.0.0.1:4317", "expected `http://`"),
            ("https://a.example:443", "without TLS"),
            ("http://127.0.0.1", "expected a port"),
            ("http://[::1]", "expected a port"),
            ("http://:4318", "expected a host"),
            ("http://::1:4318", "in brackets"),
            ("http://a:0", "from 1 to 65535"),
            ("http://a:+80", "from 1 to 65535"),
            ("http://a:70000", "from 1 to 65535"),
            ("http://user@a:80", "plain letters"),
            ("http://a:80/?x=1", "plain letters"),
            ("http://a:80/ x", "plain letters"),
            ("http://a:80/\r\nx: y", "plain letters"),
            ("http://a:80/<x>", "plain letters"),
        ] {
            let error = Endpoint::parse(url).unwrap_err().to_string();
            assert!(error.contains(problem), "{url}: {error}");
        }
    }

    #[test]
    fn headers_are_checked_and_their_values_not_shown() {
        let mut headers = Headers::default();
        headers.set("Authorization", "Bearer first").unwrap();
        headers.set("authorization", "Bearer secret").unwrap();
        assert_eq!((headers.0.len(), headers.0["authorization"] == "Bearer secret"), (1, true));
        assert!(!format!("{headers:?}").contains("secret"));
        for (name, value) in
            [("", "x"), ("a b", "x"), ("Content-Length", "1"), ("x", "a\r\nb: c"), ("x", "ä")]
        {
            let error = headers.set(name, value).unwrap_err().to_string();
            assert!(error.starts_with("invalid header"), "{error}");
        }
    }
}
