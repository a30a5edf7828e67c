//! Do pools take, leave out and bring back the right proxies?

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::egress::{Charge, Select};
use crate::limiter::SignalKind;

struct World {
    pools: Pools,
    dice: SmallRng,
    now: Time,
    next: i64,
}

fn settings(name: &str, sticky: Sticky, fallback: Option<usize>) -> PoolSettings {
    PoolSettings {
        name: name.into(),
        select: Select::RoundRobin,
        sticky,
        max_per_proxy: 8,
        fallback,
    }
}

fn members(names: &[&str]) -> Vec<Member> {
    let member = |name: &&str| Member {
        name: (*name).into(),
        is_direct: *name == "direct",
        mark: name
            .bytes()
            .fold(7, |mark, byte| mark * 31 + u64::from(byte)),
    };
    names.iter().map(member).collect()
}

impl World {
    /// Pools that fall back to each other in order.
    fn new(sticky: Sticky, pools: &[&[&str]]) -> World {
        let last = pools.len() - 1;
        let of = |n: usize| settings(&format!("pool{n}"), sticky, (n < last).then_some(n + 1));
        let mut made = Pools::new((0..pools.len()).map(of).collect(), 2);
        for (n, names) in pools.iter().enumerate() {
            made.set_members(n, &members(names), Time::ZERO);
        }
        World {
            pools: made,
            dice: SmallRng::seed_from_u64(1),
            now: Time::ZERO,
            next: 0,
        }
    }

    fn ask(host: u64, request: Option<i64>) -> Ask {
        Ask {
            host: HostId(host as i64),
            party: Party(host),
            request: request.map(RequestId),
        }
    }

    fn start(&mut self, host: u64, request: i64) -> Ticket {
        let ask = World::ask(host, Some(request));
        let ticket = self.pools.start(&ask, self.now, &mut self.dice);
        ticket.unwrap_or_else(|| panic!("{:?}", self.pools.gate(&ask, self.now)))
    }

    fn name(&self, ticket: &Ticket) -> String {
        self.pools.proxies[ticket.proxy.index()].name.to_string()
    }

    /// A request goes out and comes back; says by which proxy and who was charged.
    fn go(&mut self, host: u64, request: i64, seen: impl Fn(&str) -> Seen) -> (String, Charge) {
        let ticket = self.start(host, request);
        let name = self.name(&ticket);
        self.now = self.now + Duration::from_millis(10);
        let seen = seen(&name);
        (
            name,
            self.pools.report(ticket, seen, self.now, &mut self.dice),
        )
    }

    fn fresh(&mut self) -> i64 {
        self.next += 1;
        self.next
    }
}

const FAILS: Seen = Seen::ProxyFailed(SignalKind::Overload);

#[test]
fn a_proxy_that_fails_itself_is_left_out_and_its_host_is_not_charged() {
    let mut world = World::new(Sticky::None, &[&["a", "b"]]);
    for n in 0..12 {
        let request = world.fresh();
        let by = |name: &str| if name == "a" { FAILS } else { Seen::Worked };
        let (name, charge) = world.go(n, request, by);
        assert_eq!(
            charge,
            if name == "a" {
                Charge::Proxy
            } else {
                Charge::Nobody
            }
        );
    }
    let views = world.pools.views(world.now);
    assert!(
        views[0].left_out.is_some() && views[1].left_out.is_none(),
        "{views:?}"
    );
    assert_eq!((views[0].failed, views[1].worked), (3, 9));
    let events = world.pools.take_events();
    assert!(
        matches!(
            &events[..],
            [Event::LeftOut {
                why: Why::Failed,
                ..
            }]
        ),
        "{events:?}"
    );
}

#[test]
fn one_request_brings_a_proxy_back() {
    let mut world = World::new(Sticky::None, &[&["a"]]);
    for _ in 0..3 {
        let request = world.fresh();
        world.go(1, request, |_| FAILS);
    }
    let ask = World::ask(1, None);
    let Pass::Until(at) = world.pools.gate(&ask, world.now) else {
        panic!("{:?}", world.pools.gate(&ask, world.now));
    };
    assert_eq!(world.pools.none_until(world.now), Some(at));
    world.now = at;
    let ticket = world.start(1, 100);
    assert_eq!(
        world.pools.gate(&ask, world.now),
        Pass::Full,
        "one is enough to tell"
    );
    world
        .pools
        .report(ticket, Seen::Worked, world.now, &mut world.dice);
    assert_eq!(world.pools.gate(&ask, world.now), Pass::Open);
    assert!(matches!(
        world.pools.take_events()[..],
        [.., Event::Back { .. }]
    ));
}

#[test]
fn a_page_that_failed_goes_by_another_proxy() {
    let mut world = World::new(Sticky::Host, &[&["a", "b", "c"]]);
    let (home, _) = world.go(5, 1, |_| Seen::Worked);
    assert_eq!(world.go(5, 2, |_| FAILS).0, home);
    let (second, _) = world.go(5, 2, |_| FAILS);
    assert_ne!(second, home);
    let (third, _) = world.go(5, 2, |_| Seen::Worked);
    assert!(third != home && third != second);
    assert_eq!(world.go(5, 3, |_| Seen::Worked).0, home, "others stay");
}

#[test]
fn a_page_that_may_have_failed_by_either_stays_with_its_proxy_until_it_swaps() {
    let mut world = World::new(Sticky::Host, &[&["a", "b", "c"]]);
    let (home, _) = world.go(5, 1, |_| Seen::Worked);
    assert_eq!(world.go(5, 2, |_| Seen::Unsure).0, home);
    assert_eq!(world.go(5, 2, |_| Seen::Unsure).0, home);
    assert_ne!(
        world.go(5, 2, |_| Seen::Worked).0,
        home,
        "a third try goes another way"
    );
}

#[test]
fn a_session_keeps_its_proxy_until_it_fails() {
    let mut world = World::new(Sticky::Session, &[&["a", "b", "c"]]);
    let first = world.go(5, 1, |_| Seen::Worked).0;
    for n in 2..6 {
        world.go(9, 100 + n, |_| Seen::Worked);
        assert_eq!(world.go(5, n, |_| Seen::Worked).0, first);
    }
    world.go(5, 7, |_| FAILS);
    let second = world.go(5, 8, |_| Seen::Worked).0;
    assert_ne!(second, first);
    assert_eq!(
        world.go(5, 9, |_| Seen::Worked).0,
        second,
        "it is not gone back to"
    );
}

#[test]
fn the_next_pool_is_taken_after_enough_failures_and_kept_for_its_host() {
    let mut world = World::new(Sticky::None, &[&["a", "b", "c", "d", "e"], &["x"]]);
    let by = |name: &str| {
        if name == "x" {
            Seen::Worked
        } else {
            Seen::Unsure
        }
    };
    let ways: Vec<String> = (0..5).map(|_| world.go(5, 1, by).0).collect();
    assert_eq!(ways[4], "x", "{ways:?}");
    assert!(ways[..4].iter().all(|name| name != "x"));
    assert_eq!(
        world.go(5, 2, |_| Seen::Worked).0,
        "x",
        "the host begins there now"
    );
    assert_ne!(world.go(6, 3, |_| Seen::Worked).0, "x");
}

#[test]
fn a_pool_that_is_all_out_gives_way_at_once() {
    let mut world = World::new(Sticky::None, &[&["a"], &["direct"]]);
    for _ in 0..3 {
        let request = world.fresh();
        world.go(1, request, |_| FAILS);
    }
    assert_eq!(world.go(1, 50, |_| Seen::Worked).0, "direct");
    assert_eq!(world.pools.none_until(world.now), None);
}

#[test]
fn wrong_credentials_stop_the_pool_until_it_changes() {
    let mut world = World::new(Sticky::None, &[&["a", "b"]]);
    let (_, charge) = world.go(1, 1, |_| Seen::WrongCredentials);
    assert_eq!(charge, Charge::Credentials);
    assert!(world.pools.are_all_stopped());
    assert_eq!(
        world.pools.gate(&World::ask(1, None), world.now),
        Pass::Never
    );
    assert!(matches!(
        world.pools.take_events()[..],
        [Event::Stopped { .. }]
    ));
    world.pools.set_members(0, &members(&["a", "b"]), world.now);
    assert!(world.pools.are_all_stopped(), "nothing changed");
    world.pools.set_members(0, &members(&["a", "c"]), world.now);
    assert_eq!(
        world.pools.gate(&World::ask(1, None), world.now),
        Pass::Open
    );
}

#[test]
fn a_host_cannot_stop_a_pool_that_took_our_credentials() {
    let mut world = World::new(Sticky::None, &[&["a", "b"]]);
    for n in 0..60 {
        let request = world.fresh();
        let is_hostile = n % 6 == 5;
        let seen = if is_hostile {
            Seen::WrongCredentials
        } else {
            Seen::Worked
        };
        let (_, charge) = world.go(n % 6, request, |_| seen);
        assert_eq!(charge == Charge::Credentials, is_hostile);
    }
    assert_eq!(world.pools.take_events(), []);
    // Credentials that expire are refused to everybody.
    let ways = (0..4).map(|n| world.go(n, 100, |_| Seen::WrongCredentials));
    assert_eq!(ways.count(), 4);
    assert!(world.pools.are_all_stopped());
}

#[test]
fn a_member_that_is_listed_again_is_the_one_that_it_was() {
    let mut world = World::new(Sticky::None, &[&["a", "b"]]);
    while world.pools.views(world.now)[0].left_out.is_none() {
        let request = world.fresh();
        world.go(
            1,
            request,
            |name| if name == "a" { FAILS } else { Seen::Worked },
        );
    }
    for names in [&["b"][..], &["a", "b"], &["b"], &["b", "a"]] {
        world.pools.set_members(0, &members(names), world.now);
    }
    assert_eq!(world.pools.proxies.len(), 2);
    let views = world.pools.views(world.now);
    assert!(views[0].left_out.is_some(), "{views:?}");
}

#[test]
fn a_host_that_refuses_one_proxy_is_asked_by_others_and_nobody_is_left_out() {
    let mut world = World::new(Sticky::None, &[&["a", "b", "c"]]);
    let mut by_a = 0;
    for n in 0..60 {
        let request = world.fresh();
        let host = n % 5;
        let by = |name: &str| match (name, host) {
            ("a", 4) => Seen::Blocked,
            _ => Seen::Worked,
        };
        let (name, charge) = world.go(host, request, by);
        if name == "a" && host == 4 {
            by_a += 1;
            assert_eq!(charge, Charge::Host);
        }
    }
    assert_eq!(by_a, 2, "the two are kept apart");
    assert!(
        world
            .pools
            .views(world.now)
            .iter()
            .all(|view| view.left_out.is_none())
    );
}

#[test]
fn a_proxy_that_bars_a_host_is_used_for_others_and_the_next_pool_goes_there() {
    let mut world = World::new(Sticky::None, &[&["a", "b"], &["c"]]);
    let mut barred = 0;
    for n in 0..60 {
        let request = world.fresh();
        let by = |name: &str| match (name, n % 5) {
            ("a" | "b", 4) => Seen::Barred,
            _ => Seen::Worked,
        };
        while world.go(n % 5, request, by).1 == Charge::Proxy {
            barred += 1;
        }
    }
    assert!(
        barred <= 4,
        "{barred}: the host's pages go where they came from"
    );
    let views = world.pools.views(world.now);
    assert!(
        views.iter().all(|view| view.left_out.is_none()),
        "{views:?}"
    );
}

#[test]
fn a_proxy_that_bars_every_host_is_left_out() {
    let mut world = World::new(Sticky::None, &[&["a", "b", "c"]]);
    for n in 0..60 {
        let request = world.fresh();
        world.go(n % 20, request, |name| match name {
            "a" => Seen::Barred,
            _ => Seen::Worked,
        });
    }
    let views = world.pools.views(world.now);
    let out = views.iter().filter(|view| view.left_out.is_some());
    let out: Vec<&str> = out.map(|view| &*view.name).collect();
    assert_eq!(out, ["a"]);
}

#[test]
fn where_every_proxy_bars_a_host_nothing_waits_for_one() {
    let mut world = World::new(Sticky::None, &[&["a", "b"]]);
    for _ in 0..20 {
        let request = world.fresh();
        let (_, charge) = world.go(1, request, |_| Seen::Barred);
        assert_eq!(charge, Charge::Proxy);
    }
    let open = world.pools.gate(&World::ask(1, None), world.now);
    assert_eq!(open, Pass::Open);
}

#[test]
fn a_host_that_fails_for_sure_does_not_hurt_the_proxies() {
    let mut world = World::new(Sticky::None, &[&["a", "b"]]);
    for n in 0..200 {
        let request = world.fresh();
        let by = |_: &str| {
            if n % 3 == 0 {
                Seen::HostFailed
            } else {
                Seen::Worked
            }
        };
        let (_, charge) = world.go(n % 3, request, by);
        assert_eq!(charge == Charge::Host, n % 3 == 0);
    }
    assert!(
        world
            .pools
            .views(world.now)
            .iter()
            .all(|view| view.left_out.is_none())
    );
    assert!(
        world.pools.blame().is_host_bad(Party(0))
            || world.pools.blame().host_rate(Party(0), world.now) > 0.5
    );
}

#[test]
fn a_proxy_that_is_full_waits_for_what_is_in_flight() {
    let mut world = World::new(Sticky::None, &[&["a"]]);
    let ask = World::ask(1, None);
    let mut out = Vec::new();
    while world.pools.gate(&ask, world.now) == Pass::Open {
        let request = world.fresh();
        out.push(world.start(1, request));
    }
    assert!(matches!(out.len(), 1..=8), "{} in flight", out.len());
    assert_ne!(world.pools.gate(&ask, world.now), Pass::Never);
    let ticket = out.pop().unwrap();
    world
        .pools
        .report(ticket, Seen::Nothing, world.now, &mut world.dice);
    assert_eq!(world.pools.gate(&ask, world.now), Pass::Open);
}

#[test]
fn a_member_that_is_no_longer_listed_is_not_taken() {
    let mut world = World::new(Sticky::None, &[&["a", "b"]]);
    let out = world.start(1, 1);
    let ids = world
        .pools
        .set_members(0, &members(&["b", "b", "c"]), world.now);
    assert_eq!(ids[0], ids[1]);
    world
        .pools
        .report(out, Seen::Worked, world.now, &mut world.dice);
    for _ in 0..6 {
        let request = world.fresh();
        assert_ne!(world.go(1, request, |_| Seen::Worked).0, "a");
    }
}

#[test]
fn a_proxy_that_says_of_every_host_that_it_is_down_is_found_out() {
    let names = ["a", "b", "c", "d", "liar"];
    let mut world = World::new(Sticky::None, &[&names]);
    let (mut wasted, mut charged) = (0, 0);
    for n in 0..80 {
        let request = world.fresh();
        let mut seen = Charge::Host;
        while seen != Charge::Nobody {
            let by = |name: &str| match name {
                "liar" => Seen::Told,
                _ => Seen::Worked,
            };
            seen = world.go(n % 16, request, by).1;
            wasted += u32::from(seen != Charge::Nobody);
            charged += u32::from(seen == Charge::Host);
        }
    }
    let views = world.pools.views(world.now);
    let is_out = |name: &str| {
        let view = views.iter().find(|view| &*view.name == name).unwrap();
        view.left_out.is_some()
    };
    assert!(is_out("liar"), "{views:?}");
    assert!(
        !["a", "b", "c", "d"].iter().any(|name| is_out(name)),
        "{views:?}"
    );
    assert!(
        wasted <= 16 && charged <= 4,
        "{wasted} wasted, {charged} charged to hosts"
    );
}

#[test]
fn a_page_leaves_a_proxy_that_says_its_host_is_down_although_it_is_at_home_there() {
    let mut world = World::new(Sticky::Host, &[&["a", "b", "c"]]);
    let home = world.go(5, 1, |_| Seen::Told).0;
    assert_eq!(world.go(5, 1, |_| Seen::Told), (home.clone(), Charge::Host));
    assert_ne!(world.go(5, 1, |_| Seen::Worked).0, home);
    let charge = world.go(5, 2, |_| Seen::Told);
    assert_eq!(charge, (home, Charge::Unknown), "another brought a page");
}

#[test]
fn who_brings_pages_is_believed_when_a_host_goes_down_and_none_is_left_out() {
    let mut world = World::new(Sticky::None, &[&["a", "b", "c", "d"]]);
    for n in 0..64 {
        let request = world.fresh();
        world.go(n % 8, request, |_| Seen::Worked);
    }
    for n in 0..160 {
        let request = world.fresh();
        let host = n % 8;
        let by = |_: &str| if host < 3 { Seen::Told } else { Seen::Worked };
        let (_, charge) = world.go(host, request, by);
        assert_eq!(charge == Charge::Host, host < 3, "host {host}");
    }
    let views = world.pools.views(world.now);
    assert!(
        views.iter().all(|view| view.left_out.is_none()),
        "{views:?}"
    );
}

#[test]
fn one_proxy_and_hosts_that_are_all_down_is_believed() {
    let mut world = World::new(Sticky::None, &[&["a"]]);
    for n in 0..60 {
        let request = world.fresh();
        assert_eq!(world.go(n % 12, request, |_| Seen::Told).1, Charge::Host);
    }
    assert!(world.pools.views(world.now)[0].left_out.is_none());
}

#[test]
fn proxies_that_bring_nothing_from_the_only_host_are_left_out_and_it_is_not_charged() {
    let names = ["a", "b", "dead1", "dead2", "dead3", "dead4"];
    let mut world = World::new(Sticky::None, &[&names]);
    let (mut failures, mut charged) = (0, 0);
    for _ in 0..1_000 {
        let request = world.fresh();
        let by = |name: &str| match name {
            "a" | "b" => Seen::Worked,
            _ => Seen::Unsure,
        };
        let charge = world.go(7, request, by).1;
        failures += u32::from(charge != Charge::Nobody);
        charged += u32::from(charge == Charge::Host);
    }
    let views = world.pools.views(world.now);
    let dead: Vec<bool> = views.iter().map(|view| view.left_out.is_some()).collect();
    assert_eq!(dead, [false, false, true, true, true, true], "{views:?}");
    assert!(
        failures <= 60 && charged == 0,
        "{failures} failures, {charged} charged"
    );
}

#[test]
fn a_host_begins_with_the_pool_that_it_was_given_and_others_with_the_first() {
    let mut world = World::new(Sticky::None, &[&["a"], &["b"], &["c"]]);
    world.pools.begin_with(HostId(1), Some("pool1"));
    world.pools.begin_with(HostId(2), Some("no such pool"));
    for (host, first) in [(1, "b"), (2, "a"), (3, "a")] {
        let (name, _) = world.go(host, i64::from(host as i32), |_| Seen::Worked);
        assert_eq!(name, first, "host {host}");
    }
    world.pools.begin_with(HostId(4), Some("pool1"));
    world.pools.begin_with(HostId(4), None);
    assert_eq!(world.go(4, 9, |_| Seen::Worked).0, "a");
}
