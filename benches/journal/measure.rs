//! Time, processor time and memory of this process, from Linux's `/proc`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Linux counts processor time for programs in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);
const PAGE_BYTES: u64 = 4_096;

/// A folder that is removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("proctor-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It lies among temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub struct Stopwatch {
    began: Instant,
    used: Duration,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { began: Instant::now(), used: processor_time() }
    }

    /// Events a second, and processor time per event.
    pub fn per_event(&self, events: usize) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        let used_us = (processor_time() - self.used).as_secs_f64() * 1e6;
        let events = events as f64;
        format!("{:>7.0} events/s, {:>5.1} us of CPU each", events / seconds, used_us / events)
    }
}

fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name, in brackets, may hold spaces.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<u32> = after_name.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    TICK * (fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0))
}

pub fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * PAGE_BYTES
}
