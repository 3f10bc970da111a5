//! Sends spans to the collector, on the server's own runtime.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

use crate::config::TracesConfig;
use crate::named_server::{Error, NamedServer};

/// See the module.
#[derive(Clone)]
pub(super) struct Collector {
    server: Arc<NamedServer>,
    headers: HeaderMap,
    runtime: Handle,
    /// Said once, and again after it went well.
    is_failing: Arc<AtomicBool>,
}

impl Collector {
    pub(super) fn new(config: &TracesConfig) -> Result<Self, Error> {
        let server = Arc::new(NamedServer::new(config.endpoint.clone(), None)?);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, server.host().parse()?);
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("proctor/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in config.headers.expose() {
            let mut value = HeaderValue::try_from(value)?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(name)?, value);
        }
        Ok(Self { server, headers, runtime: Handle::current(), is_failing: Arc::default() })
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Collector").field(&self.server).finish()
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let server = Arc::clone(&self.server);
        let (mut head, body) = request.into_parts();
        head.uri = self.server.url().path().parse()?;
        head.headers.extend(self.headers.clone());
        // Whoever calls this stands on a thread without a runtime.
        let sent = self.runtime.spawn(async move {
            let stream = server.connect().await?;
            server.exchange(stream, Request::from_parts(head, Full::new(body))).await
        });
        let answer = sent.await?;
        let failure = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        if let Some(reason) = failure.filter(|_| !was_failing) {
            tracing::warn!(
                reason,
                "failed to send spans to the traces' collector: they are lost until it takes some"
            );
        }
        answer
    }
}
