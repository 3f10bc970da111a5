//! Which addresses Proctor may connect to.
//!
//! **Invariants.** The judgement is made on the binary address that is then connected to, never on
//! the text that a URL spelled it with. An address that carries an IPv4 address inside is never
//! judged more kindly than that IPv4 address. Link-local addresses, where clouds keep their
//! metadata services, are out of bounds for everybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far a connection may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Globally routable addresses only.
    Global,
    /// Also loopback and private networks: an administrator marked the connection so.
    Private,
}

/// Metadata services that clouds put inside private ranges, where [`Reach::Private`] would allow
/// them: Alibaba Cloud's and AWS's.
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Says whether `address` may be connected to.
///
/// The ranges are those of the IANA special-purpose registries (RFC 6890).
pub fn may_reach(address: IpAddr, reach: Reach) -> bool {
    match address {
        IpAddr::V4(v4) => may_reach_v4(v4, reach),
        IpAddr::V6(v6) => may_reach_v6(v6, reach),
    }
}

fn may_reach_v4(v4: Ipv4Addr, reach: Reach) -> bool {
    let [a, b, c, _] = v4.octets();
    let private = v4.is_loopback() || v4.is_private() || (a == 100 && b & 0xc0 == 64 && v4 != METADATA_V4);
    if private {
        return reach == Reach::Private;
    }
    let special = a == 0
        || a == 100 && b & 0xc0 == 64
        || v4.is_link_local()
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || v4.is_documentation()
        || (a == 198 && b & 0xfe == 18)
        || a >= 224;
    !special
}

fn may_reach_v6(v6: Ipv6Addr, reach: Reach) -> bool {
    if v6.is_loopback() || (v6.is_unique_local() && v6 != METADATA_V6) {
        return reach == Reach::Private;
    }
    if let Some(v4) = v6.to_ipv4_mapped() {
        return may_reach_v4(v4, reach);
    }
    let s = v6.segments();
    // NAT64's well-known prefix (RFC 6052) leads to the IPv4 address in the last 32 bits.
    if s[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [.., a, b, c, d] = v6.octets();
        return may_reach_v4(Ipv4Addr::new(a, b, c, d), Reach::Global);
    }
    // What is not global unicast (2000::/3) is link-local, multicast, IPv4-compatible,
    // unspecified, local NAT64 (64:ff9b:1::/48) or unassigned.
    let global_unicast = s[0] & 0xe000 == 0x2000;
    // IETF protocol assignments (2001::/23: Teredo, ORCHID, benchmarking), 6to4 (2002::/16, which
    // also carries an IPv4 address), documentation (2001:db8::/32 and 3fff::/20).
    let special = (s[0] == 0x2001 && (s[1] < 0x200 || s[1] == 0xdb8))
        || s[0] == 0x2002
        || (s[0] == 0x3fff && s[1] < 0x1000);
    global_unicast && !special
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const GLOBAL: &[&str] = &[
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "::ffff:1.1.1.1",
        "64:ff9b::8.8.8.8",
    ];
    const PRIVATE: &[&str] = &[
        "127.0.0.1",
        "127.255.255.254",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "::1",
        "fc00::1",
        "fdff::1",
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
    ];
    const NOBODY: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "169.254.0.1",
        "100.100.100.200",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "64:ff9b::169.254.169.254",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2002:0808:0808::1",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "fe80::1",
        "fec0::1",
        "fd00:ec2::254",
        "ff02::1",
        "100::1",
        "5f00::1",
    ];

    #[test]
    fn each_range_is_reachable_by_whom_it_should_be() {
        for text in GLOBAL {
            assert!(may_reach(ip(text), Reach::Global), "{text}");
            assert!(may_reach(ip(text), Reach::Private), "{text}");
        }
        for text in PRIVATE {
            assert!(!may_reach(ip(text), Reach::Global), "{text}");
            assert!(may_reach(ip(text), Reach::Private), "{text}");
        }
        for text in NOBODY {
            assert!(!may_reach(ip(text), Reach::Global), "{text}");
            assert!(!may_reach(ip(text), Reach::Private), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_ipv6_address_is_never_judged_more_kindly_than_the_ipv4_inside(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = v4.octets();
            let (hi, lo) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let inside = [
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, hi, lo),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, hi, lo),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, hi, lo),
                Ipv6Addr::new(0x2002, hi, lo, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, hi, lo, 0, 0, 0, 0),
            ];
            for v6 in inside {
                for reach in [Reach::Global, Reach::Private] {
                    // ::1 is loopback and not the IPv4 address 0.0.0.1.
                    let allowed = may_reach(v6.into(), reach) && !v6.is_loopback();
                    prop_assert!(!allowed || may_reach(v4.into(), reach), "{v6} for {v4}");
                }
            }
        }

        #[test]
        fn what_is_reachable_globally_is_reachable_privately(bits: u128) {
            let v6 = IpAddr::from(Ipv6Addr::from_bits(bits));
            prop_assert!(!may_reach(v6, Reach::Global) || may_reach(v6, Reach::Private));
        }
    }
}
