//! PostgreSQL's own programs, run by somebody who is not root, as they demand.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// Whom Debian's packages make for this.
const UNPRIVILEGED: &str = "postgres";

/// The folder of the newest installed version's programs.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let version = |path: &Path| path.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let debian = versions.map(|entry| entry.unwrap().path().join("bin")).max_by_key(|path| version(path));
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    debian
        .into_iter()
        .chain(std::env::split_paths(&search_path))
        .find(|folder| folder.join("initdb").exists())
        .expect("PostgreSQL is not installed: apt-get install postgresql, or start ./test, which does it")
});

/// `None` when this process is not root, and runs everything as itself.
static OWNER: LazyLock<Option<(u32, u32)>> = LazyLock::new(|| {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = users.lines().find(|line| line.split(':').next() == Some(UNPRIVILEGED));
    let mut fields = user.expect("there is no user postgres").split(':').skip(2);
    let mut number = || fields.next().unwrap().parse().unwrap();
    Some((number(), number()))
});

/// Gives a folder to whoever runs the programs.
pub(crate) fn hand_over(folder: &Path) {
    if let Some((user, group)) = *OWNER {
        chown(folder, Some(user), Some(group)).unwrap();
    }
}

/// Any program, run as the owner of the clusters.
pub(crate) fn as_owner(program: &str) -> Command {
    let mut command = match *OWNER {
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
            command.arg(program);
            command
        }
        None => Command::new(program),
    };
    // The folder that a test stands in may be closed to the owner.
    command.current_dir("/").env("PATH", path_with_programs());
    // Whoever runs the tests may have set what names another server.
    for name in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGOPTIONS", "PGSERVICE", "PGDATA"]
    {
        command.env_remove(name);
    }
    command
}

fn path_with_programs() -> std::ffi::OsString {
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(FOLDER.clone()).chain(std::env::split_paths(&search_path));
    std::env::join_paths(all).unwrap()
}

/// Runs it to its end. Answers what it printed, or what it complained about.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } = command.output().unwrap();
    if status.success() {
        Ok(String::from_utf8(stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&stderr).into_owned())
    }
}

/// Executes SQL; rows come back as lines, their columns separated by `|`.
pub(crate) fn psql(url: &str, sql: &str) -> Result<String, String> {
    let mut command = as_owner("psql");
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
    run(command.arg("--dbname").arg(url).arg("--command").arg(sql)).map(|rows| rows.trim().to_owned())
}
