//! Two users with tokens of their own at three replicas at once: nobody's call ever carries another's,
//! and tokens that end every few seconds are renewed by one replica at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proctor_test_upstream::{Options, Protection, Upstream};
use serde_json::{Value, json};

use super::{Replicas, database};
use crate::agent::Agent;
use crate::connect::browser::Browser;
use crate::connect::provider::{CLIENT_ID, CLIENT_SECRET, Provider, Setup};
use crate::connect::{callback, code, link, verify};

const USERS: [&str; 2] = ["ada", "grace"];
const AGENTS_EACH: usize = 3;
/// It goes on for so long at least, and until there were calls enough, however busy the machine is.
const HAMMER: Duration = Duration::from_secs(12);
const HAMMER_MAX: Duration = Duration::from_secs(60);
/// So that they end a few times meanwhile.
const LIFETIME_SECONDS: u32 = 4;
const CALLS_LEAST: usize = 2_000;

#[test]
fn users_with_tokens_of_their_own_at_three_replicas_are_never_taken_for_each_other() {
    let (_cluster, database) = database();
    let replicas = Replicas::start(&database.url(), &[]);
    let upstream = Upstream::start(Options::default());
    let setup = Setup { lifetime_seconds: LIFETIME_SECONDS, ..Setup::default() };
    let provider = Provider::start(&upstream.url(), &callback(), setup);
    upstream.protect(Protection::of(&provider.url, provider.jwks()));
    let first = replicas.server(0);
    let notes = json!({
        "name": "notes", "transport": { "type": "http", "url": upstream.url() }, "private_network": true,
        "auth": { "type": "oauth2", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET },
    });
    first.post("/api/v1/connections", &notes).expect(201);
    for (at, user) in USERS.into_iter().enumerate() {
        // Each step at whichever replica is asked.
        let link = link(replicas.server(at), user);
        let back = Browser::new(replicas.server(at + 1)).authorize(&link, user);
        verify(replicas.server(2 - at), user, &code(&back)).expect(200);
    }
    first.post("/api/v1/connections/notes/catalog/refresh?user=ada", &json!({})).expect(200);
    first.define("desk", "notes", &["whoami"]);

    let (begun, all_done) = (Instant::now(), AtomicUsize::new(0));
    let goes_on = || {
        let took = begun.elapsed();
        took < HAMMER || (took < HAMMER_MAX && all_done.load(Ordering::Relaxed) < CALLS_LEAST)
    };
    let hammer = |at: usize, user: &str| {
        let agent = Agent::modern(replicas.server(at), &replicas.server(at).mint("desk", user));
        while goes_on() {
            assert_eq!(agent.call("whoami", "{}").content(), user, "at replica {at}");
            all_done.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let hammer = &hammer;
        for at in 0..replicas.all.len() {
            for user in USERS {
                (0..AGENTS_EACH).for_each(|_| drop(scope.spawn(move || hammer(at, user))));
            }
        }
    });
    let done = all_done.into_inner();
    let refreshes = provider.record().refreshes();
    println!("{done} calls of two users at three replicas, {} renewals", refreshes.len());
    assert!(done >= CALLS_LEAST, "{done}");
    let renewals = HAMMER.as_secs() / u64::from(LIFETIME_SECONDS);
    assert!(refreshes.len() as u64 >= renewals, "{}", refreshes.len());
    // A refresh token that is sent twice is refused here, and all that came from it.
    assert!(refreshes.iter().all(|refresh| refresh["status"] == 200), "{refreshes:?}");

    // For whom the upstream worked is for whom the record says that it did. What it refused because a
    // token had ended on the way is on the record as failed.
    let trail = Replicas::trail_of(first);
    let mut worked = BTreeMap::<String, usize>::new();
    for subject in upstream.ledger().calls().into_iter().filter_map(|call| call.subject) {
        *worked.entry(subject).or_default() += 1;
    }
    for user in USERS {
        let succeeded =
            trail.iter().filter(|row| row["user"] == user && row["outcome"] == "succeeded").count();
        assert_eq!(worked.get(user), Some(&succeeded), "calls of {user}");
    }
    assert_eq!(worked.len(), USERS.len(), "{worked:?}");
    let states: Vec<Value> = USERS.map(|user| crate::connect::account(first, user)["state"].clone()).into();
    assert_eq!(states, ["active", "active"]);
    replicas.agree_also_when_computed_again(|sql| database.sql(sql));
}
