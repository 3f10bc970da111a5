//! What must be true of the journal, whatever happened to those who wrote it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use proctor_test_upstream::{Received, Upstream};
use serde_json::Value;

use super::load::{Seen, Told, trace_of};

/// How long sweepers may take to give up what nobody will end.
const SETTLE_WAIT: Duration = Duration::from_secs(60);

/// One event.
struct Entry {
    position: u64,
    stream: (String, String),
    sequence: u64,
    kind: String,
    body: Value,
}

/// An admitted call, and what became of it.
struct Admitted {
    call: String,
    session: String,
    position: u64,
}

/// The journal, read past all replicas.
pub struct Journal {
    entries: Vec<Entry>,
    /// By trace id.
    admitted: BTreeMap<String, Admitted>,
    /// By call id.
    ended: BTreeMap<String, Value>,
    abandoned: BTreeSet<String>,
    opened: BTreeSet<String>,
    /// Positions of revocations, by session.
    revoked: BTreeMap<String, u64>,
}

impl Journal {
    /// Waits until every admitted call has an outcome, then reads everything.
    pub fn settled(sql: impl Fn(&str) -> String) -> Self {
        let end = Instant::now() + SETTLE_WAIT;
        let open = "SELECT count(*) FROM events a WHERE event_type = 'ToolCallAdmitted' AND NOT EXISTS
                    (SELECT FROM events e WHERE e.aggregate_id = a.aggregate_id
                     AND e.event_type IN ('ToolCallEnded', 'ToolCallAbandoned')
                     AND e.payload #>> ARRAY[e.event_type, 'call'] = a.payload #>> ARRAY[a.event_type, 'call'])";
        loop {
            let open = sql(open);
            if open.trim() == "0" {
                break;
            }
            assert!(Instant::now() < end, "{open} admitted calls have no outcome");
            std::thread::sleep(Duration::from_millis(100));
        }
        Self::read(sql)
    }

    /// # Panics
    /// When the journal contradicts itself.
    pub fn read(sql: impl Fn(&str) -> String) -> Self {
        let rows = sql("SELECT json_build_array(position, aggregate_type, aggregate_id, sequence,
                        event_type, payload) FROM events ORDER BY position");
        let entries = rows.lines().map(|row| {
            let row: Value = serde_json::from_str(row).unwrap();
            let text = |at: usize| row[at].as_str().unwrap().to_owned();
            let kind = text(4);
            Entry {
                position: row[0].as_u64().unwrap(),
                stream: (text(1), text(2)),
                sequence: row[3].as_u64().unwrap(),
                body: row[5][&kind].clone(),
                kind,
            }
        });
        let mut journal = Self {
            entries: entries.collect(),
            admitted: BTreeMap::new(),
            ended: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            opened: BTreeSet::new(),
            revoked: BTreeMap::new(),
        };
        journal.check_order();
        journal.follow();
        journal
    }

    /// How a call ended, if it was admitted and has.
    pub fn outcome(&self, trace: &str) -> Option<&Value> {
        self.ended.get(&self.admitted.get(trace)?.call)
    }

    /// How many calls ended in each way.
    fn outcomes(&self) -> BTreeMap<String, usize> {
        let mut outcomes = BTreeMap::new();
        for outcome in self.ended.values() {
            *outcomes.entry(outcome.to_string()).or_default() += 1;
        }
        outcomes
    }

    /// Positions have no gap and no duplicate, and neither have the sequences of a stream.
    fn check_order(&self) {
        let mut ends: BTreeMap<&(String, String), u64> = BTreeMap::new();
        for (entry, position) in self.entries.iter().zip(1..) {
            assert_eq!(entry.position, position, "the positions have a gap or a duplicate");
            let end = ends.entry(&entry.stream).or_default();
            *end += 1;
            assert_eq!(entry.sequence, *end, "{:?} has a gap or a duplicate", entry.stream);
        }
    }

    /// Follows the events in order: nothing is admitted after what revokes it, and no call ends twice.
    fn follow(&mut self) {
        // Where a session was opened, and what cuts it beside its own revocation.
        let mut opened: BTreeMap<&str, (u64, Vec<&str>)> = BTreeMap::new();
        let mut cuts: BTreeMap<&str, u64> = BTreeMap::new();
        for Entry { position, stream: (_, id), kind, body, .. } in &self.entries {
            let call = || body["call"].as_str().unwrap().to_owned();
            match kind.as_str() {
                "SessionOpened" => {
                    let terms = &body["terms"];
                    let covered = ["subject", "virtual_server"].map(|term| terms[term].as_str().unwrap());
                    opened.insert(id, (*position, covered.into()));
                    self.opened.insert(id.clone());
                }
                "SubjectSessionsCut" | "VirtualServerSessionsCut" | "ConnectionSessionsCut" => {
                    cuts.insert(id, *position);
                }
                "SessionRevoked" => {
                    self.revoked.insert(id.clone(), *position);
                }
                "ToolCallAdmitted" => {
                    let (opened_at, covered) = &opened[id.as_str()];
                    let connection = body["route"]["connection"].as_str().unwrap();
                    let revoked = self.revoked.get(id);
                    assert_eq!(revoked, None, "a call was admitted at {position}, after its revocation");
                    for by in covered.iter().copied().chain([connection]) {
                        let cut = cuts.get(by).is_some_and(|cut| cut > opened_at);
                        assert!(!cut, "a call was admitted at {position}, after a cut of {by}");
                    }
                    let admitted = Admitted { call: call(), session: id.clone(), position: *position };
                    let trace = body["trace"].as_str().expect("every call has its trace").to_owned();
                    let before = self.admitted.insert(trace, admitted);
                    assert!(before.is_none(), "a call was admitted twice, at last at {position}");
                }
                "ToolCallEnded" => {
                    let late = body["late"] == true;
                    assert_eq!(late, self.abandoned.contains(&call()), "{position}: {body}");
                    let before = self.ended.insert(call(), body["outcome"].clone());
                    assert!(before.is_none(), "a call ended twice, at last at {position}");
                }
                "ToolCallAbandoned" => {
                    assert!(!self.ended.contains_key(&call()), "a call that had ended was given up: {body}");
                    assert!(self.abandoned.insert(call()), "a call was given up twice: {body}");
                }
                _ => {}
            }
        }
        for admitted in self.admitted.values() {
            let settled = self.ended.contains_key(&admitted.call) || self.abandoned.contains(&admitted.call);
            assert!(settled, "the call that was admitted at {} has no outcome", admitted.position);
        }
    }

    /// Every call that arrived was admitted, arrived once, and is not said to have stayed here.
    pub fn explains_arrivals(&self, upstream: &Upstream) {
        let mut arrived = BTreeSet::new();
        for received in upstream.ledger().calls() {
            let trace = trace_of(&received);
            assert!(self.admitted.contains_key(&trace), "a call arrived that was not admitted: {trace}");
            let stayed = self.outcome(&trace).is_some_and(|outcome| outcome["failed"] == "not_sent");
            assert!(!stayed, "a call arrived that is said not to have left: {received:?}");
            assert!(arrived.insert(trace), "a call arrived twice: {received:?}");
        }
    }

    /// What clients were told is so: nothing that was acknowledged is lost.
    pub fn explains_answers(&self, seen: &Seen) {
        for called in &seen.calls {
            let admitted = self.admitted.get(&called.trace);
            if called.told == Told::Succeeded {
                let outcome = self.outcome(&called.trace);
                assert_eq!(outcome.expect("what was answered has its outcome"), "succeeded", "{called:?}");
            }
            assert!(admitted.is_none_or(|admitted| admitted.session == called.session), "{called:?}");
        }
        for session in &seen.minted {
            assert!(self.opened.contains(session), "{session} was minted and is lost");
        }
        let mut acknowledged = BTreeMap::new();
        for revoked in &seen.revoked {
            assert!(self.revoked.contains_key(&revoked.session), "the end of {} is lost", revoked.session);
            acknowledged.entry(&revoked.session).or_insert(revoked.acknowledged);
        }
        for called in &seen.calls {
            // Whoever asks after a revocation was acknowledged is refused, by every replica.
            let late = acknowledged.get(&called.session).is_some_and(|at| called.began > *at);
            assert!(!late || !self.admitted.contains_key(&called.trace), "admitted all the same: {called:?}");
        }
        for position in &seen.cut {
            let cut = self.entries.get(usize::try_from(*position).unwrap() - 1);
            assert_eq!(cut.map(|cut| cut.kind.as_str()), Some("SubjectSessionsCut"), "a cut is lost");
        }
    }

    /// Calls of this session that arrived after this moment.
    pub fn arrived_after(&self, upstream: &Upstream, session: &str, moment: Instant) -> Vec<Received> {
        let mut late = upstream.ledger().calls();
        late.retain(|received| {
            let admitted = self.admitted.get(&trace_of(received));
            received.at > moment && admitted.is_some_and(|admitted| admitted.session == session)
        });
        late
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (events, admitted, abandoned) = (self.entries.len(), self.admitted.len(), self.abandoned.len());
        write!(f, "{events} events, {admitted} calls admitted, {abandoned} abandoned, {:?}", self.outcomes())
    }
}
