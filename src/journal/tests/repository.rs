//! cqrs-es reads our journal.

use cqrs_es::persist::{PersistedEventRepository, PersistedEventStore};
use cqrs_es::{CqrsFramework, EventStore as _};
use proctor_domain::Decider as _;
use proctor_domain::watch::{Notice, Watch, WatchEvent};

use super::*;
use crate::journal::{postgres, sqlite};

async fn write_some_notes(site: &Site) {
    let journal = site.open("rep_1").await;
    for n in 0..3 {
        note("s", n, n).append(&journal).await.committed();
        note("t", n, 10 + n).append(&journal).await.committed();
    }
}

async fn its_event_store_loads_an_aggregate(site: Site, reader: impl PersistedEventRepository) {
    write_some_notes(&site).await;
    let store = PersistedEventStore::<_, Watch>::new_event_store(reader);
    let context = store.load_aggregate("s").await.unwrap();
    assert_eq!(context.current_sequence, 3);
    assert_eq!(context.aggregate.version(), 3);
    let events = store.load_events("t").await.unwrap();
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(matches!(events[2].payload, WatchEvent::AuthenticationsFailed { count: 12, .. }));
    assert_eq!(store.load_aggregate("nothing").await.unwrap().aggregate.version(), 0);
}

async fn its_replays_see_everything_in_order(site: Site, reader: impl PersistedEventRepository) {
    write_some_notes(&site).await;
    assert_eq!(reader.get_last_events::<Watch>("s", 2).await.unwrap().len(), 1);
    let mut one = reader.stream_events::<Watch>("s").await.unwrap();
    let mut all = reader.stream_all_events::<Watch>().await.unwrap();
    let mut seen = (Vec::new(), Vec::new());
    while let Some(event) = one.next::<Watch>(&[]).await {
        seen.0.push(event.unwrap().sequence);
    }
    while let Some(event) = all.next::<Watch>(&[]).await {
        seen.1.push(event.unwrap().aggregate_id);
    }
    assert_eq!(seen.0, [1, 2, 3]);
    assert_eq!(seen.1, ["s", "t", "s", "t", "s", "t"]);
}

async fn nothing_is_written_through_it(site: Site, reader: impl PersistedEventRepository) {
    write_some_notes(&site).await;
    let store = PersistedEventStore::<_, Watch>::new_event_store(reader);
    let framework = CqrsFramework::new(store, Vec::new(), ());
    let notice = Notice(WatchEvent::ReplicaStarted {
        by: proctor_domain::By::Replica("r".into()),
        program: "1".into(),
    });
    let error = framework.execute("s", notice).await.unwrap_err();
    assert!(error.to_string().contains("through the journal alone"), "{error}");
    assert_eq!(site.history().await.len(), 6);
}

/// These need to know what reads.
macro_rules! on_both_repositories {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $test() {
                let site = super::Site::sqlite();
                let (_, reader) = super::sqlite::open(&site.journal_file()).unwrap();
                super::$test(site, (*reader).clone()).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $test() {
                let site = super::Site::postgres();
                let (_, reader) = super::postgres::open(&site.postgres_config()).await.unwrap();
                super::$test(site, (*reader).clone()).await;
            })*
        }
    };
}

on_both_repositories!(
    its_event_store_loads_an_aggregate,
    its_replays_see_everything_in_order,
    nothing_is_written_through_it,
);
