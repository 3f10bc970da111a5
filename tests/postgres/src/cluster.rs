//! A cluster of a test's own, which it may stop, crash, pause, restart, copy and promote.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::programs::{as_owner, hand_over, psql, run};

/// Another process may take a free port before the cluster does.
const STARTS_MAX: u32 = 5;

/// Waits for the end of its input, which comes when the process that started it has ended, then
/// stops the cluster and removes its folder. Signals for the test's whole group do not end it.
const GUARD: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
if [ -f "$0/data/postmaster.pid" ]; then
    read -r pid <"$0/data/postmaster.pid"
    kill -CONT $pid $(cat "/proc/$pid/task/$pid/children") 2>/dev/null
    pg_ctl --pgdata="$0/data" --mode=immediate --silent stop
fi
rm -rf "$0"
"#;

/// Stopped and removed at the end.
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    settings: Vec<(String, String)>,
    guard: Child,
}

impl Cluster {
    /// Makes a cluster and starts it. It keeps what was committed, however it ends, unless a setting
    /// (`("fsync", "off")`) says otherwise.
    ///
    /// # Panics
    /// As everything here, when PostgreSQL does not do what it is told.
    #[must_use]
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let mut cluster = Self::empty(settings);
        let mut make = as_owner("initdb");
        make.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        run(make.arg("--pgdata").arg(cluster.data())).unwrap();
        cluster.start_on_free_port();
        cluster
    }

    /// Guarded before anything is in it.
    fn empty(settings: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("proctor-test-postgres-{}-{next}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        hand_over(&folder);
        let mut guard = as_owner("sh");
        guard.arg("-c").arg(GUARD).arg(&folder);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Self { folder, port: 0, settings, guard: guard.spawn().unwrap() }
    }

    fn start_on_free_port(&mut self) {
        for _ in 0..STARTS_MAX {
            self.port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            if self.try_start().is_ok() {
                return;
            }
        }
        panic!("PostgreSQL does not start: {}", fs::read_to_string(self.folder.join("log")).unwrap());
    }

    fn try_start(&self) -> Result<String, String> {
        let mut options = format!("-p {} -c listen_addresses=127.0.0.1", self.port);
        // After a crash one sync of the whole file system is quicker than one of every file.
        options.push_str(" -c unix_socket_directories='' -c recovery_init_sync_method=syncfs");
        for (name, value) in &self.settings {
            options.push_str(&format!(" -c {name}={value}"));
        }
        // Its output is not to be ours: it lives on while somebody waits for the end of ours.
        let mut start = self.control("start");
        start.arg("--log").arg(self.folder.join("log")).arg("--options").arg(options);
        let status = start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        if status.success() { Ok(String::new()) } else { Err("pg_ctl start".into()) }
    }

    fn control(&self, verb: &str) -> Command {
        let mut command = as_owner("pg_ctl");
        command.args(["--silent", "--wait", verb, "--pgdata"]).arg(self.data());
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where it listens, as `host:port`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How its superuser reaches one of its databases; there is one named `postgres`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.host())
    }

    /// Executes SQL as its superuser; rows come back as lines, their columns separated by `|`.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        psql(&self.url(database), sql).unwrap()
    }

    /// Ends it in order.
    pub fn stop(&self) {
        run(self.control("stop").arg("--mode=fast")).unwrap();
    }

    /// Ends it without any order, as a crash does.
    pub fn crash(&self) {
        run(self.control("stop").arg("--mode=immediate")).unwrap();
    }

    /// Starts it where it was, after it was stopped or crashed.
    pub fn start_again(&self) {
        self.try_start().unwrap();
    }

    /// Lets none of its processes do anything: it takes connections, and never answers.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let pid = file.lines().next().unwrap();
        let send = |pids: &str| run(Command::new("kill").arg(signal).args(pids.split_whitespace()));
        // First the one that starts others. Of those, some may be gone before they are reached.
        send(pid).unwrap();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let _ = send(&children);
    }

    /// A copy that follows it, and answers reads.
    #[must_use]
    pub fn standby(&self) -> Self {
        let mut standby = Self::empty(&[]);
        standby.settings.clone_from(&self.settings);
        let mut copy = as_owner("pg_basebackup");
        copy.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]);
        copy.arg("--dbname").arg(self.url("postgres"));
        run(copy.arg("--pgdata").arg(standby.data())).unwrap();
        standby.start_on_free_port();
        standby
    }

    /// Makes a standby a primary of its own.
    pub fn promote(&self) {
        run(&mut self.control("promote")).unwrap();
    }

    /// What it wrote into its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// The folder that it is in, which is gone once it has ended.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // What it leaves behind is in the folder for temporary files.
        let _ = self.guard.wait();
    }
}
