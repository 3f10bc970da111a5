//! What the sealed format promises.

use proptest::prelude::*;
use zeroize::ZeroizeOnDrop;

use super::*;

fn sealer(byte: u8) -> Sealer {
    Sealer::new(&[byte; KEY_BYTES])
}

fn identities<'a>(one: &'a str, two: &'a str, number: u64) -> Vec<Identity<'a>> {
    vec![
        Identity::SubjectKey { subject: one },
        Identity::SessionKey { session: one },
        Identity::User { subject: one },
        Identity::Payload { event: one },
        Identity::ConnectionSecret { connection: one, generation: number },
        Identity::PurposeKey { purpose: one, kid: two },
        Identity::WebhookSecret { webhook: one, generation: number as u32 },
        Identity::Cursor,
        Identity::McpSession { session: one },
    ]
}

proptest! {
    #[test]
    fn what_is_sealed_opens_as_the_same_record(
        plain in prop::collection::vec(any::<u8>(), 0..600),
        one in ".{0,20}", two in ".{0,20}", number: u64,
    ) {
        let sealer = sealer(7);
        for identity in identities(&one, &two, number) {
            let sealed = sealer.seal(identity, &plain);
            prop_assert_eq!(sealed.len(), plain.len() + SEALED_OVERHEAD_BYTES);
            prop_assert_eq!(sealed_by(&sealed), Some(sealer.id()));
            prop_assert_eq!(&sealer.open(identity, &sealed).unwrap(), &plain);
        }
    }

    #[test]
    fn two_different_records_never_share_their_associated_data(
        a in ("[ab]{0,3}", "[ab]{0,3}", 0..2_u64), b in ("[ab]{0,3}", "[ab]{0,3}", 0..2_u64),
    ) {
        let key = sealer(7).id();
        for left in identities(&a.0, &a.1, a.2) {
            for right in identities(&b.0, &b.1, b.2) {
                prop_assert_eq!(
                    left == right,
                    left.associated_data(key) == right.associated_data(key)
                );
            }
        }
    }

    #[test]
    fn a_sealed_value_with_any_bit_changed_does_not_open(
        plain in prop::collection::vec(any::<u8>(), 0..64), at: prop::sample::Index, bit in 0..8,
    ) {
        let identity = Identity::Payload { event: "evt_1" };
        let mut sealed = sealer(7).seal(identity, &plain);
        let at = at.index(sealed.len());
        sealed[at] ^= 1_u8 << bit;
        prop_assert!(sealer(7).open(identity, &sealed).is_err());
    }

    #[test]
    fn bytes_that_were_never_sealed_are_refused_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        prop_assert!(sealer(7).open(Identity::Cursor, &bytes).is_err());
    }
}

#[test]
fn a_sealed_value_copied_to_another_row_does_not_open() {
    let sealed = sealer(7).seal(Identity::Payload { event: "evt_1" }, b"secret");
    assert_eq!(
        sealer(7).open(Identity::Payload { event: "evt_2" }, &sealed),
        Err(OpenError::Altered { what: "the payload of evt_2".to_owned() })
    );
    assert!(sealer(7).open(Identity::User { subject: "evt_1" }, &sealed).is_err());
}

#[test]
fn a_value_sealed_by_another_key_is_refused_and_both_keys_are_named() {
    let sealed = sealer(7).seal(Identity::Cursor, b"x");
    assert_eq!(
        sealer(8).open(Identity::Cursor, &sealed),
        Err(OpenError::OtherKey {
            what: "the cursor".to_owned(),
            sealed_by: sealer(7).id(),
            tried: sealer(8).id(),
        })
    );
}

#[test]
fn the_same_text_sealed_twice_looks_different() {
    let sealer = sealer(7);
    assert_ne!(sealer.seal(Identity::Cursor, b"same"), sealer.seal(Identity::Cursor, b"same"));
}

#[test]
fn a_value_of_the_first_format_still_opens() {
    // Sealed by the first release; the format is stored, so this text never changes.
    let sealed = hex::decode(FIRST_FORMAT_SEALED).unwrap();
    assert_eq!(sealer(7).open(Identity::Payload { event: "evt_1" }, &sealed).unwrap(), b"kept");
}

const FIRST_FORMAT_SEALED: &str =
    "018b37537d77d17eb81838b423fbfdbbf35829fe196c517b7215ae0440d7fa677883e4c126116c4348";

#[test]
fn an_expanded_key_is_wiped_when_dropped() {
    fn wiped<T: ZeroizeOnDrop>() {}
    wiped::<Aes256Enc>();
    assert!(std::mem::needs_drop::<Sealer>());
}
