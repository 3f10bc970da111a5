//! Walks over the members of a JSON object without building anything.
//!
//! **Invariants.** An object that decides anything is refused when a key stands in it twice: readers
//! disagree on which of the two counts, and what one checks the other would not see.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Most members of an object that is taken apart: none of the protocol's own has half as many.
const MEMBERS_MAX: usize = 64;

/// Why an object cannot be taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotMembers {
    /// It is something else, or no JSON at all.
    OtherType,
    /// The same key twice; escaped, cut where it is long.
    Twice(String),
    /// More than [`MEMBERS_MAX`].
    TooMany,
}

/// A JSON text's string, borrowed where it holds no escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyText;
        impl<'de> Visitor<'de> for AnyText {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(AnyText)
    }
}

/// The text of a JSON string; `None` when it is of another type.
pub(super) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0)
}

/// Whether the value is an object, which a JSON value's first byte says.
pub(super) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// A JSON integer or string: what a request may be called, and a progress token be.
pub(super) fn is_integer_or_text(raw: &RawValue) -> bool {
    let bytes = raw.get().as_bytes();
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    bytes.first() == Some(&b'"') || digits.iter().all(u8::is_ascii_digit)
}

/// Hands over each member of the object `json`, in order. A key that stands twice is handed over
/// twice: this is for texts that go on as they are.
pub(super) fn each_member<'a>(
    json: &'a str,
    take: impl FnMut(&Text<'a>, &'a RawValue),
) -> Result<(), NotMembers> {
    struct Walk<F>(F);

    impl<'de, F: FnMut(&Text<'de>, &'de RawValue)> Visitor<'de> for Walk<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((key, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                (self.0)(&key, value);
            }
            Ok(())
        }
    }

    let mut json = serde_json::Deserializer::from_str(json);
    json.deserialize_map(Walk(take)).and_then(|()| json.end()).map_err(|_| NotMembers::OtherType)
}

/// Hands over each member of the object `json`, in order, unless one of them stands there twice.
pub(super) fn members<'a>(json: &'a str, mut take: impl FnMut(&str, &'a RawValue)) -> Result<(), NotMembers> {
    let mut seen: Vec<Text<'a>> = Vec::with_capacity(8);
    let mut wrong = None;
    each_member(json, |key, value| {
        if wrong.is_some() {
            return;
        }
        if seen.contains(key) {
            wrong = Some(NotMembers::Twice(shown(&key.0)));
        } else if seen.len() == MEMBERS_MAX {
            wrong = Some(NotMembers::TooMany);
        } else {
            take(&key.0, value);
            seen.push(key.clone());
        }
    })?;
    wrong.map_or(Ok(()), Err)
}

/// Longest key or name from outside that is repeated in an error, in characters.
const SHOWN_CHARS_MAX: usize = 128;

/// A text from outside as an error may repeat it: escaped and cut.
pub(super) fn shown(text: &str) -> String {
    text.escape_debug().take(SHOWN_CHARS_MAX).collect()
}

/// Where `part`, a piece of `whole`, lies in it.
pub(super) fn span_in(whole: &str, part: &RawValue) -> std::ops::Range<usize> {
    let start = part.get().as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.get().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(json: &str) -> Result<Vec<String>, NotMembers> {
        let mut keys = Vec::new();
        members(json, |key, value| keys.push(format!("{key}={}", value.get())))?;
        Ok(keys)
    }

    #[test]
    fn members_are_handed_over_as_they_were_written() {
        assert_eq!(
            keys(r#" {"a" : [1.0, "\u00fc"], "b":{"b":1}} "#).unwrap(),
            ["a=[1.0, \"\\u00fc\"]", "b={\"b\":1}"]
        );
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_however_it_is_written() {
        assert_eq!(keys(r#"{"id":1,"i\u0064":2}"#), Err(NotMembers::Twice("id".to_owned())));
        assert_eq!(keys(r#"{"\n":1,"\n":2}"#), Err(NotMembers::Twice("\\n".to_owned())));
    }

    #[test]
    fn more_members_than_any_message_has_are_refused() {
        let many: Vec<String> = (0..65).map(|n| format!("\"k{n}\":0")).collect();
        assert_eq!(keys(&format!("{{{}}}", many.join(","))), Err(NotMembers::TooMany));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in ["[]", "1", "", "{", "{}x", "{\"a\":}"] {
            assert_eq!(keys(json), Err(NotMembers::OtherType), "{json}");
        }
    }

    #[test]
    fn a_request_may_be_called_by_an_integer_or_a_string() {
        let named = |json: &str| is_integer_or_text(&RawValue::from_string(json.to_owned()).unwrap());
        assert!(named("1") && named("-7") && named("\"x\""));
        assert!(!named("1.0") && !named("1e3") && !named("null") && !named("{}") && !named("true"));
    }
}
