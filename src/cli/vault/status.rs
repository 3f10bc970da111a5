//! `proctor vault status`: which master keys seal how much, and who knows which.

use serde_json::{Value, json};

use super::opened::{Alive, Opened};
use crate::cli::Failure;
use crate::journal::{SealedKind, Survey};
use crate::vault::{KeyId, MasterKeys};

pub(super) async fn run(opened: &Opened, keys: &MasterKeys, as_json: bool) -> Result<(), Failure> {
    let survey = opened.rows.survey().await?;
    let alive = Opened::alive(&*opened.reader).await?;
    if as_json {
        println!("{}", json(&survey, &alive, keys.id()));
    } else {
        println!("{}", text(&survey, &alive, keys.id()));
    }
    Ok(())
}

fn name(key: Option<KeyId>) -> String {
    key.map_or_else(|| "unknown".to_owned(), |key| key.to_string())
}

fn json(survey: &Survey, alive: &[Alive], key: KeyId) -> Value {
    let rows: Vec<Value> = survey
        .rows
        .iter()
        .map(|((kind, by), rows)| json!({ "table": kind.name(), "master_key": name(*by), "rows": rows }))
        .collect();
    let servers: Vec<Value> = alive
        .iter()
        .map(|server| {
            json!({
                "replica": server.replica.as_str(),
                "seals_with": server.master_keys.first(),
                "opens_with": server.master_keys,
            })
        })
        .collect();
    json!({
        "master_key": key.to_string(),
        "sealed": rows,
        "not_under_master_key": survey.not_under(key),
        "servers": servers,
    })
}

fn text(survey: &Survey, alive: &[Alive], key: KeyId) -> String {
    let mut lines = vec![format!("PROCTOR_MASTER_KEY is {key}."), String::new()];
    lines.push(format!("{:<20}{:<18}{:>10}", "TABLE", "MASTER KEY", "ROWS"));
    for kind in SealedKind::ALL {
        for ((_, by), rows) in survey.rows.iter().filter(|((of, _), _)| *of == kind) {
            lines.push(format!("{:<20}{:<18}{rows:>10}", kind.name(), name(*by)));
        }
    }
    lines.push(String::new());
    if alive.is_empty() {
        lines.push("No server runs.".to_owned());
        return lines.join("\n");
    }
    lines.push(format!("{:<42}{:<18}{}", "SERVER", "SEALS WITH", "OPENS WITH TOO"));
    for server in alive {
        let mut names = server.master_keys.iter().map(String::as_str);
        let first = names.next().unwrap_or("(does not say)");
        let line =
            format!("{:<42}{first:<18}{}", server.replica.as_str(), names.collect::<Vec<_>>().join(" "));
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}
