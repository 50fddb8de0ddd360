//! Mistakes in the topology's keys for OTLP, with their places.

use mycelium::Topology;

#[test]
fn mistakes_of_the_keys_have_their_places() {
    let url = "traces = \"http://127.0.0.1:4318\"";
    let collector = "2:10: invalid URL of a collector `127.0.0.1:4318`: expected `http://`, as in \
                     `http://127.0.0.1:4318` [M0114]";
    let interval = "3:12: invalid interval 999ms: expected 1 s or more, because metrics are pushed \
                    to a collector [M0114]";
    let header = "2:13: invalid header `content-length`: the exporter writes it itself";
    let twice = "2:34: headers `Authorization` and `authorization` are the same one, as the case \
                 of letters does not count: remove one";
    for (text, expected) in [
        ("traces = \"127.0.0.1:4318\"", collector),
        ("metrics = \"http://127.0.0.1:9090\"\ninterval = \"999ms\"", interval),
        ("traces = 4318", "2:10: invalid value, integer `4318`: expected a string [M0101]"),
        ("sample = 1.5", "2:10: invalid share 1.5: expected a number from 0 to 1"),
        ("headers = { \"content-length\" = \"1\" }", header),
        ("headers = { Authorization = \"a\", authorization = \"b\" }", twice),
        ("timeout = \"0s\"", "2:11: invalid duration 0s: expected more than 0 s"),
        ("flush = 2", "2:9: "),
    ] {
        let error = Topology::parse("app.toml", &format!("[telemetry]\n{text}\n{url}\n"));
        let error = error.unwrap_err().to_string();
        let expected = format!("app.toml:{expected}");
        if text.starts_with("traces") || text.starts_with("metrics") {
            let alone = Topology::parse("app.toml", &format!("[telemetry]\n{text}\n"));
            assert_eq!(alone.unwrap_err().to_string(), expected);
        } else {
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}
