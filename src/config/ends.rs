//! The two stores of a copy: named on the command line, with `PROCTOR_DATABASE_HOSTS` for one of them.
//!
//! **Invariants.** The hosts of one installation are never taken for another's: where it is not plain
//! which end they belong to, nothing is done.

use std::ffi::OsString;

use url::Url;

use super::ConfigErrors;
use super::database::{StoreConfig, add_host};
use super::reader::Reader;

const HOSTS: &str = "PROCTOR_DATABASE_HOSTS";
/// Where PostgreSQL listens when nobody says otherwise.
const PORT_DEFAULT: u16 = 5432;

/// From where to where.
#[derive(Debug, PartialEq, Eq)]
pub struct Ends {
    /// The store that is copied.
    pub from: StoreConfig,
    /// The store that it is copied to.
    pub to: StoreConfig,
}

impl Ends {
    /// Reads both URLs, and gives the hosts of the environment to the end that they belong to: the one
    /// that `DATABASE_URL` names, or, where that names no PostgreSQL, the only one that is PostgreSQL.
    ///
    /// # Errors
    /// With everything that is wrong, and no more of a URL than its scheme.
    pub fn read(
        lookup: impl Fn(&str) -> Option<OsString>,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(lookup);
        let ends = (end(&mut reader, "--from", from), end(&mut reader, "--to", to));
        let (Some(from), Some(to)) = ends else { return Err(ConfigErrors(reader.into_errors())) };
        let mut ends = Self { from, to };
        if reader.text(HOSTS).is_some() {
            // One that is wrong names no end.
            let installation = reader.text("DATABASE_URL").and_then(|url| StoreConfig::of_url(&url).ok());
            match ends.of_hosts(installation.as_ref()) {
                Ok(None) => {}
                Ok(Some(end)) => reader.each(HOSTS, |host| add_host(end, host)),
                Err(wrong) => reader.error(HOSTS, wrong.to_owned()),
            }
        }
        let errors = reader.into_errors();
        if errors.is_empty() { Ok(ends) } else { Err(ConfigErrors(errors)) }
    }

    /// The end that the hosts belong to.
    fn of_hosts(
        &mut self,
        installation: Option<&StoreConfig>,
    ) -> Result<Option<&mut StoreConfig>, &'static str> {
        let mut ends: Vec<_> = [&mut self.from, &mut self.to]
            .into_iter()
            .filter(|end| matches!(end, StoreConfig::Postgres { .. }))
            .collect();
        if ends.is_empty() {
            return Ok(None);
        }
        if let Some(installation) = installation.and_then(place) {
            ends.retain(|end| place(end).as_ref() == Some(&installation));
            if ends.is_empty() {
                return Err(
                    "it belongs to the database that DATABASE_URL names, and that is neither --from \
                            nor --to (host, port and database are compared): name it there in the same words, \
                            or leave this out and name the present primary",
                );
            }
        }
        match ends.len() {
            1 => Ok(ends.pop()),
            _ => Err("both --from and --to are PostgreSQL, and these hosts belong to one of them: set \
                      DATABASE_URL to the URL of that one, or leave this out and name both present primaries"),
        }
    }
}

fn end<F: Fn(&str) -> Option<OsString>>(
    reader: &mut Reader<F>,
    flag: &'static str,
    url: Option<&str>,
) -> Option<StoreConfig> {
    let url = url.unwrap_or_default();
    let parsed = if url.is_empty() {
        Err("it is missing: set sqlite:PATH or postgres://…".to_owned())
    } else {
        StoreConfig::of_url(url)
    };
    parsed.map_err(|wrong| reader.error(flag, wrong)).ok()
}

/// What two URLs of the same database have in common, whoever connects.
fn place(store: &StoreConfig) -> Option<(Option<String>, u16, String)> {
    let StoreConfig::Postgres { url, .. } = store else { return None };
    let url = Url::parse(url.expose()).ok()?;
    let host = url.host_str().map(str::to_ascii_lowercase).or_else(|| url.query().map(str::to_owned));
    Some((host, url.port().unwrap_or(PORT_DEFAULT), url.path().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(hosts: &str, url: &str, from: &str, to: &str) -> Result<Ends, String> {
        let lookup = |name: &str| match name {
            HOSTS => Some(hosts.into()),
            "DATABASE_URL" => Some(url.into()),
            _ => None,
        };
        Ends::read(lookup, Some(from), Some(to)).map_err(|errors| errors.to_string())
    }

    fn hosts(store: &StoreConfig) -> Vec<&str> {
        match store {
            StoreConfig::Sqlite { .. } => vec!["a file"],
            StoreConfig::Postgres { hosts, .. } => hosts.iter().map(String::as_str).collect(),
        }
    }

    const ONE: &str = "postgres://admin:secret@db1/proctor";
    const OTHER: &str = "postgres://new/proctor";
    const FILE: &str = "sqlite:journal.sqlite";

    #[test]
    fn the_only_end_that_is_postgres_has_the_hosts() {
        for url in ["", FILE, "postgres://proctor:other@DB1:5432/proctor?sslmode=require"] {
            let ends = ends("db1,db2:6000", url, FILE, ONE).unwrap();
            assert_eq!((hosts(&ends.from), hosts(&ends.to)), (vec!["a file"], vec!["db1", "db2:6000"]));
        }
        let ends = ends("db1,db2", "", ONE, FILE).unwrap();
        assert_eq!((hosts(&ends.from), hosts(&ends.to)), (vec!["db1", "db2"], vec!["a file"]));
    }

    #[test]
    fn of_two_the_one_that_database_url_names_has_them() {
        let one = ends("db1,db2", "postgres://db1/proctor", ONE, OTHER).unwrap();
        assert_eq!((hosts(&one.from), hosts(&one.to)), (vec!["db1", "db2"], vec![]));
        let other = ends("new,new2", "postgres://new/proctor", ONE, OTHER).unwrap();
        assert_eq!((hosts(&other.from), hosts(&other.to)), (vec![], vec!["new", "new2"]));
    }

    #[test]
    fn hosts_that_may_be_another_installations_are_not_used() {
        for (url, from, to, says) in [
            ("", ONE, OTHER, "both --from and --to are PostgreSQL"),
            (FILE, ONE, OTHER, "both --from and --to are PostgreSQL"),
            ("postgres://db1/proctor", ONE, ONE, "both --from and --to are PostgreSQL"),
            ("postgres://db1:6000/proctor", FILE, ONE, "is neither --from nor --to"),
            ("postgres://db1/staging", FILE, ONE, "is neither --from nor --to"),
            ("postgres://db3/proctor", ONE, OTHER, "is neither --from nor --to"),
        ] {
            let error = ends("db1,db2", url, from, to).unwrap_err();
            assert!(error.contains(HOSTS) && error.contains(says), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(ends("", "", ONE, OTHER).is_ok(), "there are none");
        assert!(ends("db1", "", FILE, FILE).is_ok(), "there is nobody whose they could be");
        assert!(ends("db 1", "", FILE, ONE).unwrap_err().contains("is not a host"));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let error = Ends::read(|_| None, None, Some("journal.sqlite")).unwrap_err().to_string();
        assert!(error.contains("--from: it is missing"), "{error}");
        assert!(error.contains("--to: it is not a URL: set sqlite:PATH or postgres://…"), "{error}");
    }
}
