//! The MCP server: the tools of notes and calendar under one name.

use std::sync::Arc;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::{ServerHandler, tool_handler};

use crate::desk::Desk;

/// One client's view of the shared desk.
#[derive(Clone)]
pub struct Sample {
    pub desk: Arc<Desk>,
    tools: ToolRouter<Self>,
}

impl Sample {
    pub fn new(desk: Arc<Desk>) -> Self {
        let tools = Self::notes_tools() + Self::calendar_tools();
        Self { desk, tools }
    }
}

#[tool_handler(
    router = self.tools,
    name = "proctor-sample",
    instructions = "Notes and a calendar. Times are RFC 3339 in UTC. Identifiers come from the list and search tools."
)]
impl ServerHandler for Sample {}
