//! `PROCTOR_MASTER_KEY` and `PROCTOR_MASTER_KEY_SECOND`, each a value or a file that holds it.

use std::ffi::OsString;

use zeroize::Zeroizing;

use super::reader::Reader;
use super::{ConfigErrors, Flags, StoreConfig, data_dir, database};
use crate::vault::{InFile, InText, KeySource, MasterKey, MasterKeyError, MasterKeys};

/// A setting, and the one that names a file instead.
struct Settings {
    value: &'static str,
    file: &'static str,
}

const FIRST: Settings = Settings { value: "PROCTOR_MASTER_KEY", file: "PROCTOR_MASTER_KEY_FILE" };
const SECOND: Settings =
    Settings { value: "PROCTOR_MASTER_KEY_SECOND", file: "PROCTOR_MASTER_KEY_SECOND_FILE" };

/// What it takes to work on sealed rows, without a server.
#[derive(Debug)]
pub struct Custody {
    /// The master keys.
    pub master_keys: MasterKeys,
    /// Where the rows are.
    pub store: StoreConfig,
}

impl Custody {
    /// Reads these settings alone.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn read(flags: &Flags, lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(lookup);
        let data_dir = data_dir(&mut reader, flags);
        let store = database::read(&mut reader, &data_dir);
        let master_keys = read(&mut reader);
        let errors = reader.into_errors();
        match master_keys {
            Some(master_keys) if errors.is_empty() => Ok(Self { master_keys, store }),
            _ => Err(ConfigErrors(errors)),
        }
    }
}

/// Nothing when something is wrong, which `reader` has then.
pub(super) fn read<F: Fn(&str) -> Option<OsString>>(reader: &mut Reader<F>) -> Option<MasterKeys> {
    let first = key(reader, &FIRST, Some(MasterKeyError::Missing));
    let second = key(reader, &SECOND, None);
    let first = first?;
    if second.as_ref().is_some_and(|second| second.id() == first.id()) {
        let wrong = format!("it is the same key as {}: set the other one, or none", FIRST.value);
        reader.error(SECOND.value, wrong);
        return None;
    }
    Some(MasterKeys::new(first, second))
}

fn key<F: Fn(&str) -> Option<OsString>>(
    reader: &mut Reader<F>,
    settings: &Settings,
    absent: Option<MasterKeyError>,
) -> Option<MasterKey> {
    let errors = reader.errors();
    let value = reader.text(settings.value).map(Zeroizing::new);
    let file = reader.text(settings.file);
    if reader.errors() > errors {
        return None;
    }
    let (setting, source): (_, Box<dyn KeySource>) = match (value, file) {
        (Some(text), None) => (settings.value, Box::new(InText(text))),
        (None, Some(path)) => (settings.file, Box::new(InFile(path.into()))),
        (Some(_), Some(_)) => {
            reader.error(settings.file, format!("{} is set too: set one of the two", settings.value));
            return None;
        }
        (None, None) => {
            if let Some(absent) = absent {
                reader.error(settings.value, absent.to_string());
            }
            return None;
        }
    };
    source.key().map_err(|error| reader.error(setting, error.to_string())).ok()
}
