//! `proctor apply`: makes a server as files say.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::plan::{self, Action, Current, Kind, Secrets, Step};
use super::source;
use crate::cli::remote::{Client, Remote, part};
use crate::cli::shown::Shown;
use crate::cli::{Failure, document};

#[derive(Debug, Args)]
pub(in crate::cli) struct Apply {
    #[command(flatten)]
    remote: Remote,
    /// A file in YAML or JSON, or a folder with such files. `proctor schema` says what may stand there.
    #[arg(short, long, value_name = "PATH")]
    file: PathBuf,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Retire what does not stand in the files. A retired name is never used again.
    #[arg(long)]
    prune: bool,
    /// Retire without asking.
    #[arg(long, requires = "prune")]
    yes: bool,
    /// Send secrets anew, also where nothing else has changed: nobody can compare them.
    #[arg(long)]
    secrets: bool,
}

pub(in crate::cli) async fn run(wanted: Apply) -> Result<(), Failure> {
    let desired = source::read(&wanted.file)?;
    let (client, shown) = wanted.remote.open()?;
    let current = Current::read(&client).await?;
    let secrets = if wanted.secrets { Secrets::Renew } else { Secrets::Keep };
    let steps = plan::plan(&current, &desired, wanted.prune, secrets)?;
    if wanted.dry_run {
        say(&shown, &steps, "would be");
        return Ok(());
    }
    confirm(&wanted, &steps)?;
    for step in &steps {
        take(&client, step).await.inspect_err(|_| {
            let Step { kind, name, .. } = step;
            eprintln!("{} {name} was not changed; what comes after it was not tried.", kind.words());
        })?;
    }
    say(&shown, &steps, "was");
    Ok(())
}

/// What goes is named, and somebody has to agree.
fn confirm(wanted: &Apply, steps: &[Step]) -> Result<(), Failure> {
    let going: Vec<String> = steps
        .iter()
        .filter(|step| matches!(step.action, Action::Retire))
        .map(|step| format!("  {} {}", step.kind.words(), step.name))
        .collect();
    if going.is_empty() || wanted.yes {
        return Ok(());
    }
    let going = going.join("\n");
    if !std::io::stdin().is_terminal() {
        return Err(
            format!("nothing was done: these would be retired for good; agree with --yes:\n{going}").into()
        );
    }
    eprint!("These are retired for good:\n{going}\nGo on? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err("nothing was done".into()),
    }
}

async fn take(client: &Client, step: &Step) -> Result<(), Failure> {
    let Step { kind, name, action } = step;
    let path = kind.path();
    let of_this = format!("{path}/{}", part(name));
    match action {
        Action::Create(body) => client.post(path, &with_secrets(*kind, body)?).await.map(drop),
        Action::Change(body, _) => client.put(&of_this, &with_secrets(*kind, body)?).await.map(drop),
        Action::Retire => {
            let reason = json!({ "reason": "it does not stand in the files that were applied" });
            client.post(&format!("{of_this}/retire"), &reason).await.map(drop)
        }
    }
}

fn with_secrets(kind: Kind, body: &Value) -> Result<Value, Failure> {
    let mut body = body.clone();
    if kind == Kind::Connection {
        document::with_secrets(&mut body)?;
    }
    Ok(body)
}

fn say(shown: &Shown, steps: &[Step], tense: &str) {
    let list: Vec<Value> = steps
        .iter()
        .map(|step| {
            let (action, differences) = match &step.action {
                Action::Create(_) => ("create", &[][..]),
                Action::Change(_, differences) => ("change", &differences[..]),
                Action::Retire => ("retire", &[][..]),
            };
            json!({
                "kind": step.kind.words(),
                "name": step.name,
                "action": action,
                "differences": differences,
            })
        })
        .collect();
    shown.done(&Value::Array(list), || {
        if steps.is_empty() {
            return "Everything is as the files say: nothing is to be done.".to_owned();
        }
        let lines = steps.iter().flat_map(|step| {
            let Step { kind, name, action } = step;
            let words = kind.words();
            let (done, differences) = match action {
                Action::Create(_) => ("made", None),
                Action::Change(_, differences) => ("changed:", Some(differences)),
                Action::Retire => ("retired", None),
            };
            let differences = differences.into_iter().flatten().map(|line| format!("  {line}"));
            std::iter::once(format!("{words} {name} {tense} {done}")).chain(differences)
        });
        lines.collect::<Vec<_>>().join("\n")
    });
}
