//! The dialer against names that resolve to trouble.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::net::TcpListener;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::*;

const WAIT: Duration = Duration::from_secs(2);

/// Answers with the next of its answers each time it is asked.
struct Scripted {
    answers: Vec<Vec<SocketAddr>>,
    asked: AtomicUsize,
}

impl Resolve for Scripted {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> Resolved<'a> {
        let nth = self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers[nth.min(self.answers.len() - 1)].clone();
        Box::pin(async move { Ok(answer) })
    }
}

fn dialer(answers: &[&[SocketAddr]]) -> (Dialer, Arc<Scripted>) {
    let resolver = Arc::new(Scripted {
        answers: answers.iter().map(|a| a.to_vec()).collect(),
        asked: AtomicUsize::new(0),
    });
    let dialer = Dialer::with(WAIT, RootCertStore::empty(), resolver.clone());
    (dialer, resolver)
}

fn public() -> SocketAddr {
    SocketAddr::from(([93, 184, 215, 14], 80))
}

#[tokio::test]
async fn a_name_that_resolves_to_loopback_is_refused_and_nothing_connects() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let here = listener.local_addr().unwrap();
    let endpoint = Endpoint::parse("http://innocent.example/mcp").unwrap();
    for answer in [vec![here], vec![public(), here], vec![here, public()]] {
        let (dialer, _) = dialer(&[&answer]);
        let err = dialer.dial(&endpoint, Reach::Global).await.err().unwrap();
        assert!(matches!(err, DialError::Forbidden(ip, _) if ip == here.ip()), "{err}");
    }
    let nobody = timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err(), "a connection arrived");
}

#[tokio::test]
async fn a_name_is_resolved_once_so_a_second_answer_cannot_replace_the_checked_one() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let here = listener.local_addr().unwrap();
    let metadata = SocketAddr::from(([169, 254, 169, 254], 80));
    let (dialer, resolver) = dialer(&[&[here], &[metadata]]);
    let endpoint = Endpoint::parse("http://rebinding.example/").unwrap();
    let stream = dialer.dial(&endpoint, Reach::Private).await.unwrap();
    let Either::Left(tcp) = stream else { panic!("not a plain connection") };
    assert_eq!(tcp.peer_addr().unwrap(), here);
    assert_eq!(resolver.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn metadata_services_are_out_of_bounds_even_for_private_connections() {
    let dialer = Dialer::new(WAIT);
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[fd00:ec2::254]/",
        "http://169.254.169.254./",
    ] {
        let endpoint = Endpoint::parse(url).unwrap();
        let err = dialer.dial(&endpoint, Reach::Private).await.err().unwrap();
        assert!(matches!(err, DialError::Forbidden(..)), "{url}: {err}");
    }
}

#[tokio::test]
async fn localhost_by_name_and_by_number_is_refused_unless_private() {
    let dialer = Dialer::new(WAIT);
    for url in ["http://localhost/", "http://[::1]/", "http://127.1/"] {
        let endpoint = Endpoint::parse(url).unwrap();
        let err = dialer.dial(&endpoint, Reach::Global).await.err().unwrap();
        assert!(matches!(err, DialError::Forbidden(..)), "{url}: {err}");
        assert!(err.to_string().contains("private_network"), "{err}");
    }
}

#[tokio::test]
async fn an_untrusted_certificate_or_no_tls_at_all_ends_the_connection() {
    use tokio::io::AsyncWriteExt;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    });
    let endpoint = Endpoint::parse(&format!("https://127.0.0.1:{port}/")).unwrap();
    let err = Dialer::new(WAIT).dial(&endpoint, Reach::Private).await.err().unwrap();
    assert!(matches!(err, DialError::Tls(_)), "{err}");
    server.await.unwrap();
}

/// Serves TLS with a certificate for `named.example` and 127.0.0.1; says hello and ends.
async fn tls_server() -> SocketAddr {
    use tokio::io::AsyncWriteExt;
    use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, rustls::pki_types::PrivateKeyDer};
    let key = PrivateKeyDer::try_from(&include_bytes!("testdata/test.key.der")[..]).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![test_certificate()], key)
        .unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((tcp, _)) = listener.accept().await {
            if let Ok(mut tls) = acceptor.accept(tcp).await {
                tls.write_all(b"hello").await.unwrap();
                tls.shutdown().await.unwrap();
            }
        }
    });
    address
}

fn test_certificate() -> CertificateDer<'static> {
    CertificateDer::from(&include_bytes!("testdata/test.cert.der")[..])
}

#[tokio::test]
async fn a_trusted_certificate_serves_the_names_in_it_and_no_other() {
    use tokio::io::AsyncReadExt;
    let address = tls_server().await;
    let mut roots = RootCertStore::empty();
    roots.add(test_certificate()).unwrap();
    let resolver = Scripted { answers: vec![vec![address]], asked: AtomicUsize::new(0) };
    let dialer = Dialer::with(WAIT, roots, Arc::new(resolver));
    let port = address.port();
    for host in ["named.example", "named.example.", "127.0.0.1", "0x7f.1"] {
        let endpoint = Endpoint::parse(&format!("https://{host}:{port}/")).unwrap();
        let mut stream = dialer.dial(&endpoint, Reach::Private).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello", "{host}");
    }
    let endpoint = Endpoint::parse(&format!("https://other.example:{port}/")).unwrap();
    let err = dialer.dial(&endpoint, Reach::Private).await.err().unwrap();
    assert!(matches!(err, DialError::Tls(_)), "{err}");
}
