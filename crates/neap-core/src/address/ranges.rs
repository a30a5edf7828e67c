//! Which addresses are not of the public internet?
//!
//! The special-purpose registries of IANA for IPv4 and IPv6, and the forms of IPv6 in which an IPv4 address
//! hides: such a form is what the address in it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses that is no part of the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// What it is for, as a noun: `loopback`.
    pub what: &'static str,
    /// Where that is laid down.
    pub source: &'static str,
    net: u128,
    /// Leading bits that an address of the range has in common with `net`.
    bits: u32,
}

const fn v4(
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    bits: u32,
    what: &'static str,
    source: &'static str,
) -> Range {
    Range {
        what,
        source,
        net: Ipv4Addr::new(a, b, c, d).to_bits() as u128,
        bits,
    }
}

const fn v6(segments: [u16; 8], bits: u32, what: &'static str, source: &'static str) -> Range {
    let [a, b, c, d, e, f, g, h] = segments;
    Range {
        what,
        source,
        net: Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits(),
        bits,
    }
}

/// IPv4: what IANA's registry calls not globally reachable, multicast, and a cloud's metadata service that lives
/// on a public address.
#[rustfmt::skip]
const V4: [Range; 18] = [
    v4(0, 0, 0, 0, 8, "this network", "RFC 791, section 3.2"),
    v4(10, 0, 0, 0, 8, "private", "RFC 1918"),
    v4(100, 64, 0, 0, 10, "carrier-grade NAT", "RFC 6598"),
    v4(127, 0, 0, 0, 8, "loopback", "RFC 1122, section 3.2.1.3"),
    v4(168, 63, 129, 16, 32, "metadata service", "Azure, virtual public IP address 168.63.129.16"),
    v4(169, 254, 169, 254, 32, "metadata service", "RFC 3927; EC2, GCE, Azure and others"),
    v4(169, 254, 0, 0, 16, "link-local", "RFC 3927"),
    v4(172, 16, 0, 0, 12, "private", "RFC 1918"),
    v4(192, 0, 0, 0, 24, "protocol assignment", "RFC 6890, section 2.1"),
    v4(192, 0, 2, 0, 24, "documentation", "RFC 5737"),
    v4(192, 88, 99, 0, 24, "6to4 relay", "RFC 7526"),
    v4(192, 168, 0, 0, 16, "private", "RFC 1918"),
    v4(198, 18, 0, 0, 15, "benchmarking", "RFC 2544"),
    v4(198, 51, 100, 0, 24, "documentation", "RFC 5737"),
    v4(203, 0, 113, 0, 24, "documentation", "RFC 5737"),
    v4(224, 0, 0, 0, 4, "multicast", "RFC 5771"),
    v4(255, 255, 255, 255, 32, "broadcast", "RFC 919, section 7"),
    v4(240, 0, 0, 0, 4, "reserved", "RFC 1112, section 4"),
];

/// IPv6 within 2000::/3, of which alone IANA has given addresses away.
#[rustfmt::skip]
const V6: [Range; 3] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignment", "RFC 2928; Teredo (RFC 4380), ORCHID (RFC 7343) and benchmarking (RFC 5180) are in it"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation", "RFC 3849"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation", "RFC 9637"),
];

/// IPv6 outside of 2000::/3, for the sake of its name: all of it is refused.
#[rustfmt::skip]
const V6_NAMED: [Range; 8] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified", "RFC 4291, section 2.5.2"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback", "RFC 4291, section 2.5.3"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4-compatible", "RFC 4291, section 2.5.5.1"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "local translation", "RFC 8215"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local", "RFC 4193"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local", "RFC 4291, section 2.5.6"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local", "RFC 3879"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast", "RFC 4291, section 2.7"),
];

const GLOBAL_UNICAST: Range = v6(
    [0x2000, 0, 0, 0, 0, 0, 0, 0],
    3,
    "global unicast",
    "RFC 4291, section 2.4",
);
const UNASSIGNED: Range = v6(
    [0; 8],
    0,
    "unassigned",
    "IANA, Internet Protocol Version 6 Address Space",
);

/// The range that an address is in, if it is not of the public internet.
///
/// ```
/// use neap_core::address::reserved;
///
/// let of = |text: &str| reserved(text.parse().unwrap()).map(|range| range.what);
/// assert_eq!(of("127.0.0.1"), Some("loopback"));
/// assert_eq!(of("::ffff:10.0.0.1"), Some("private"));
/// assert_eq!(of("1.1.1.1"), None);
/// ```
pub fn reserved(address: IpAddr) -> Option<&'static Range> {
    match address {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => of_v6(address),
    }
}

fn of_v4(address: Ipv4Addr) -> Option<&'static Range> {
    let bits = u128::from(address.to_bits());
    V4.iter().find(|range| range.holds(bits, 32))
}

fn of_v6(address: Ipv6Addr) -> Option<&'static Range> {
    let bits = address.to_bits();
    // 1. What stands for an IPv4 address and for nothing else.
    if let Some(inner) = stands_for(address) {
        return of_v4(inner);
    }
    // 2. What is sent on to an IPv4 address that may be anybody's.
    if let Some(range) = leads_to(address).and_then(of_v4) {
        return Some(range);
    }
    // 3. The address itself.
    if GLOBAL_UNICAST.holds(bits, 128) {
        return V6.iter().find(|range| range.holds(bits, 128));
    }
    let named = V6_NAMED.iter().find(|range| range.holds(bits, 128));
    Some(named.unwrap_or(&UNASSIGNED))
}

/// The IPv4 address of an IPv4-mapped address (RFC 4291, section 2.5.5.2) and of one for NAT64 by the well-known
/// prefix 64:ff9b::/96 (RFC 6052, section 2.1).
fn stands_for(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [front @ .., high, low] = address.segments();
    let inner = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    matches!(front, [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0]).then_some(inner)
}

/// The IPv4 address that a packet for a 6to4 (RFC 3056, section 2) or ISATAP address (RFC 5214, section 6.1)
/// is wrapped up for.
fn leads_to(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [first, second, third, _, fifth, sixth, high, low] = address.segments();
    let joined = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    if first == 0x2002 {
        return Some(joined(second, third));
    }
    // The bit of 0x0200 says that the address is unique in the world.
    (fifth & !0x0200 == 0 && sixth == 0x5efe).then(|| joined(high, low))
}

impl Range {
    fn holds(&self, address: u128, width: u32) -> bool {
        let rest = width - self.bits;
        rest == 128 || address >> rest == self.net >> rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(text: &str) -> &'static str {
        reserved(text.parse().unwrap()).map_or("public", |range| range.what)
    }

    #[test]
    fn each_range_begins_and_ends_where_its_source_says() {
        for (before, first, last, after, name) in [
            ("", "0.0.0.0", "0.255.255.255", "1.0.0.0", "this network"),
            (
                "9.255.255.255",
                "10.0.0.0",
                "10.255.255.255",
                "11.0.0.0",
                "private",
            ),
            (
                "100.63.255.255",
                "100.64.0.0",
                "100.127.255.255",
                "100.128.0.0",
                "carrier-grade NAT",
            ),
            (
                "126.255.255.255",
                "127.0.0.0",
                "127.255.255.255",
                "128.0.0.0",
                "loopback",
            ),
            (
                "168.63.129.15",
                "168.63.129.16",
                "168.63.129.16",
                "168.63.129.17",
                "metadata service",
            ),
            (
                "169.253.255.255",
                "169.254.0.0",
                "169.254.255.255",
                "169.255.0.0",
                "link-local",
            ),
            (
                "172.15.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "172.32.0.0",
                "private",
            ),
            (
                "191.255.255.255",
                "192.0.0.0",
                "192.0.0.255",
                "192.0.1.0",
                "protocol assignment",
            ),
            (
                "192.0.1.255",
                "192.0.2.0",
                "192.0.2.255",
                "192.0.3.0",
                "documentation",
            ),
            (
                "192.88.98.255",
                "192.88.99.0",
                "192.88.99.255",
                "192.88.100.0",
                "6to4 relay",
            ),
            (
                "192.167.255.255",
                "192.168.0.0",
                "192.168.255.255",
                "192.169.0.0",
                "private",
            ),
            (
                "198.17.255.255",
                "198.18.0.0",
                "198.19.255.255",
                "198.20.0.0",
                "benchmarking",
            ),
            (
                "198.51.99.255",
                "198.51.100.0",
                "198.51.100.255",
                "198.51.101.0",
                "documentation",
            ),
            (
                "203.0.112.255",
                "203.0.113.0",
                "203.0.113.255",
                "203.0.114.0",
                "documentation",
            ),
            (
                "223.255.255.255",
                "224.0.0.0",
                "239.255.255.255",
                "",
                "multicast",
            ),
            ("", "240.0.0.0", "255.255.255.254", "", "reserved"),
            ("", "255.255.255.255", "255.255.255.255", "", "broadcast"),
            (
                "",
                "2001::",
                "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
                "2001:200::",
                "protocol assignment",
            ),
            (
                "2001:db7:ffff::",
                "2001:db8::",
                "2001:db8:ffff::",
                "2001:db9::",
                "documentation",
            ),
            (
                "3ffe::",
                "3fff::",
                "3fff:fff:ffff::",
                "3fff:1000::",
                "documentation",
            ),
            ("", "fc00::", "fdff:ffff::", "", "unique local"),
            ("", "fe80::", "febf:ffff::", "", "link-local"),
            ("", "fec0::", "feff:ffff::", "", "site-local"),
            ("", "ff00::", "ffff:ffff::", "", "multicast"),
            (
                "",
                "64:ff9b:1::",
                "64:ff9b:1:ffff::",
                "",
                "local translation",
            ),
        ] {
            assert_eq!((what(first), what(last)), (name, name), "{first} to {last}");
            for outside in [before, after].into_iter().filter(|text| !text.is_empty()) {
                assert_eq!(what(outside), "public", "{outside}, beside {name}");
            }
        }
        for (one, name) in [
            ("169.254.169.254", "metadata service"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::2", "IPv4-compatible"),
            ("100::1", "unassigned"),
            ("4000::1", "unassigned"),
            ("5f00::1", "unassigned"),
            ("::ffff:0:127.0.0.1", "unassigned"),
        ] {
            assert_eq!(what(one), name, "{one}");
        }
    }

    #[test]
    fn an_address_within_an_address_decides() {
        for (inner, name) in [
            ("127.0.0.1", "loopback"),
            ("10.1.2.3", "private"),
            ("169.254.169.254", "metadata service"),
            ("8.8.8.8", "public"),
        ] {
            let [a, b, c, d] = inner.parse::<Ipv4Addr>().unwrap().octets();
            let hex = format!("{a:02x}{b:02x}:{c:02x}{d:02x}");
            for outer in [
                format!("::ffff:{inner}"),
                format!("64:ff9b::{inner}"),
                format!("2002:{hex}::1"),
                format!("2a00:1450::5efe:{inner}"),
                format!("2a00:1450::200:5efe:{inner}"),
            ] {
                assert_eq!(what(&outer), name, "{outer}");
            }
            // Nobody sends these on any more: whatever is in them.
            assert_ne!(what(&format!("::{inner}")), "public");
            let hidden = format!(
                "2001:0:4136:e378:8000:63bf:{:x}:{:x}",
                0xffff ^ (u16::from(a) << 8 | u16::from(b)),
                0xffff ^ (u16::from(c) << 8 | u16::from(d))
            );
            assert_ne!(what(&hidden), "public", "Teredo");
        }
    }

    #[test]
    fn the_public_internet_is_open() {
        for public in [
            "1.1.1.1",
            "93.184.215.14",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2620:fe::fe",
        ] {
            assert_eq!(what(public), "public", "{public}");
        }
    }
}
