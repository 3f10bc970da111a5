//! What is sealed beside the events of a session: arguments, results, labels, the client's address.
//!
//! One small JSON object per event, read and written in one pass.
//!
//! **Invariants.** Arguments and results keep their exact bytes. What a virtual server does not
//! keep never gets here: [`Kept`] says what is left of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// Room for what stands around arguments and results, in bytes.
const AROUND_BYTES: usize = 160;

/// How much of arguments or of a result is kept (see `Capture`).
#[derive(Clone, Copy, Debug)]
pub enum Kept<'a> {
    /// All of it, as it was.
    Full(&'a RawValue),
    /// Its keyed digest, in hexadecimal.
    Digest(&'a str),
    /// Nothing, or there was none.
    Nothing,
}

/// Sealed beside `ToolCallAdmitted` and `ToolCallRefused`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked<'a> {
    /// The client's network address.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Cow<'a, str>>,
    /// The arguments as the agent sent them.
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub arguments: Option<&'a RawValue>,
    /// Their keyed digest, in hexadecimal.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Cow<'a, str>>,
    /// The input that the upstream had wanted, as the agent sent it. Kept like the arguments, but for no
    /// digest.
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub input: Option<&'a RawValue>,
    /// What else was handed on of the request's `_meta`. Kept like the arguments, but for no digest.
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub meta: Option<&'a RawValue>,
}

/// Sealed beside `ToolCallEnded`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ended<'a> {
    /// The result as the upstream sent it.
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub result: Option<&'a RawValue>,
    /// The error: an object with `message`, and `code` and `data` where the upstream sent one.
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a RawValue>,
    /// The result's or error's keyed digest, in hexadecimal.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Cow<'a, str>>,
}

/// Sealed beside `InputRequested` and `InputGiven`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Input<'a> {
    /// The parameters of what is wanted; or the answer, an object with `result` or `error`.
    #[serde(borrow, default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a RawValue>,
    /// Its keyed digest, in hexadecimal.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Cow<'a, str>>,
}

/// Sealed beside `SessionOpened`, where there are labels.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The caller's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl<'a> Asked<'a> {
    /// What is kept of a request from `address`.
    #[must_use]
    pub fn new(address: Option<&'a str>, arguments: Kept<'a>) -> Self {
        let (arguments, digest) = arguments.split();
        Self { address: address.map(Cow::Borrowed), arguments, digest, input: None, meta: None }
    }

    /// The same, with what else is kept in full.
    #[must_use]
    pub fn with(self, input: Option<&'a RawValue>, meta: Option<&'a RawValue>) -> Self {
        Self { input, meta, ..self }
    }

    /// The bytes to seal.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let raw = [self.arguments, self.input, self.meta];
        bytes(self, raw.into_iter().flatten().map(|raw| raw.get().len()).sum())
    }

    /// Reads opened bytes.
    ///
    /// # Errors
    /// When they were not written by [`Asked::to_bytes`].
    pub fn read(opened: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(opened)
    }
}

impl<'a> Ended<'a> {
    /// What is kept of a result.
    #[must_use]
    pub fn result(result: Kept<'a>) -> Self {
        let (result, digest) = result.split();
        Self { result, error: None, digest }
    }

    /// What is kept of an error.
    #[must_use]
    pub fn error(error: Kept<'a>) -> Self {
        let (error, digest) = error.split();
        Self { result: None, error, digest }
    }

    /// The bytes to seal.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes(self, self.result.or(self.error).map_or(0, |raw| raw.get().len()))
    }

    /// Reads opened bytes.
    ///
    /// # Errors
    /// When they were not written by [`Ended::to_bytes`].
    pub fn read(opened: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(opened)
    }
}

impl<'a> Input<'a> {
    /// What is kept of a wish or of its answer.
    #[must_use]
    pub fn new(message: Kept<'a>) -> Self {
        let (message, digest) = message.split();
        Self { message, digest }
    }

    /// The bytes to seal.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes(self, self.message.map_or(0, |raw| raw.get().len()))
    }

    /// Reads opened bytes.
    ///
    /// # Errors
    /// When they were not written by [`Input::to_bytes`].
    pub fn read(opened: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(opened)
    }
}

impl Opened {
    /// The bytes to seal.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes(self, 0)
    }

    /// Reads opened bytes.
    ///
    /// # Errors
    /// When they were not written by [`Opened::to_bytes`].
    pub fn read(opened: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(opened)
    }
}

impl<'a> Kept<'a> {
    fn split(self) -> (Option<&'a RawValue>, Option<Cow<'a, str>>) {
        match self {
            Self::Full(raw) => (Some(raw), None),
            Self::Digest(digest) => (None, Some(Cow::Borrowed(digest))),
            Self::Nothing => (None, None),
        }
    }
}

/// A member that is there is kept, `null` also.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

fn bytes(payload: &impl Serialize, raw_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw_bytes + AROUND_BYTES);
    serde_json::to_writer(&mut bytes, payload)
        .expect("text and raw JSON are always JSON, and memory takes it");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn arguments_and_results_keep_their_bytes() {
        let text = r#"{ "b":1.50,  "a":[1e3,"\u00e9"], "a":null }"#;
        let arguments = raw(text);
        let bytes = Asked::new(Some("203.0.113.7"), Kept::Full(&arguments)).to_bytes();
        let asked = Asked::read(&bytes).unwrap();
        assert_eq!(asked.arguments.unwrap().get(), text);
        assert_eq!(asked.address.as_deref(), Some("203.0.113.7"));
        for (bytes, of_error) in [
            (Ended::result(Kept::Full(&arguments)).to_bytes(), false),
            (Ended::error(Kept::Full(&arguments)).to_bytes(), true),
        ] {
            let ended = Ended::read(&bytes).unwrap();
            let (there, absent) =
                if of_error { (ended.error, ended.result) } else { (ended.result, ended.error) };
            assert_eq!((there.unwrap().get(), absent.is_none()), (text, true));
        }
    }

    #[test]
    fn what_is_not_kept_is_not_there_and_null_is() {
        assert_eq!(Asked::new(None, Kept::Nothing).to_bytes(), b"{}");
        assert_eq!(Ended::result(Kept::Digest("ab")).to_bytes(), br#"{"digest":"ab"}"#);
        assert!(Asked::read(b"{}").unwrap().arguments.is_none());
        assert_eq!(Asked::read(br#"{"arguments":null}"#).unwrap().arguments.unwrap().get(), "null");
    }

    #[test]
    fn labels_come_back() {
        let labels = BTreeMap::from([("run".to_owned(), "a \"quoted\" one".to_owned())]);
        let opened = Opened { labels };
        assert_eq!(Opened::read(&opened.to_bytes()).unwrap(), opened);
    }
}
