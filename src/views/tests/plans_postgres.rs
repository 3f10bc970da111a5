//! How PostgreSQL goes about each question, with rows and statistics.

use std::sync::Arc;

use proctor_domain::{Micros, Name, Position, SessionId};
use proctor_projections::CallOutcome;
use sqlx::{PgPool, Row as _};

use super::Home;
use super::history::{History, START_US};
use super::plans::tool_call_filters;
use crate::views::acts::ActFilter;
use crate::views::manifests::ManifestFilter;
use crate::views::postgres::begin;
use crate::views::select::{Bound, Dialect, Page, Statement};
use crate::views::sessions::{SessionFilter, SessionsOf};
use crate::views::tool_calls::{OPEN_CALLS_SQL, ToolCallFilter};

/// Enough that reading all of a table is never the cheapest.
const EVENTS: u32 = 20_000;

struct Plans {
    _home: Home,
    pool: PgPool,
}

impl Plans {
    async fn new() -> Self {
        let choices: Vec<(u8, u16)> =
            (0..EVENTS).map(|n| ((n % 251) as u8, (n.wrapping_mul(7_919) % 65_536) as u16)).collect();
        let home = Home::postgres();
        let events: Vec<Arc<_>> = History::of(&choices).events;
        home.apply(&events);
        home.rows("ANALYZE");
        let pool = home.pool();
        Self { _home: home, pool }
    }

    async fn of(&self, statement: &Statement) -> String {
        let mut transaction = self.pool.begin_with(begin()).await.unwrap();
        let sql = format!("EXPLAIN {}", statement.sql);
        let mut query = sqlx::query(&sql);
        for value in &statement.values {
            query = match value {
                Bound::Integer(number) => query.bind(*number),
                Bound::Text(text) => query.bind(text.clone()),
            };
        }
        let rows = query.fetch_all(&mut *transaction).await.unwrap();
        let plan = rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n");
        for costly in ["Seq Scan", "Sort", "Bitmap", "Hash", "Materialize"] {
            assert!(!plan.contains(costly), "{costly}: {}\n{plan}", statement.sql);
        }
        plan
    }

    async fn of_page(&self, page: &Page) -> String {
        self.of(&page.statement(Dialect::Postgres)).await
    }
}

#[tokio::test]
async fn every_page_of_tool_calls_is_a_seek_and_a_walk() {
    let plans = Plans::new().await;
    for (mut filter, subject) in tool_call_filters() {
        // Values that are there, common and rare ones.
        filter.session = filter.session.map(|_| SessionId::from("ses_1"));
        filter.label_index = filter.label_index.map(|_| "l1".to_owned());
        filter.virtual_server = filter.virtual_server.map(|_| "srv0".to_owned());
        filter.connection = filter.connection.map(|_| "con1".to_owned());
        filter.tool = filter.tool.map(|_| "tool1".to_owned());
        let leader = if filter.session.is_some() {
            "tool_calls_by_session"
        } else if filter.label_index.is_some() {
            "call_labels_pkey"
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
            "tool_calls_pkey"
        };
        for before in [None, Some(Position(9_000))] {
            let plan = plans.of_page(&filter.page(subject.then_some("sub_1"), before, 50)).await;
            assert!(plan.contains(leader), "{filter:?} {subject}: {plan}");
        }
    }
    let succeeded = ToolCallFilter { outcome: Some(CallOutcome::Succeeded), ..ToolCallFilter::default() };
    assert!(plans.of_page(&succeeded.page(None, None, 50)).await.contains("tool_calls_pkey"));
    let since = ToolCallFilter {
        tool: Some("tool1".into()),
        from_us: Some(Micros(START_US + 9_000_000)),
        to_us: Some(Micros(START_US + 99_000_000)),
        ..ToolCallFilter::default()
    };
    let plan = plans.of_page(&since.page(None, None, 50)).await;
    assert!(plan.contains("tool_calls_by_tool") && plan.contains("Recursive Union"), "{plan}");
}

#[tokio::test]
async fn every_other_question_is_answered_through_an_index() {
    let plans = Plans::new().await;
    let text = |text: &str| Some(text.to_owned());
    let acts = [
        (ActFilter::default(), None, "admin_acts_pkey"),
        (ActFilter::default(), Some("sub_1"), "admin_acts_by_subject"),
        (
            ActFilter { object_id: text("srv1"), by: text("k1"), ..ActFilter::default() },
            None,
            "admin_acts_by_object",
        ),
        (
            ActFilter { kind: text("session_opened"), by: text("k1"), ..ActFilter::default() },
            None,
            "admin_acts_by_kind",
        ),
        (ActFilter { by: text("k1"), ..ActFilter::default() }, None, "admin_acts_by_actor"),
    ];
    let unled = ActFilter { object_kind: text("connection"), ..ActFilter::default() };
    let plan = plans.of_page(&unled.page(None, None, 50)).await;
    assert!(plan.contains("admin_acts_pkey"), "{plan}");
    for (filter, subject, leader) in acts {
        let plan = plans.of_page(&filter.page(subject, None, 50)).await;
        assert!(plan.contains(leader), "{filter:?}: {plan}");
    }
    let sessions = [
        (SessionFilter::default(), None, "sessions_pkey"),
        (SessionFilter::default(), Some("sub_1"), "sessions_by_subject"),
        (
            SessionFilter { virtual_server: text("srv1"), ..SessionFilter::default() },
            None,
            "sessions_by_virtual_server",
        ),
        (SessionFilter { label_index: text("l1"), ..SessionFilter::default() }, None, "session_labels_pkey"),
    ];
    for (filter, subject, leader) in sessions {
        let plan = plans.of_page(&filter.page(subject, None, 50)).await;
        assert!(plan.contains(leader), "{filter:?}: {plan}");
    }
    let manifests = [
        (ManifestFilter::default(), None, "manifests_served_pkey"),
        (ManifestFilter::default(), Some("sub_1"), "manifests_served_by_subject"),
        (
            ManifestFilter { session: Some("ses_9".into()), ..ManifestFilter::default() },
            Some("sub_1"),
            "manifests_served_by_session",
        ),
    ];
    let unled = ManifestFilter { virtual_server: text("srv0"), ..ManifestFilter::default() };
    let plan = plans.of_page(&unled.page(None, None, 50)).await;
    assert!(plan.contains("manifests_served_pkey"), "{plan}");
    for (filter, subject, leader) in manifests {
        let plan = plans.of_page(&filter.page(subject, None, 50)).await;
        assert!(plan.contains(leader), "{filter:?}: {plan}");
    }
    let server = || Name::new("srv0").unwrap();
    let counts = [
        SessionsOf::Subject("sub_1".into()),
        SessionsOf::VirtualServer(server()),
        SessionsOf::Connection { name: Name::new("con1").unwrap(), virtual_servers: vec![server()] },
    ];
    for of in counts {
        let plan = plans.of(&of.counts(Micros(START_US + 90_000_000_000))[0]).await;
        assert!(plan.contains("using sessions_"), "{of:?}: {plan}");
    }
    let open_calls = Statement { sql: OPEN_CALLS_SQL.to_owned(), values: vec![Bound::Text("rep_0".into())] };
    assert!(plans.of(&open_calls).await.contains("tool_calls_by_outcome"));
}
