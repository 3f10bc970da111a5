//! People who bring their own login: a real OpenID Connect provider, its access tokens at the door.

mod bad_tokens;
mod ending;
mod keys;
mod provider;

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use self::provider::Provider;
use crate::agent::{Agent, Answer};
use crate::http::{Request, Response};
use crate::rest::{ALL_TOOLS, definition};
use crate::world::{PUBLIC_URL, Server, World};

const RESOURCE: &str = "http://proctor.test/mcp/desk";

/// The virtual servers `desk` and `other`, which take logins of `corp`.
struct Office {
    world: World,
    provider: Provider,
    upstream: Upstream,
}

impl Office {
    fn open() -> Self {
        Self::open_with(&json!({ "provider": "corp" }))
    }

    fn open_with(login: &Value) -> Self {
        let (world, provider) = (World::start_behind_url(&[]), Provider::start());
        let upstream = Upstream::start(Options::default());
        world.connect("fixture", &upstream.url());
        world.post("/api/v1/identity-providers", &settings(&provider)).expect(201);
        for name in ["desk", "other"] {
            world.post("/api/v1/virtual-servers", &with_login(name, login)).expect(201);
        }
        Self { world, provider, upstream }
    }

    fn token(&self, user: &str) -> String {
        self.provider.token(user, RESOURCE, "")
    }

    fn agent(&self, token: &str) -> Agent {
        agent(&self.world, token)
    }

    /// What the door says to a token, to `tools/list`.
    fn knock(&self, token: &str) -> Response {
        knock(&self.agent(token))
    }

    fn sessions(&self) -> Vec<Value> {
        self.world.pages("/api/v1/sessions")
    }

    #[track_caller]
    fn only_session(&self) -> Value {
        let sessions = self.sessions();
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        sessions[0].clone()
    }

    fn acts(&self, kind: &str) -> Vec<Value> {
        self.world.pages(&format!("/api/v1/audit/acts?type={kind}"))
    }
}

fn settings(provider: &Provider) -> Value {
    json!({
        "name": "corp", "issuer": provider.issuer, "user_claim": "email",
        "scopes": ["tools"], "private_network": true,
    })
}

fn with_login(name: &str, login: &Value) -> Value {
    let tools = ALL_TOOLS.iter().map(|tool| json!({ "connection": "fixture", "tool": tool })).collect();
    let mut definition = definition(name, tools);
    definition["login"] = login.clone();
    definition
}

fn agent(server: &Server, token: &str) -> Agent {
    Agent {
        address: server.address,
        path: "/mcp/desk".to_owned(),
        token: token.to_owned(),
        legacy: None,
        capabilities: "{}",
    }
}

fn knock(agent: &Agent) -> Response {
    agent.request("1", "tools/list", "").send(agent.address)
}

#[track_caller]
fn refused(answer: &Response, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    let error = Answer::of(answer).error();
    assert_eq!(error["data"]["code"], code, "{error}");
    error
}

#[test]
fn from_the_first_401_to_the_audit_trail() {
    let office = Office::open();
    let (world, provider) = (&office.world, &office.provider);

    // Without a token, a client learns where the metadata is, and there whom to ask.
    let bare = office.agent("x").request("1", "tools/list", "").without("Authorization").send(world.address);
    assert_eq!(bare.status, 401);
    let challenge = bare.header("www-authenticate").unwrap();
    let path = "/.well-known/oauth-protected-resource/mcp/desk";
    assert!(challenge.contains(&format!("resource_metadata=\"{PUBLIC_URL}{path}\"")), "{challenge}");
    let metadata = Request::new("GET", path).send(world.address).expect(200);
    assert_eq!(
        metadata,
        json!({
            "resource": RESOURCE, "authorization_servers": [provider.issuer],
            "scopes_supported": ["tools"], "bearer_methods_supported": ["header"],
        })
    );

    let token = provider.token("ada@example.com", metadata["resource"].as_str().unwrap(), "");
    let agent = office.agent(&token);
    assert_eq!(agent.tools().len(), ALL_TOOLS.len());
    agent.call("echo", r#"{"text":"hello"}"#).result();
    let legacy_session = crate::rest::Session {
        id: String::new(),
        token: token.clone(),
        path: "/mcp/desk".to_owned(),
        url: RESOURCE.to_owned(),
    };
    Agent::legacy(world, &legacy_session).call("echo", "{}").result();

    let session = office.only_session();
    assert_eq!(session["user"], "ada@example.com");
    assert_eq!(session["opened_by"], json!({ "login": "corp" }));
    assert_eq!((session["state"].as_str(), session["access"].as_str()), (Some("open"), Some("full")));
    let calls = world.trail("user=ada%40example.com");
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|call| call["session_id"] == session["session_id"]), "{calls:?}");
    let opened = office.acts("SessionOpened");
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0]["by"], json!({ "login": "corp" }));
    assert_eq!(office.acts("SubjectRegistered")[0]["by"], json!({ "login": "corp" }));
    let registered = &office.acts("IdentityProviderRegistered")[0];
    assert_eq!(registered["object"], json!({ "kind": "identity_provider", "id": "corp" }));
    assert_eq!(registered["details"]["issuer"], json!(provider.issuer));
    // Neither the token nor whose it is goes further, or stands anywhere.
    for received in office.upstream.ledger().read().received {
        assert_eq!(received.header("authorization"), None);
    }
    for (name, kept) in world.kept() {
        for secret in [token.as_str(), token.rsplit('.').next().unwrap(), "ada@example.com"] {
            let found = kept.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
            assert!(!found, "{secret} stands in {name}");
        }
    }
    assert!(!world.log().contains(token.rsplit('.').next().unwrap()));
}

#[test]
fn the_user_of_a_login_is_the_user_of_a_minted_session() {
    let office = Office::open();
    office.agent(&office.token("ada")).call("echo", "{}").result();
    let minted = office.world.mint("desk", "ada");
    let logged_in = office.sessions().into_iter().find(|session| session["session_id"] != minted.id.as_str());
    let minted = office.world.get(&format!("/api/v1/sessions/{}", minted.id)).expect(200);
    assert_eq!(logged_in.unwrap()["subject"], minted["subject"]);
}

#[test]
fn the_terms_of_the_virtual_server_hold_for_its_logins() {
    let office =
        Office::open_with(&json!({ "provider": "corp", "ttl_seconds_max": 60, "access": "read_only" }));
    let agent = office.agent(&office.token("ada"));
    assert_eq!(agent.tools(), ["big", "read_thing"]);
    let session = office.only_session();
    assert_eq!(session["access"], "read_only");
    let at = |member: &str| {
        let text = session[member].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    };
    let lasts = at("expires_at") - at("opened_at");
    assert!((55_000_000..=60_000_000).contains(&lasts), "{lasts}");
}

#[test]
fn a_session_lasts_no_longer_than_its_token() {
    let office = Office::open();
    let before = chrono::Utc::now();
    let token = office.provider.token("ada", RESOURCE, "&ttl=120");
    office.agent(&token).call("echo", "{}").result();
    let ends = office.only_session()["expires_at"].as_str().unwrap().to_owned();
    let lasts = chrono::DateTime::parse_from_rfc3339(&ends).unwrap().to_utc() - before;
    assert!((115..=122).contains(&lasts.num_seconds()), "{lasts}");
}

#[test]
fn many_first_requests_at_once_open_one_session() {
    let office = Office::open();
    let other = office.world.another();
    let token = office.token("ada");
    std::thread::scope(|scope| {
        for number in 0..24 {
            let agent = agent(if number % 2 == 0 { &office.world.server } else { &other }, &token);
            scope.spawn(move || agent.call("echo", "{}").result());
        }
    });
    let session = office.only_session();
    assert_eq!(session["calls_admitted"], 24);
    assert_eq!(office.acts("SubjectRegistered").len(), 1);
    assert_eq!(office.upstream.ledger().count("echo"), 24);
}

#[test]
fn a_request_with_a_known_token_writes_nothing_beside_what_it_is_for() {
    let office = Office::open();
    let agent = office.agent(&office.token("ada"));
    agent.call("echo", "{}").result();
    let head = || office.world.get("/api/v1/connections").header("proctor-position").unwrap().parse::<u64>();
    let before = head().unwrap();
    for _ in 0..20 {
        agent.call("echo", "{}").result();
    }
    // An admission and an outcome each.
    assert_eq!(head().unwrap() - before, 40);
    assert_eq!(office.provider.asked(), 1);
}

#[test]
fn where_logins_are_not_taken_nothing_has_changed() {
    let office = Office::open();
    let token = office.token("ada");
    office.world.define("closed", "fixture", &["echo"]);
    let agent = Agent { path: "/mcp/closed".to_owned(), ..office.agent(&token) };
    let answer = knock(&agent);
    assert_eq!(answer.status, 401);
    let metadata = |name: &str| {
        let path = format!("/.well-known/oauth-protected-resource/mcp/{name}");
        Request::new("GET", &path).send(office.world.address).expect(200)
    };
    for name in ["closed", "nowhere"] {
        let url = format!("{PUBLIC_URL}/mcp/{name}");
        assert_eq!(metadata(name), json!({ "resource": url, "bearer_methods_supported": ["header"] }));
    }
    assert_eq!(office.provider.asked(), 0);
    // And a minted session is good where logins are taken.
    let minted = office.world.mint("desk", "grace");
    Agent::modern(&office.world, &minted).call("echo", "{}").result();
}

#[test]
fn the_session_of_a_login_has_the_limits_that_its_virtual_server_gives() {
    let office = Office::open();
    let mut desk = with_login("desk", &json!({ "provider": "corp" }));
    desk["session_limits"] = json!({ "calls_max": 7, "calls_per_minute_max": 1 });
    office.world.put("/api/v1/virtual-servers/desk", &desk).ok();
    let agent = office.agent(&office.token("ada"));
    agent.call("echo", "{}").result();
    let refused = agent.call("echo", "{}").error();
    assert_eq!(refused["data"]["code"], "calls_per_minute_max_reached", "{refused}");
    assert_eq!(office.only_session()["limits"], desk["session_limits"]);
    assert_eq!(office.upstream.ledger().calls().len(), 1);
}
