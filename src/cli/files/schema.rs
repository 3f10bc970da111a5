//! `proctor schema`: what may stand in files, for editors that check while one writes.

use super::desired::Desired;
use crate::cli::Failure;

pub(in crate::cli) fn run() -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(&schemars::schema_for!(Desired))?);
    Ok(())
}
