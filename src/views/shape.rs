//! The shape of the views: a name for their tables and for what is written into them.

use proctor_projections::{MEANING, Table};
use sha2::{Digest as _, Sha256};

/// Differs for any two programs that do not write the same rows into the same tables, in lower-case
/// hex. `definitions` is the SQL that makes the tables.
pub(super) fn shape(definitions: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(definitions);
    hash.update(MEANING.to_be_bytes());
    for table in Table::ALL {
        hash.update(table.name());
        for column in table.columns() {
            hash.update([0]);
            hash.update(column);
        }
    }
    hex::encode(hash.finalize())
}
