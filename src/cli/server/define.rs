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
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["tool", "description", "instructions"])]
    file: Option<PathBuf>,
    /// A tool that is exposed, as CONNECTION/TOOL; may stand several times.
    #[arg(long, value_name = "CONNECTION/TOOL", required_unless_present = "file", value_parser = tool)]
    tool: Vec<(String, String)>,
    /// What it is for.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// What its agents are told at the beginning.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    instructions: String,
}

fn tool(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((connection, tool)) if !connection.is_empty() && !tool.is_empty() => {
            Ok((connection.to_owned(), tool.to_owned()))
        }
        _ => Err("give the connection and the tool, as CONNECTION/TOOL".to_owned()),
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
        let tools = server["tools"].as_array().map_or(0, Vec::len);
        let name = server["name"].as_str().unwrap_or_default();
        format!("Virtual server {name} is at version {}, with {tools} tools.", server["version"])
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
        let tools: Vec<Value> = self
            .tool
            .iter()
            .map(|(connection, tool)| json!({ "connection": connection, "tool": tool }))
            .collect();
        Ok(json!({
            "name": self.name,
            "description": self.description,
            "instructions": self.instructions,
            "tools": tools,
        }))
    }
}
