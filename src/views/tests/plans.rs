//! How SQLite goes about each question.

use proctor_domain::{Position, SessionId};
use proctor_projections::CallOutcome;
use rusqlite::{Connection, params_from_iter};

use super::Folder;
use crate::views::acts::ActFilter;
use crate::views::manifests::ManifestFilter;
use crate::views::select::Page;
use crate::views::sessions::{
    COUNT_BY_CONNECTION_SQL, COUNT_BY_SERVER_SQL, COUNT_BY_SUBJECT_SQL, SessionFilter,
};
use crate::views::tool_calls::{OPEN_CALLS_SQL, ToolCallFilter};
use crate::views::write::Writer;

struct Plans(Folder, Connection);

impl Plans {
    fn new() -> Self {
        let folder = Folder::new();
        drop(Writer::open(&folder.views()).unwrap());
        let connection = Connection::open(folder.views()).unwrap();
        Self(folder, connection)
    }

    fn of(&self, sql: &str, values: Vec<rusqlite::types::Value>) -> String {
        assert!(self.0.views().exists());
        let mut statement = self.1.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
        let plan = rows.collect::<Result<Vec<_>, _>>().unwrap().join("; ");
        assert!(!plan.contains("SCAN"), "reads everything: {sql}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "sorts: {sql}\n{plan}");
        plan
    }

    fn of_page(&self, page: &Page) -> String {
        let (sql, values) = page.text(0, i64::MAX);
        self.of(&sql, values)
    }
}

/// Every combination of these filters, most of them together with others.
fn tool_call_filters() -> Vec<(ToolCallFilter, bool)> {
    let text = |set: bool| set.then(|| "x".to_owned());
    (0..128_u32)
        .map(|bits| {
            let set = |bit: u32| bits >> bit & 1 == 1;
            let filter = ToolCallFilter {
                subjects: None,
                session: set(0).then(|| SessionId::from("x")),
                label_index: text(set(1)),
                virtual_server: text(set(2)),
                connection: text(set(3)),
                tool: text(set(4)),
                outcome: set(5).then_some(CallOutcome::Failed),
                from_us: None,
                to_us: None,
            };
            (filter, set(6))
        })
        .collect()
}

#[test]
fn every_page_of_tool_calls_is_a_seek_and_a_walk() {
    let plans = Plans::new();
    for (filter, subject) in tool_call_filters() {
        let plan = plans.of_page(&filter.page(subject.then_some("sub"), Some(Position(9)), 50));
        let leader = if filter.session.is_some() {
            "tool_calls_by_session"
        } else if filter.label_index.is_some() {
            "SEARCH l USING PRIMARY KEY"
        } else if subject {
            "tool_calls_by_subject"
        } else if filter.outcome.is_some() {
            "tool_calls_by_outcome"
        } else if filter.tool.is_some() {
            "tool_calls_by_tool"
        } else if filter.connection.is_some() {
            "tool_calls_by_connection"
        } else if filter.virtual_server.is_some() {
            "tool_calls_by_virtual_server"
        } else {
            "INTEGER PRIMARY KEY"
        };
        assert!(plan.contains(leader), "{filter:?} {subject}: {plan}");
    }
    let succeeded = ToolCallFilter { outcome: Some(CallOutcome::Succeeded), ..ToolCallFilter::default() };
    assert!(plans.of_page(&succeeded.page(None, None, 50)).contains("INTEGER PRIMARY KEY"));
}

#[test]
fn every_other_list_is_a_seek_and_a_walk() {
    let plans = Plans::new();
    let text = || Some("x".to_owned());
    let acts = [
        (ActFilter::default(), None, "INTEGER PRIMARY KEY"),
        (ActFilter::default(), Some("sub"), "admin_acts_by_subject"),
        (ActFilter { object_id: text(), by: text(), ..ActFilter::default() }, None, "admin_acts_by_object"),
        (ActFilter { kind: text(), by: text(), ..ActFilter::default() }, None, "admin_acts_by_kind"),
        (ActFilter { by: text(), ..ActFilter::default() }, None, "admin_acts_by_actor"),
    ];
    for (filter, subject, leader) in acts {
        let plan = plans.of_page(&filter.page(subject, None, 50));
        assert!(plan.contains(leader), "{filter:?}: {plan}");
    }
    let sessions = [
        (SessionFilter::default(), None, "SEARCH t USING INTEGER PRIMARY KEY"),
        (SessionFilter::default(), Some("sub"), "sessions_by_subject"),
        (
            SessionFilter { virtual_server: text(), ..SessionFilter::default() },
            None,
            "sessions_by_virtual_server",
        ),
        (
            SessionFilter { label_index: text(), ..SessionFilter::default() },
            None,
            "SEARCH l USING PRIMARY KEY",
        ),
    ];
    for (filter, subject, leader) in sessions {
        let plan = plans.of_page(&filter.page(subject, None, 50));
        assert!(plan.contains(leader), "{filter:?}: {plan}");
    }
    let manifests = [
        (ManifestFilter::default(), None, "INTEGER PRIMARY KEY"),
        (ManifestFilter::default(), Some("sub"), "manifests_served_by_subject"),
        (
            ManifestFilter { session: Some("ses".into()), ..ManifestFilter::default() },
            Some("sub"),
            "manifests_served_by_session",
        ),
    ];
    for (filter, subject, leader) in manifests {
        let plan = plans.of_page(&filter.page(subject, None, 50));
        assert!(plan.contains(leader), "{filter:?}: {plan}");
    }
}

#[test]
fn counting_open_sessions_and_finding_open_calls_read_only_what_they_need() {
    let plans = Plans::new();
    let null = || rusqlite::types::Value::Null;
    assert!(plans.of(COUNT_BY_SUBJECT_SQL, vec![null(); 3]).contains("sessions_by_subject"));
    assert!(plans.of(COUNT_BY_SERVER_SQL, vec![null(); 3]).contains("sessions_by_virtual_server"));
    assert!(plans.of(COUNT_BY_CONNECTION_SQL, vec![null(); 4]).contains("sessions_by_virtual_server"));
    assert!(plans.of(OPEN_CALLS_SQL, vec![null()]).contains("tool_calls_by_outcome"));
}
