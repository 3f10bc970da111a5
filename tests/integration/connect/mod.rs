//! Accounts that users connect themselves: hosted links, OAuth 2 at a real authorization server, and
//! an upstream that takes only its tokens and says whose came.

mod attacks;
pub mod browser;
mod canned;
mod documents;
mod giving_back;
mod hostile_urls;
mod links;
mod missing_accounts;
mod other_sites;
pub mod provider;
mod real_browser;
mod refresh;
mod secrecy;
mod story;

use proctor_test_upstream::{Options, Protection, Upstream};
use serde_json::{Value, json};
use url::Url;

use self::browser::{Browser, parameter};
use self::provider::{CLIENT_ID, CLIENT_SECRET, Provider, Setup};
use crate::agent::Agent;
use crate::http::Response;
use crate::world::{PUBLIC_URL, PUBLIC_URL_OF_HTTPS, Server, World};

/// Where the product takes its users back.
pub const RETURN_URL: &str = "https://product.test/settings?tab=accounts";

/// A server with the connection `notes`, whose users bring tokens of the provider.
pub struct Scene {
    pub world: World,
    pub provider: Provider,
    pub upstream: Upstream,
}

impl Scene {
    pub fn start(setup: Setup) -> Self {
        Self::start_with(setup, Options::default())
    }

    pub fn start_with(setup: Setup, options: Options) -> Self {
        let scene = Self::unregistered(setup, options);
        scene.register(&scene.auth(setup)).expect(201);
        scene
    }

    /// Before the connection is registered.
    pub fn unregistered(setup: Setup, options: Options) -> Self {
        let upstream = Upstream::start(options);
        let provider = Provider::start(&upstream.url(), &callback(), setup);
        upstream.protect(Protection::of(&provider.url, provider.jwks()));
        let url = if setup.documents { PUBLIC_URL_OF_HTTPS } else { PUBLIC_URL };
        let world = World::start_behind_url(&[("PROCTOR_PUBLIC_URL", url)]);
        provider.read_documents(url, world.address);
        Self { world, provider, upstream }
    }

    /// The settings of a connection that finds everything out but its client.
    pub fn auth(&self, setup: Setup) -> Value {
        if setup.registration || setup.documents {
            json!({ "type": "oauth2" })
        } else {
            json!({ "type": "oauth2", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET })
        }
    }

    pub fn register(&self, auth: &Value) -> Response {
        let body = json!({
            "name": "notes", "transport": { "type": "http", "url": self.upstream.url() },
            "auth": auth, "private_network": true,
        });
        self.world.post("/api/v1/connections", &body)
    }

    /// With the account of this user connected, and the virtual server `desk`.
    pub fn with_account(self, user: &str) -> Self {
        self.connect(user);
        self.with_desk(user)
    }

    /// With the virtual server `desk`, whose tools are read as this user, who has an account.
    pub fn with_desk(self, user: &str) -> Self {
        let refresh = format!("/api/v1/connections/notes/catalog/refresh?user={user}");
        self.world.post(&refresh, &json!({})).expect(200);
        self.world.define("desk", "notes", &["whoami", "slow", "echo"]);
        self
    }

    /// Connects a user's account of the same name, through all of the flow.
    #[track_caller]
    pub fn connect(&self, user: &str) -> Value {
        let link = link(&self.world, user);
        let back = Browser::new(&self.world).authorize(&link, user);
        verify(&self.world, user, &code(&back)).expect(200)
    }

    pub fn agent(&self, user: &str) -> Agent {
        Agent::modern(&self.world, &self.world.mint("desk", user))
    }

    /// Nothing may have become of the attempt.
    #[track_caller]
    pub fn assert_not_active(&self, user: &str) {
        let state = account(&self.world, user)["state"].clone();
        assert_ne!(state, "active", "the account of {user}");
    }
}

pub fn callback() -> String {
    format!("{PUBLIC_URL}/connect/callback/notes")
}

pub fn path(user: &str) -> String {
    format!("/api/v1/users/{user}/connections/notes")
}

/// The user connection as the API shows it.
#[track_caller]
pub fn account(server: &Server, user: &str) -> Value {
    server.get(&path(user)).expect(200)
}

/// The URL of a new hosted link.
#[track_caller]
pub fn link(server: &Server, user: &str) -> String {
    let link = server.post(&format!("{}/link", path(user)), &json!({ "return_url": RETURN_URL })).expect(201);
    link["url"].as_str().unwrap().to_owned()
}

pub fn verify(server: &Server, user: &str, code: &str) -> Response {
    server.post(&format!("{}/verify", path(user)), &json!({ "code": code }))
}

/// The browser is sent back to the product with an error and without a code.
#[track_caller]
pub fn assert_sent_back_empty(answer: &Response) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    let back = Url::parse(answer.header("location").unwrap()).unwrap();
    assert!(back.as_str().starts_with(RETURN_URL), "{back}");
    assert_eq!(parameter(&back, "proctor_code"), None, "{back}");
    parameter(&back, "proctor_error").unwrap_or_else(|| panic!("no error in {back}"))
}

/// The code that a browser brought back to the product.
#[track_caller]
pub fn code(back: &Url) -> String {
    assert!(back.as_str().starts_with(RETURN_URL), "{back}");
    parameter(back, "proctor_code").unwrap_or_else(|| panic!("no code in {back}"))
}
