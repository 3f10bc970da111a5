//! What the tools do.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::ledger::{Cancelled, Ledger};
use crate::rpc;

/// Fields of every result that MCP does not define, exactly as they are sent.
pub const UNKNOWN_RESULT_FIELDS: &str =
    r#""x-unknown":{"b":1e3,"a":123456789012345678901234567890,"c":[1.50,"é",null]}"#;

/// A call that runs.
pub struct Call {
    pub id: String,
    pub tool: String,
    /// Raw JSON object.
    pub arguments: String,
    /// Raw JSON; progress is told only if the caller gave one.
    pub progress_token: Option<String>,
    pub modern: bool,
    /// Whose token came with it, where the upstream demands tokens.
    pub subject: Option<String>,
    /// Cancelled by `notifications/cancelled`.
    pub cancelled: CancellationToken,
}

/// How a call ended.
pub enum Ended {
    /// With this JSON-RPC response.
    Answered(String),
    /// The caller took it back.
    Cancelled,
    /// The connection is to be closed without an answer.
    Vanished,
}

/// Writes a cancellation down if the call is dropped while it runs, which is what happens when
/// its client goes away.
struct Running<'a> {
    ledger: &'a Ledger,
    call: &'a Call,
    ended: bool,
}

impl Running<'_> {
    fn cancelled(&mut self, by: &'static str) {
        self.ended = true;
        let (tool, id) = (self.call.tool.clone(), self.call.id.clone());
        self.ledger.write(|record| record.cancelled.push(Cancelled { tool, id, by }));
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.cancelled("disconnect");
        }
    }
}

/// Runs a call; messages on the way go to `progress`.
pub async fn run(call: &Call, ledger: &Ledger, progress: Option<&Sender<String>>) -> Ended {
    let mut running = Running { ledger, call, ended: false };
    tokio::select! {
        ended = work(call, progress) => {
            running.ended = true;
            ended
        }
        () = call.cancelled.cancelled() => {
            running.cancelled("notification");
            Ended::Cancelled
        }
    }
}

async fn work(call: &Call, progress: Option<&Sender<String>>) -> Ended {
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
    let text = match call.tool.as_str() {
        "slow" => {
            wait(call, &arguments, progress).await;
            "waited".to_owned()
        }
        "fail" => {
            let data = r#"{"x-unknown":1.50}"#;
            return Ended::Answered(rpc::error(&call.id, -32000, "the upstream failed", Some(data)));
        }
        "big" => {
            let bytes = arguments["bytes"].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
            "x".repeat(bytes.unwrap_or_default())
        }
        "whoami" => call.subject.clone().unwrap_or_else(|| "nobody".to_owned()),
        "vanish" => return Ended::Vanished,
        // Everything else says what it was called with.
        _ => call.arguments.clone(),
    };
    let is_error = call.tool == "tool_error";
    let structured = if call.tool == "echo" {
        format!(r#","structuredContent":{}"#, call.arguments)
    } else {
        String::new()
    };
    let result_type = if call.modern { r#","resultType":"complete""# } else { "" };
    let text = rpc::quoted(&text);
    let result = format!(
        r#"{{"content":[{{"type":"text","text":{text},"x-unknown":1.50}}]{structured},"isError":{is_error},{UNKNOWN_RESULT_FIELDS},"_meta":{{"com.example/kept":1.50}}{result_type}}}"#
    );
    Ended::Answered(rpc::result(&call.id, &result))
}

async fn wait(call: &Call, arguments: &Value, progress: Option<&Sender<String>>) {
    let milliseconds = arguments["milliseconds"].as_u64().unwrap_or_default();
    let steps = arguments["steps"].as_u64().unwrap_or(1).max(1);
    for step in 1..=steps {
        tokio::time::sleep(Duration::from_millis(milliseconds / steps)).await;
        if let (Some(token), Some(progress)) = (&call.progress_token, progress) {
            let message = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{step},"total":{steps},"message":"step {step}"}}}}"#
            );
            // A reader that has gone is noticed by whoever runs this call.
            let _ = progress.send(message).await;
        }
    }
}
