//! Verbs that speak to a running server, through its REST API.

mod client;
mod profile;

use std::path::PathBuf;

use clap::Args;
use url::Url;
use zeroize::Zeroizing;

pub(super) use client::{Client, Refused, Unreachable, part, with_query};
use profile::Profile;

use super::Failure;
use super::shown::Shown;

/// Which server is spoken to, as whom, and how its answers are shown.
#[derive(Debug, Args)]
pub(super) struct Remote {
    /// The server: http(s)://HOST[:PORT]. PROCTOR_URL, or the profile's, when absent.
    #[arg(long, value_name = "URL", global = true, help_heading = "Server")]
    url: Option<String>,
    /// The profile in the profiles' file. PROCTOR_PROFILE, or `default`, when absent.
    #[arg(long, value_name = "NAME", global = true, help_heading = "Server")]
    profile: Option<String>,
    /// Print JSON, for programs.
    #[arg(long, global = true, help_heading = "Server")]
    json: bool,
}

/// How many items of a list are wanted.
#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// So many items at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// All items.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Between which times.
#[derive(Debug, Args)]
pub(super) struct Period {
    /// From then on (RFC 3339, such as 2026-11-30T12:00:00Z).
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before then.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

/// What every verb that speaks to a server says at the end of its help.
pub(super) const SETTINGS: &str = "\
Settings (environment): PROCTOR_URL, PROCTOR_API_KEY, PROCTOR_CA_FILE (an authority for https beside the
public ones), PROCTOR_PROFILE, PROCTOR_PROFILES (a file of profiles in YAML; proctor/profiles.yaml in
XDG_CONFIG_HOME or ~/.config when absent). A profile has url, api_key or api_key_file, and ca_file. The
environment goes before it, unless --profile names it; its key is sent to its own url only.

Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 no server there or it cannot serve now.";

impl Remote {
    /// A client of the server, and how answers are shown.
    pub(super) fn open(&self) -> Result<(Client, Shown), Failure> {
        let profile = Profile::read(self.profile.as_deref())?;
        // A profile that was named goes before the environment, and only a flag goes before it.
        let setting = |name: &str, of_profile: Option<String>| match &self.profile {
            Some(_) => of_profile.or_else(|| setting(name)),
            None => setting(name).or(of_profile),
        };
        let url = self
            .url
            .clone()
            .or_else(|| setting("PROCTOR_URL", profile.url.clone()))
            .ok_or("no server is named: set PROCTOR_URL, give --url, or write a profile (see --help)")?;
        // Its key is for its own server, and for no other that a flag or the environment names.
        let key_of_profile = match profile.url.as_ref().is_none_or(|own| *own == url) {
            true => profile.key()?,
            false => None,
        };
        let key = setting("PROCTOR_API_KEY", key_of_profile)
            .map(Zeroizing::new)
            .ok_or("there is no API key for this server: set PROCTOR_API_KEY, or write a profile")?;
        let url = Url::parse(&url).map_err(|error| format!("{url:?} is not a URL: {error}"))?;
        let of_profile = profile.ca_file.map(|path| path.display().to_string());
        let authority = setting("PROCTOR_CA_FILE", of_profile).map(PathBuf::from);
        let client = Client::new(url, key, authority.as_deref())?;
        Ok((client, self.shown()))
    }

    /// How answers are shown.
    pub(super) fn shown(&self) -> Shown {
        Shown::new(self.json)
    }
}

impl Period {
    /// As the REST API has it.
    pub(super) fn query(&self) -> [(&'static str, Option<&str>); 2] {
        [("from", self.from.as_deref()), ("to", self.to.as_deref())]
    }
}

impl Wanted {
    /// Prints a list: as a table of these columns, or as a JSON array.
    pub(super) async fn show(
        &self,
        (client, shown): &(Client, Shown),
        path: &str,
        query: &[(&str, Option<&str>)],
        columns: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let wanted = if self.all { usize::MAX } else { self.limit as usize };
        let (items, more) = client.list(path, query, wanted).await?;
        shown.table(&items, columns);
        if more {
            eprintln!("There are more: give --limit or --all.");
        }
        Ok(())
    }
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}
