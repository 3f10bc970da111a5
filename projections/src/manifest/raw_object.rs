//! A JSON object whose values stay exactly as they were written, in their order.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Keys with their values as they were written.
#[derive(Debug, Default)]
pub(super) struct RawObject(Vec<(String, Box<RawValue>)>);

/// Why a JSON text cannot be taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotAnObject {
    /// A list, a text, a number, …
    OtherType,
    /// The same key twice: readers disagree on which of the two counts.
    DuplicateKey(String),
}

impl RawObject {
    pub(super) fn parse(raw: &RawValue) -> Result<Self, NotAnObject> {
        let object: Self = serde_json::from_str(raw.get()).map_err(|_| NotAnObject::OtherType)?;
        let mut seen = HashSet::with_capacity(object.0.len());
        let twice = object.keys().find(|key| !seen.insert(*key)).map(str::to_owned);
        drop(seen);
        match twice {
            Some(key) => Err(NotAnObject::DuplicateKey(key)),
            None => Ok(object),
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), &**value))
    }

    pub(super) fn get(&self, key: &str) -> Option<&RawValue> {
        self.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// Replaces a value where it stands, or adds it at the end.
    pub(super) fn set(&mut self, key: &str, value: Box<RawValue>) {
        match self.0.iter_mut().find(|(k, _)| k == key) {
            Some(entry) => entry.1 = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(key, _)| keep(key));
    }

    pub(super) fn to_raw(&self) -> Box<RawValue> {
        to_raw_value(self).expect("keys are text and values are JSON already")
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(RawObject(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
