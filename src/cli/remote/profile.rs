//! Servers that are spoken to often, in a file of the user's own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::setting;
use crate::cli::Failure;

const NAME_DEFAULT: &str = "default";

/// One server.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) url: Option<String>,
    api_key: Option<Zeroizing<String>>,
    api_key_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
}

impl Profile {
    /// The profile of this name. Without a name and without a file there is nothing in it.
    pub(super) fn read(name: Option<&str>) -> Result<Self, Failure> {
        let named = name.map(str::to_owned).or_else(|| setting("PROCTOR_PROFILE"));
        let Some(path) = path() else { return Self::absent(named.as_deref(), "no folder for settings") };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Self::absent(named.as_deref(), &path.display().to_string());
            }
            Err(error) => return Err(format!("failed to read {}: {error}", path.display()).into()),
        };
        let mut profiles: BTreeMap<String, Self> = serde_saphyr::from_str(&text).map_err(|error| {
            // The file's text, which an error may quote, holds keys.
            let place = error.location().map_or_else(String::new, |at| format!(" line {}", at.line()));
            format!(
                "failed to read the profiles in {}{place}: give each profile a name, and below it url, api_key \
                 or api_key_file, and ca_file",
                path.display()
            )
        })?;
        let wanted = named.as_deref().unwrap_or(NAME_DEFAULT);
        match (profiles.remove(wanted), named) {
            (Some(profile), _) => Ok(profile),
            (None, None) => Ok(Self::default()),
            (None, Some(named)) => {
                let known = profiles.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                Err(format!("there is no profile {named:?} in {}; there are: {known}", path.display()).into())
            }
        }
    }

    /// Its API key.
    pub(super) fn key(&self) -> Result<Option<String>, Failure> {
        match (&self.api_key, &self.api_key_file) {
            (Some(key), _) => Ok(Some(key.to_string())),
            (None, None) => Ok(None),
            (None, Some(path)) => {
                let read = std::fs::read_to_string(path).map(Zeroizing::new);
                let text = read.map_err(|error| format!("failed to read {}: {error}", path.display()))?;
                Ok(Some(text.trim().to_owned()))
            }
        }
    }

    fn absent(named: Option<&str>, place: &str) -> Result<Self, Failure> {
        match named {
            None => Ok(Self::default()),
            Some(named) => Err(format!("there is no profile {named:?}: {place} is not there").into()),
        }
    }
}

fn path() -> Option<PathBuf> {
    if let Some(path) = setting("PROCTOR_PROFILES") {
        return Some(path.into());
    }
    let folder = match setting("XDG_CONFIG_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(setting("HOME")?).join(".config"),
    };
    Some(folder.join("proctor").join("profiles.yaml"))
}
