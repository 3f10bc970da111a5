//! Real MCP servers: from npm, from PyPI and the sample, in the eras that they speak.

use std::path::Path;

use proctor_domain::connection::Feature;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

/// The path of something that `./test` installs.
fn installed(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path);
    assert!(path.exists(), "{} is missing: run ./test once", path.display());
    path.to_str().unwrap().to_owned()
}

fn stdio(command: &str, args: &[&str]) -> Target {
    let mut target = http_target("", None);
    target.transport = Transport::Stdio {
        command: command.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: Vec::new(),
        of_user: Vec::new(),
    };
    target
}

fn node(server: &str, args: &[&str]) -> Target {
    let script = installed(&format!("node/node_modules/@modelcontextprotocol/{server}/dist/index.js"));
    let args: Vec<_> = [script.as_str()].into_iter().chain(args.iter().copied()).collect();
    stdio(&installed("node/node_modules/.bin/node"), &args)
}

fn patient(target: Target) -> Caller {
    let mut caller = Caller::with(target, Limits::default());
    caller.wait = Duration::from_secs(30);
    caller
}

/// Probes, reads the catalog and calls one tool; gives its result.
async fn through(caller: &mut Caller, era: Era, tool: &str, arguments: Value) -> Value {
    let probed = caller.upstreams.probe(&caller.target).await.unwrap();
    assert_eq!(probed.era, era);
    assert!(probed.server_info.is_some());
    let (catalog, found) = caller.upstreams.catalog(&caller.target).await.unwrap();
    assert_eq!(found.era, era);
    assert!(catalog.rejected.is_empty());
    assert!(
        catalog
            .features
            .iter()
            .any(|t| t.feature == tool.into() && t.definition.get().contains("inputSchema"))
    );
    caller.target.era = Some(era);
    let arguments = raw(&arguments.to_string());
    succeeded(caller.call(Call::of_tool(tool, Some(&arguments))).await)
}

#[tokio::test]
async fn server_everything_echoes_and_reports_progress() {
    let mut caller = patient(node("server-everything", &["stdio"]));
    let result = through(&mut caller, Era::Legacy, "echo", json!({"message": "hällo"})).await;
    assert_eq!(result["content"][0]["text"], "Echo: hällo");
    let arguments = raw(r#"{"duration": 0.3, "steps": 3}"#);
    let tool = "trigger-long-running-operation";
    let call = Call { progress_wanted: true, ..Call::of_tool(tool, Some(&arguments)) };
    succeeded(caller.call(call).await);
    let tokens: Vec<_> = caller.notifications.iter().map(|n| &n["params"]["progressToken"]).collect();
    assert!(!tokens.is_empty() && tokens.iter().all(|token| token.is_u64()), "{tokens:?}");
    caller.upstreams.shutdown().await;
}

#[tokio::test]
async fn server_filesystem_reads_a_file_and_says_which_tools_only_read() {
    let folder = std::env::temp_dir().join(format!("proctor-files-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("note.txt");
    std::fs::write(&file, "read me").unwrap();
    let mut caller = patient(node("server-filesystem", &[folder.to_str().unwrap()]));
    let result = through(&mut caller, Era::Legacy, "read_text_file", json!({"path": file})).await;
    assert_eq!(result["content"][0]["text"], "read me");
    let (catalog, _) = caller.upstreams.catalog(&caller.target).await.unwrap();
    let read_only =
        |name| catalog.features.iter().find(|t| t.feature == Feature::from(name)).unwrap().read_only;
    assert!(read_only("read_text_file") && !read_only("write_file"));
    caller.upstreams.shutdown().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn mcp_server_time_tells_the_time_in_both_eras() {
    let mut caller = patient(stdio(&installed("python/.venv/bin/mcp-server-time"), &[]));
    let arguments = json!({"timezone": "Europe/Zurich"});
    let result = through(&mut caller, Era::Modern, "get_current_time", arguments.clone()).await;
    assert!(result["content"][0]["text"].as_str().unwrap().contains("Europe/Zurich"));
    caller.target.era = Some(Era::Legacy);
    caller.target.generation += 1;
    let arguments = raw(&arguments.to_string());
    let call = Call::of_tool("get_current_time", Some(&arguments));
    let result = succeeded(caller.call(call).await);
    assert!(result["content"][0]["text"].as_str().unwrap().contains("Europe/Zurich"));
    caller.upstreams.shutdown().await;
}

#[tokio::test]
async fn the_sample_serves_both_eras_over_http() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(proctor_sample::serve(listener, std::future::pending()));
    let mut caller = patient(http_target(&url, None));
    let result = through(&mut caller, Era::Modern, "notes_list", json!({})).await;
    assert!(result["content"].is_array());
    caller.target.era = Some(Era::Legacy);
    caller.target.generation += 1;
    let arguments = raw("{}");
    let call = Call::of_tool("notes_list", Some(&arguments));
    assert_eq!(succeeded(caller.call(call).await)["content"], result["content"]);
    let missing = caller.call(Call::of_tool("no_such_tool", None)).await;
    assert!(matches!(missing, Outcome::RpcError(RpcError { code: -32602, .. })), "{missing:?}");
    caller.upstreams.shutdown().await;
}
