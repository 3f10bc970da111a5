//! cqrs-es reads our journal.

use cqrs_es::persist::{PersistedEventRepository as _, PersistedEventStore};
use cqrs_es::{CqrsFramework, EventStore as _};
use proctor_domain::Decider as _;
use proctor_domain::watch::{Notice, Watch, WatchEvent};

use super::*;
use crate::journal::sqlite;
use crate::journal::sqlite::SqliteReader;

async fn some_notes(folder: &Folder) -> SqliteReader {
    let journal = folder.open("rep_1").await;
    for n in 0..3 {
        note("s", n, n).append(&journal).await.committed();
        note("t", n, 10 + n).append(&journal).await.committed();
    }
    let (_, reader) = sqlite::open(&folder.journal_file()).unwrap();
    (*reader).clone()
}

#[tokio::test]
async fn its_event_store_loads_an_aggregate() {
    let folder = Folder::new();
    let store = PersistedEventStore::<_, Watch>::new_event_store(some_notes(&folder).await);
    let context = store.load_aggregate("s").await.unwrap();
    assert_eq!(context.current_sequence, 3);
    assert_eq!(context.aggregate.version(), 3);
    let events = store.load_events("t").await.unwrap();
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(matches!(events[2].payload, WatchEvent::AuthenticationsFailed { count: 12, .. }));
    assert_eq!(store.load_aggregate("nothing").await.unwrap().aggregate.version(), 0);
}

#[tokio::test]
async fn its_replays_see_everything_in_order() {
    let folder = Folder::new();
    let repository = some_notes(&folder).await;
    assert_eq!(repository.get_last_events::<Watch>("s", 2).await.unwrap().len(), 1);
    let mut one = repository.stream_events::<Watch>("s").await.unwrap();
    let mut all = repository.stream_all_events::<Watch>().await.unwrap();
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

#[tokio::test]
async fn nothing_is_written_through_it() {
    let folder = Folder::new();
    let store = PersistedEventStore::<_, Watch>::new_event_store(some_notes(&folder).await);
    let framework = CqrsFramework::new(store, Vec::new(), ());
    let notice = Notice(WatchEvent::ReplicaStarted {
        by: proctor_domain::By::Replica("r".into()),
        program: "1".into(),
    });
    let error = framework.execute("s", notice).await.unwrap_err();
    assert!(error.to_string().contains("through the journal alone"), "{error}");
    assert_eq!(folder.history().await.len(), 6);
}
