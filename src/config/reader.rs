//! Reads settings one by one and gathers what is wrong with them.

use std::ffi::OsString;
use std::ops::RangeInclusive;

use super::ConfigError;

/// An empty value counts as absent: that is what many tools leave for a variable without a value.
pub(super) struct Reader<F> {
    lookup: F,
    errors: Vec<ConfigError>,
}

impl<F: Fn(&str) -> Option<OsString>> Reader<F> {
    pub(super) fn new(lookup: F) -> Self {
        Self { lookup, errors: Vec::new() }
    }

    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors
    }

    /// How many are wrong so far.
    pub(super) fn errors(&self) -> usize {
        self.errors.len()
    }

    pub(super) fn error(&mut self, setting: &'static str, wrong: String) {
        self.errors.push(ConfigError { setting, wrong });
    }

    pub(super) fn text(&mut self, setting: &'static str) -> Option<String> {
        match (self.lookup)(setting)?.into_string() {
            Ok(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Err(_) => {
                self.error(setting, "it is not UTF-8 text: set it again".to_owned());
                None
            }
        }
    }

    pub(super) fn parsed<T>(
        &mut self,
        setting: &'static str,
        parse: impl FnOnce(String) -> Result<T, String>,
    ) -> Option<T> {
        match parse(self.text(setting)?) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.error(setting, wrong);
                None
            }
        }
    }

    /// Like [`Reader::parsed`], but an absent value is parsed too, as an empty text.
    pub(super) fn required<T>(
        &mut self,
        setting: &'static str,
        parse: impl FnOnce(String) -> Result<T, String>,
    ) -> Option<T> {
        let errors = self.errors.len();
        let text = self.text(setting);
        if self.errors.len() > errors {
            return None;
        }
        match parse(text.unwrap_or_default()) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.error(setting, wrong);
                None
            }
        }
    }

    /// Answers the default when the value is wrong, too: the error is kept, and nothing starts.
    pub(super) fn number(&mut self, setting: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        self.parsed(setting, |text| match text.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(format!(
                "{text:?} is not a whole number from {} to {}: set one, or leave it out for {default}",
                range.start(),
                range.end()
            )),
        })
        .unwrap_or(default)
    }

    /// Hands over each entry of a comma-separated list.
    pub(super) fn each(&mut self, setting: &'static str, mut take: impl FnMut(&str) -> Result<(), String>) {
        for entry in self.text(setting).unwrap_or_default().split(',').map(str::trim) {
            if !entry.is_empty()
                && let Err(wrong) = take(entry)
            {
                self.error(setting, wrong);
            }
        }
    }
}
