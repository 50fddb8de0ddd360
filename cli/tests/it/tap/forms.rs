//! The output formats of `tap`.

use super::process::{ONE_NODE, feed};
use crate::common::Ended;

/// Returns the output for a message with a field of each type.
fn all_types(args: &[&str]) -> String {
    let (world, mut node) = feed(ONE_NODE);
    let mut tap = world.tapping(&[&["all-types", "--count", "1"], args].concat());
    let begin = match args.last() {
        Some(&"csv") => "time,node",
        Some(&"json") => "began",
        _ => "begins at #0",
    };
    let begin = tap.until(begin);
    node.send("all");
    let ended = tap.ended().expect(0);
    assert_eq!(ended.err, "1 messages, 0 gaps, 0 missed\n");
    begin + "\n" + &ended.out
}

#[test]
fn text_has_a_line_for_each_message() {
    let output = all_types(&[]);
    let [began, line] = output.lines().collect::<Vec<_>>()[..] else { panic!("{output}") };
    assert_eq!(&began[15..began.len() - 16], " feed/Source begins at #0, epoch ");
    let (time, rest) = line.split_at(15);
    assert_eq!(time.replace(|c: char| c.is_ascii_digit(), "0"), "00:00:00.000000");
    let expected = " feed/Source #0 unsigned=18446744073709551615 signed=-9223372036854775808 \
                    wide=NaN order={account=7 side=Sell open=true lots=-3} medium=4000000000 \
                    below=-5 single=1.5 short=65535 less=-32768 byte=255 tiny=-128 yes=false \
                    side=Buy pair=[1, 2] text=\"a \\\"b\\\",\\u{1b}c\" \
                    amounts=[340282366920938463463374607431768211455] \
                    debts=[-170141183460469231731687303715884105728] paid=-36690000000000000000 \
                    price=115792089237316195423570985008687907853269984665640564039457584007913129639935";
    assert_eq!(rest, expected);
}

#[test]
fn json_has_an_object_in_each_line_with_exact_numbers() {
    let output = all_types(&["-o", "json"]);
    let [began, line] = output.lines().collect::<Vec<_>>()[..] else { panic!("{output}") };
    let began: serde_json::Value = serde_json::from_str(began).unwrap();
    assert_eq!((&began["event"], &began["first"]), (&"began".into(), &0.into()));
    let _: serde_json::Value = serde_json::from_str(line).unwrap();
    let at = line.find("\"sequence\"").unwrap();
    let expected = r#""sequence":0,"message":{"unsigned":18446744073709551615,"signed":-9223372036854775808,"wide":"NaN","order":{"account":7,"side":"Sell","open":true,"lots":-3},"medium":4000000000,"below":-5,"single":1.5,"short":65535,"less":-32768,"byte":255,"tiny":-128,"yes":false,"side":"Buy","pair":[1,2],"text":"a \"b\",\u001bc","amounts":[340282366920938463463374607431768211455],"debts":[-170141183460469231731687303715884105728],"paid":-36690000000000000000,"price":115792089237316195423570985008687907853269984665640564039457584007913129639935}}"#;
    assert_eq!(&line[at..], expected);
}

#[test]
fn csv_has_a_column_for_each_field_of_structs() {
    let output = all_types(&["-o", "csv"]);
    let (header, line) = output.split_once('\n').unwrap();
    assert_eq!(
        header,
        "time,node,publisher,epoch,sequence,gap,retained,unsigned,signed,wide,order.account,order.side,\
         order.open,order.lots,medium,below,single,short,less,byte,tiny,yes,side,pair,text,amounts,\
         debts,paid,price"
    );
    let at = line.find(",0,,,").unwrap();
    assert_eq!(
        &line[at..],
        ",0,,,18446744073709551615,-9223372036854775808,NaN,7,Sell,true,-3,4000000000,-5,1.5,65535,\
         -32768,255,-128,false,Buy,\"[1, 2]\",\"a \"\"b\"\",\u{1b}c\",\
         [340282366920938463463374607431768211455],[-170141183460469231731687303715884105728],\
         -36690000000000000000,115792089237316195423570985008687907853269984665640564039457584007913129639935\n"
    );
}

/// Returns the output for two messages of any shape, the second one with a text of 200,000 bytes.
fn any_shape(args: &[&str]) -> [String; 2] {
    let (world, mut node) = feed(ONE_NODE);
    let mut tap = world.tapping(&[&["any-shape", "--count", "2"], args].concat());
    tap.until(if args.last() == Some(&"csv") { "time,node" } else { "beg" });
    node.send("any 2");
    node.send("any 200000");
    let ended = tap.ended().expect(0);
    let lines: Vec<String> = ended.out.lines().map(str::to_owned).collect();
    lines.try_into().expect("two lines")
}

#[test]
fn messages_of_any_shape_are_shown_in_each_form() {
    let message = |text: &str| {
        format!(
            r#""message":{{"initial":"ü","text":"{text}","some":18446744073709551615,"none":null,"age":1.500000000,"from":"127.0.0.1","kinds":["Market",{{"Limit":{{"cents":-5}}}},{{"Named":"n"}},{{"Iceberg":[7,"i"]}}],"shares":{{"a":[1,0.5],"b":[2,1.5]}},"numbers":{{"7":true}},"orders":[{{"account":7,"side":"Sell","open":true,"lots":-3}}]}}}}"#
        )
    };
    let [short, long] = any_shape(&["-o", "json"]);
    assert!(short.ends_with(&message(r#"\"\""#)), "{short}");
    assert!(long.ends_with(&message(&r#"\""#.repeat(200_000))));
    let _: serde_json::Value = serde_json::from_str(&long).unwrap();

    let [text, _] = any_shape(&[]);
    let expected = " #0 initial='ü' text=\"\\\"\\\"\" some=18446744073709551615 none=none age=1.5s \
                    from=127.0.0.1 kinds=[Market, Limit{cents=-5}, Named{0=\"n\"}, \
                    Iceberg{0=7 1='i'}] shares={\"a\": {0=1 1=0.5}, \"b\": {0=2 1=1.5}} \
                    numbers={7: true} orders=[{account=7 side=Sell open=true lots=-3}]";
    assert!(text.ends_with(expected), "{text}");
    let [_, long] = any_shape(&["--fields", "none,age", "--where", "initial=ü", "-o", "csv"]);
    assert!(long.ends_with(",1,,,none,1.5s"), "{long}");
}

#[test]
fn messages_of_serde_are_shown_by_their_schema() {
    let shown = |topic: &str, args: &[&str]| {
        let (world, mut node) = feed(ONE_NODE);
        let mut tap = world.tapping(&[&[topic, "--count", "1"], args].concat());
        tap.until(if args.last() == Some(&"csv") { "time,node" } else { "beg" });
        node.send("serde -5");
        tap.ended().expect(0).out
    };
    let text = shown("of-serde", &[]);
    assert!(text.ends_with(" #0 Quote={prices={\"ETH\": -5} side=Far{hops=2}}\n"), "{text}");
    let json = shown("of-serde", &["-o", "json"]);
    let expected = r#""message":{"Quote":{"prices":{"ETH":-5},"side":{"Far":{"hops":2}}}}}"#;
    assert!(json.trim_end().ends_with(expected), "{json}");
    let near = ["--fields", "Quote", "--where", "Quote={prices={} side=Near}", "-o", "csv"];
    let csv = shown("of-serde", &near);
    assert!(csv.ends_with(",1,,,{prices={} side=Near}\n"), "{csv}");

    let text = shown("of-serde-alone", &[]);
    assert!(text.ends_with(" #0 Entry=<postcard, 4 bytes: 01070178>\n"), "{text}");
    let json = shown("of-serde-alone", &["-o", "json"]);
    assert!(json.trim_end().ends_with(r#""message":{"Entry":{"postcard":"01070178"}}}"#), "{json}");
}

#[test]
fn fields_and_conditions_choose_what_is_printed() {
    let args = ["--fields", "order.side,text,order", "--where", "order.side=Sell", "-o", "json"];
    let output = all_types(&args);
    let expected = r#""message":{"order.side":"Sell","text":"a \"b\",\u001bc","order":{"account":7,"side":"Sell","open":true,"lots":-3}}}"#;
    assert!(output.trim_end().ends_with(expected), "{output}");

    // All conditions must hold for a message to be printed.
    let conditions = "\
        unsigned=18446744073709551615; byte=0255; signed=-9223372036854775808; wide=NaN; \
        single=1.50; yes=false; side=Buy; pair=[1, 2]; text=a \"b\",\u{1b}c; \
        amounts=[340282366920938463463374607431768211455]; \
        order={account=7 side=Sell open=true lots=-3}; paid=-36690000000000000000; \
        price=00115792089237316195423570985008687907853269984665640564039457584007913129639935";
    let conditions = conditions.split("; ").flat_map(|condition| ["--where", condition]);
    all_types(&conditions.collect::<Vec<_>>());

    let (world, mut node) = feed(ONE_NODE);
    let mut tap = world.tapping(&["swaps", "--where", "number=7", "--count", "1"]);
    tap.until("begins at #0");
    node.emit(100);
    let ended = tap.ended().expect(0);
    assert_eq!(&ended.out[15..], " feed/Source #7 number=7 size=70\n");
    assert!(ended.err.starts_with("8 messages (1 printed), 0 gaps"), "{}", ended.err);
}

#[test]
fn a_terminal_alone_gets_colours_and_the_oldest_messages_come_on_request() {
    let (world, mut node) = feed(ONE_NODE);
    node.emit(3);
    let tap = world.tapped(&["swaps", "--from", "oldest", "--count", "3"]);
    let Ended { out: output, err, .. } = tap.expect(0);
    assert_eq!(err, "3 messages, 0 gaps, 0 missed\n", "{output}");
    let lines: Vec<&str> = output.lines().map(|line| &line[15..]).collect();
    let messages: Vec<String> =
        (0..3).map(|n| format!(" feed/Source #{n} number={n} size={}", 10 * n)).collect();
    assert_eq!(lines[1..], messages);
    assert!(!output.contains('\u{1b}'), "{output}");
}

#[test]
fn the_output_may_be_closed() {
    let (world, mut node) = feed(ONE_NODE);
    let mut tap = world.tapping(&["swaps"]);
    tap.until("begins at #0");
    tap.lines = None;
    // The first message may be written before the tool learns that the pipe is closed.
    node.emit(10_000);
    node.emit(10_000);
    tap.ended().expect_success();
}

#[test]
fn what_a_publisher_retains_comes_first_and_says_so() {
    let (world, mut node) = feed(&format!("{ONE_NODE}[topic.all-types]\nretain = 1\n"));
    node.send("all");
    node.send("all");
    let begins =
        ["#1 retained unsigned=", "\"sequence\":1,\"retained\":true,\"message\"", ",1,,true,"];
    for (form, begin) in ["text", "json", "csv"].into_iter().zip(begins) {
        let tap = world.tapping(&["all-types", "--count", "1", "-o", form]);
        let shown = tap.ended().expect(0).out;
        assert!(shown.contains(begin), "{shown}");
    }
}
