//! How fast the views follow the journal, and how fast they are built anew from all of it.
//!
//! `cargo bench --bench rebuild -- EVENTS` (one million when nothing is said); with `postgres` behind it,
//! the views stand in PostgreSQL. Prints events per second and the processor time of the views' thread,
//! from Linux's `/proc`, per event and per tool call; PostgreSQL's own comes on top.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proctor::journal::sqlite::{self, SqliteReader};
use proctor::journal::{Reader as _, Row, Store, StoreError};
use proctor::views::{Health, JournalSource, ToolCallFilter, Views, ViewsPlace};
use proctor_domain::session::{Access, Client, Outcome, Refusal, Route, SessionEvent, Terms};
use proctor_domain::virtual_server::Method;
use proctor_domain::{By, CallId, Micros, Name, Place, Position, Recorded, StreamId};
use proctor_test_postgres::Database;

const EVENTS_DEFAULT: usize = 1_000_000;
/// Agents that work at the same time, each in a session of its own.
const AGENTS: usize = 64;
/// Calls of a session before its agent is given the next.
const CALLS_PER_SESSION: usize = 50;
/// Events delivered together, as a busy journal groups them.
const DELIVERED_TOGETHER: usize = 100;
const START_US: i64 = 1_790_000_000_000_000;
const PATIENCE: Duration = Duration::from_secs(600);

type Failure = Box<dyn std::error::Error>;

struct Source(Arc<SqliteReader>);

impl JournalSource for Source {
    type Error = StoreError;

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Arc<Recorded>>, StoreError> {
        self.0.read(after, limit).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.0.head().await
    }
}

/// Where views stand.
enum Stand {
    File(PathBuf),
    Database(Database),
}

impl Stand {
    fn new(path: PathBuf, in_postgres: bool) -> Self {
        if in_postgres { Self::Database(Database::new()) } else { Self::File(path) }
    }

    fn place(&self) -> Result<ViewsPlace, Failure> {
        Ok(match self {
            Self::File(path) => ViewsPlace::Sqlite(path.clone()),
            Self::Database(database) => ViewsPlace::Postgres(sqlx::PgPool::connect_lazy(&database.url())?),
        })
    }

    fn bytes(&self) -> Result<u64, Failure> {
        Ok(match self {
            Self::File(path) => std::fs::metadata(path)?.len(),
            Self::Database(database) => {
                database.sql("SELECT pg_database_size(current_database())").parse()?
            }
        })
    }
}

fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let count = std::env::args().find_map(|text| text.parse().ok()).unwrap_or(EVENTS_DEFAULT);
    let in_postgres = std::env::args().any(|text| text == "postgres");
    let folder = std::env::temp_dir().join(format!("proctor-rebuild-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let measured = runtime.block_on(async { run(&folder, count, in_postgres).await });
    std::fs::remove_dir_all(&folder)?;
    measured
}

async fn run(folder: &Path, count: usize, in_postgres: bool) -> Result<(), Failure> {
    let events = events(count)?;
    let head = Position(events.len() as u64);
    let (mut store, reader) = sqlite::open(&folder.join("journal.db"))?;
    let began = Instant::now();
    for batch in events.chunks(2_000) {
        write(&mut store, batch).await?;
    }
    println!("journal: {count} events written in {:.1} s", began.elapsed().as_secs_f64());

    let along = Stand::new(folder.join("along.db"), in_postgres);
    let (empty, empty_reader) = sqlite::open(&folder.join("empty.db"))?;
    let views = Views::open(along.place()?, Source(empty_reader), tokio::runtime::Handle::current())?;
    while views.health() != Health::Following {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (began, before) = (Instant::now(), thread_cpu("views"));
    for batch in events.chunks(DELIVERED_TOGETHER) {
        // As fast as they are taken in: what does not fit would be read from the journal.
        while batch[0].place.position.0 > views.position().0 + 4_000 {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        views.feed(batch);
    }
    views.wait_for(head, PATIENCE).await?;
    say("following, handed over in memory", &events, began.elapsed(), thread_cpu("views") - before);
    views.stop();
    drop(empty);

    let rebuilt = Stand::new(folder.join("views.db"), in_postgres);
    drop(events);
    let began = Instant::now();
    let views = Views::open(rebuilt.place()?, Source(reader), tokio::runtime::Handle::current())?;
    views.wait_for(head, PATIENCE).await?;
    let (took, cpu) = (began.elapsed(), thread_cpu("views"));
    println!(
        "rebuilt from the journal: {count} events in {:.1} s, {:.0} events/s; {:.1} µs of the views' thread per event; {:.0} MB",
        took.as_secs_f64(),
        count as f64 / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count as f64,
        rebuilt.bytes()? as f64 / 1e6,
    );
    let began = Instant::now();
    let page = views.tool_calls(ToolCallFilter::default(), None, 50).await?;
    println!("first page of {} tool calls: {:.2} ms", page.len(), began.elapsed().as_secs_f64() * 1e3);
    let filter =
        ToolCallFilter { subjects: Some(vec![page[0].subject.clone()]), ..ToolCallFilter::default() };
    let began = Instant::now();
    let page = views.tool_calls(filter, None, 50).await?;
    println!("{} tool calls of one user: {:.2} ms", page.len(), began.elapsed().as_secs_f64() * 1e3);
    views.stop();
    Ok(())
}

fn say(what: &str, events: &[Arc<Recorded>], took: Duration, cpu: Duration) {
    let calls = events.iter().filter(|event| event.event.type_name() == "ToolCallEnded").count();
    println!(
        "{what}: {} events ({calls} calls) in {:.1} s, {:.0} events/s; {:.1} µs of processor time per call",
        events.len(),
        took.as_secs_f64(),
        events.len() as f64 / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / calls as f64,
    );
}

async fn write(store: &mut impl Store, batch: &[Arc<Recorded>]) -> Result<(), StoreError> {
    store.begin().await?;
    for event in batch {
        let tips = store.tips(std::slice::from_ref(&event.stream)).await?;
        let row = Row {
            position: event.place.position,
            recorded_at: event.place.recorded_at,
            stream: &event.stream,
            sequence: event.sequence,
            previous: tips.first().map_or_else(Default::default, |tip| tip.position),
            event_id: &event.event_id,
            event_type: event.event.type_name(),
            event_version: event.event.version_name(),
            payload: &event.payload,
            metadata: &event.metadata,
            sealed: None,
        };
        store.insert(&row).await?;
    }
    store.commit().await
}

/// The processor time of this process's thread of that name.
fn thread_cpu(name: &str) -> Duration {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let nanoseconds = tasks.flatten().find_map(|task| {
        let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let schedstat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        (comm.trim() == name).then(|| schedstat.split_whitespace().next()?.parse().ok())?
    });
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

struct Agent {
    session: Arc<str>,
    sequence: u64,
    calls: usize,
    open: Option<CallId>,
}

/// Agents that take turns: each admits a call, and ends it when its turn comes again.
fn events(count: usize) -> Result<Vec<Arc<Recorded>>, Failure> {
    let client =
        Client { name: "research-agent".into(), version: "2.3.1".into(), protocol: "2026-07-28".into() };
    let names = [Name::new("notes")?, Name::new("calendar")?, Name::new("mail")?];
    let mut agents: Vec<Agent> = Vec::new();
    agents.resize_with(AGENTS, || Agent { session: "".into(), sequence: 0, calls: 0, open: None });
    let mut events: Vec<Arc<Recorded>> = Vec::with_capacity(count);
    while events.len() < count {
        let number = events.len();
        let index = number % AGENTS;
        let agent = &mut agents[index];
        let event = if let Some(call) = agent.open.take() {
            let outcome = if number.is_multiple_of(20) {
                Outcome::Failed("tool_error".into())
            } else {
                Outcome::Succeeded
            };
            SessionEvent::ToolCallEnded { call, outcome, duration_us: 4_200, result_bytes: 640, late: false }
        } else if agent.calls.is_multiple_of(CALLS_PER_SESSION) {
            agent.calls += 1;
            agent.session = format!("ses_{}", uuid::Uuid::now_v7()).into();
            agent.sequence = 0;
            let terms = Terms {
                subject: format!("sub_{:032x}", (number as u128 / 3_000).wrapping_mul(0x9e37_79b9_7f4a_7c15))
                    .into(),
                virtual_server: names[index % 2].clone(),
                access: Access::Full,
                tools: None,
                expires_at: Micros(START_US + 3_600_000_000),
                calls_max: 10_000,
                calls_per_minute_max: None,
                label_indexes: vec![format!("{:064x}", number.wrapping_mul(0x9e37_79b9))],
            };
            SessionEvent::SessionOpened { by: By::Key("5e".repeat(32).into()), terms, version: 3 }
        } else {
            agent.calls += 1;
            let call = CallId::from(format!("call_{}", uuid::Uuid::now_v7()));
            let tool = format!("search_{}", number / 7 % 20);
            let route = Route {
                version: 3,
                connection: names[number / 5 % 3].clone(),
                tool: tool.clone(),
                definition: Some("d1".repeat(32)),
                catalog: "ca".repeat(32),
                generation: 1,
                user_generation: None,
            };
            let (client, trace) = (client.clone(), Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()));
            if agent.calls.is_multiple_of(40) {
                SessionEvent::ToolCallRefused {
                    call,
                    method: Method::ToolsCall,
                    tool,
                    reason: Refusal::NotReadOnly,
                    route: Some(route),
                    client,
                    trace,
                    arguments_bytes: 200,
                    retry_at: None,
                }
            } else {
                agent.open = Some(call.clone());
                SessionEvent::ToolCallAdmitted {
                    call,
                    method: Method::ToolsCall,
                    tool,
                    route,
                    replica: "rep_01928f6e-7c3a-7cc1-b9f4-6d7a0f6f2a11".into(),
                    request: Some("1f".repeat(16)),
                    client,
                    trace,
                    arguments_bytes: 200,
                    continues: None,
                }
            }
        };
        agent.sequence += 1;
        let position = Position(number as u64 + 1);
        let event = proctor_domain::Event::from(event);
        events.push(Arc::new(Recorded {
            place: Place { position, recorded_at: Micros(START_US + number as i64 * 100) },
            event_id: format!("evt_{}", uuid::Uuid::now_v7()).into(),
            stream: StreamId { kind: "session", id: Arc::clone(&agent.session) },
            sequence: agent.sequence,
            payload: event.payload()?.into(),
            event,
            metadata: format!("{{\"sealed\":\"{}\"}}", "5a".repeat(32)).into(),
        }));
    }
    Ok(events)
}
