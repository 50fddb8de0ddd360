//! Where the traces of nodes go, and which of them are recorded.

use std::ops::Range;

#[cfg(feature = "otlp")]
use mycelium_telemetry::otlp::{Endpoint, Headers};
#[cfg(feature = "otlp")]
use mycelium_telemetry::spans::OtlpTraces;
#[cfg(feature = "otlp")]
use toml::Spanned;

use super::Topology;
#[cfg(feature = "otlp")]
use super::error::Problem;
use super::error::TopologyError;
use super::telemetry_section::TelemetrySection;

impl TelemetrySection {
    /// The keys about the collector of traces that the file has, and their places.
    pub(super) fn keys_of_traces(&self) -> impl Iterator<Item = (&'static str, Range<usize>)> {
        let TelemetrySection { traces, headers, namespace, timeout, flush, .. } = self;
        let keys = [
            traces.as_ref().map(|key| ("traces", key.span())),
            headers.as_ref().map(|key| ("headers", key.span())),
            namespace.as_ref().map(|key| ("namespace", key.span())),
            timeout.as_ref().map(|key| ("timeout", key.span())),
            flush.as_ref().map(|key| ("flush", key.span())),
        ];
        keys.into_iter().flatten()
    }
}

impl Topology {
    /// The share of traces that are recorded, if the file sets it.
    pub(crate) fn sample(&self) -> Option<f64> {
        self.sections.telemetry.sample.map(|share| share.0)
    }

    /// The collector has a URL, and gets headers that can be sent.
    #[cfg(feature = "otlp")]
    pub(super) fn check_traces(&self) -> Result<(), TopologyError> {
        let TelemetrySection { traces, headers, .. } = &self.sections.telemetry;
        let error =
            |span, message: String| self.file.error(span, Problem::Contradiction { message });
        if let Some(url) = traces {
            let endpoint = Endpoint::parse(url.as_ref());
            endpoint.map_err(|problem| error(url.span(), problem.to_string()))?;
        }
        for (name, value) in headers.iter().flat_map(|headers| headers.as_ref()) {
            let checked = Headers::default().set(name.as_ref(), value.as_ref());
            checked.map_err(|problem| error(name.span(), problem.to_string()))?;
        }
        Ok(())
    }

    /// Without the feature the keys themselves are errors.
    #[cfg(not(feature = "otlp"))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "no file has the keys")]
    pub(super) fn check_traces(&self) -> Result<(), TopologyError> {
        Ok(())
    }

    /// Where spans go: as the file says, else as the program does.
    #[cfg(feature = "otlp")]
    pub(crate) fn otlp(&self, of_program: Option<OtlpTraces>) -> Option<OtlpTraces> {
        let section = &self.sections.telemetry;
        let TelemetrySection { traces, headers, namespace, timeout, flush, .. } = section;
        let mut settings = match (of_program, traces.as_ref().map(Spanned::as_ref)) {
            (Some(settings), None) => settings,
            (Some(settings), Some(url)) => settings.to(url),
            (None, Some(url)) => OtlpTraces::new(url),
            (None, None) => return None,
        };
        for (name, value) in headers.iter().flat_map(|headers| headers.as_ref()) {
            settings = settings.header(name.as_ref(), value.as_ref());
        }
        if let Some(namespace) = namespace {
            settings = settings.namespace(namespace.as_ref());
        }
        if let Some(timeout) = timeout {
            settings = settings.timeout(timeout.as_ref().0);
        }
        if let Some(flush) = flush {
            settings = settings.flush(flush.as_ref().0);
        }
        Some(settings)
    }
}
