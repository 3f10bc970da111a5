//! `GET /metrics`: how this replica does, for Prometheus.
//!
//! **Invariants.** Numbers, stable codes and the names that administrators have given to virtual servers and
//! connections, nothing else: nothing here tells of users, single sessions or tools.

use std::sync::atomic::AtomicU64;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use futures_util::{StreamExt as _, stream};
use proctor_domain::connection::Connection;
use proctor_domain::watch::Door;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::actors::now;
use crate::journal::StoreError;
use crate::proctor::Proctor;
use crate::views::Health;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AtDoor {
    door: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndedAs {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfConnection {
    connection: String,
}

type Held = Family<OfConnection, Gauge<u64, AtomicU64>>;

/// Connections that are loaded at the same time, where they are not in memory.
const LOADED_AT_ONCE_MAX: usize = 16;

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config.route("/metrics", web::get().to(metrics));
}

async fn metrics(proctor: web::Data<Proctor>) -> HttpResponse {
    let mut registry = registry(&proctor);
    // Without an answer there is no number, and whoever watches sees that.
    if let Ok(open) = proctor.views.count_all_open_sessions(now()).await {
        let gauge = Gauge::<u64, AtomicU64>::default();
        gauge.set(open);
        registry.register("sessions_open", "Sessions that are open, of all replicas", gauge);
    }
    match held(&proctor).await {
        Ok(held) => registry.register("tools_held", "Tools that wait for an administrator's approval", held),
        Err(error) => tracing::debug!(%error, "the tools that are held cannot be counted now"),
    }
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .content_type(OPEN_METRICS)
            .body(text),
        Err(error) => {
            tracing::error!(%error, "failed to write down the metrics");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// How many tools of each connection in use are held, as this replica has seen it.
async fn held(proctor: &Proctor) -> Result<Held, StoreError> {
    let names = proctor.journal.reader().stream_ids("connection").await?;
    let held = Held::default();
    let mut loaded = stream::iter(names)
        .map(|name| async move { (proctor.directory.state::<Connection>(&name).await, name) })
        .buffered(LOADED_AT_ONCE_MAX);
    while let Some((state, connection)) = loaded.next().await {
        // What cannot be loaded now has no number.
        if let Some(state) = state.ok().filter(|state| state.is_usable()) {
            held.get_or_create(&OfConnection { connection }).set(state.held() as u64);
        }
    }
    Ok(held)
}

/// Made anew for each answer: most of it is looked up when it is asked for.
fn registry(proctor: &Proctor) -> Registry {
    let mut registry = Registry::with_prefix("proctor");
    let head = proctor.journal.head();
    proctor.journal.measures().register(&mut registry);
    proctor.door.register(&mut registry);
    let mut gauge = |name: &str, help: &str, value: f64| {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let count = |count: usize| count as f64;
    let is = |is: bool| if is { 1.0 } else { 0.0 };
    gauge("journal_position", "The newest position that this replica has seen", head.position().0 as f64);
    gauge(
        "journal_head_age_seconds",
        "Time since this replica confirmed the journal's head; nothing leaves when it is over 0.5",
        head.age().as_secs_f64(),
    );
    gauge(
        "journal_halted",
        "Whether the journal was found damaged and nothing is admitted any more",
        is(head.is_halted()),
    );
    gauge(
        "journal_full",
        "Whether the database's disk is full, as far as was found lately",
        is(head.is_full()),
    );
    let behind = head.position().0.saturating_sub(proctor.views.position().0);
    gauge("views_lag_events", "Events that the audit views have not taken in yet", behind as f64);
    let failing = matches!(proctor.views.health(), Health::Failing { .. });
    gauge("views_failing", "Whether the audit views stand still because of an error", is(failing));
    gauge("entities_alive", "Entities in memory", count(proctor.directory.alive()));
    gauge("calls_in_flight", "Tool calls on their way", count(proctor.calls.len()));
    gauge(
        "limits_shared_among",
        "Live replicas among which limits of virtual servers and connections are shared out",
        proctor.shares.replicas().into(),
    );
    gauge("mcp_sessions_streams", "Open streams of notifications", count(proctor.door.open_streams()));
    for (state, waiting) in proctor.webhooks.measures().waiting() {
        gauge(
            &format!("webhook_deliveries_{state}"),
            "Webhook messages in this state, told by the replica that delivers; the others say 0",
            waiting as f64,
        );
    }
    let attempts: Family<EndedAs, Counter> = Family::default();
    for (outcome, count) in proctor.webhooks.measures().attempts() {
        attempts.get_or_create(&EndedAs { outcome }).inc_by(count);
    }
    registry.register("webhook_attempts", "Attempts to send a webhook message, by outcome", attempts);
    let looks = Counter::<u64>::default();
    looks.inc_by(proctor.webhooks.measures().looks());
    registry.register("webhook_looks", "Questions to the database for webhook messages that are due", looks);
    let failed: Family<AtDoor, Counter> = Family::default();
    for (door, name) in [(Door::Mcp, "mcp"), (Door::Api, "api")] {
        failed.get_or_create(&AtDoor { door: name }).inc_by(proctor.failures.total(door));
    }
    registry.register("authentications_failed", "Failed authentications, by door", failed);
    registry
}
