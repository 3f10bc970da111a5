//! Messages good and bad, and whatever becomes of one by accident.

use proptest::prelude::*;

use super::*;

const CALL: &str = r#"{"jsonrpc":"2.0","id":"a-1","method":"tools/call","params":{"name":"send","arguments":{"to" : "ann","n":1.0e0},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":"p","traceparent":"00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"}}}"#;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"inspector","version":"2"}}}"#;

fn refused(body: &str) -> (u16, i64, String) {
    let malformed = parse(body.as_bytes()).expect_err(body);
    (malformed.fault.status.as_u16(), malformed.fault.code, malformed.id.to_owned())
}

#[test]
fn a_call_is_taken_apart_without_touching_its_arguments() {
    let Ok(Message::Request(request)) = parse(CALL.as_bytes()) else { panic!("not a request") };
    assert_eq!((request.id, &*request.method), ("\"a-1\"", "tools/call"));
    assert_eq!(request.params.arguments.unwrap().get(), r#"{"to" : "ann","n":1.0e0}"#);
    assert!(request.params.meta.is_modern());
    assert_eq!(request.params.meta.progress_token.unwrap().get(), "\"p\"");
}

#[test]
fn a_message_without_an_id_is_a_notification() {
    let body = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert!(matches!(parse(body), Ok(Message::Notification(_))));
    assert!(matches!(parse(br#"{"jsonrpc":"2.0","id":4,"result":{}}"#), Ok(Message::Answer(_))));
}

#[test]
fn what_is_not_json_is_a_parse_error_without_an_id() {
    for body in ["", "{", "{\"jsonrpc\":\"2.0\",}", "nonsense", "[1,", "\u{0}"] {
        assert_eq!(refused(body), (400, codes::PARSE, "null".to_owned()), "{body}");
    }
    assert_eq!(parse(b"{\"jsonrpc\":\"\xff\"}").unwrap_err().fault.code, codes::PARSE);
}

#[test]
fn what_is_json_but_no_request_is_invalid() {
    for body in [
        "1",
        "\"x\"",
        "[]",
        "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]",
        "{}",
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":2,"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/l\ud800ist"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
    ] {
        assert_eq!((refused(body).0, refused(body).1), (400, codes::INVALID_REQUEST), "{body}");
    }
}

#[test]
fn a_refused_request_is_answered_under_its_id() {
    assert_eq!(refused(r#"{"jsonrpc":"2.0","id":"x","method":"ping","params":[]}"#).2, "\"x\"");
    assert_eq!(refused(r#"{"jsonrpc":"2.0","id":5,"method":7}"#).2, "5");
}

#[test]
fn a_key_that_stands_twice_is_refused_at_every_level_that_is_read() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","x":1,"x":2}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\u0061me":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":1,"progressToken":2}}}"#,
    ] {
        assert_eq!((refused(body).0, refused(body).1), (400, codes::INVALID_REQUEST), "{body}");
    }
}

#[test]
fn parameters_of_the_wrong_type_are_invalid_parameters() {
    for params in ["[]", "1", "\"x\"", r#"{"_meta":[]}"#, r#"{"_meta":{"progressToken":1.5}}"#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{params}}}"#);
        assert_eq!(refused(&body), (400, codes::INVALID_PARAMS, "1".to_owned()), "{params}");
    }
}

#[test]
fn deep_nesting_is_refused_and_brackets_in_strings_are_not_nesting() {
    let nested = |open: &str, close: &str, depth: usize| {
        let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"arguments":{value}}}}}"#)
    };
    assert!(parse(nested("[", "]", DEPTH_MAX - 2).as_bytes()).is_ok());
    assert_eq!(refused(&nested("[", "]", DEPTH_MAX - 1)).1, codes::INVALID_REQUEST);
    assert_eq!(refused(&nested("{\"a\":", "}", 1_000_000)).1, codes::INVALID_REQUEST);
    assert_eq!(refused(&"[".repeat(1_000_000)).1, codes::INVALID_REQUEST);
    let text = format!("\"{}\\\"{}\"", "[".repeat(1_000), "{".repeat(1_000));
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"name":{text}}}}}"#);
    assert!(parse(body.as_bytes()).is_ok());
}

#[test]
fn an_id_is_bounded_because_it_is_repeated() {
    let body = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#, "x".repeat(300));
    assert_eq!(refused(&body), (400, codes::INVALID_REQUEST, "null".to_owned()));
}

proptest! {
    #[test]
    fn whatever_is_changed_in_a_real_message_it_is_taken_apart_or_refused(
        initialize in any::<bool>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<Option<u8>>()), 1..12),
    ) {
        let mut body = if initialize { INITIALIZE } else { CALL }.as_bytes().to_vec();
        for (index, byte) in edits {
            let index = index.index(body.len());
            match byte {
                Some(byte) => body[index] = byte,
                None => drop(body.remove(index)),
            }
        }
        match parse(&body) {
            Ok(Message::Request(request) | Message::Notification(request)) => {
                prop_assert!(serde_json::from_str::<serde_json::Value>(request.id).is_ok());
            }
            Ok(Message::Answer(_)) => {}
            Err(malformed) => {
                let reply = malformed.fault.reply(malformed.id);
                prop_assert!(reply.status.is_client_error());
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&reply.body).is_ok());
            }
        }
    }

    #[test]
    fn a_message_cut_short_is_a_parse_error(end in 0..CALL.len()) {
        prop_assert_eq!(refused(&CALL[..end]).1, codes::PARSE);
    }
}
