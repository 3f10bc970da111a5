//! What the lists say.

use std::sync::Arc;
use std::time::Duration;

use proctor_domain::session::Outcome;
use proctor_domain::session::SessionEvent;
use proctor_domain::subject::SubjectEvent;
use proctor_domain::virtual_server::VirtualServerEvent;
use proctor_domain::{Micros, Position, Recorded};

use super::history::{History, KINDS, START_US, by, name};
use super::{Home, on_both_stores};
use crate::views::{
    ActFilter, CallOutcome, JournalSource, ManifestFilter, SessionFilter, SessionState, SessionsOf,
    ToolCallFilter, ToolCallRow, Views,
};

on_both_stores!(
    a_tool_call_is_shown_with_all_that_was_recorded_of_it,
    pages_of_tool_calls_run_newest_first_and_miss_and_repeat_nothing,
    a_label_finds_its_sessions_and_their_calls,
    a_session_shows_as_open_expired_or_revoked_and_is_counted_while_open,
    every_kind_of_act_is_on_the_record_with_who_did_it,
    what_was_shown_is_on_the_record,
);

const SOON: Duration = Duration::from_secs(20);

struct Fixed(Vec<Arc<Recorded>>);

impl JournalSource for Fixed {
    type Error = std::convert::Infallible;

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Arc<Recorded>>, Self::Error> {
        Ok(self.0.iter().skip(usize::try_from(after.0).unwrap()).take(limit).cloned().collect())
    }

    async fn head(&self) -> Result<Position, Self::Error> {
        Ok(Position(self.0.len() as u64))
    }
}

async fn views(home: &Home, history: History) -> Views {
    let head = Position(history.events.len() as u64);
    let views = home.views(Fixed(history.events));
    // Making the tables comes first, and waiting for a database may take longer than a list may.
    views.wait_for(head, SOON).await.unwrap();
    views
}

fn calls(rows: &[ToolCallRow]) -> Vec<&str> {
    rows.iter().map(|row| row.call.as_str()).collect()
}

async fn a_tool_call_is_shown_with_all_that_was_recorded_of_it(home: &Home) {
    let mut history = History::default();
    let session = history.open("sub_1", "srv0", &["l1"]);
    history.wait(5);
    let ended = history.admit(session, 2);
    history.wait(7);
    history.end(session, &ended, Outcome::Failed("timeout".into()), false);
    let refused = history.refuse(session, 3);
    let again = SessionEvent::ToolCallRefusedAgain { call: refused.clone(), times: 4 };
    history.record("session", &format!("ses_{session}"), again);
    let open = history.admit(session, 1);
    let views = views(home, history).await;

    let row = views.tool_call(ended).await.unwrap().unwrap();
    assert_eq!(row.position, Position(2));
    assert_eq!((row.started_at, row.ended_at), (Micros(START_US + 5), Some(Micros(START_US + 12))));
    assert_eq!(row.ended_position, Some(Position(3)));
    assert_eq!((row.subject.as_str(), row.session.as_str()), ("sub_1", "ses_1"));
    assert_eq!((row.virtual_server.as_str(), row.version), ("srv0", Some(1)));
    assert_eq!((row.connection.as_deref(), row.upstream_tool.as_deref()), (Some("con2"), Some("up2")));
    assert_eq!((row.tool.as_str(), row.replica.unwrap().as_str()), ("tool2", "rep_0"));
    assert_eq!((row.outcome, row.reason.as_deref()), (CallOutcome::Failed, Some("timeout")));
    assert_eq!((row.duration_us, row.arguments_bytes, row.result_bytes), (Some(1_500), 200, Some(900)));
    assert_eq!((row.client_name.as_str(), row.protocol_version.as_str()), ("agent", "2026-07-28"));
    assert_eq!((row.trace_id.as_deref(), row.late), (Some("0af7"), false));

    let row = views.tool_call(refused).await.unwrap().unwrap();
    assert_eq!((row.outcome, row.reason.as_deref()), (CallOutcome::Refused, Some("not_read_only")));
    assert_eq!((row.repeats, row.ended_at, row.replica), (4, None, None));

    assert_eq!(views.tool_call("call_none".into()).await.unwrap(), None);
    let open_calls = views.open_calls_of("rep_1".into()).await.unwrap();
    assert_eq!(open_calls, [("ses_1".into(), open)]);
    assert_eq!(views.open_calls_of("rep_0".into()).await.unwrap(), []);
    let row = views.session("ses_1".into()).await.unwrap().unwrap();
    assert_eq!((row.calls_admitted, row.calls_refused), (2, 5));
    views.stop();
}

async fn pages_of_tool_calls_run_newest_first_and_miss_and_repeat_nothing(home: &Home) {
    let choices: Vec<(u8, u16)> = (0..1_500_u16).map(|n| ((n % 251) as u8, n.wrapping_mul(7_919))).collect();
    let views = views(home, History::of(&choices)).await;
    let all = views.tool_calls(ToolCallFilter::default(), None, 1_000).await.unwrap();
    assert!(all.len() > 200);
    assert!(all.is_sorted_by(|newer, older| newer.position > older.position));
    let middle = all[all.len() / 2].started_at;
    let text = |text: &str| Some(text.to_owned());
    let subjects = |ids: &[&str]| Some(ids.iter().map(|id| (*id).into()).collect());
    let session = all[9].session.clone();
    let any = ToolCallFilter::default;
    type Test<'a> = Box<dyn Fn(&ToolCallRow) -> bool + 'a>;
    let cases: Vec<(ToolCallFilter, Test<'_>)> = vec![
        (any(), Box::new(|_| true)),
        (
            ToolCallFilter { subjects: subjects(&["sub_1"]), ..any() },
            Box::new(|row| row.subject.as_str() == "sub_1"),
        ),
        (
            ToolCallFilter { subjects: subjects(&["sub_0", "sub_2", "sub_0"]), ..any() },
            Box::new(|row| row.subject.as_str() != "sub_1"),
        ),
        (ToolCallFilter { subjects: subjects(&[]), ..any() }, Box::new(|_| false)),
        (ToolCallFilter { session: Some(session.clone()), ..any() }, Box::new(|row| row.session == session)),
        (
            ToolCallFilter { connection: text("con1"), ..any() },
            Box::new(|row| row.connection == text("con1")),
        ),
        (
            ToolCallFilter { tool: text("tool3"), outcome: Some(CallOutcome::Succeeded), ..any() },
            Box::new(|row| row.tool == "tool3" && row.outcome == CallOutcome::Succeeded),
        ),
        (
            ToolCallFilter { outcome: Some(CallOutcome::Abandoned), virtual_server: text("srv1"), ..any() },
            Box::new(|row| row.outcome == CallOutcome::Abandoned && row.virtual_server == "srv1"),
        ),
        (ToolCallFilter { from_us: Some(middle), ..any() }, Box::new(|row| row.started_at >= middle)),
        (
            ToolCallFilter { to_us: Some(middle), connection: text("con0"), ..any() },
            Box::new(|row| row.started_at < middle && row.connection == text("con0")),
        ),
        (ToolCallFilter { to_us: Some(Micros(0)), ..any() }, Box::new(|_| false)),
        (ToolCallFilter { from_us: Some(Micros(i64::MAX)), ..any() }, Box::new(|_| false)),
    ];
    for (filter, test) in cases {
        let expected: Vec<&ToolCallRow> = all.iter().filter(|row| test(row)).collect();
        let mut found = Vec::new();
        loop {
            let before = found.last().map(|row: &ToolCallRow| row.position);
            let mut page = views.tool_calls(filter.clone(), before, 7).await.unwrap();
            assert!(page.len() <= 7);
            if page.is_empty() {
                break;
            }
            found.append(&mut page);
        }
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
    views.stop();
}

async fn a_label_finds_its_sessions_and_their_calls(home: &Home) {
    let mut history = History::default();
    let plain = history.open("sub_1", "srv0", &[]);
    let labelled = history.open("sub_1", "srv0", &["l1", "l2", "l1"]);
    let other = history.open("sub_2", "srv1", &["l1"]);
    history.admit(plain, 0);
    let first = history.admit(labelled, 1);
    let second = history.admit(other, 2);
    let views = views(home, history).await;

    let filter =
        |label: &str| ToolCallFilter { label_index: Some(label.into()), ..ToolCallFilter::default() };
    assert_eq!(
        calls(&views.tool_calls(filter("l1"), None, 9).await.unwrap()),
        [second.as_str(), first.as_str()]
    );
    assert_eq!(calls(&views.tool_calls(filter("l2"), None, 9).await.unwrap()), [first.as_str()]);
    let both = ToolCallFilter { subjects: Some(vec!["sub_2".into()]), ..filter("l1") };
    assert_eq!(calls(&views.tool_calls(both, None, 9).await.unwrap()), [second.as_str()]);
    let session = ToolCallFilter { session: Some("ses_1".into()), ..filter("l1") };
    assert_eq!(calls(&views.tool_calls(session, None, 9).await.unwrap()), Vec::<&str>::new());
    assert_eq!(calls(&views.tool_calls(filter("l3"), None, 9).await.unwrap()), Vec::<&str>::new());

    let sessions = SessionFilter { label_index: Some("l1".into()), ..SessionFilter::default() };
    let found = views.sessions(sessions, None, 9).await.unwrap();
    assert_eq!(found.iter().map(|row| row.session.as_str()).collect::<Vec<_>>(), ["ses_3", "ses_2"]);
    views.stop();
}

async fn a_session_shows_as_open_expired_or_revoked_and_is_counted_while_open(home: &Home) {
    let mut history = History::default();
    history.open("sub_1", "srv0", &[]);
    history.open("sub_1", "srv1", &[]);
    history.wait(4_000_000_000);
    history.open("sub_1", "srv0", &[]);
    history.open("sub_2", "srv0", &[]);
    let revoked = SessionEvent::SessionRevoked { by: by(), reason: "lost laptop".into() };
    history.record("session", "ses_4", revoked);
    let cut = SubjectEvent::SubjectSessionsCut { by: by(), reason: "left".into() };
    let cut = history.record("subject", "sub_1", cut);
    history.open("sub_1", "srv0", &[]);
    history.open("sub_3", "srv1", &[]);
    history.open("sub_3", "srv2", &[]);
    let retired = VirtualServerEvent::VirtualServerRetired { by: by(), reason: "old".into() };
    history.record("virtual_server", "srv1", retired);
    let now = history.now();
    let views = views(home, history).await;

    let mut states = Vec::new();
    for row in views.sessions(SessionFilter::default(), None, 50).await.unwrap().iter().rev() {
        states.push((row.session.as_str().to_owned(), row.state(now).code()));
        if row.session.as_str() == "ses_3" {
            assert_eq!(row.cut.map(|cut| cut.position), Some(cut));
        }
        if row.session.as_str() == "ses_4" {
            assert_eq!(row.revoked_reason.as_deref(), Some("lost laptop"));
            assert_eq!(row.revoked_by_id.as_deref(), Some("k1"));
        }
    }
    let expected = ["expired", "expired", "revoked", "revoked", "open", "revoked", "open"];
    let expected: Vec<_> = expected.iter().enumerate().map(|(i, s)| (format!("ses_{}", i + 1), *s)).collect();
    assert_eq!(states, expected);

    let open = |of| views.count_open_sessions(of, now);
    assert_eq!(open(SessionsOf::Subject("sub_1".into())).await.unwrap(), 1);
    assert_eq!(open(SessionsOf::Subject("sub_2".into())).await.unwrap(), 0);
    assert_eq!(open(SessionsOf::VirtualServer(name("srv0"))).await.unwrap(), 1);
    assert_eq!(open(SessionsOf::VirtualServer(name("srv1"))).await.unwrap(), 0);
    let connection =
        SessionsOf::Connection { name: name("con0"), virtual_servers: vec![name("srv0"), name("srv2")] };
    assert_eq!(open(connection).await.unwrap(), 2);
    let later = Micros(now.0 + 3_600_000_000);
    assert_eq!(views.count_open_sessions(SessionsOf::Subject("sub_1".into()), later).await.unwrap(), 0);
    assert_eq!(SessionState::Open.code(), "open");
    views.stop();
}

async fn every_kind_of_act_is_on_the_record_with_who_did_it(home: &Home) {
    let mut history = History::default();
    history.open("sub_9", "srv0", &["l1"]);
    for pick in 0..KINDS {
        history.administer(pick);
    }
    history.record("session", "ses_1", SessionEvent::SessionRevoked { by: by(), reason: "over".into() });
    let views = views(home, history).await;

    let acts = views.acts(ActFilter::default(), None, 50).await.unwrap();
    let kinds: Vec<&str> = acts.iter().rev().map(|act| act.kind.as_str()).collect();
    let expected = "session_opened subject_registered subject_sessions_cut subject_blocked subject_unblocked \
         virtual_server_defined virtual_server_revised virtual_server_sessions_cut virtual_server_retired \
         connection_registered connection_reconfigured catalog_refreshed connection_tested \
         connection_sessions_cut connection_retired api_key_created api_key_revoked audit_trail_read \
         authentications_failed authentications_failed webhook_created webhook_revised \
         webhook_secret_rotated webhook_tested webhook_redelivered webhook_gone webhook_retired \
         replica_started master_key_rotation_begun master_key_rotated purpose_key_rotated \
         catalog_observed catalog_accepted catalog_approved \
         identity_provider_registered identity_provider_revised identity_provider_retired \
         user_connection_link_issued user_connection_authorized user_connection_authorization_failed \
         user_connection_activated \
         user_connection_expired user_connection_disconnected session_revoked";
    assert_eq!(kinds, expected.split_whitespace().collect::<Vec<_>>());
    for act in &acts {
        let by = (act.by_kind.as_deref(), act.by_id.as_deref());
        let expected = match act.kind.as_str() {
            "authentications_failed"
            | "user_connection_authorized"
            | "user_connection_authorization_failed"
            | "user_connection_expired" => (None, None),
            "replica_started"
            | "webhook_gone"
            | "master_key_rotation_begun"
            | "master_key_rotated"
            | "catalog_observed"
            | "catalog_accepted"
            | "catalog_approved" => (Some("replica"), Some("rep_0")),
            _ => (Some("key"), Some("k1")),
        };
        assert_eq!(by, expected, "{act:?}");
        assert!(serde_json::from_str::<serde_json::Map<_, _>>(&act.details).is_ok(), "{act:?}");
    }
    let of_user = ActFilter { subjects: Some(vec!["sub_9".into()]), ..ActFilter::default() };
    let of_user = views.acts(of_user, None, 50).await.unwrap();
    let summary: Vec<_> = of_user.iter().map(|act| (act.kind.as_str(), act.reason.as_deref())).collect();
    assert_eq!(summary, [("session_revoked", Some("over")), ("session_opened", None)]);
    let by_replica = ActFilter { by: Some("rep_0".into()), ..ActFilter::default() };
    assert_eq!(views.acts(by_replica, None, 50).await.unwrap().len(), 7);
    let doors = ActFilter { object_kind: Some("door".into()), ..ActFilter::default() };
    assert_eq!(views.acts(doors, None, 50).await.unwrap().len(), 2);
    views.stop();
}

async fn what_was_shown_is_on_the_record(home: &Home) {
    let mut history = History::of(&[(0, 0), (18, 0), (18, 1)]);
    history.open("sub_2", "srv1", &[]);
    let views = views(home, history).await;
    let all = views.manifests_served(ManifestFilter::default(), None, 9).await.unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].subject.as_str(), all[0].session.as_str()), ("sub_0", "ses_1"));
    assert_eq!((all[0].tools, all[0].times, all[0].manifest.len()), (4, 2, 64));
    let filter = ManifestFilter { subjects: Some(vec!["sub_2".into()]), ..ManifestFilter::default() };
    assert_eq!(views.manifests_served(filter, None, 9).await.unwrap(), []);
    views.stop();
}
