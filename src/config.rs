//! Environment and flags into types, once, at start.
//!
//! **Invariants.** Nothing else in the program reads the environment. All that is wrong is said at
//! once, each with the setting's name and what to do, and no value of a secret setting is repeated.

mod admin_key;
mod allowed;
mod database;
mod ends;
mod master_keys;
mod public_url;
mod reader;
mod traces;

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use admin_key::{ADMIN_KEY_CHARS_MAX, ADMIN_KEY_CHARS_MIN, AdminKey};
pub use allowed::Allowed;
pub use database::{DatabaseUrl, StoreConfig};
pub use ends::Ends;
pub use master_keys::Custody;
pub use public_url::PublicUrl;
pub use traces::{TracesConfig, TracesHeaders};

use crate::vault::MasterKeys;
use reader::Reader;

const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8700);
const DATA_DIR_DEFAULT: &str = "proctor-data";
/// What people see who connect an account, where nobody said otherwise.
const APP_NAME_DEFAULT: &str = "Proctor";
const APP_NAME_CHARS_MAX: usize = 100;
const LOG_FILTER_DEFAULT: &str = "info";

const LEASE_SECONDS_DEFAULT: u64 = 30;
const LEASE_SECONDS_MIN: u64 = 2;
const LEASE_SECONDS_MAX: u64 = 300;
const ENTITY_IDLE_SECONDS_DEFAULT: u64 = 300;
const ENTITY_IDLE_SECONDS_MAX: u64 = 86_400;
const CALL_DEADLINE_MS_DEFAULT: u64 = 60_000;
const CALL_DEADLINE_MS_MAX: u64 = 600_000;
const SHUTDOWN_GRACE_MS_DEFAULT: u64 = 10_000;
const SHUTDOWN_GRACE_MS_MAX: u64 = 600_000;
const WEBHOOK_RETRY_FIRST_SECONDS_DEFAULT: u64 = 5;
const WEBHOOK_RETRY_FIRST_SECONDS_MAX: u64 = 3_600;
const WEBHOOK_RETRY_FOR_SECONDS_DEFAULT: u64 = 73 * 3_600;
const WEBHOOK_RETRY_FOR_SECONDS_MAX: u64 = 30 * 86_400;
const CATALOG_SECONDS_DEFAULT: u64 = 300;
const CATALOG_SECONDS_MAX: u64 = 86_400;
const WEB_THREADS_MAX: u64 = 256;
const BODY_BYTES_MAX_DEFAULT: u64 = 4 * 1024 * 1024;
const RESULT_BYTES_MAX_DEFAULT: u64 = 16 * 1024 * 1024;
const CHILDREN_MAX_DEFAULT: u64 = 64;
const CHILDREN_OF_CONNECTION_MAX_DEFAULT: u64 = 48;
const CHILDREN_MAX_MOST: u64 = 10_000;
const BYTES_MAX_LEAST: u64 = 1024;
const BYTES_MAX_MOST: u64 = 256 * 1024 * 1024;

/// What the command line says; it goes before the environment.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--data-dir DIR`
    pub data_dir: Option<PathBuf>,
    /// `--listen ADDR`
    pub listen: Option<String>,
}

/// How the server runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// `PROCTOR_DATA_DIR`: where the journal and all else lives.
    pub data_dir: PathBuf,
    /// `PROCTOR_LISTEN`: the address to listen at; port 0 takes any free one.
    pub listen: SocketAddr,
    /// `PROCTOR_PUBLIC_URL`, where set; [`Config::public_url_at`] says what counts.
    pub public_url: Option<PublicUrl>,
    /// `PROCTOR_APP_NAME`: the application that people connect their accounts to, as they know it.
    pub app_name: String,
    /// `PROCTOR_MASTER_KEY` and `PROCTOR_MASTER_KEY_SECOND`, or the files that hold them.
    pub master_keys: MasterKeys,
    /// `PROCTOR_ADMIN_KEY`: the first administrator's API key.
    pub admin_key: AdminKey,
    /// `DATABASE_URL` and `PROCTOR_DATABASE_HOSTS`: where the journal is kept.
    pub store: StoreConfig,
    /// `PROCTOR_LEASE_SECONDS`: how long a replica counts as alive without renewing.
    pub lease: Duration,
    /// `PROCTOR_WEB_THREADS`: how many threads serve requests.
    pub web_threads: usize,
    /// `PROCTOR_ENTITY_IDLE_SECONDS`: after how long an unused entity stops.
    pub entity_idle: Duration,
    /// `PROCTOR_CALL_DEADLINE_MS`: how long a tool call may take.
    pub call_deadline: Duration,
    /// `PROCTOR_SHUTDOWN_GRACE_MS`: how long calls in flight may go on when the server stops.
    pub shutdown_grace: Duration,
    /// `PROCTOR_BODY_BYTES_MAX`: the longest request that is read.
    pub body_bytes_max: usize,
    /// `PROCTOR_RESULT_BYTES_MAX`: the longest result that is taken from an upstream.
    pub result_bytes_max: usize,
    /// `PROCTOR_CHILDREN_MAX`: how many child processes there are at a time.
    pub children_max: usize,
    /// `PROCTOR_CONNECTION_CHILDREN_MAX`: how many of them are of one connection.
    pub children_of_connection_max: usize,
    /// `PROCTOR_ALLOWED_HOSTS` and `PROCTOR_ALLOWED_ORIGINS`: who a request may be addressed to,
    /// and which pages may send one.
    pub allowed: Allowed,
    /// `PROCTOR_WEBHOOK_RETRY_FIRST_SECONDS`: after how long a message that was not taken is sent
    /// again. The pauses after that grow in proportion.
    pub webhook_retry_first: Duration,
    /// `PROCTOR_WEBHOOK_RETRY_FOR_SECONDS`: for how long it is tried.
    pub webhook_retry_for: Duration,
    /// Where traces are told, if anywhere.
    pub traces: Option<TracesConfig>,
    /// `PROCTOR_CATALOG_SECONDS`: how often it is looked what each upstream offers; never where it is
    /// nothing.
    pub catalog_every: Option<Duration>,
    /// `PROCTOR_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `PROCTOR_LOG`: what is logged, as `tracing`'s filters have it.
    pub log_filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// One setting that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {wrong}")]
pub struct ConfigError {
    /// The setting's name.
    pub setting: &'static str,
    /// What is wrong with it and what to do. Never a secret's value.
    pub wrong: String,
}

/// All settings that are wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed to read the configuration:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for ConfigErrors {}

impl Config {
    /// Reads all settings; `lookup` gives a variable of the environment (`std::env::var_os`).
    ///
    /// # Errors
    /// With everything that is wrong, not only the first.
    pub fn read(flags: &Flags, lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(lookup);
        let data_dir = data_dir(&mut reader, flags);
        let listen = listen(&mut reader, flags);
        let public_url =
            reader.parsed("PROCTOR_PUBLIC_URL", |url| PublicUrl::parse(&url).map_err(|err| err.to_string()));
        let app_name = reader
            .parsed("PROCTOR_APP_NAME", |name| {
                let fits = (1..=APP_NAME_CHARS_MAX).contains(&name.trim().chars().count());
                if fits {
                    Ok(name.trim().to_owned())
                } else {
                    Err(format!("it has no 1 to {APP_NAME_CHARS_MAX} characters: set your product's name"))
                }
            })
            .unwrap_or_else(|| APP_NAME_DEFAULT.to_owned());
        let master_keys = master_keys::read(&mut reader);
        let admin_key =
            reader.required("PROCTOR_ADMIN_KEY", |key| AdminKey::parse(&key).map_err(|err| err.to_string()));
        let store = database::read(&mut reader, &data_dir);
        let lease = Duration::from_secs(reader.number(
            "PROCTOR_LEASE_SECONDS",
            LEASE_SECONDS_DEFAULT,
            LEASE_SECONDS_MIN..=LEASE_SECONDS_MAX,
        ));
        let web_threads = reader.number("PROCTOR_WEB_THREADS", web_threads_default(), 1..=WEB_THREADS_MAX);
        let web_threads = usize::try_from(web_threads).expect("the range ends at a small number");
        let entity_idle = Duration::from_secs(reader.number(
            "PROCTOR_ENTITY_IDLE_SECONDS",
            ENTITY_IDLE_SECONDS_DEFAULT,
            1..=ENTITY_IDLE_SECONDS_MAX,
        ));
        let call_deadline = Duration::from_millis(reader.number(
            "PROCTOR_CALL_DEADLINE_MS",
            CALL_DEADLINE_MS_DEFAULT,
            1..=CALL_DEADLINE_MS_MAX,
        ));
        let shutdown_grace = Duration::from_millis(reader.number(
            "PROCTOR_SHUTDOWN_GRACE_MS",
            SHUTDOWN_GRACE_MS_DEFAULT,
            0..=SHUTDOWN_GRACE_MS_MAX,
        ));
        let webhook_retry_first = Duration::from_secs(reader.number(
            "PROCTOR_WEBHOOK_RETRY_FIRST_SECONDS",
            WEBHOOK_RETRY_FIRST_SECONDS_DEFAULT,
            1..=WEBHOOK_RETRY_FIRST_SECONDS_MAX,
        ));
        let webhook_retry_for = Duration::from_secs(reader.number(
            "PROCTOR_WEBHOOK_RETRY_FOR_SECONDS",
            WEBHOOK_RETRY_FOR_SECONDS_DEFAULT,
            1..=WEBHOOK_RETRY_FOR_SECONDS_MAX,
        ));
        let catalog_seconds =
            reader.number("PROCTOR_CATALOG_SECONDS", CATALOG_SECONDS_DEFAULT, 0..=CATALOG_SECONDS_MAX);
        let catalog_every = Some(Duration::from_secs(catalog_seconds)).filter(|every| !every.is_zero());
        let mut bytes = |setting, default| {
            let bytes = reader.number(setting, default, BYTES_MAX_LEAST..=BYTES_MAX_MOST);
            usize::try_from(bytes).expect("the range ends below what every machine can address")
        };
        let body_bytes_max = bytes("PROCTOR_BODY_BYTES_MAX", BODY_BYTES_MAX_DEFAULT);
        let result_bytes_max = bytes("PROCTOR_RESULT_BYTES_MAX", RESULT_BYTES_MAX_DEFAULT);
        let mut children = |setting, default| {
            let children = reader.number(setting, default, 1..=CHILDREN_MAX_MOST);
            usize::try_from(children).expect("the range ends at a small number")
        };
        let children_max = children("PROCTOR_CHILDREN_MAX", CHILDREN_MAX_DEFAULT);
        let children_of_connection_max =
            children("PROCTOR_CONNECTION_CHILDREN_MAX", CHILDREN_OF_CONNECTION_MAX_DEFAULT);
        let mut allowed = Allowed::default();
        reader.each("PROCTOR_ALLOWED_HOSTS", |host| allowed.add_host(host));
        reader.each("PROCTOR_ALLOWED_ORIGINS", |origin| allowed.add_origin(origin));
        if let Some(url) = &public_url {
            allowed.add_public_url(url);
        }
        let log_format = reader
            .parsed("PROCTOR_LOG_FORMAT", |format| match format.as_str() {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                _ => Err("it is neither text nor json: set one of the two".to_owned()),
            })
            .unwrap_or(LogFormat::Text);
        let log_filter = reader
            .parsed("PROCTOR_LOG", |filter| match tracing_subscriber::EnvFilter::builder().parse(&filter) {
                Ok(_) => Ok(filter),
                Err(err) => Err(format!("it is not a log filter ({err}): set one such as info")),
            })
            .unwrap_or_else(|| LOG_FILTER_DEFAULT.to_owned());

        let traces = traces::read(&mut reader);

        let errors = reader.into_errors();
        match (master_keys, admin_key, listen) {
            (Some(master_keys), Some(admin_key), Some(listen)) if errors.is_empty() => Ok(Self {
                data_dir,
                listen,
                public_url,
                app_name,
                master_keys,
                admin_key,
                store,
                lease,
                web_threads,
                entity_idle,
                call_deadline,
                shutdown_grace,
                body_bytes_max,
                result_bytes_max,
                children_max,
                children_of_connection_max,
                allowed,
                webhook_retry_first,
                webhook_retry_for,
                traces,
                catalog_every,
                log_format,
                log_filter,
            }),
            _ => Err(ConfigErrors(errors)),
        }
    }

    /// The URL under which clients reach this server: the configured one, or where it listens.
    pub fn public_url_at(&self, bound: SocketAddr) -> PublicUrl {
        self.public_url.clone().unwrap_or_else(|| PublicUrl::of_listener(bound))
    }
}

fn data_dir<F: Fn(&str) -> Option<OsString>>(reader: &mut Reader<F>, flags: &Flags) -> PathBuf {
    flags
        .data_dir
        .clone()
        .or_else(|| reader.text("PROCTOR_DATA_DIR").map(PathBuf::from))
        .unwrap_or_else(|| DATA_DIR_DEFAULT.into())
}

/// A core is left to the threads that write the journal and the views: with as many web threads as
/// cores, each call crosses between threads more often than it has to.
fn web_threads_default() -> u64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u64::try_from(cores).unwrap_or(1).saturating_sub(1).clamp(1, WEB_THREADS_MAX)
}

fn listen<F: Fn(&str) -> Option<OsString>>(reader: &mut Reader<F>, flags: &Flags) -> Option<SocketAddr> {
    let (setting, text) = match &flags.listen {
        Some(text) => ("--listen", Some(text.clone())),
        None => ("PROCTOR_LISTEN", reader.text("PROCTOR_LISTEN")),
    };
    let Some(text) = text else { return Some(LISTEN_DEFAULT) };
    let address = text.replacen("localhost:", "127.0.0.1:", 1).parse().ok();
    if address.is_none() {
        reader.error(setting, format!("{text:?} is not an address: give one such as 127.0.0.1:8700"));
    }
    address
}

#[cfg(test)]
mod tests;
