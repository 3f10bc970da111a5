//! The fixture for the official conformance suite, for a look by hand.
//!
//! Usage: `conformance-upstream` prints the URL of its endpoint and serves until it is killed.

use std::io::Write as _;

use proctor_test_upstream::conformance::Fixture;

fn main() -> std::io::Result<()> {
    let fixture = Fixture::start();
    writeln!(std::io::stdout(), "{}", fixture.url())?;
    loop {
        std::thread::park();
    }
}
