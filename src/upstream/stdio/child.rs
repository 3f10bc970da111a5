//! One running child process and the tasks that read and write for it.
//!
//! **Invariants.** Lines are written whole or the child is given up. A call's gate is asked by the
//! writer when the line is next, immediately before its first byte. Nothing that a child writes
//! makes this process hold more than the limit.

use std::{
    env,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{self, ChildStdin, ChildStdout, Command},
    runtime::Handle,
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Program,
    pending::Pending,
    places::Place,
    stderr::{Redactor, log},
};
use crate::upstream::{
    FailureKind,
    envelope::{self, Answer, Incoming},
    failure::{Failure, Shown},
    line::Pass,
    told::{self, Teller},
};

/// Lines that wait for the child to read them.
const LINES_WAITING_MAX: usize = 256;
/// A child whose input was closed gets so long to exit before it is killed.
const EXIT_WAIT: Duration = Duration::from_secs(2);
/// What an exited child wrote last is read for so long; a grandchild may hold its output open.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(300);
const PASSED_ON: [&str; 3] = ["PATH", "HOME", "LANG"];

struct LineOut {
    text: String,
    pass: Option<Pass>,
}

/// A running child process; stops when dropped.
pub(in crate::upstream) struct Child {
    lines: mpsc::Sender<LineOut>,
    pending: Arc<Pending>,
    stop: CancellationToken,
    gone: CancellationToken,
    pub started: Instant,
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Child {
    /// Starts the process and its tasks, on `runtime`: a child outlives the call that needed it. It
    /// keeps its place until it has been waited for.
    pub fn spawn(
        program: &Program,
        place: Option<Place>,
        line_bytes_max: usize,
        runtime: &Handle,
    ) -> Result<Self, Failure> {
        let _entered = runtime.enter();
        let no_start = |detail: String| {
            Failure::unsent(
                FailureKind::Unreachable,
                format!("could not be started: {} {detail}: check its command", Shown(&program.command)),
            )
        };
        let mut process = Command::new(&program.command)
            .args(&program.args)
            .env_clear()
            .envs(PASSED_ON.iter().filter_map(|name| Some((name, env::var_os(name)?))))
            .envs(program.env.iter().chain(&program.of_user).map(|(name, value)| (name, value.as_str())))
            .current_dir(env::temp_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that what the child starts can be killed with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|err| no_start(format!("gave the error {:?}", err.to_string())))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (process.stdin.take(), process.stdout.take(), process.stderr.take())
        else {
            return Err(no_start("has no pipes".to_owned()));
        };
        let (lines, lines_out) = mpsc::channel(LINES_WAITING_MAX);
        let child = Self {
            lines,
            pending: Arc::new(Pending::new()),
            stop: CancellationToken::new(),
            gone: CancellationToken::new(),
            started: Instant::now(),
        };
        let reader = Reader {
            connection: program.connection.clone(),
            pending: child.pending.clone(),
            // Weak, or the reader would keep the writer waiting for lines that never come.
            lines: child.lines.downgrade(),
            stop: child.stop.clone(),
            teller: program.teller.clone(),
        };
        runtime.spawn(write(stdin, lines_out, child.pending.clone(), child.stop.clone()));
        let redactor = Redactor::of(program.of_user.iter().map(|(_, value)| value.as_str()));
        let connection = program.connection.clone();
        runtime.spawn(log(stderr, redactor, move |text| {
            let text = text.escape_debug();
            tracing::info!(connection, "stderr: {text}");
        }));
        let reading = runtime.spawn(reader.read(stdout, line_bytes_max));
        let (pending, stop, gone) = (child.pending.clone(), child.stop.clone(), child.gone.clone());
        runtime.spawn(async move {
            let end = wait(process, &stop).await;
            drop(place);
            stop.cancel();
            let abort = reading.abort_handle();
            if timeout(LAST_WORDS_WAIT, reading).await.is_err() {
                abort.abort();
            }
            pending.end(FailureKind::Unreachable, format!("is not running: its process {end}"));
            gone.cancel();
        });
        Ok(child)
    }

    pub fn has_ended(&self) -> bool {
        self.stop.is_cancelled() || self.pending.has_ended()
    }

    /// Sends a request and waits for its answer.
    pub async fn ask<N: FnMut(&RawValue)>(
        &self,
        id: u64,
        text: String,
        pass: Option<Pass>,
        notifications: &mut N,
    ) -> Result<Answer, Failure> {
        let mut waiting = self.pending.add(id)?;
        if self.lines.send(LineOut { text, pass }).await.is_err() {
            // The writer has gone; why is known in a moment.
            self.gone.cancelled().await;
            return Err(self.pending.add(id).err().unwrap_or_else(ended));
        }
        loop {
            tokio::select! {
                biased;
                Some(notification) = waiting.notifications.recv() => notifications(&notification),
                answer = &mut waiting.answer => return answer.unwrap_or_else(|_| Err(ended())),
            }
        }
    }

    /// Sends a notification.
    pub async fn tell(&self, text: String) {
        let _ended = self.lines.send(LineOut { text, pass: None }).await;
    }

    /// Closes the child's input, waits for it to exit, kills it otherwise.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.gone.cancelled().await;
    }
}

fn ended() -> Failure {
    Failure::sent(FailureKind::Unreachable, "is not running: its process ended")
}

/// Waits for the process to end, by itself or because it is to stop.
async fn wait(mut process: process::Child, stop: &CancellationToken) -> String {
    let status = tokio::select! {
        status = process.wait() => status,
        () = stop.cancelled() => match timeout(EXIT_WAIT, process.wait()).await {
            Ok(status) => status,
            Err(_) => {
                // Not yet waited for, so the id still names this very process.
                let pid = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
                if let Some(pid) = pid {
                    let _gone = kill_process_group(pid, Signal::KILL);
                }
                process.wait().await
            }
        },
    };
    match status {
        Ok(status) => format!("ended ({status})"),
        Err(err) => format!("was lost ({err})"),
    }
}

async fn write(
    mut stdin: ChildStdin,
    mut lines: mpsc::Receiver<LineOut>,
    pending: Arc<Pending>,
    stop: CancellationToken,
) {
    let writing = async {
        while let Some(LineOut { text, pass }) = lines.recv().await {
            if let Some(pass) = &pass {
                if !pending.has(pass.flight.id) {
                    continue;
                }
                if let Err(refused) = pass.check().await {
                    pending.settle(pass.flight.id, Err(refused));
                    continue;
                }
                pass.flight.set_sent(true);
            }
            if stdin.write_all(&one_line(text)).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        // What waits is written before a stop, as far as the child takes it.
        biased;
        () = writing => {}
        () = stop.cancelled() => {}
    }
    // A child that takes no more input is of no use, even if it still runs.
    stop.cancel();
}

/// A message as one line. Line breaks in JSON text can only stand between its tokens, where a space
/// means the same.
fn one_line(text: String) -> Vec<u8> {
    let mut line = text.into_bytes();
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    line
}

struct Reader {
    connection: String,
    pending: Arc<Pending>,
    lines: mpsc::WeakSender<LineOut>,
    stop: CancellationToken,
    teller: Option<Teller>,
}

impl Reader {
    async fn read(self, stdout: ChildStdout, line_bytes_max: usize) {
        let mut stdout = BufReader::with_capacity(64 * 1024, stdout);
        let mut line = Vec::new();
        loop {
            match next_line(&mut stdout, &mut line, line_bytes_max).await {
                Next::Line => self.take(&line),
                Next::TooLong => {
                    let detail = "wrote a line larger than the limit for an answer, and is restarted";
                    self.pending.end(FailureKind::TooLarge, detail.to_owned());
                    break;
                }
                Next::End => break,
            }
        }
        self.stop.cancel();
    }

    fn take(&self, line: &[u8]) {
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        match envelope::incoming(line) {
            Ok(Incoming::Answer { id: Some(id), answer }) => self.pending.settle(id, Ok(answer)),
            Ok(Incoming::Answer { id: None, .. }) => {
                tracing::warn!(connection = self.connection, "a child answered without an id");
            }
            Ok(Incoming::Notification { method, params }) if method == "notifications/progress" => {
                if let Some(id) = envelope::progress_token(params)
                    && let Ok(whole) = serde_json::from_slice(line)
                {
                    self.pending.notify(id, whole);
                }
            }
            Ok(Incoming::Notification { method, .. }) if told::says_so(&method) => {
                if let Some(teller) = &self.teller {
                    teller.tell();
                }
            }
            // Without a progress token nothing says whose call it belongs to.
            Ok(Incoming::Notification { .. }) => {}
            Ok(Incoming::Request { id, method, .. }) => {
                if let Some(lines) = self.lines.upgrade() {
                    let text = envelope::answer_to(id, &method);
                    let _full = lines.try_send(LineOut { text, pass: None });
                }
            }
            Err(detail) => {
                tracing::warn!(connection = self.connection, "a child {detail}");
            }
        }
    }
}

enum Next {
    Line,
    TooLong,
    End,
}

/// Reads a line without its end. What comes after the last line end is a line too.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>, bytes_max: usize) -> Next {
    line.clear();
    loop {
        let Ok(bytes) = reader.fill_buf().await else {
            return Next::End;
        };
        if bytes.is_empty() {
            return if line.is_empty() { Next::End } else { Next::Line };
        }
        let end = bytes.iter().position(|b| *b == b'\n');
        let taken = end.unwrap_or(bytes.len());
        if line.len() + taken > bytes_max {
            return Next::TooLong;
        }
        line.extend_from_slice(&bytes[..taken]);
        reader.consume(end.map_or(taken, |end| end + 1));
        if end.is_some() {
            return Next::Line;
        }
    }
}
