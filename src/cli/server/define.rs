//! `proctor server define` and `proctor server revise`: what the agents of one role see.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::path;
use crate::cli::remote::Client;
use crate::cli::shown::Shown;
use crate::cli::{Failure, document};

pub(super) const EXAMPLE: &str = "\
proctor server define researcher --tool notes/notes_search --tool notes/notes_read --description 'Reads notes'
  proctor server define -f researcher.yaml";

#[derive(Debug, Args)]
pub(super) struct Definition {
    /// The virtual server's name.
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// Everything from a file in YAML or JSON (- for standard input), in the form of the REST API.
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["tool", "prompt", "resource",
        "resource_template", "description", "instructions"])]
    file: Option<PathBuf>,
    /// A tool that is exposed, as CONNECTION/TOOL; may stand several times.
    #[arg(long, value_name = "CONNECTION/TOOL", required_unless_present_any = ["file", "prompt", "resource",
        "resource_template"], value_parser = of_connection)]
    tool: Vec<(String, String)>,
    /// A prompt that is exposed, as CONNECTION/PROMPT; may stand several times.
    #[arg(long, value_name = "CONNECTION/PROMPT", value_parser = of_connection)]
    prompt: Vec<(String, String)>,
    /// A resource that is exposed, as CONNECTION/URI; may stand several times.
    #[arg(long, value_name = "CONNECTION/URI", value_parser = of_connection)]
    resource: Vec<(String, String)>,
    /// A resource template of which every resource is exposed, as CONNECTION/TEMPLATE; may stand several
    /// times.
    #[arg(long, value_name = "CONNECTION/TEMPLATE", value_parser = of_connection)]
    resource_template: Vec<(String, String)>,
    /// What it is for.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// What its agents are told at the beginning.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    instructions: String,
}

fn of_connection(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((connection, name)) if !connection.is_empty() && !name.is_empty() => {
            Ok((connection.to_owned(), name.to_owned()))
        }
        _ => Err("give the connection first, then / and what it offers".to_owned()),
    }
}

pub(super) async fn define((client, shown): &(Client, Shown), wanted: &Definition) -> Result<(), Failure> {
    let defined = client.post("/api/v1/virtual-servers", &wanted.body()?).await?;
    say(shown, &defined);
    Ok(())
}

pub(super) async fn revise((client, shown): &(Client, Shown), wanted: &Definition) -> Result<(), Failure> {
    let body = wanted.body()?;
    let name = body["name"].as_str().ok_or("the file names no virtual server: give it a name")?.to_owned();
    let revised = client.put(&path(&name, ""), &body).await?;
    say(shown, &revised);
    Ok(())
}

fn say(shown: &Shown, server: &Value) {
    shown.done(server, || {
        let count = |member: &str| server[member].as_array().map_or(0, Vec::len);
        let name = server["name"].as_str().unwrap_or_default();
        let mut said = format!(
            "Virtual server {name} is at version {}, with {} tools",
            server["version"],
            count("tools")
        );
        for (member, words) in
            [("prompts", "prompts"), ("resources", "resources"), ("resource_templates", "resource templates")]
        {
            if count(member) > 0 {
                said.push_str(&format!(", {} {words}", count(member)));
            }
        }
        said + "."
    });
}

impl Definition {
    fn body(&self) -> Result<Value, Failure> {
        if let Some(path) = &self.file {
            let mut document = document::read(path)?;
            if let Some(name) = &self.name {
                document["name"] = name.as_str().into();
            }
            return Ok(document);
        }
        let exposed = |all: &[(String, String)], member: &str| -> Vec<Value> {
            let rule =
                |(connection, name): &(String, String)| json!({ "connection": connection, member: name });
            all.iter().map(rule).collect()
        };
        Ok(json!({
            "name": self.name,
            "description": self.description,
            "instructions": self.instructions,
            "tools": exposed(&self.tool, "tool"),
            "prompts": exposed(&self.prompt, "prompt"),
            "resources": exposed(&self.resource, "uri"),
            "resource_templates": exposed(&self.resource_template, "uri_template"),
        }))
    }
}
