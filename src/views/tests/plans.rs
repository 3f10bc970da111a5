//! How SQLite goes about each question.

use proctor_domain::virtual_server::Method;
use proctor_domain::{Micros, Name, Position, SessionId};
use proctor_projections::CallOutcome;
use rusqlite::{Connection, params_from_iter};

use super::Home;
use crate::views::acts::ActFilter;
use crate::views::manifests::ManifestFilter;
use crate::views::select::{Bound, Dialect, Page, Statement};
use crate::views::sessions::{SessionFilter, SessionsOf};
use crate::views::tool_calls::{OPEN_CALLS_SQL, ToolCallFilter};

struct Plans {
    _home: Home,
    rows: Connection,
}

impl Plans {
    fn new() -> Self {
        let home = Home::sqlite();
        home.apply(&[]);
        let Home::Sqlite(folder) = &home else { unreachable!() };
        let rows = Connection::open(folder.file()).unwrap();
        Self { _home: home, rows }
    }

    fn of(&self, Statement { sql, values }: &Statement) -> String {
        let mut statement = self.rows.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values = values.iter().map(|value| match value {
            Bound::Integer(number) => rusqlite::types::Value::from(*number),
            Bound::Text(text) => text.clone().into(),
        });
        let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
        let plan = rows.collect::<Result<Vec<_>, _>>().unwrap().join("; ");
        let tables = plan.replace("SCAN halves", "").replace("SCAN CONSTANT ROW", "");
        assert!(!tables.contains("SCAN"), "reads everything: {sql}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "sorts: {sql}\n{plan}");
        plan
    }

    fn of_page(&self, page: &Page) -> String {
        self.of(&page.statement(Dialect::Sqlite))
    }
}

/// Every combination of these filters, most of them together with others.
pub(super) fn tool_call_filters() -> Vec<(ToolCallFilter, bool)> {
    let text = |set: bool| set.then(|| "x".to_owned());
    (0..256_u32)
        .map(|bits| {
            let set = |bit: u32| bits >> bit & 1 == 1;
            let filter = ToolCallFilter {
                subjects: None,
                session: set(0).then(|| SessionId::from("x")),
                label_index: text(set(1)),
                virtual_server: text(set(2)),
                connection: text(set(3)),
                method: set(7).then_some(Method::ResourcesRead),
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
        } else if filter.method.is_some() {
            "tool_calls_by_method"
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
    let of_tools = ToolCallFilter { method: Some(Method::ToolsCall), ..ToolCallFilter::default() };
    assert!(plans.of_page(&of_tools.page(None, None, 50)).contains("INTEGER PRIMARY KEY"));
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
    let unled = ActFilter { object_kind: text(), ..ActFilter::default() };
    let plan = plans.of_page(&unled.page(None, None, 50));
    assert!(plan.contains("INTEGER PRIMARY KEY"), "{plan}");
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
    let unled = ManifestFilter { virtual_server: text(), ..ManifestFilter::default() };
    let plan = plans.of_page(&unled.page(None, None, 50));
    assert!(plan.contains("INTEGER PRIMARY KEY"), "{plan}");
    for (filter, subject, leader) in manifests {
        let plan = plans.of_page(&filter.page(subject, None, 50));
        assert!(plan.contains(leader), "{filter:?}: {plan}");
    }
}

#[test]
fn counting_open_sessions_and_finding_open_calls_read_only_what_they_need() {
    let plans = Plans::new();
    let names = || vec![Name::new("srv").unwrap()];
    let counts = [
        (SessionsOf::Subject("sub".into()), "sessions_by_subject"),
        (SessionsOf::VirtualServer(names().remove(0)), "sessions_by_virtual_server"),
        (
            SessionsOf::Connection { name: names().remove(0), virtual_servers: names() },
            "sessions_by_virtual_server",
        ),
    ];
    for (of, index) in counts {
        assert!(plans.of(&of.counts(Micros(9))[0]).contains(index), "{of:?}");
    }
    let open_calls = Statement { sql: OPEN_CALLS_SQL.to_owned(), values: vec![Bound::Text("rep".into())] };
    assert!(plans.of(&open_calls).contains("tool_calls_by_outcome"));
}

#[test]
fn a_time_is_found_by_halving() {
    let plans = Plans::new();
    let filter = ToolCallFilter {
        from_us: Some(Micros(1)),
        to_us: Some(Micros(2)),
        tool: Some("x".into()),
        ..ToolCallFilter::default()
    };
    assert!(plans.of_page(&filter.page(None, None, 50)).contains("tool_calls_by_tool (tool=? AND rowid"));
}
