//! Every address of the administrators' door, as its table has it: who may ask, and what is left behind.

use std::collections::BTreeSet;

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::api_keys::{create, send};
use crate::connect::browser::Browser;
use crate::connect::{RETURN_URL, code};
use crate::http::{Request, Response};
use crate::receiver::{Answers, Receiver};
use crate::rest::definition;
use crate::world::{ADMIN_KEY, World, wait_until};

const TABLE: &str = include_str!("../../src/api/routes.rs");
const PREFIX: &str = "/api/v1";

/// One line of the table: the address's pattern, a method, and who may ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    path: String,
    method: String,
    needs: String,
}

fn routes() -> Vec<Route> {
    let (_, table) = TABLE.split_once("\nroutes! {\n").unwrap();
    let (table, _) = table.split_once("\n}\n").unwrap();
    let mut routes = Vec::new();
    let mut path = String::new();
    for line in table.lines() {
        let line = match line.trim().split_once("\" {") {
            Some((start, rest)) => {
                path = start.trim_start_matches('"').to_owned();
                rest.trim()
            }
            None => line.trim(),
        };
        let words: Vec<_> = line.split_whitespace().collect();
        if let [method, needs, _, ..] = words[..] {
            routes.push(Route { path: path.clone(), method: method.to_owned(), needs: needs.to_owned() });
        }
    }
    routes
}

/// An address of this pattern, of things that are not there.
fn nowhere(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "nothing" } else { part });
    format!("{PREFIX}{}", parts.collect::<Vec<_>>().join("/"))
}

#[test]
fn no_address_answers_without_a_key_or_to_a_key_of_too_little_a_role() {
    let world = World::start();
    let keys = ["minter", "auditor"].map(|role| {
        let (key, _) = create(&world, ADMIN_KEY, &json!({ "name": role, "role": role }));
        (role, key)
    });
    let routes = routes();
    assert!(routes.len() > 50, "the table was not found: {routes:?}");
    for route in &routes {
        let path = nowhere(&route.path);
        let anonymous = Request::new(&route.method, &path).send(world.address);
        assert_eq!(anonymous.problem(401)["code"], "unauthenticated", "{route:?}");
        let made_up = send(&world, "a-key-that-nobody-has-ever-made-0123456789", &route.method, &path, None);
        assert_eq!(made_up.problem(401)["code"], "unauthenticated", "{route:?}");
        for (role, key) in &keys {
            let allowed: &[&str] = match route.needs.as_str() {
                "Admin" => &[],
                "Minter" => &["minter"],
                "Auditor" => &["auditor"],
                "MinterOrAuditor" => &["minter", "auditor"],
                other => panic!("nobody knows who {other} is"),
            };
            let answer = send(&world, key, &route.method, &path, None);
            let is_forbidden = answer.status == 403 && answer.json()["code"] == "forbidden";
            assert_eq!(is_forbidden, !allowed.contains(role), "{role} {route:?}: {}", answer.text());
        }
        let admin = send(&world, ADMIN_KEY, &route.method, &path, None);
        assert!(!matches!(admin.status, 401 | 403), "{route:?}: {}", admin.text());
    }
}

/// What changes nothing, though it is no GET.
const QUESTIONS: [&str; 1] = ["/introspect"];

/// Acts, one after the other, and the events that they left.
struct Acts<'a> {
    world: &'a World,
    key: String,
    id: String,
    done: BTreeSet<(String, String)>,
}

impl Acts<'_> {
    /// Does one, which must leave an event of this type by whoever does it.
    #[track_caller]
    fn act(&mut self, method: &str, pattern: &str, names: &[&str], body: Value, event: &str) -> Value {
        let mut path = pattern.to_owned();
        for name in names {
            let (start, rest) = path.split_once('{').unwrap();
            let (_, end) = rest.split_once('}').unwrap();
            path = format!("{start}{name}{end}");
        }
        let before = self.events(event);
        let answer: Response = send(self.world, &self.key, method, &format!("{PREFIX}{path}"), Some(&body));
        let said = answer.ok();
        let after = self.events(event);
        assert_eq!(after.len(), before.len() + 1, "{method} {pattern} left no {event}");
        assert_eq!(after[0]["by"], json!({ "key": self.id }), "{method} {pattern}");
        self.done.insert((pattern.to_owned(), method.to_owned()));
        said
    }

    fn events(&self, event: &str) -> Vec<Value> {
        self.world.pages(&format!("{PREFIX}/audit/acts?type={event}&limit=500"))
    }
}

#[test]
fn every_act_leaves_its_event_with_who_did_it() {
    let world = &World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    let receiver = Receiver::start(&[Answers::Status(204)]);
    let (key, id) = create(world, ADMIN_KEY, &json!({ "name": "all acts", "role": "admin" }));
    let mut acts = Acts { world, key, id, done: BTreeSet::new() };
    connections_and_servers(&mut acts, &upstream);
    accounts(&mut acts);
    sessions(&mut acts);
    webhooks(&mut acts, &receiver);
    keys(&mut acts);
    retirements(&mut acts);
    let all: BTreeSet<_> = routes()
        .into_iter()
        .filter(|route| route.method != "GET" && !QUESTIONS.contains(&&*route.path))
        .map(|route| (route.path, route.method))
        .collect();
    let left_out: Vec<_> = all.difference(&acts.done).collect();
    assert!(left_out.is_empty(), "acts without a line here: {left_out:?}");
}

fn connections_and_servers(acts: &mut Acts<'_>, upstream: &Upstream) {
    let settings = |auth: &str| {
        json!({
            "transport": { "type": "http", "url": upstream.url() },
            "auth": { "type": auth }, "private_network": true,
        })
    };
    for (name, auth) in [("desk", "none"), ("own", "bearer")] {
        let mut body = settings(auth);
        body["name"] = name.into();
        acts.act("POST", "/connections", &[], body, "ConnectionRegistered");
    }
    let mut anew = settings("none");
    anew["shared"] = true.into();
    acts.act("PUT", "/connections/{name}", &["desk"], anew, "ConnectionReconfigured");
    acts.act("POST", "/connections/{name}/catalog/refresh", &["desk"], json!({}), "CatalogRefreshed");
    upstream.put_tool("tag", r#"{"name":"tag","inputSchema":{"type":"object"}}"#);
    let held = "/api/v1/connections/desk/catalog/refresh?hold=true";
    let digest = acts.world.post(held, &json!({})).ok()["offered"].clone();
    let approval = json!({ "digest": digest, "tools": ["tag"] });
    acts.act("POST", "/connections/{name}/approve", &["desk"], approval, "CatalogApproved");
    acts.act("POST", "/connections/{name}/test", &["desk"], json!({}), "ConnectionTested");
    let first = definition("reader", vec![json!({ "connection": "desk", "tool": "echo" })]);
    acts.act("POST", "/virtual-servers", &[], first, "VirtualServerDefined");
    let anew = definition("reader", vec![json!({ "connection": "desk", "tool": "read_thing" })]);
    acts.act("PUT", "/virtual-servers/{name}", &["reader"], anew, "VirtualServerRevised");
    let provider = json!({ "name": "login", "issuer": "https://login.example" });
    acts.act("POST", "/identity-providers", &[], provider, "IdentityProviderRegistered");
    let provider = json!({ "issuer": "https://login.example", "audience": "other" });
    acts.act("PUT", "/identity-providers/{name}", &["login"], provider, "IdentityProviderRevised");
}

fn accounts(acts: &mut Acts<'_>) {
    const ACCOUNT: [&str; 2] = ["ada", "own"];
    let path = |verb: &str| format!("/users/{{user}}/connections/{{connection}}/{verb}");
    let token = json!({ "type": "bearer", "token": "t-of-ada" });
    acts.act("PUT", &path("credential"), &ACCOUNT, token, "UserConnectionActivated");
    let back = json!({ "return_url": RETURN_URL });
    let link = acts.act("POST", &path("link"), &ACCOUNT, back, "UserConnectionLinkIssued");
    let mut browser = Browser::new(acts.world);
    let page = browser.open(link["url"].as_str().unwrap());
    let brought = code(&browser.submit(&page, &[("token", "t-of-ada")]).url);
    acts.act("POST", &path("verify"), &ACCOUNT, json!({ "code": brought }), "UserConnectionActivated");
    let why = json!({ "reason": "left" });
    acts.act("POST", &path("disconnect"), &ACCOUNT, why, "UserConnectionDisconnected");
}

fn sessions(acts: &mut Acts<'_>) {
    let why = || json!({ "reason": "the test says so" });
    let mint = json!({ "virtual_server": "reader", "user": "ada" });
    let minted = acts.act("POST", "/sessions", &[], mint, "SessionOpened");
    let session = minted["session_id"].as_str().unwrap();
    acts.act("POST", "/sessions/{id}/revoke", &[session], why(), "SessionRevoked");
    for (what, name, event) in [
        ("user", "ada", "SubjectSessionsCut"),
        ("virtual_server", "reader", "VirtualServerSessionsCut"),
        ("connection", "desk", "ConnectionSessionsCut"),
    ] {
        let mut cut = why();
        cut[what] = name.into();
        acts.act("POST", "/revocations", &[], cut, event);
    }
    acts.act("POST", "/users/{user}/block", &["grace"], why(), "SubjectBlocked");
    acts.act("POST", "/users/{user}/unblock", &["grace"], why(), "SubjectUnblocked");
}

fn webhooks(acts: &mut Acts<'_>, receiver: &Receiver) {
    let mut settings = json!({ "url": receiver.url(), "events": ["session.*"], "private_network": true });
    let made = acts.act("POST", "/webhooks", &[], settings.clone(), "WebhookCreated");
    let webhook = made["id"].as_str().unwrap();
    settings["description"] = "of a test".into();
    acts.act("PUT", "/webhooks/{id}", &[webhook], settings, "WebhookRevised");
    acts.act("POST", "/webhooks/{id}/rotate-secret", &[webhook], json!({}), "WebhookSecretRotated");
    acts.act("POST", "/webhooks/{id}/test", &[webhook], json!({}), "WebhookTested");
    let mut delivery = String::new();
    wait_until("the delivery of the test", || {
        let deliveries = acts.world.pages(&format!("{PREFIX}/webhooks/{webhook}/deliveries"));
        let id = deliveries.first().and_then(|delivery| delivery["id"].as_str());
        delivery = id.unwrap_or_default().to_owned();
        id.is_some()
    });
    let again = "/webhooks/{id}/deliveries/{delivery}/redeliver";
    acts.act("POST", again, &[webhook, &delivery], json!({}), "WebhookRedelivered");
    acts.act("POST", "/webhooks/{id}/retire", &[webhook], json!({}), "WebhookRetired");
}

fn keys(acts: &mut Acts<'_>) {
    let wanted = json!({ "name": "backend", "role": "minter" });
    let made = acts.act("POST", "/api-keys", &[], wanted, "ApiKeyCreated");
    let why = json!({ "reason": "the laptop was lost" });
    acts.act("POST", "/api-keys/{id}/revoke", &[made["id"].as_str().unwrap()], why, "ApiKeyRevoked");
    acts.act("POST", "/purpose-keys/{purpose}/rotate", &["cursors"], json!({}), "PurposeKeyRotated");
}

fn retirements(acts: &mut Acts<'_>) {
    for (pattern, name, event) in [
        ("/virtual-servers/{name}/retire", "reader", "VirtualServerRetired"),
        ("/connections/{name}/retire", "desk", "ConnectionRetired"),
        ("/identity-providers/{name}/retire", "login", "IdentityProviderRetired"),
    ] {
        acts.act("POST", pattern, &[name], json!({ "reason": "old" }), event);
    }
}
