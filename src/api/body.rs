//! Reads a request's body: JSON of one form, and nothing else.
//!
//! **Invariants.** A body is never longer than its limit in memory. A member that is unknown, or
//! stands twice, is refused and never guessed about.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, dev, web};
use futures_util::StreamExt as _;
use serde::Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use super::problem::{Code, Problem};
use crate::proctor::Proctor;

/// Deepest nesting of a body. What is kept of it is wrapped a few levels deeper in an event, which
/// must still be read by a parser that goes 128 levels down.
const DEPTH_MAX: usize = 64;

/// A body that must be there.
pub(super) struct Body<T>(pub(super) T);

/// A body that may be absent; then it is the default.
pub(super) struct BodyOrNothing<T>(pub(super) T);

type Reading<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = Problem;
    type Future = Reading<Self>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let bytes = read(&request, payload).await?;
            check_content_type(&request)?;
            parse(&bytes).map(Self)
        })
    }
}

impl<T: DeserializeOwned + Default + 'static> FromRequest for BodyOrNothing<T> {
    type Error = Problem;
    type Future = Reading<Self>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let bytes = read(&request, payload).await?;
            if bytes.is_empty() {
                return Ok(Self(T::default()));
            }
            check_content_type(&request)?;
            parse(&bytes).map(Self)
        })
    }
}

/// All of a body, up to the limit.
pub(super) async fn read(request: &HttpRequest, mut payload: dev::Payload) -> Result<web::BytesMut, Problem> {
    let bytes_max =
        request.app_data::<web::Data<Proctor>>().map_or(0, |proctor| proctor.config.body_bytes_max);
    let too_large = || {
        let detail = format!("the body is longer than {bytes_max} bytes: send less");
        Problem::new(Code::BodyTooLarge, detail).with("bytes_max", bytes_max)
    };
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large());
    }
    let mut bytes = web::BytesMut::with_capacity(declared.unwrap_or_default());
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(Code::MalformedJson, format!("the body broke off ({error}): send all of it"))
        })?;
        if bytes.len() + chunk.len() > bytes_max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn check_content_type(request: &HttpRequest) -> Result<(), Problem> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let kind = header(header::CONTENT_TYPE).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let json =
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if !json {
        return Err(Problem::new(
            Code::WrongContentType,
            "the body is not declared as JSON: send it with Content-Type: application/json",
        ));
    }
    match header(header::CONTENT_ENCODING) {
        None | Some("identity") => Ok(()),
        Some(_) => Err(Problem::new(
            Code::WrongContentType,
            "the body is compressed: send it without a Content-Encoding",
        )),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let refused = |code, error: &serde_json::Error| {
        Problem::new(code, format!("failed to read the body: {error}"))
            .with("line", error.line())
            .with("column", error.column())
    };
    let wrong = Cell::new(Code::MalformedJson);
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Walk { depth: 0, wrong: &wrong }
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|error| refused(wrong.get(), &error))?;
    serde_json::from_slice(bytes).map_err(|error| refused(Code::InvalidBody, &error))
}

/// Walks through JSON in which no object has a key twice and nothing is nested too deep.
#[derive(Clone, Copy)]
struct Walk<'w> {
    depth: usize,
    /// What is wrong, where something is that is JSON all the same.
    wrong: &'w Cell<Code>,
}

impl Walk<'_> {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            self.wrong.set(Code::TooDeep);
            return Err(E::custom(format_args!("it is nested more than {DEPTH_MAX} levels deep")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while seq.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.contains(&key) {
                self.wrong.set(Code::DuplicateKey);
                return Err(A::Error::custom(format_args!("the key {key:?} stands twice in one object")));
            }
            keys.insert(key);
            map.next_value_seed(inside)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only read from JSON")]
        name: String,
    }

    fn refused(text: &str) -> Problem {
        parse::<Sample>(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn malformed_json_is_refused_with_its_place() {
        let problem = refused("{\"name\":\n \"x\"");
        assert_eq!(problem.code, Code::MalformedJson);
        assert_eq!(problem.document()["line"], 2);
        for text in ["", "{} {}", "{\"a\":1e999}", "\"\\ud800\""] {
            assert_eq!(refused(text).code, Code::MalformedJson, "{text}");
        }
        assert_eq!(refused("\"\u{0}\"").code, Code::MalformedJson);
    }

    #[test]
    fn what_is_nested_too_deep_for_the_journal_is_refused() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for levels in [DEPTH_MAX + 1, 200, 100_000] {
            assert_eq!(refused(&nested(levels)).code, Code::TooDeep, "{levels}");
        }
        assert!(parse::<serde_json::Value>(nested(DEPTH_MAX).as_bytes()).is_ok());
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_at_any_depth() {
        for text in [r#"{"name":"a","name":"b"}"#, r#"{"x":[{"deep":{"a":1,"\u0061":2}}]}"#] {
            let problem = refused(text);
            assert_eq!(problem.code, Code::DuplicateKey, "{text}");
            assert!(problem.detail.contains("twice"), "{problem}");
        }
        assert!(parse::<serde_json::Value>(br#"{"a":{"a":1},"b":[{"a":1},{"a":-2.5e3}],"c":null}"#).is_ok());
    }

    #[test]
    fn an_unknown_member_is_refused_by_its_name() {
        let problem = refused(r#"{"name":"a","nmae":"b"}"#);
        assert_eq!(problem.code, Code::InvalidBody);
        assert!(problem.detail.contains("nmae"), "{problem}");
        assert_eq!(refused(r#"{"name":7}"#).code, Code::InvalidBody);
        assert_eq!(refused("{}").code, Code::InvalidBody);
    }
}
