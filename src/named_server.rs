//! HTTP to a server that whoever runs Proctor has named, one request on each connection.
//!
//! **Invariants.** No guard stands before it, so no address ever comes from a user or an upstream. No
//! redirect is followed.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use url::{Host, Url};

/// How long it takes at most to reach it.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// What went wrong, in words.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// See the module.
pub struct NamedServer {
    url: Url,
    tls: Option<TlsConnector>,
}

impl NamedServer {
    /// The server at `url`; over TLS it must show a certificate of a known authority, or of the one in
    /// the file `authority`.
    ///
    /// # Errors
    /// When the URL is of another scheme than `http` and `https`, or the file cannot be used.
    pub fn new(url: Url, authority: Option<&Path>) -> Result<Self, Error> {
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(tls(authority)?),
            other => {
                return Err(format!("{other}: is no way to a server: give a URL of http or https").into());
            }
        };
        Ok(Self { url, tls })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What a request says in `Host`.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Reaches it.
    ///
    /// # Errors
    /// When nobody answers there, or not in time.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        let port = self.url.port_or_known_default().unwrap_or_default();
        let host = match self.url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        };
        match tokio::time::timeout(CONNECT_WAIT, TcpStream::connect((host.as_str(), port))).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::other(format!("no answer within {} s", CONNECT_WAIT.as_secs()))),
        }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When no whole answer came.
    pub async fn exchange(
        &self,
        stream: TcpStream,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Error> {
        let Some(tls) = &self.tls else { return exchanged(stream, request).await };
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        exchanged(tls.connect(ServerName::try_from(host)?, stream).await?, request).await
    }
}

impl fmt::Debug for NamedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamedServer").field(&self.url.origin().ascii_serialization()).finish()
    }
}

async fn exchanged(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Error> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driven = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let bytes = body.collect().await?.to_bytes();
    drop(sender);
    driven.abort();
    Ok(Response::from_parts(head, bytes))
}

fn tls(authority: Option<&Path>) -> Result<TlsConnector, Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = authority {
        let unusable = |reason: &dyn fmt::Display| {
            format!("failed to read the authority in {}: {reason}", path.display())
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
