//! The guarded way to a TCP connection: resolve once, check, connect to exactly what was checked.
//!
//! **Invariants.** No connection of Proctor to an upstream is opened elsewhere. Between the check
//! and the connect no name is resolved again, so an answer that changes (DNS rebinding) changes
//! nothing. No redirect, proxy setting or `Alt-Svc` leads anywhere else.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use thiserror::Error;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{InvalidDnsNameError, ServerName},
    },
};
use tokio_util::either::Either;
use url::Host;

mod address;
mod endpoint;

pub use address::{Reach, may_reach};
pub(super) use endpoint::shown_location;
pub use endpoint::{Endpoint, EndpointError};

/// A name's addresses beyond these are not tried.
const ADDRESSES_TRIED_MAX: usize = 4;
/// One address that does not answer must not use up the time of the others.
const ADDRESS_WAIT_MS_MAX: u64 = 3_000;

/// An open connection, plain or encrypted.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Why no connection was opened. Nothing has left.
#[derive(Debug, Error)]
pub enum DialError {
    /// The name has no address, or the resolver failed.
    #[error("cannot be reached: its host name was not resolved ({0})")]
    Unresolved(#[source] io::Error),
    /// The host has an address that the connection may not reach.
    #[error(
        "was not called: its host has the address {0}, which is {what}",
        what = match .1 {
            Reach::Global => "not globally routable (an administrator can mark the connection \
                              with private_network)",
            Reach::Private => "link-local or reserved, and out of bounds for every connection",
        }
    )]
    Forbidden(IpAddr, Reach),
    /// No address accepted a connection.
    #[error("cannot be reached: {0}")]
    Refused(#[source] io::Error),
    /// Nothing answered in time.
    #[error("cannot be reached: no connection within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The encrypted connection could not be agreed on, or its certificate is not trusted.
    #[error("cannot be reached securely: {0}")]
    Tls(#[source] io::Error),
    /// The host cannot be named in a certificate.
    #[error("has a host that no certificate can name ({0})")]
    Name(#[source] InvalidDnsNameError),
}

type Resolved<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Turns a host name into addresses.
pub(super) trait Resolve: Send + Sync {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolved<'a>;
}

/// The operating system's resolver.
struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolved<'a> {
        Box::pin(async move { Ok(lookup_host((host, port)).await?.collect()) })
    }
}

/// Opens connections to [`Endpoint`]s.
#[derive(Clone)]
pub struct Dialer {
    tls: TlsConnector,
    resolver: Arc<dyn Resolve>,
    wait: Duration,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}

impl Dialer {
    /// A dialer that trusts Mozilla's root certificates and waits at most `wait` for a connection.
    pub fn new(wait: Duration) -> Self {
        let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        Self::with(wait, roots, Arc::new(SystemResolver))
    }

    pub(super) fn with(wait: Duration, roots: RootCertStore, resolver: Arc<dyn Resolve>) -> Self {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring offers the cipher suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { tls: TlsConnector::from(Arc::new(config)), resolver, wait }
    }

    /// Opens a connection to `endpoint`.
    ///
    /// # Errors
    /// When the endpoint may not be reached, or does not answer; see [`DialError`].
    pub(super) async fn dial(&self, endpoint: &Endpoint, reach: Reach) -> Result<Stream, DialError> {
        timeout(self.wait, self.dial_unhurried(endpoint, reach))
            .await
            .unwrap_or(Err(DialError::TimedOut(self.wait)))
    }

    async fn dial_unhurried(&self, endpoint: &Endpoint, reach: Reach) -> Result<Stream, DialError> {
        let addresses = self.addresses(endpoint).await?;
        // One bad address condemns the name: a mixture of public and private addresses is what a
        // rebinding attack looks like.
        if let Some(bad) = addresses.iter().find(|a| !may_reach(a.ip(), reach)) {
            return Err(DialError::Forbidden(bad.ip(), reach));
        }
        let tcp = connect_first(&addresses).await?;
        // Requests are single small writes; waiting to fill a packet only delays them.
        tcp.set_nodelay(true).map_err(DialError::Refused)?;
        if !endpoint.tls {
            return Ok(Either::Left(tcp));
        }
        let name = match &endpoint.host {
            Host::Domain(name) => {
                ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(DialError::Name)?
            }
            Host::Ipv4(v4) => ServerName::from(IpAddr::V4(*v4)),
            Host::Ipv6(v6) => ServerName::from(IpAddr::V6(*v6)),
        };
        let tls = self.tls.connect(name, tcp).await.map_err(DialError::Tls)?;
        Ok(Either::Right(Box::new(tls)))
    }

    async fn addresses(&self, endpoint: &Endpoint) -> Result<Vec<SocketAddr>, DialError> {
        let port = endpoint.port;
        let found = match &endpoint.host {
            Host::Ipv4(v4) => vec![SocketAddr::from((*v4, port))],
            Host::Ipv6(v6) => vec![SocketAddr::from((*v6, port))],
            Host::Domain(name) => self.resolver.resolve(name, port).await.map_err(DialError::Unresolved)?,
        };
        if found.is_empty() {
            return Err(DialError::Unresolved(io::Error::other("no address")));
        }
        Ok(found)
    }
}

async fn connect_first(addresses: &[SocketAddr]) -> Result<TcpStream, DialError> {
    let mut last = io::Error::other("no address");
    for address in addresses.iter().take(ADDRESSES_TRIED_MAX) {
        let until = Instant::now() + Duration::from_millis(ADDRESS_WAIT_MS_MAX);
        match timeout_at(until, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(err)) => last = err,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(DialError::Refused(last))
}

#[cfg(test)]
mod tests;
