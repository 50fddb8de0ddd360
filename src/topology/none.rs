//! The topology without the feature `topology`: one node, without a file. Each method answers as
//! that of an empty file does, and the compiler leaves out what depends on the answer.

mod defaults;
mod error;
mod setting;
mod topic;

use std::iter;
use std::time::Duration;

use mycelium_executor::{TaskQueue, ThreadError};
use mycelium_transports::endpoint::{Access, Endpoint};
use mycelium_transports::exchange::{LinkConfig, Redelivery};
use mycelium_transports::local::{OnStall, Schema, SubscribeOptions, Threshold};

use crate::execution::Execution;
use crate::report::Carrier;
use crate::supervision::{ServiceSetting, SupervisorSetting};
use defaults::{CAPACITY, MEMORY, SHUTDOWN};
use error::SourceLocation;

pub use error::{Problem, TopologyError};
pub(crate) use setting::Setting;
pub(crate) use topic::check_topic;

/// The settings of a node without a topology file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Topology {}

#[allow(clippy::unused_self, reason = "with the feature `topology` they read a file")]
#[allow(clippy::unnecessary_wraps, reason = "with the feature `topology` they can fail")]
impl Topology {
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &str> {
        iter::empty()
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        iter::empty()
    }

    pub(crate) fn actor_askers(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        iter::empty()
    }

    pub(crate) fn owners(&self) -> impl Iterator<Item = (&str, u32)> {
        iter::empty()
    }

    pub(crate) fn place(
        &self,
        _node: &str,
        _known: &[&str],
    ) -> Result<Option<Vec<String>>, TopologyError> {
        Ok(None)
    }

    pub(crate) fn executor(&self, _node: &str) -> Option<(&str, String)> {
        None
    }

    pub(crate) fn shutdown(&self, _node: &str) -> Duration {
        SHUTDOWN
    }

    pub(crate) fn watchdog(&self, _node: &str) -> Option<Duration> {
        None
    }

    #[cfg(feature = "prometheus")]
    pub(crate) fn metrics_address(&self, _node: &str) -> Option<(std::net::SocketAddr, String)> {
        None
    }

    pub(crate) fn sample(&self) -> Option<f64> {
        None
    }

    #[cfg(feature = "otlp")]
    pub(crate) fn otlp(
        &self,
        of_program: Option<mycelium_telemetry::spans::OtlpTraces>,
    ) -> Option<mycelium_telemetry::spans::OtlpTraces> {
        of_program
    }

    #[cfg(feature = "otlp")]
    #[allow(clippy::unnecessary_wraps, reason = "there is no file")]
    pub(crate) fn otlp_metrics(
        &self,
        of_program: Option<mycelium_telemetry::push::OtlpMetrics>,
    ) -> Result<Option<mycelium_telemetry::push::OtlpMetrics>, TopologyError> {
        Ok(of_program)
    }

    #[cfg(feature = "prometheus")]
    pub(crate) fn exposes_metrics(&self) -> bool {
        false
    }

    #[cfg(feature = "facade")]
    pub(crate) fn telemetry_interval(&self) -> Option<Duration> {
        None
    }

    #[cfg(any(feature = "prometheus", feature = "facade", feature = "otlp"))]
    pub(crate) fn label_sets(&self) -> Option<usize> {
        None
    }

    pub(crate) fn memory(&self, _node: &str) -> usize {
        MEMORY
    }

    pub(crate) fn place_of(&self, _setting: Setting<'_>) -> Option<String> {
        None
    }

    pub(crate) fn error_at(&self, _setting: Setting<'_>, problem: Problem) -> TopologyError {
        let location = SourceLocation::default();
        TopologyError { location, problem: Box::new(problem), written: None }
    }

    pub(crate) fn admits_observers(&self, _node: &str) -> bool {
        false
    }

    pub(crate) fn huge_pages(&self, _node: &str) -> bool {
        false
    }

    pub(crate) fn capacity(&self, _topic: &str) -> usize {
        CAPACITY
    }

    pub(crate) fn is_traced(&self, _topic: &str) -> bool {
        true
    }

    pub(crate) fn latency_sample(&self, _topic: &str) -> Option<f64> {
        None
    }

    pub(crate) fn threshold(&self, _topic: &str) -> Option<Threshold> {
        None
    }

    pub(crate) fn on_stall(&self, _topic: &str) -> Option<OnStall> {
        None
    }

    pub(crate) fn redelivery(&self, _topic: &str) -> Redelivery {
        Redelivery::default()
    }

    pub(crate) fn readers(&self, _topic: &str) -> Option<Vec<String>> {
        None
    }

    pub(crate) fn port(&self, _service: &str, _port: &str) -> Option<&str> {
        None
    }

    pub(crate) fn supervisors(&self) -> Vec<SupervisorSetting> {
        Vec::new()
    }

    pub(crate) fn supervised(&self, _service: &str) -> ServiceSetting {
        ServiceSetting::default()
    }

    pub(crate) fn execution(
        &self,
        _service: &str,
        coded: Execution,
    ) -> Result<Execution, TopologyError> {
        Ok(coded)
    }

    pub(crate) fn task_queue(&self, _node: &str) -> TaskQueue {
        TaskQueue::default()
    }

    pub(crate) fn place_of_thread(&self, _service: &str, _error: &ThreadError) -> Option<String> {
        None
    }

    pub(crate) fn no_executor(&self, _service: &str, _known: Vec<String>) -> Option<TopologyError> {
        None
    }

    pub(crate) fn subscription(
        &self,
        _service: &str,
        _key: &str,
        _schema: &Schema,
        coded: SubscribeOptions,
    ) -> Result<SubscribeOptions, TopologyError> {
        Ok(coded)
    }

    pub(crate) fn link(&self, _node: &str, _other: &str) -> LinkConfig {
        LinkConfig::default()
    }

    pub(crate) fn default_link(&self) -> LinkConfig {
        LinkConfig::default()
    }

    pub(crate) fn endpoint(&self, node: &str) -> Endpoint {
        let directory = mycelium_transports::private_directory("topology");
        Endpoint::unix(directory.join(format!("{node}.sock")), Access::default())
    }

    pub(crate) fn host(&self, _node: &str) -> Option<&str> {
        None
    }

    pub(crate) fn tcp(&self, _node: &str) -> Option<Endpoint> {
        None
    }

    pub(crate) fn transport(&self, _node: &str, _other: &str) -> Option<Carrier> {
        None
    }

    pub(crate) fn topic_transport(&self, _topic: &str) -> Option<Carrier> {
        None
    }

    pub(crate) fn is_over_tcp(&self, _node: &str, _other: &str) -> bool {
        false
    }

    pub(crate) fn far_carrier(&self) -> Carrier {
        Carrier::Tcp
    }

    pub(crate) fn check_certified(&self, _nodes: [&str; 2]) -> Result<(), TopologyError> {
        Ok(())
    }

    pub(crate) fn check_tcp(&self, _publisher: &str, _reader: &str) -> Result<(), TopologyError> {
        Ok(())
    }

    pub(crate) fn believes(&self, _node: &str, _peer: &str, _topic: &str) -> bool {
        false
    }

    pub(crate) fn check_trust(
        &self,
        _node: &str,
        _peer: &str,
        _topic: &str,
    ) -> Result<(), TopologyError> {
        Ok(())
    }

    pub(crate) fn check_endpoint(&self, _node: &str) -> Result<(), TopologyError> {
        Ok(())
    }

    pub(crate) fn check_access(
        &self,
        _node: &str,
        _does: &'static str,
        _topic: &str,
    ) -> Result<(), TopologyError> {
        Ok(())
    }

    pub(crate) fn check_request_topic(&self, _topic: &str) -> Result<(), TopologyError> {
        Ok(())
    }

    pub(crate) fn place_service(&mut self, _node: &str, _service: &str) {}

    pub(crate) fn add_request_topic(
        &mut self,
        _topic: &str,
        _of: &str,
        _reader: &str,
        _is_of_actors: bool,
    ) {
    }

    pub(crate) fn carries_requests(&self, _topic: &str) -> bool {
        false
    }

    pub(crate) fn check_lists(&self) -> Result<(), TopologyError> {
        Ok(())
    }

    pub(crate) fn check_topics(&self, _known: &[&str]) -> Result<(), TopologyError> {
        Ok(())
    }

    pub(crate) fn check_ports(&self, _service: &str, _known: &[&str]) -> Result<(), TopologyError> {
        Ok(())
    }

    pub(crate) fn check_subscriptions(
        &self,
        _known: &[(&str, &str, bool)],
    ) -> Result<(), TopologyError> {
        Ok(())
    }
}
