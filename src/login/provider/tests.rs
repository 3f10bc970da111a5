//! When a provider is asked for its keys, and what of its answers counts.

use std::sync::atomic::{AtomicU32, Ordering};

use proctor_domain::identity_provider::Settings;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::upstream::Limits;

const LONG: Duration = Duration::from_secs(3_600);
const NEVER: Duration = Duration::ZERO;

/// RFC 7515, A.3: a key on P-256.
const KEY: &str = r#"{"kty":"EC","crv":"P-256","kid":"ec","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

/// A small provider that answers what it is told to, until it is stopped.
struct Site {
    issuer: String,
    asked: Arc<AtomicU32>,
    serving: JoinHandle<()>,
}

impl Site {
    /// Its metadata and its key set are answered with these heads and bodies.
    async fn start(answers: impl Fn(&str, &str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicU32::new(0));
        let (named, count) = (issuer.clone(), Arc::clone(&asked));
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4_096];
                let read = stream.read(&mut request).await.unwrap_or_default();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default();
                if path == "/keys" {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                let _ = stream.write_all(answers(&named, path).as_bytes()).await;
            }
        });
        Self { issuer, asked, serving }
    }

    async fn usual() -> Self {
        Self::start(|issuer, path| match path {
            "/keys" => ok(&format!(r#"{{"keys":[{KEY}]}}"#)),
            _ => ok(&metadata(issuer)),
        })
        .await
    }

    fn provider(&self, pace: Pace) -> Arc<Provider> {
        let settings = Settings {
            issuer: self.issuer.clone(),
            audience: None,
            user_claim: "sub".to_owned(),
            algorithms: vec![Algorithm::ES256],
            scopes: Vec::new(),
            private_network: true,
        };
        Arc::new(Provider::new(1, Arc::new(settings), pace))
    }

    async fn stop(self) -> Arc<AtomicU32> {
        self.serving.abort();
        let _ = self.serving.await;
        self.asked
    }
}

fn metadata(issuer: &str) -> String {
    json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") }).to_string()
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn pace(fresh: Duration, kept: Duration, unknown_wait: Duration, failed_wait: Duration) -> Pace {
    Pace { fresh, kept, unknown_wait, failed_wait }
}

async fn look(provider: &Arc<Provider>, upstreams: &Upstreams, kid: &str) -> Result<(), String> {
    match provider.key(upstreams, kid, Algorithm::ES256).await {
        Ok(_) => Ok(()),
        Err(NoKey::Unknown) => Err("unknown".to_owned()),
        Err(NoKey::Unfit) => Err("unfit".to_owned()),
        Err(NoKey::Unavailable(error)) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn many_who_ask_at_once_share_one_fetch() {
    let (site, upstreams) = (Site::usual().await, Upstreams::new(Limits::default()));
    let provider = site.provider(pace(LONG, LONG, LONG, LONG));
    let looks = (0..20).map(|_| look(&provider, &upstreams, "ec"));
    assert!(futures_util::future::join_all(looks).await.iter().all(Result::is_ok));
    assert_eq!(site.asked.load(Ordering::SeqCst), 1);
    let looks = (0..20).map(|_| look(&provider, &upstreams, "other"));
    let unknown = Err("unknown".to_owned());
    assert!(futures_util::future::join_all(looks).await.iter().all(|found| *found == unknown));
    assert_eq!(site.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn keys_that_are_not_fresh_are_used_on_while_the_provider_is_away_but_not_for_ever() {
    let (site, upstreams) = (Site::usual().await, Upstreams::new(Limits::default()));
    let patient = site.provider(pace(NEVER, LONG, LONG, NEVER));
    let strict = site.provider(pace(NEVER, NEVER, LONG, NEVER));
    for provider in [&patient, &strict] {
        look(provider, &upstreams, "ec").await.unwrap();
    }
    site.stop().await;
    for _ in 0..5 {
        look(&patient, &upstreams, "ec").await.unwrap();
    }
    let error = look(&strict, &upstreams, "ec").await.unwrap_err();
    assert!(error.contains("its metadata cannot be fetched"), "{error}");
}

#[tokio::test]
async fn a_provider_that_does_not_answer_well_is_left_alone_for_a_while() {
    let site = Site::start(|_, _| ok("{}")).await;
    let upstreams = Upstreams::new(Limits::default());
    let broken = Site::start(|issuer, path| match path {
        "/keys" => "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => ok(&metadata(issuer)),
    });
    let broken = broken.await;
    let provider = broken.provider(pace(LONG, LONG, NEVER, LONG));
    for _ in 0..10 {
        let error = look(&provider, &upstreams, "ec").await.unwrap_err();
        assert!(error.contains("its key set cannot be fetched: it answered 500"), "{error}");
    }
    assert_eq!(broken.asked.load(Ordering::SeqCst), 1);
    let error = look(&site.provider(Pace::default()), &upstreams, "ec").await.unwrap_err();
    assert!(error.contains("metadata is not"), "{error}");
}

#[tokio::test]
async fn redirects_are_not_followed_and_long_documents_are_not_read() {
    let upstreams = Upstreams::new(Limits::default());
    let elsewhere =
        "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/secret\r\nContent-Length: 0\r\n\r\n";
    let site = Site::start(|_, _| elsewhere.to_owned()).await;
    let error = look(&site.provider(Pace::default()), &upstreams, "ec").await.unwrap_err();
    assert!(error.contains("redirects to http://169.254.169.254, which is not followed"), "{error}");
    let site = Site::start(|_, _| ok(&" ".repeat(crate::upstream::FETCHED_BYTES_MAX + 1))).await;
    let error = look(&site.provider(Pace::default()), &upstreams, "ec").await.unwrap_err();
    assert!(error.contains("more than 262144 bytes"), "{error}");
    let site = Site::start(|issuer, path| match path {
        "/keys" => ok(&format!(r#"{{"keys":[{}]}}"#, [KEY; 101].join(","))),
        _ => ok(&metadata(issuer)),
    });
    let error = look(&site.await.provider(Pace::default()), &upstreams, "ec").await.unwrap_err();
    assert!(error.contains("101 keys"), "{error}");
}

#[tokio::test]
async fn where_openid_connect_has_no_metadata_rfc_8414_is_tried() {
    let upstreams = Upstreams::new(Limits::default());
    let site = Site::start(|issuer, path| match path {
        "/keys" => ok(&format!(r#"{{"keys":[{KEY}]}}"#)),
        "/.well-known/oauth-authorization-server" => ok(&metadata(issuer)),
        _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
    });
    look(&site.await.provider(Pace::default()), &upstreams, "ec").await.unwrap();
}

#[test]
fn metadata_is_looked_for_where_both_rules_put_it() {
    let of = |issuer| metadata_urls(issuer).join(" ");
    let plain = "https://a.example/.well-known/openid-configuration \
                 https://a.example/.well-known/oauth-authorization-server";
    assert_eq!(of("https://a.example"), plain);
    assert_eq!(of("https://a.example/"), plain);
    assert_eq!(
        of("https://a.example/realms/staff"),
        "https://a.example/realms/staff/.well-known/openid-configuration \
         https://a.example/.well-known/oauth-authorization-server/realms/staff"
    );
}
