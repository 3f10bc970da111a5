//! What the domain promises: decisions, states, stored forms and leaves. No I/O but fixtures.

#![expect(clippy::unwrap_used, reason = "a test's helpers may panic as its body may")]

mod forms;
mod leaf;
