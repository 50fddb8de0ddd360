//! The collectors of the nodes' traces and metrics, and the share of recorded traces.

use std::ops::Range;

#[cfg(feature = "otlp")]
use mycelium_telemetry::otlp::{Endpoint, Headers, Otlp};
#[cfg(feature = "otlp")]
use mycelium_telemetry::push::OtlpMetrics;
#[cfg(feature = "otlp")]
use mycelium_telemetry::spans::OtlpTraces;
#[cfg(feature = "otlp")]
use serde_spanned::Spanned;

use crate::topology::Topology;
use crate::topology::error::TopologyError;
use crate::topology::keys::telemetry_section::TelemetrySection;

impl TelemetrySection {
    /// Returns the keys about collectors that the file has, with their places.
    pub(crate) fn keys_of_collectors(&self) -> impl Iterator<Item = (&'static str, Range<usize>)> {
        let TelemetrySection { traces, metrics, headers, namespace, timeout, flush, .. } = self;
        let keys = [
            traces.as_ref().map(|key| ("traces", key.span())),
            metrics.as_ref().map(|key| ("metrics", key.span())),
            headers.as_ref().map(|key| ("headers", key.span())),
            namespace.as_ref().map(|key| ("namespace", key.span())),
            timeout.as_ref().map(|key| ("timeout", key.span())),
            flush.as_ref().map(|key| ("flush", key.span())),
        ];
        keys.into_iter().flatten()
    }
}

/// Returns the settings of traces or of metrics: the file takes precedence over the program.
#[cfg(feature = "otlp")]
fn settings<S: Default>(
    of_program: Option<Otlp<S>>,
    url: Option<&Spanned<String>>,
    section: &TelemetrySection,
) -> Option<Otlp<S>> {
    let TelemetrySection { headers, namespace, timeout, flush, .. } = section;
    let mut settings = match (of_program, url.map(Spanned::as_ref)) {
        (Some(settings), None) => settings,
        (Some(settings), Some(url)) => settings.to(url),
        (None, url) => Otlp::new(url?),
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

impl Topology {
    /// Returns the share of recorded traces, if the file sets it.
    pub(crate) fn sample(&self) -> Option<f64> {
        self.sections.telemetry.sample.map(|share| share.0)
    }

    /// Checks the URLs of collectors, the headers that are sent to them, and the interval of
    /// metrics.
    #[cfg(feature = "otlp")]
    pub(crate) fn check_collectors(&self) -> Result<(), TopologyError> {
        let TelemetrySection { traces, metrics, headers, .. } = &self.sections.telemetry;
        let error = |span, message: String| self.file.contradiction(span, message);
        for url in [traces, metrics].into_iter().flatten() {
            let endpoint = Endpoint::parse(url.as_ref());
            endpoint.map_err(|problem| error(url.span(), problem.to_string()))?;
        }
        let mut names: Vec<&Spanned<String>> = Vec::new();
        for (name, value) in headers.iter().flat_map(|headers| headers.as_ref()) {
            let other = names.iter().find(|it| it.as_ref().eq_ignore_ascii_case(name.as_ref()));
            if let Some(other) = other {
                let message = format!(
                    "headers `{}` and `{}` are the same one, as the case of letters does not \
                     count: remove one",
                    other.as_ref(),
                    name.as_ref()
                );
                return Err(error(name.span(), message));
            }
            names.push(name);
            let checked = Headers::default().set(name.as_ref(), value.as_ref());
            checked.map_err(|problem| error(name.span(), problem.to_string()))?;
        }
        self.otlp_metrics(None).map(drop)
    }

    /// Does nothing: without the feature the keys themselves are errors.
    #[cfg(not(feature = "otlp"))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "no file has the keys")]
    pub(crate) fn check_collectors(&self) -> Result<(), TopologyError> {
        Ok(())
    }

    /// Returns the settings for sending spans, if there is a collector.
    #[cfg(feature = "otlp")]
    pub(crate) fn otlp(&self, of_program: Option<OtlpTraces>) -> Option<OtlpTraces> {
        let section = &self.sections.telemetry;
        settings(of_program, section.traces.as_ref(), section)
    }

    /// Returns the settings for pushing metrics, if there is a collector.
    #[cfg(feature = "otlp")]
    pub(crate) fn otlp_metrics(
        &self,
        of_program: Option<OtlpMetrics>,
    ) -> Result<Option<OtlpMetrics>, TopologyError> {
        let section = &self.sections.telemetry;
        let settings = settings(of_program, section.metrics.as_ref(), section);
        let (Some(settings), Some(interval)) = (settings.clone(), &section.interval) else {
            return Ok(settings);
        };
        let of_file = interval.as_ref().0;
        if of_file < OtlpMetrics::SHORTEST_INTERVAL {
            let message = format!(
                "invalid interval {of_file:?}: expected 1 s or more, because metrics are pushed to a \
                 collector"
            );
            return Err(self.file.contradiction(interval.span(), message));
        }
        Ok(Some(settings.interval(of_file)))
    }
}
