//! Serves the sample over HTTP/1.1 on a listener that the caller has bound.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;
use crate::server::Sample;

const PATH: &str = "/mcp";

/// How long open connections may take to finish after `shutdown`.
const DRAIN_MS_MAX: u64 = 1_000;

type Service = StreamableHttpService<Sample, LocalSessionManager>;

/// Serves the sample at `/mcp` on `listener` until `shutdown` completes.
///
/// The listener should be bound to a loopback address: requests whose `Host` is not a loopback
/// name are refused. Connections that are open at `shutdown` have one second to finish.
///
/// # Errors
/// When the listener can no longer accept connections.
pub async fn serve(listener: TcpListener, shutdown: impl Future<Output = ()>) -> std::io::Result<()> {
    let stop = CancellationToken::new();
    let desk = Arc::new(Desk::with_starting_content(chrono::Utc::now()));
    let service: Service = StreamableHttpService::new(
        move || Ok(Sample::new(desk.clone())),
        Arc::default(),
        StreamableHttpServerConfig::default().with_cancellation_token(stop.child_token()),
    );

    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    let accepted = loop {
        tokio::select! {
            () = &mut shutdown => break Ok(()),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, service.clone(), stop.clone()));
                }
                Err(err) if is_of_one_connection(&err) => {}
                Err(err) => break Err(err),
            },
        }
    };

    stop.cancel();
    let drained = async { while connections.join_next().await.is_some() {} };
    // What has not ended by then is aborted when the set is dropped.
    let _ = tokio::time::timeout(Duration::from_millis(DRAIN_MS_MAX), drained).await;
    accepted
}

async fn connection(stream: TcpStream, service: Service, stop: CancellationToken) {
    let serving = http1::Builder::new().serve_connection(
        TokioIo::new(stream),
        service_fn(move |request: http::Request<Incoming>| {
            let service = service.clone();
            async move {
                if request.uri().path() == PATH {
                    return Ok::<_, Infallible>(service.handle(request).await);
                }
                let mut missing = http::Response::default();
                *missing.status_mut() = http::StatusCode::NOT_FOUND;
                Ok(missing)
            }
        }),
    );
    tokio::pin!(serving);
    // A connection error concerns its own client only, and that client sees it.
    tokio::select! {
        _ = &mut serving => {}
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

/// Whether a failed `accept` says something about one connection, not about the listener.
fn is_of_one_connection(err: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(err.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
