//! The views as a whole: what must hold however events come.

mod answers;
mod follow;
mod history;
mod plans;
mod rebuild;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use proctor_projections::Table;
use rusqlite::Connection;
use rusqlite::types::Value;

/// A folder of its own, deleted at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("proctor-views-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn views(&self) -> PathBuf {
        self.0.join("views.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Every row of every table, in the order of the keys.
fn dump(path: &Path) -> Vec<(&'static str, Vec<Value>)> {
    let connection = Connection::open(path).unwrap();
    let mut all = Vec::new();
    for table in Table::ALL {
        let text = format!(
            "SELECT {} FROM {} ORDER BY {}",
            table.columns().join(", "),
            table.name(),
            table.key().join(", ")
        );
        let mut statement = connection.prepare(&text).unwrap();
        let mut rows = statement.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            all.push((table.name(), (0..table.columns().len()).map(|i| row.get(i).unwrap()).collect()));
        }
    }
    all
}
