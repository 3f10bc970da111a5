//! What a place in the journal costs: `cargo bench --bench journal`. One part alone: add its name,
//! `appender`, `postgres`, `entities` (or one line of it, as `64x64`) or `memory`.

#![expect(clippy::print_stdout, reason = "a measurement prints")]

mod appender;
mod entities;
mod measure;
mod scene;

use proctor_test_postgres::Cluster;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let named: Vec<String> = std::env::args().skip(1).filter(|text| !text.starts_with('-')).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    if wanted("appender") {
        for together in [1, 64, 512] {
            appender::plain(together)?;
            appender::on_sqlite(together)?;
        }
    }
    if wanted("postgres") {
        // It keeps what was committed, as one does that is in use.
        let cluster = Cluster::start(&[]);
        for together in [1, 64, 512] {
            appender::plain_postgres(&cluster, together)?;
            appender::on_postgres(&cluster, together)?;
        }
    }
    for (sessions, askers) in [(1, 1), (1, 64), (64, 64)] {
        if wanted("entities") || wanted(&format!("{sessions}x{askers}")) {
            entities::round_trips(sessions, askers)?;
        }
    }
    if wanted("memory") {
        entities::memory(10_000)?;
    }
    Ok(())
}
