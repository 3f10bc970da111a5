//! `DATABASE_URL` and `PROCTOR_DATABASE_HOSTS`: where the journal is kept.
//!
//! **Invariants.** A URL of a database may hold a password, so no more of it than its scheme is ever
//! shown.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::ConfigErrors;
use super::reader::Reader;

const JOURNAL_FILE: &str = "journal.sqlite";

/// Where the journal is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// In a file of this machine.
    Sqlite {
        /// The journal's file.
        path: PathBuf,
    },
    /// In a database that replicas share.
    Postgres {
        /// Where it is, and as whom to connect.
        url: DatabaseUrl,
        /// All hosts that may be the primary, as `host` or `host:port`; none means the URL's own.
        hosts: Vec<String>,
    },
}

/// The URL of a PostgreSQL database.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL, with its password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

impl StoreConfig {
    /// Reads `DATABASE_URL` and `PROCTOR_DATABASE_HOSTS` alone, for what needs no server; nothing when
    /// no store is named.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn read(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Option<Self>, ConfigErrors> {
        let mut reader = Reader::new(lookup);
        let mut store = reader.parsed("DATABASE_URL", |url| Self::of_url(&url));
        if let Some(store) = &mut store {
            reader.each("PROCTOR_DATABASE_HOSTS", |host| add_host(store, host));
        }
        let errors = reader.into_errors();
        if errors.is_empty() { Ok(store) } else { Err(ConfigErrors(errors)) }
    }

    /// Reads one URL.
    ///
    /// # Errors
    /// With what is wrong and what to do, and no more of the URL than its scheme.
    pub fn of_url(url: &str) -> Result<Self, String> {
        of_url(url)
    }
}

/// The store that is named, or the file in the data folder.
pub(super) fn read<F: Fn(&str) -> Option<OsString>>(reader: &mut Reader<F>, data_dir: &Path) -> StoreConfig {
    let mut store = reader
        .parsed("DATABASE_URL", |url| StoreConfig::of_url(&url))
        .unwrap_or_else(|| StoreConfig::Sqlite { path: data_dir.join(JOURNAL_FILE) });
    reader.each("PROCTOR_DATABASE_HOSTS", |host| add_host(&mut store, host));
    store
}

fn of_url(url: &str) -> Result<StoreConfig, String> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err("it is not a URL: set sqlite:PATH or postgres://…".to_owned());
    };
    match scheme {
        "sqlite" => match rest.strip_prefix("//").unwrap_or(rest) {
            "" => Err("it names no file: set sqlite:PATH".to_owned()),
            ":memory:" => {
                Err("a journal in memory would lose what was acknowledged: set sqlite:PATH".to_owned())
            }
            path => Ok(StoreConfig::Sqlite { path: Path::new(path).to_owned() }),
        },
        "postgres" | "postgresql" => {
            let named = Url::parse(url).is_ok_and(|url| url.path().len() > 1);
            if !named {
                return Err(
                    "it names no database: set postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned()
                );
            }
            Ok(StoreConfig::Postgres { url: DatabaseUrl(url.to_owned()), hosts: Vec::new() })
        }
        _ => Err("it names a database that is not known here: set sqlite:PATH or postgres://…".to_owned()),
    }
}

/// Adds an entry of `PROCTOR_DATABASE_HOSTS`.
pub(super) fn add_host(store: &mut StoreConfig, host: &str) -> Result<(), String> {
    match store {
        StoreConfig::Sqlite { .. } => Err("the journal is in a file: leave this out, or set DATABASE_URL \
                                           to postgres://…"
            .to_owned()),
        StoreConfig::Postgres { hosts, .. } => {
            // A database's port is its URL's where none is named.
            let fits = Url::parse(&format!("postgres://{host}/"))
                .is_ok_and(|url| url.has_host() && url.username().is_empty() && url.path() == "/");
            if !fits {
                return Err(format!("{host:?} is not a host: set HOST or HOST:PORT, separated by commas"));
            }
            hosts.push(host.to_owned());
            Ok(())
        }
    }
}
