use std::time::Duration;

use proptest::prelude::{Strategy, any};
use proptest::{collection, prop_assert, proptest};

use super::{Parsed, PostError, Response, parse};

fn complete(text: &str) -> (Response, bool) {
    // Byte by byte: it is incomplete until it is complete.
    for end in 0..text.len() {
        let early = parse(&text.as_bytes()[..end], false).unwrap();
        assert!(early.is_none(), "complete after {end} bytes of {text}");
    }
    let parsed = parse(text.as_bytes(), false).unwrap().unwrap();
    (parsed.response, parsed.keeps_connection)
}

fn response(status: u16, body: &str) -> Response {
    Response { status, retry_after: None, body: body.into() }
}

#[test]
fn bodies_end_by_length_by_chunks_or_by_the_connection() {
    let head = "HTTP/1.1 200 OK\r\n";
    let (of_length, keeps) = complete(&format!("{head}Content-Length: 4\r\n\r\nbody"));
    assert_eq!((of_length, keeps), (response(200, "body"), true));
    let chunks = "transfer-encoding: chunked\r\n\r\n2\r\nbo\r\n2;x=1\r\ndy\r\n0\r\nt: x\r\n\r\n";
    let (of_chunks, keeps) = complete(&format!("{head}Connection: close\r\n{chunks}"));
    assert_eq!((of_chunks, keeps), (response(200, "body"), false));
    let text = format!("{head}\r\nbody");
    assert!(parse(text.as_bytes(), false).unwrap().is_none());
    let Parsed { response: until_closed, keeps_connection } =
        parse(text.as_bytes(), true).unwrap().unwrap();
    assert_eq!((until_closed, keeps_connection), (response(200, "body"), false));
    assert_eq!(complete("HTTP/1.1 204 No Content\r\n\r\n"), (response(204, ""), true));
    let old = complete("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(old, (response(200, ""), false));
}

#[test]
fn a_response_before_the_response_is_skipped() {
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nRetry-After: 7 \r\n\
                content-length: 0\r\n\r\n";
    let (busy, _) = complete(text);
    assert_eq!(busy, Response { retry_after: Some(Duration::from_secs(7)), ..response(503, "") });
}

#[test]
fn retry_after_is_a_number_of_seconds_or_a_date() {
    let retry_after = |headers: &str| {
        let text = format!("HTTP/1.1 503 Busy\r\n{headers}content-length: 0\r\n\r\n");
        complete(&text).0.retry_after.map(|pause| pause.as_secs())
    };
    let date = "Date: Mon, 23 Nov 2026 08:59:50 GMT\r\n";
    let until = |time: &str| format!("Retry-After: Mon, 23 Nov 2026 {time} GMT\r\n");
    assert_eq!(retry_after("Retry-After: 7\r\n"), Some(7));
    assert_eq!(retry_after(&format!("{}{date}", until("09:00:20"))), Some(30));
    assert_eq!(retry_after(&format!("{date}{}", until("08:00:00"))), Some(0), "it is over");
    // Without the time there, and with another text.
    assert_eq!(retry_after(&until("09:00:20")), None);
    assert_eq!(retry_after(&format!("{date}Retry-After: soon\r\n")), None);
    assert_eq!(retry_after(""), None);
}

#[test]
fn what_is_not_http_is_an_error() {
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nbody\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nbody\r\n",
    ] {
        let parsed = parse(text.as_bytes(), false);
        assert!(matches!(parsed, Err(PostError::Garbage(_))), "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer_an_error_or_incomplete(
        bytes in collection::vec(any::<u8>(), 0..300),
        is_closed in any::<bool>(),
        has_head in any::<bool>(),
        chunks in (0..3usize).prop_map(|kind| {
            ["", "transfer-encoding: chunked\r\n", "content-length: 20\r\n"][kind]
        }),
    ) {
        let head = if has_head { format!("HTTP/1.1 200 OK\r\n{chunks}\r\n") } else { String::new() };
        let bytes = [head.as_bytes(), &bytes].concat();
        if let Ok(Some(parsed)) = parse(&bytes, is_closed) {
            prop_assert!(parsed.response.body.len() <= bytes.len());
        }
    }
}
