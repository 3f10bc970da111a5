//! Names of connections and virtual servers.

use proctor_domain::{Event, Name};
use proptest::prelude::*;

#[test]
fn a_name_has_1_to_63_small_letters_digits_underscores_and_hyphens() {
    for good in ["a", "0", "gmail", "a_b-c9", &"x".repeat(63)] {
        assert_eq!(Name::new(good).map(|name| name.to_string()), Ok(good.to_owned()));
    }
    for bad in ["", "_a", "-a", "A", "gmaiL", "a b", "a.b", "ä", "a\n", &"x".repeat(64)] {
        assert!(Name::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn the_error_of_a_bad_name_shows_it_escaped_and_shortened() {
    let err = Name::new(&format!("\u{7}{}", "x".repeat(1_000))).unwrap_err().to_string();
    assert!(err.starts_with("\"\\u{7}xxx") && err.len() < 300, "{err}");
}

#[test]
fn a_stored_event_with_a_bad_name_is_not_read() {
    let payload = |connection: &str| {
        format!(
            r#"{{"VirtualServerDefined":{{"by":{{"key":"k"}},"definition":{{"description":"","instructions":"","tools":[{{"connection":"{connection}","tool":"t"}}],"capture":"full"}}}}}}"#
        )
    };
    let read = |payload: String| Event::read("virtual_server", "VirtualServerDefined", "1", &payload);
    assert!(read(payload("gmail")).is_ok());
    assert!(read(payload("g\\u006dail")).is_ok(), "an escape in JSON is the same name");
    assert!(read(payload("Gmail")).is_err());
}

proptest! {
    #[test]
    fn a_text_is_a_name_exactly_when_it_has_the_form(text in "[a-zA-Z0-9_.-]{0,70}") {
        let mut bytes = text.bytes();
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let form = bytes.next().is_some_and(word)
            && bytes.len() < 63
            && bytes.all(|b| word(b) || b == b'_' || b == b'-');
        prop_assert_eq!(Name::new(&text).is_ok(), form);
    }
}
