//! Classifies the answers of a collector.

use std::time::Duration;

use hyper::body::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use super::client::{PostError, Response};

/// A `google.rpc.Status`, of which only the text is read.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

/// The longest text of a collector that is shown, in characters.
const LONGEST_TEXT: usize = 200;

/// What an answer means for the spans or data points of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The collector has accepted the request, except for `rejected` of its spans or points.
    Taken { rejected: u64, error: Option<String> },
    /// The collector may accept the request later, after this pause.
    Later { after: Option<Duration>, error: String },
    /// The collector has failed, and by OTLP the request must not be repeated.
    Failed { error: String },
    /// The collector will never accept the request.
    Refused { error: String },
}

impl From<Result<Response, PostError>> for Answer {
    fn from(result: Result<Response, PostError>) -> Answer {
        let Response { status, retry_after, body } = match result {
            Ok(response) => response,
            Err(error) => return Answer::Later { after: None, error: error.to_string() },
        };
        match status {
            200..300 => {
                // Answers about metrics have the same fields. Invalid bytes count as an empty
                // message.
                let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
                let partial = answer.partial_success.unwrap_or_default();
                // A negative number is invalid and counts as 0.
                let rejected = partial.rejected_spans.max(0).cast_unsigned();
                let without_reason = || "the collector refused a part, without a reason".to_owned();
                let error = line_of(&partial.error_message);
                let error = error.or_else(|| (rejected > 0).then(without_reason));
                Answer::Taken { rejected, error }
            }
            // By the specification of OTLP a request with such an answer may be sent again.
            429 | 502 | 503 | 504 => {
                let error = said(status, body);
                Answer::Later { after: retry_after, error }
            }
            500.. => Answer::Failed { error: said(status, body) },
            _ => Answer::Refused { error: said(status, body) },
        }
    }
}

/// Returns the text of an error that includes the collector's text.
fn said(status: u16, body: Bytes) -> String {
    match line_of(&Status::decode(body).unwrap_or_default().message) {
        Some(text) => format!("the collector answered {status}: {text}"),
        None => format!("the collector answered {status}"),
    }
}

/// Returns the start of a text as one line; `None` if it is empty.
fn line_of(text: &str) -> Option<String> {
    let mut line: String = text.chars().take(LONGEST_TEXT).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST_TEXT).is_some() {
        line.push('…');
    }
    Some(line).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    fn answer(status: u16, body: &[u8]) -> Answer {
        let (retry_after, body) = (Some(Duration::from_secs(3)), Bytes::copy_from_slice(body));
        Ok(Response { status, retry_after, body }).into()
    }

    fn partial(rejected_spans: i64, text: &str) -> Vec<u8> {
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: text.to_owned() };
        ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
    }

    #[test]
    fn statuses_mean_what_otlp_says() {
        let taken = Answer::Taken { rejected: 0, error: None };
        assert_eq!(answer(200, b""), taken);
        // The bytes are invalid, but the status counts.
        assert_eq!(answer(202, b"\xff\xff"), taken);
        assert_eq!(answer(200, &partial(0, "")), taken);
        let error = Some("too \\n old".to_owned());
        assert_eq!(answer(200, &partial(3, "too \n old")), Answer::Taken { rejected: 3, error });
        assert_eq!(answer(200, &partial(-1, "")), taken);
        let error = |status: u16| format!("the collector answered {status}");
        for status in [429, 502, 503, 504] {
            let after = Some(Duration::from_secs(3));
            assert_eq!(answer(status, b""), Answer::Later { after, error: error(status) });
        }
        for status in [500, 501, 599] {
            assert_eq!(answer(status, b""), Answer::Failed { error: error(status) });
        }
        for status in [301, 400, 401, 404, 413] {
            assert_eq!(answer(status, b"<html>"), Answer::Refused { error: error(status) });
        }
    }

    #[test]
    fn what_a_collector_says_is_shown_on_one_line() {
        let body = Status { message: "no\tsuch\nthing".repeat(100) }.encode_to_vec();
        let Answer::Refused { error } = answer(400, &body) else { panic!("refused") };
        assert!(error.starts_with("the collector answered 400: no\\tsuch\\nthing"), "{error}");
        assert!(error.chars().count() < 300 && error.ends_with('…'), "{error}");
    }
}
