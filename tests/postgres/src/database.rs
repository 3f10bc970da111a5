//! A database of a test's own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cluster::Cluster;
use crate::programs::psql;

/// The URL of the superuser of a cluster that serves the whole run; `./test` sets it.
const SHARED: &str = "PROCTOR_TEST_POSTGRES";

/// What the cluster of all tests is started with: nobody misses it after a power failure.
const SETTINGS: &[(&str, &str)] =
    &[("fsync", "off"), ("full_page_writes", "off"), ("max_connections", "300"), ("shared_buffers", "64MB")];

/// Fresh and empty; dropped at the end.
pub struct Database {
    /// Of the cluster, up to the name of the database.
    cluster: String,
    name: String,
}

impl Database {
    /// Makes one in the cluster of the whole run, or, where there is none, of this process.
    ///
    /// # Panics
    /// As everything here, when PostgreSQL does not do what it is told.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it does far more than a default")]
    pub fn new() -> Self {
        static OF_THIS_PROCESS: OnceLock<Cluster> = OnceLock::new();
        let url = std::env::var(SHARED)
            .unwrap_or_else(|_| OF_THIS_PROCESS.get_or_init(Self::shared_cluster).url("postgres"));
        Self::of(&url)
    }

    /// Makes one in this cluster, which must outlive it.
    #[must_use]
    pub fn inside(cluster: &Cluster) -> Self {
        Self::of(&cluster.url("postgres"))
    }

    /// Starts a cluster as good as the one of a whole run.
    #[must_use]
    pub fn shared_cluster() -> Cluster {
        Cluster::start(SETTINGS)
    }

    fn of(url: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{next}", std::process::id());
        let (cluster, _) = url.rsplit_once('/').expect("a URL ends with the name of a database");
        psql(url, &format!("CREATE DATABASE {name}")).unwrap();
        Self { cluster: cluster.to_owned(), name }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How a superuser reaches it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.cluster, self.name)
    }

    /// How somebody else reaches it, who needs no password.
    #[must_use]
    pub fn url_as(&self, role: &str) -> String {
        let (_, host) = self.cluster.rsplit_once('@').expect("a URL with a user");
        format!("postgres://{role}@{host}/{}", self.name)
    }

    /// Executes SQL as a superuser; rows come back as lines, their columns separated by `|`.
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap()
    }

    /// The same, where the database may refuse.
    ///
    /// # Errors
    /// What the database says.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        psql(&self.url(), sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Should the cluster be down by now, its folder is removed as a whole.
        let _ = psql(
            &format!("{}/postgres", self.cluster),
            &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name),
        );
    }
}
