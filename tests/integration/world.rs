//! The real server on a folder of its own, with everything that a test does to it from outside.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use proctor_test_postgres::Database;
use serde_json::Value;

use crate::http::{Request, Response};

pub const ADMIN_KEY: &str = "an-administrators-key-for-tests-only-0123456789";
/// Where the processes of a test say that they are.
pub const PUBLIC_URL: &str = "http://proctor.test";
/// The same where something in front of them speaks TLS.
pub const PUBLIC_URL_OF_HTTPS: &str = "https://proctor.test";
pub const MASTER_KEY: &str = "dGhpcnR5LXR3byBieXRlcyBvZiBrZXksIGZvciB1cyE=";

/// Where the journals of all tests are kept: `postgres`, or in files when absent. `./test` runs the
/// tests once on each.
const STORE: &str = "PROCTOR_TEST_STORE";

/// How long a server may take to become ready, or to end when told to.
const START_OR_STOP_SECONDS_MAX: u64 = 30;

/// A temporary folder, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("proctor-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One running server.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    listen: PathBuf,
    log: PathBuf,
}

/// A folder with servers on it.
pub struct World {
    environment: BTreeMap<String, String>,
    starts: AtomicU32,
    // Before the database and the folder, so that it stops before they are removed.
    pub server: Server,
    database: Option<Database>,
    folder: Folder,
}

/// What every server is told, and these settings.
pub fn environment(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    let usual = [
        ("PROCTOR_MASTER_KEY", MASTER_KEY),
        ("PROCTOR_ADMIN_KEY", ADMIN_KEY),
        ("PROCTOR_LOG", "info,proctor=debug"),
    ];
    owned(&usual).chain(owned(settings)).collect()
}

fn owned(settings: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

impl World {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts behind a URL of its own, as several processes do: a token that one of them minted is
    /// good at all of them, at whatever port they listen.
    pub fn start_behind_url(settings: &[(&str, &str)]) -> Self {
        Self::start_with(&[&[("PROCTOR_PUBLIC_URL", PUBLIC_URL)], settings].concat())
    }

    /// Starts with more settings; they go before the usual ones.
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut environment = environment(&[]);
        let database = std::env::var(STORE).is_ok_and(|store| store == "postgres").then(Database::new);
        environment.extend(database.iter().map(|database| ("DATABASE_URL".to_owned(), database.url())));
        environment.extend(owned(settings));
        let folder = Folder::new();
        let starts = AtomicU32::new(0);
        let server = Server::start(folder.path(), &environment, &starts);
        Self { environment, starts, server, database, folder }
    }

    /// The database, where the journal is not in a file.
    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// Executes SQL on the journal, past the server.
    pub fn sql(&self, sql: &str) {
        match &self.database {
            Some(database) => drop(database.sql(sql)),
            None => {
                let journal = rusqlite::Connection::open(self.data_dir().join("journal.sqlite")).unwrap();
                journal.busy_timeout(Duration::from_secs(10)).unwrap();
                journal.execute_batch(sql).unwrap();
            }
        }
    }

    /// Everything that is kept, under a name each: files, and the rows of all tables.
    pub fn kept(&self) -> Vec<(String, Vec<u8>)> {
        let files = fs::read_dir(self.data_dir()).unwrap().filter_map(|file| {
            let path = file.unwrap().path();
            Some((path.display().to_string(), fs::read(&path).ok()?))
        });
        let mut kept: Vec<_> = files.collect();
        if let Some(database) = &self.database {
            let tables = database.sql(
                "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
                 WHERE schemaname <> 'pg_catalog' AND schemaname <> 'information_schema'",
            );
            kept.extend(tables.lines().map(|table| {
                let rows = format!("SET bytea_output = 'escape'; SELECT t::text FROM {table} t");
                (table.to_owned(), database.sql(&rows).into_bytes())
            }));
        }
        kept
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Another process on the same folder.
    pub fn another(&self) -> Server {
        Server::start(self.folder.path(), &self.environment, &self.starts)
    }

    /// Another process on the same folder, with settings of its own. It may not become ready.
    pub fn launch_with(&self, settings: &[(&str, &str)]) -> Server {
        Server::launch(self.folder.path(), &self.environment_with(settings), &self.starts)
    }

    /// Runs another verb on the same folder, with settings of its own.
    pub fn run(&self, verb: &[&str], settings: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_proctor"));
        command.args(verb).arg("--data-dir").arg(self.data_dir());
        command.env_clear().envs(self.environment_with(settings)).output().unwrap()
    }

    fn environment_with(&self, settings: &[(&str, &str)]) -> BTreeMap<String, String> {
        self.environment.clone().into_iter().chain(owned(settings)).collect()
    }

    /// Ends the server without warning and starts it again.
    pub fn crash_and_restart(&mut self) {
        self.server.kill();
        self.server = self.another();
    }
}

impl std::ops::Deref for World {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Server {
    pub fn start(folder: &Path, environment: &BTreeMap<String, String>, starts: &AtomicU32) -> Self {
        let mut server = Self::launch(folder, environment, starts);
        server.wait_until_ready();
        server
    }

    /// A process that may take a while to become ready, or never does.
    pub fn launch(folder: &Path, environment: &BTreeMap<String, String>, starts: &AtomicU32) -> Self {
        let data_dir = folder.join("data");
        let listen = data_dir.join("listen");
        // The server writes it when it listens; one that is here is of another process.
        let _ = fs::remove_file(&listen);
        let log = folder.join(format!("log-{}", starts.fetch_add(1, Ordering::Relaxed)));
        let output = fs::File::create(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_proctor"));
        command.arg("serve").arg("--data-dir").arg(&data_dir).args(["--listen", "127.0.0.1:0"]);
        // Nothing of this test's own environment may change what is tested.
        command.env_clear().envs(environment);
        for name in ["PATH", "HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap();
        Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), listen, log }
    }

    /// What it ended with, instead of starting.
    pub fn wait_until_ended(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("the server to end", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        wait_until("the server to be ready", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server ended with {status} instead of starting");
            }
            let address = fs::read_to_string(&self.listen).ok().and_then(|text| text.trim().parse().ok());
            let Some(address) = address else { return false };
            self.address = address;
            self.is_ready()
        });
    }

    pub fn is_ready(&self) -> bool {
        Request::new("GET", "/readyz").try_send(self.address).is_ok_and(|answer| answer.status == 200)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it uses, as Linux tells it.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal, such as `TERM`, `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.unwrap().success());
    }

    /// SIGTERM, and what the server then ended with.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_until_ended()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A request to the administrators' API with the administrator's key.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Request {
        let request = Request::new(method, path).header("Authorization", format!("Bearer {ADMIN_KEY}"));
        match body {
            Some(body) => request.header("Content-Type", "application/json").body(body.to_string()),
            None => request,
        }
    }

    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, None).send(self.address)
    }

    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.request("POST", path, Some(body)).send(self.address)
    }

    pub fn put(&self, path: &str, body: &Value) -> Response {
        self.request("PUT", path, Some(body)).send(self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("---- log of the server at {}\n{}----", self.address, self.log());
        }
    }
}

/// Asks until the answer is yes.
#[track_caller]
pub fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(START_OR_STOP_SECONDS_MAX);
    while !happened() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
