//! What the answer of a collector says about a request.

use std::time::Duration;

use super::http::{PostError, Response};
use super::protobuf::{Fields, Value};

/// The longest text of a collector that is shown.
const LONGEST_TEXT: usize = 200;

/// What the answer means for the spans or the data points of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The collector has them, except for this number.
    Taken { rejected: u64, error: Option<String> },
    /// It may take them later, not before this time has passed.
    Later { after: Option<Duration>, error: String },
    /// It has failed, and OTLP says not to try again.
    Failed { error: String },
    /// It will never take them.
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
                let partial = Fields::of(&body).last(1);
                let Some(Value::Bytes(partial)) = partial else {
                    return Answer::Taken { rejected: 0, error: None };
                };
                let rejected = match Fields::of(partial).last(1) {
                    // An `int64`: a negative one makes no sense.
                    Some(Value::Number(rejected)) => rejected.cast_signed().max(0).cast_unsigned(),
                    Some(Value::Bytes(_)) | None => 0,
                };
                let without_reason = || "the collector refused a part, without a reason".to_owned();
                let error = text_in(partial).or_else(|| (rejected > 0).then(without_reason));
                Answer::Taken { rejected, error }
            }
            // Those that the specification of OTLP says to try again.
            429 | 502 | 503 | 504 => {
                let error = said(status, &body);
                Answer::Later { after: retry_after, error }
            }
            500.. => Answer::Failed { error: said(status, &body) },
            _ => Answer::Refused { error: said(status, &body) },
        }
    }
}

/// The text of an error: with what the collector says, a `google.rpc.Status`.
fn said(status: u16, body: &[u8]) -> String {
    match text_in(body) {
        Some(text) => format!("the collector answered {status}: {text}"),
        None => format!("the collector answered {status}"),
    }
}

/// The second field of a message, where it has a text of one line.
fn text_in(message: &[u8]) -> Option<String> {
    let Some(Value::Bytes(text)) = Fields::of(message).last(2) else { return None };
    let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
    let mut line: String = text.chars().take(LONGEST_TEXT).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST_TEXT).is_some() {
        line.push('…');
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::super::protobuf::Message;
    use super::*;

    fn answer(status: u16, body: &[u8]) -> Answer {
        let retry_after = Some(Duration::from_secs(3));
        Ok(Response { status, retry_after, body: body.to_owned() }).into()
    }

    fn partial(rejected: u64, text: &str) -> Vec<u8> {
        let mut message = Message::default();
        message.message(1, |partial| {
            partial.number(1, rejected);
            partial.bytes(2, text.as_bytes());
        });
        message.as_bytes().to_owned()
    }

    #[test]
    fn statuses_mean_what_otlp_says() {
        let taken = Answer::Taken { rejected: 0, error: None };
        assert_eq!(answer(200, b""), taken);
        // Not a message, but the status counts.
        assert_eq!(answer(202, b"\xff\xff"), taken);
        assert_eq!(answer(200, &partial(0, "")), taken);
        let error = Some("too \\n old".to_owned());
        assert_eq!(answer(200, &partial(3, "too \n old")), Answer::Taken { rejected: 3, error });
        assert_eq!(answer(200, &partial(u64::MAX, "")), taken);
        for status in [429, 502, 503, 504] {
            let error = format!("the collector answered {status}");
            let after = Some(Duration::from_secs(3));
            assert_eq!(answer(status, b""), Answer::Later { after, error });
        }
        for status in [500, 501, 599] {
            let error = format!("the collector answered {status}");
            assert_eq!(answer(status, b""), Answer::Failed { error });
        }
        for status in [301, 400, 401, 404, 413] {
            let error = format!("the collector answered {status}");
            assert_eq!(answer(status, b"<html>"), Answer::Refused { error });
        }
    }

    #[test]
    fn what_a_collector_says_is_shown_on_one_line() {
        let mut body = Message::default();
        body.number(1, 3);
        body.bytes(2, &b"no\tsuch\nthing".repeat(100));
        let Answer::Refused { error } = answer(400, body.as_bytes()) else { panic!("refused") };
        assert!(error.starts_with("the collector answered 400: no\\tsuch\\nthing"), "{error}");
        assert!(error.chars().count() < 300 && error.ends_with('…'), "{error}");
    }
}
