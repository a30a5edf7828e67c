//! Lists of proxies, good and bad, and those that change.

use std::fmt::Write;
use std::path::PathBuf;

use neap_core::job::Template;
use tempfile::TempDir;

use super::*;

/// A job with one pool, and the directory of its file.
struct World {
    dir: TempDir,
    job: Job,
}

impl World {
    fn new(urls: &[&str]) -> World {
        let mut job = Job::named("prices");
        let template = |text: &&str| Template((*text).to_owned());
        job.proxy.pools = vec![ProxyPool {
            urls: urls.iter().map(template).collect(),
            ..ProxyPool::named("dc")
        }];
        let dir = tempfile::tempdir().unwrap();
        World { dir, job }
    }

    /// With a file that holds this.
    fn list(mut self, bytes: impl AsRef<[u8]>) -> World {
        self.write(bytes);
        self.job.proxy.pools[0].file = Some(self.path().to_str().unwrap().to_owned());
        self
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("dc.txt")
    }

    fn write(&self, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(), bytes).unwrap();
    }

    fn load(&self) -> Result<ProxyLists, ProxyListError> {
        ProxyLists::load(&self.job, lookup)
    }
}

fn lookup(name: &str) -> Option<String> {
    let known = [
        ("LOGIN", "ann:hunter2@/"),
        ("http_proxy", "http://p9:9"),
        ("BAD", "p0:1#hunter2"),
    ];
    let found = known.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| (*value).to_owned())
}

/// The members of the pools, as they are shown.
fn members(lists: &ProxyLists) -> Vec<Vec<String>> {
    let names = |pool: &[Egress]| {
        let name = |egress: &Egress| match egress.has_credentials() {
            true => format!("*@{egress}"),
            false => egress.to_string(),
        };
        pool.iter().map(name).collect()
    };
    lists.pools().map(names).collect()
}

#[test]
fn a_pool_has_what_the_job_names_and_what_its_file_lists_each_once() {
    let list = "\u{feff}# from the provider\r\np1:1\r\n\r\n  http://${env:LOGIN}@p2:2\n#p3:3\n\
                direct\nhttp://ann:hunter2%40%2F@p2:2\np1:1\nsocks5h://p1:1\nbob:hunter2@p2:2";
    let world = World::new(&["p0:1", "${env:http_proxy}", "p0:1"]).list(list);
    let expected = ["p0:1", "p9:9", "p1:1", "*@p2:2", "direct", "p1:1", "*@p2:2"];
    assert_eq!(members(&world.load().unwrap()), [expected]);
}

#[test]
fn the_direct_way_is_the_last_pool_as_in_the_core() {
    let mut world = World::new(&["p0:1"]);
    world.job.proxy.direct = true;
    let lists = world.load().unwrap();
    assert_eq!(members(&lists), [["p0:1"], ["direct"]]);
    assert_eq!(
        neap_core::egress::pools(&world.job).len(),
        lists.pools().len()
    );
    world.job.proxy.pools.clear();
    assert_eq!(world.load().unwrap().pools().len(), 0);
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_without_its_content() {
    let lines = |bytes: &[u8]| World::new(&[]).list(bytes).load();
    let urls = |url: &str| World::new(&["p0:1", url]).load();
    let many = "p0:1\n".repeat(MAX_LIST_LINES + 1);
    let large = vec![b'\n'; MAX_LIST_BYTES as usize + 1];
    for (found, parts) in [
        (
            urls("${env:GONE}"),
            ["pool dc", "variable GONE, which is not set"],
        ),
        (
            urls("http://${env:BAD}"),
            ["number 2 of its urls", "something follows the port"],
        ),
        (
            lines(b"p0:1\n# x\np1:1:ann:hunter2\n"),
            ["dc.txt:3:", "write http://user:password@host:port"],
        ),
        (
            lines(b"http://ann:hunter2/x@p:1"),
            ["dc.txt:1:", "%2F for /"],
        ),
        (
            lines(b"http://${env:GONE}@hunter2:1"),
            ["dc.txt:1:", "variable GONE is not set"],
        ),
        (
            lines(b"\nhttp://${env:LOGIN:hunter2@p:1"),
            ["dc.txt:2:", "does not begin a reference"],
        ),
        (lines(b"p0:1\nhunter2\xff"), ["dc.txt:2:", "not UTF-8"]),
        (
            lines(b"# hunter2\n\n"),
            ["dc.txt names no proxy", "one a line"],
        ),
        (
            lines(many.as_bytes()),
            ["dc.txt is larger", "longer than 100000 lines"],
        ),
        (lines(&large), ["dc.txt is larger than 16 MiB", "pool dc"]),
    ] {
        let error = found.expect_err(parts[0]);
        let told = format!("{error} {error:?}");
        for part in parts {
            assert!(told.contains(part), "`{part}` in {told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_list_must_be_a_file_that_is_there() {
    let mut world = World::new(&[]);
    world.job.proxy.pools[0].file = Some(world.path().to_str().unwrap().to_owned());
    let told = world.load().unwrap_err().to_string();
    assert!(
        told.contains("cannot read") && told.contains("dc.txt"),
        "{told}"
    );
    std::fs::create_dir(world.path()).unwrap();
    let told = world.load().unwrap_err().to_string();
    assert!(told.contains("dc.txt is no file"), "{told}");
}

#[test]
fn a_list_that_changed_is_read_again() {
    let world = World::new(&["p0:1"]).list("p1:1\np2:1\n");
    let mut lists = world.load().unwrap();
    assert!(lists.changed(lookup).is_empty());
    // As long as before, and perhaps within the same tick of the file system's clock.
    world.write("p1:1\np3:1\n");
    assert_eq!(lists.changed(lookup), [0]);
    assert_eq!(members(&lists), [["p0:1", "p1:1", "p3:1"]]);
    assert!(lists.changed(lookup).is_empty());
    // Another comment is no other member.
    world.write("p1:1\np3:1\n# new\n");
    assert!(lists.changed(lookup).is_empty());
    // Another login is.
    world.write("p1:1\nbob:hunter2@p3:1\n");
    assert_eq!(lists.changed(lookup), [0]);
    assert_eq!(members(&lists), [["p0:1", "p1:1", "*@p3:1"]]);
}

#[test]
fn a_list_that_went_bad_changes_nothing_until_it_is_good_again() {
    let world = World::new(&[]).list("p1:1\n");
    let mut lists = world.load().unwrap();
    let mut told = String::new();
    for bad in [Some("p2:1\nhunter2 x\n"), Some(""), None] {
        match bad {
            Some(text) => world.write(text),
            None => std::fs::remove_file(world.path()).unwrap(),
        }
        assert!(lists.changed(lookup).is_empty() && lists.changed(lookup).is_empty());
        assert_eq!(members(&lists), [["p1:1"]], "{bad:?}");
        let complaint = &lists.pools[0].list.as_ref().unwrap().complaint;
        writeln!(told, "{}", complaint.as_deref().unwrap()).unwrap();
    }
    for part in [
        ":2: the proxy cannot be read",
        "names no proxy",
        "cannot read",
    ] {
        assert!(told.contains(part), "`{part}` in {told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
    world.write("p2:1\n");
    assert_eq!(lists.changed(lookup), [0]);
    assert_eq!(members(&lists), [["p2:1"]]);
    assert_eq!(lists.pools[0].list.as_ref().unwrap().complaint, None);
}

#[test]
fn a_list_that_has_not_been_touched_for_a_while_is_not_read_again() {
    let world = World::new(&[]).list("p1:1\n");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    let touch = || {
        let file = std::fs::File::options().write(true).open(world.path());
        file.unwrap().set_modified(long_ago).unwrap();
    };
    touch();
    let mut lists = world.load().unwrap();
    // The content changes, and nothing by which that could be seen.
    world.write("p2:1\n");
    touch();
    assert!(lists.changed(lookup).is_empty());
    assert_eq!(members(&lists), [["p1:1"]]);
    // Another file in its place is noticed, however old.
    let other = world.dir.path().join("new.txt");
    std::fs::copy(world.path(), &other).unwrap();
    std::fs::rename(&other, world.path()).unwrap();
    touch();
    assert_eq!(lists.changed(lookup), [0]);
}
