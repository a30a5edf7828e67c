//! Does the resolver ask once, remember what it may, and leave out what is private?

use std::time::Duration;

use hickory_resolver::Hosts;
use neap_testkit::{NameServer, Naming};

use super::*;

/// Longer than any answer on loopback takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often one question may arrive where the machine is too busy to answer it in time: by UDP and then TCP, each
/// more than once.
const MOST_SENT: usize = 8;

fn resolver(server: &NameServer) -> Resolver {
    resolver_with(server, "", PATIENCE)
}

fn resolver_with(server: &NameServer, hosts_file: &str, patience: Duration) -> Resolver {
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(hosts_file.as_bytes()).unwrap();
    Resolver::of(Names::with(hosts, &[server.address()], patience, PATIENCE))
}

async fn found(resolver: &Resolver, name: &str) -> Result<Vec<String>, DnsError> {
    let found = resolver.permitted(name, true).await?;
    Ok(found.iter().map(|at| at.ip().to_string()).collect())
}

#[tokio::test]
async fn addresses_come_from_the_name_server_ipv4_first_and_are_asked_for_once() {
    let server = NameServer::builder()
        .name(
            "shop.example",
            [Naming::addresses(["2606:4700::1", "1.1.1.1", "1.0.0.1"])],
        )
        .start();
    let resolver = resolver(&server);
    let mut asked = 0;
    for _ in 0..20 {
        let all = found(&resolver, "shop.example").await.unwrap();
        assert_eq!(all, ["1.1.1.1", "1.0.0.1", "2606:4700::1"]);
        asked = server.asked("shop.example");
    }
    // A query that is slow on a busy machine is sent again.
    assert!((1..=MOST_SENT).contains(&asked), "{asked}");
}

#[tokio::test]
async fn one_name_is_looked_up_once_at_a_time() {
    let server = NameServer::builder()
        .name("shop.example", [Naming::addresses(["1.1.1.1"])])
        .start();
    let resolver = resolver(&server);
    let first = resolver.look_up("shop.example");
    let others = [(); 20].map(|()| resolver.look_up("shop.example"));
    assert!(others.iter().all(|other| other.ptr_eq(&first)));
    let found = first.await;
    for other in others {
        assert_eq!(other.await, found);
    }
    assert!((1..=MOST_SENT).contains(&server.asked("shop.example")));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_from_a_server_that_cannot_say() {
    let server = NameServer::builder()
        .name("gone.example", [Naming::NoSuchName])
        .name("bare.example", [Naming::Addresses(Vec::new())])
        .name(
            "flaky.example",
            [
                Naming::Failure,
                Naming::Failure,
                Naming::Failure,
                Naming::Failure,
            ],
        )
        .start();
    let resolver = resolver(&server);
    for name in ["gone.example", "unheard-of.example", "bare.example"] {
        for _ in 0..20 {
            let missing = found(&resolver, name).await;
            assert!(
                matches!(missing, Err(DnsError::NotFound(_))),
                "{name}: {missing:?}"
            );
        }
        assert!((1..=MOST_SENT).contains(&server.asked(name)), "{name}");
    }
    let failed = found(&resolver, "flaky.example").await;
    assert!(
        matches!(failed, Err(DnsError::Unavailable(_))),
        "{failed:?}"
    );
    let asked = server.asked("flaky.example");
    let failed = found(&resolver, "flaky.example").await;
    assert!(
        matches!(failed, Err(DnsError::Unavailable(_))),
        "{failed:?}"
    );
    assert!(
        server.asked("flaky.example") > asked,
        "a failure is not remembered"
    );
}

#[tokio::test]
async fn a_silent_name_server_is_a_fault_that_may_pass() {
    let server = NameServer::builder()
        .name("shop.example", [Naming::Silence])
        .start();
    let resolver = resolver_with(&server, "", Duration::from_millis(200));
    let failed = found(&resolver, "shop.example").await;
    assert!(
        matches!(failed, Err(DnsError::Unavailable(_))),
        "{failed:?}"
    );
}

#[tokio::test]
async fn the_hosts_file_goes_before_name_servers() {
    let server = NameServer::builder()
        .name("shop.example", [Naming::addresses(["1.1.1.1"])])
        .start();
    let file = "10.1.2.3 shop.example Intranet\n::1 six.example # ours\n";
    let resolver = resolver_with(&server, file, PATIENCE);
    for (name, address) in [
        ("shop.example", "10.1.2.3"),
        ("intranet", "10.1.2.3"),
        ("six.example", "::1"),
    ] {
        assert_eq!(found(&resolver, name).await.unwrap(), [address], "{name}");
        assert_eq!(server.asked(name), 0, "{name}");
    }
}

#[tokio::test]
async fn nobody_is_asked_for_names_that_standards_settle() {
    let server = NameServer::builder().start();
    let resolver = resolver(&server);
    for name in ["localhost", "localhost.", "a.localhost"] {
        assert_eq!(found(&resolver, name).await.unwrap(), ["127.0.0.1", "::1"]);
        assert_eq!(server.asked(name), 0, "{name}");
    }
    for name in ["shop.invalid", "abc.onion", "invalid."] {
        let missing = found(&resolver, name).await;
        assert!(
            matches!(missing, Err(DnsError::NotFound(_))),
            "{name}: {missing:?}"
        );
        assert_eq!(server.asked(name), 0, "{name}");
    }
    let missing = found(&resolver, &format!("{}.example", "x".repeat(64))).await;
    assert!(matches!(missing, Err(DnsError::NotFound(_))), "{missing:?}");
}

#[tokio::test]
async fn private_addresses_are_left_out_of_the_very_answer_that_is_connected_to() {
    let server = NameServer::builder()
        .name(
            "mixed.example",
            [Naming::addresses(["127.0.0.1", "1.1.1.1", "::1"])],
        )
        .name(
            "inside.example",
            [Naming::addresses(["10.0.0.1", "fd00::1"])],
        )
        .start();
    let resolver = resolver(&server);
    let open = resolver.permitted("mixed.example", false).await.unwrap();
    assert_eq!(open, ["1.1.1.1:0".parse().unwrap()]);
    let none = resolver
        .permitted("inside.example", false)
        .await
        .unwrap_err();
    let DnsError::Private(told) = none else {
        panic!("{none:?}");
    };
    assert_eq!(told, "its name leads to 10.0.0.1, which is private");
    assert_eq!(
        resolver
            .permitted("inside.example", true)
            .await
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_name_that_turns_private_is_refused_when_it_is_heard_again() {
    let server = NameServer::builder()
        .name(
            "rebind.example",
            [
                Naming::addresses(["1.1.1.1"]),
                Naming::addresses(["127.0.0.1"]),
            ],
        )
        .start();
    let resolver = resolver(&server);
    resolver.permitted("rebind.example", false).await.unwrap();
    // Not before the first answer has come: time that stands still passes at once while somebody waits.
    tokio::time::pause();
    for _ in 0..5 {
        let open = resolver.permitted("rebind.example", false).await.unwrap();
        assert_eq!(open, ["1.1.1.1:0".parse().unwrap()]);
    }
    tokio::time::advance(Duration::from_secs(3600)).await;
    tokio::time::resume();
    let refused = resolver.permitted("rebind.example", false).await;
    assert!(matches!(refused, Err(DnsError::Private(_))), "{refused:?}");
}
