//! Which of several hosts is the primary, now and after a failover.
//!
//! **Invariants.** A connection that comes from here is the primary's. Once a promoted host was
//! seen, the one that it took over from is not believed any more, though it may come back, or may
//! never have heard of it.

use std::str::FromStr as _;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::{Instant, timeout, timeout_at};

use super::{CONNECT_WAIT, PostgresConfig, SERVER_WAIT, failed};
use crate::journal::store::StoreError;

/// Two hosts may both say that they are the primary, for a while after a failover. Once one has
/// answered, the others have so long to object.
const OBJECTION_WAIT: Duration = Duration::from_millis(200);

const DOING: &str = "connect to the journal's database";

/// See the module.
pub(super) struct Primary {
    hosts: Vec<PgConnectOptions>,
    current: AtomicUsize,
    /// The newest timeline that was seen; each promotion begins a new one.
    timeline: AtomicI64,
    /// When the primary was last found on another host.
    moved_at: Mutex<Option<Instant>>,
    pool: OnceLock<PgPool>,
}

impl Primary {
    pub(super) fn new(config: &PostgresConfig) -> Result<Self, StoreError> {
        let from_url = PgConnectOptions::from_str(&config.url)
            .map_err(|error| failed("read the URL of the journal's database", error))?
            .application_name("proctor")
            .disable_statement_logging()
            .options([
                ("statement_timeout", SERVER_WAIT),
                ("lock_timeout", SERVER_WAIT),
                ("idle_in_transaction_session_timeout", SERVER_WAIT),
                // What is acknowledged is durable, whatever the server's default is.
                ("synchronous_commit", "on"),
                ("default_transaction_isolation", "read\\ committed"),
            ]);
        let mut hosts = Vec::new();
        for host in &config.hosts {
            // An IPv6 address is in brackets, so that its colons are its own.
            let (name, port) = match host.rsplit_once(':') {
                Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
                Some(_) | None => (host.as_str(), None),
            };
            let mut options = from_url.clone().host(name.trim_matches(['[', ']']));
            if let Some(port) = port {
                let port = port.parse().map_err(|_| {
                    failed("read the list of database hosts", format!("{host} has no port that is a number"))
                })?;
                options = options.port(port);
            }
            hosts.push(options);
        }
        if hosts.is_empty() {
            hosts.push(from_url);
        }
        let (current, timeline) = (AtomicUsize::new(0), AtomicI64::new(0));
        Ok(Self { hosts, current, timeline, moved_at: Mutex::default(), pool: OnceLock::new() })
    }

    /// From now on this pool makes its connections to the primary, wherever that is found.
    pub(super) fn leads(&self, pool: PgPool) {
        // There is one pool: it is said once.
        let _ = self.pool.set(pool);
    }

    /// How the host is reached that was the primary when it was last looked.
    pub(super) fn options(&self) -> PgConnectOptions {
        self.hosts[self.current.load(Ordering::Acquire)].clone()
    }

    /// Whether there is anywhere else to look.
    pub(super) fn may_move(&self) -> bool {
        self.hosts.len() > 1
    }

    /// Whether a connection of this age goes to where the primary is now.
    pub(super) fn is_of_now(&self, age: Duration) -> bool {
        let moved_at = *self.moved_at.lock().unwrap_or_else(PoisonError::into_inner);
        moved_at.is_none_or(|moved_at| age < moved_at.elapsed())
    }

    /// A connection to the primary, wherever it is now.
    pub(super) async fn connect(&self) -> Result<PgConnection, StoreError> {
        let mut asked: FuturesUnordered<_> = (0..self.hosts.len()).map(|host| self.ask(host)).collect();
        let mut until = Instant::now() + CONNECT_WAIT;
        let mut found: Option<(i64, usize, PgConnection)> = None;
        let mut objections = Vec::new();
        while let Ok(Some((host, answer))) = timeout_at(until, asked.next()).await {
            match answer {
                Ok((timeline, connection)) => {
                    if found.as_ref().is_none_or(|(newest, _, _)| timeline > *newest) {
                        found = Some((timeline, host, connection));
                    }
                    until = until.min(Instant::now() + OBJECTION_WAIT);
                }
                Err(reason) => objections.push(format!("{} {reason}", self.name(host))),
            }
        }
        let Some((timeline, host, connection)) = found else {
            if objections.len() < self.hosts.len() {
                objections.push(format!("no answer within {} s", CONNECT_WAIT.as_secs()));
            }
            return Err(failed(DOING, objections.join("; ")));
        };
        let newest = self.timeline.fetch_max(timeline, Ordering::AcqRel);
        if timeline < newest {
            let reason = format!(
                "{} is a primary of timeline {timeline}, but {newest} was seen: another has taken its place",
                self.name(host)
            );
            return Err(failed(DOING, reason));
        }
        if self.current.swap(host, Ordering::AcqRel) != host {
            tracing::warn!(host = self.name(host), "the journal's primary is another host now");
            *self.moved_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            if let Some(pool) = self.pool.get() {
                pool.set_connect_options(self.options());
            }
        }
        Ok(connection)
    }

    async fn ask(&self, host: usize) -> (usize, Result<(i64, PgConnection), String>) {
        let options = &self.hosts[host];
        let answer = async {
            let mut connection = options.connect().await?;
            refuse_standby(&mut connection).await?;
            // Not every hosted database can say it, and where there is one host nobody needs it.
            let timeline = if self.may_move() { timeline(&mut connection).await? } else { 0 };
            Ok((timeline, connection))
        };
        (host, answer.await.map_err(|error: sqlx::Error| error.to_string()))
    }

    /// What a person calls the database, wherever its primary is: without user and password.
    pub(super) fn place(&self) -> String {
        let hosts = self.hosts.iter().map(|host| match host.get_socket() {
            Some(folder) => folder.display().to_string(),
            None if host.get_host().contains(':') => format!("[{}]:{}", host.get_host(), host.get_port()),
            None => format!("{}:{}", host.get_host(), host.get_port()),
        });
        let database = self.hosts.first().and_then(PgConnectOptions::get_database).unwrap_or_default();
        format!("postgres://{}/{database}", hosts.collect::<Vec<_>>().join(","))
    }

    fn name(&self, host: usize) -> String {
        format!("{}:{}", self.hosts[host].get_host(), self.hosts[host].get_port())
    }
}

/// An error when this is a standby.
pub(super) async fn refuse_standby(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = "SELECT pg_is_in_recovery()";
    if sqlx::query_scalar(sql).fetch_one(connection).await? {
        return Err(sqlx::Error::Configuration(
            "is a standby, and the journal is read at the primary".into(),
        ));
    }
    Ok(())
}

/// The first eight digits of the name of the file that is written to.
async fn timeline(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let sql = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint";
    sqlx::query_scalar(sql).fetch_one(connection).await
}

/// Ends a connection, if the server listens.
pub(super) async fn close(connection: PgConnection) {
    // Should it not, it will notice that nobody is there.
    let _ = timeout(OBJECTION_WAIT, connection.close()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_with_and_without_a_port() {
        let hosts = ["db1", "db2:6000", "[::1]", "[::1]:6001"].map(str::to_owned).to_vec();
        let config = PostgresConfig { hosts, ..PostgresConfig::new("postgres://u:secret@db0:5999/journal") };
        let primary = Primary::new(&config).unwrap();
        let read: Vec<_> = (0..4).map(|host| primary.name(host)).collect();
        assert_eq!(read, ["db1:5999", "db2:6000", "::1:5999", "::1:6001"]);
        let place = "postgres://db1:5999,db2:6000,[::1]:5999,[::1]:6001/journal";
        assert_eq!(primary.place(), place);
        let config = PostgresConfig { hosts: vec!["db1:many".to_owned()], ..config };
        let error = Primary::new(&config).map(drop).unwrap_err();
        assert!(error.to_string().contains("db1:many has no port that is a number"), "{error}");
    }
}
