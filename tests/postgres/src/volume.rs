//! A small disk of a test's own, which it may fill.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::programs::{hand_over, run};

/// Waits for the end of its input, which comes when the process that started it has ended, then takes
/// the disk away, as soon as nobody uses it any more. Signals for the test's whole group do not end it.
const GUARD: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
tries=0
until umount "$0" 2>/dev/null; do
    tries=$((tries + 1))
    if [ $tries -ge 100 ]; then
        umount --lazy "$0"
        break
    fi
    sleep 0.2
done
rmdir "$0"
"#;

/// Less than a block of a table: when it does not fit any more, no block does.
const PIECE: [u8; 4096] = [0; 4096];

/// Taken away at the end, however the test ends.
pub struct Volume {
    folder: PathBuf,
    guard: Child,
}

impl Volume {
    /// Mounts one of this size, for whoever runs the clusters. Answers nothing where this process may not.
    #[must_use]
    pub fn mount(mebibytes: u32) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("proctor-test-volume-{}-{next}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0700"), "tmpfs"]);
        if run(mount.arg(&folder)).is_err() {
            fs::remove_dir(&folder).unwrap();
            return None;
        }
        let mut guard = Command::new("sh");
        guard.arg("-c").arg(GUARD).arg(&folder).current_dir("/").process_group(0);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let volume = Self { folder, guard: guard.spawn().unwrap() };
        hand_over(&volume.folder);
        Some(volume)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes all the room that is left.
    ///
    /// # Panics
    /// As everything here, when the disk does not do what is expected.
    pub fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).unwrap();
        loop {
            match ballast.write_all(&PIECE) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Gives it back.
    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
