//! The destination of a signal's requests, and how long they may take.

use std::time::Duration;

use super::{Endpoint, EndpointError, HeaderError, Headers};

/// The settings that spans and metrics share. A mistake is kept until
/// [`check`](Destination::check), so that builders need no `?`.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) endpoint: Result<Endpoint, EndpointError>,
    pub(crate) headers: Headers,
    header_error: Option<HeaderError>,
    /// The value of `service.namespace`.
    pub(crate) namespace: Option<String>,
    pub(crate) timeout: Duration,
    /// How long the end of the node may wait for the last requests.
    pub(crate) flush: Duration,
}

impl Destination {
    /// Creates the destination with this URL, with the default times.
    pub(crate) fn new(url: &str) -> Destination {
        Destination {
            endpoint: Endpoint::parse(url),
            headers: Headers::default(),
            header_error: None,
            namespace: None,
            timeout: Duration::from_secs(10),
            flush: Duration::from_secs(2),
        }
    }

    pub(crate) fn set_header(&mut self, name: &str, value: &str) {
        if let Err(error) = self.headers.set(name, value) {
            self.header_error.get_or_insert(error);
        }
    }

    /// Returns the endpoint of the collector, if the settings have no mistake.
    pub(crate) fn check<E: From<EndpointError> + From<HeaderError>>(&self) -> Result<Endpoint, E> {
        let endpoint = self.endpoint.clone()?;
        match &self.header_error {
            Some(error) => Err(error.clone().into()),
            None => Ok(endpoint),
        }
    }
}
