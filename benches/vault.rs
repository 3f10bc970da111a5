//! What sealing and tokens cost: `cargo bench --bench vault`.

#![expect(clippy::print_stdout, reason = "a measurement prints")]

use std::hint::black_box;
use std::time::Instant;

use proctor::vault::{Claims, MasterKey, Vault};

const NOW_S: i64 = 1_795_000_000;
const AUDIENCE: &str = "http://127.0.0.1:8700/mcp/bench";

fn measure(what: &str, rounds: u32, run: impl Fn()) {
    let start = Instant::now();
    (0..rounds).for_each(|_| run());
    println!("{what}: {} ns", start.elapsed().as_nanos() / u128::from(rounds));
}

fn main() {
    let master = MasterKey::generate().0.into();
    let rows = Vault::missing_rows(&master, &[], NOW_S * 1_000_000).expect("no keys yet");
    let vault = Vault::open(&master, &rows, 0).expect("its own keys");
    let (subject, _) = vault.new_subject_key("sub_a");
    let (session, _) = subject.new_session_key("ses_1");
    for bytes in [200, 1_000, 4_000] {
        let plain = vec![b'x'; bytes];
        measure(&format!("sealing {bytes} bytes"), 200_000, || {
            black_box(session.seal_payload("evt_0190a5b1000070008000000000000000", &plain));
        });
    }
    let claims = Claims {
        issuer: "http://127.0.0.1:8700".to_owned(),
        audience: AUDIENCE.to_owned(),
        subject: "sub_a".to_owned(),
        session: "ses_1".to_owned(),
        issued_at_s: NOW_S,
        expires_at_s: NOW_S + 3_600,
    };
    measure("minting a token", 2_000, || {
        black_box(vault.tokens().mint(&claims));
    });
    let token = vault.tokens().mint(&claims);
    measure("verifying a token seen before", 200_000, || {
        black_box(vault.tokens().verify(&token, AUDIENCE, NOW_S * 1_000_000).expect("a good token"));
    });
}
