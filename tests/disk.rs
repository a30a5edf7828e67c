//! What happens on a disk that is full, or that may not be written?
//!
//! On a small file system in memory, in a namespace of its own, which takes no root where the kernel lets
//! users have one; and below a limit on the size of files, which works everywhere.

use std::process::Command;
use std::time::Duration;

use neap_testkit::{Reply, Site};

use crate::segments::noise;
use crate::support::{Place, Said, site_job};

const PAGES: u32 = 40;

/// Longest wait for something that happens in milliseconds unless it is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A site whose bodies take room.
fn site() -> Site {
    let links: Vec<String> = (0..PAGES).map(|n| format!("/page/{n}")).collect();
    let mut builder = Site::builder()
        .latency(Duration::from_millis(1))
        .page("/", Reply::html("top", &links));
    for n in 0..PAGES {
        builder = builder.page(&format!("/page/{n}"), Reply::html(&noise(n), [""; 0]));
    }
    builder.start()
}

/// Runs a shell script in a place, which finds neap in `$NEAP`.
fn shell(place: &Place, before: &[&str], script: &str) -> Said {
    let neap = place.command(&[]);
    let words = [before, &["sh", "-c", script]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env("NEAP", neap.get_program());
    for (name, value) in neap.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(place.path(""));
    command.output().unwrap().into()
}

/// Whether mounts in a namespace of one's own are possible here; said if not.
fn can_mount() -> bool {
    let place = Place::new();
    let tried = Command::new("unshare")
        .args(["-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs ."])
        .current_dir(place.path(""))
        .output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        println!("no mounts in a namespace of one's own here: this test was not run");
    }
    can
}

/// Checks that the job has all pages. Where a run failed when its work was done, the next began a new round.
fn check_complete(place: &Place) {
    let complete = "SELECT count(*) FROM jobs j WHERE state_name = 'finished'
        AND (SELECT count(*) FROM results r WHERE r.round = j.round AND r.status = 200)";
    let rounds = place.number("SELECT count(*) FROM jobs");
    let pages = PAGES + 1;
    assert_eq!(place.number(&format!("{complete} = {pages}")), rounds);
    place.check_invariants();
}

#[test]
fn a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room() {
    if !can_mount() {
        return;
    }
    let site = site();
    // From no room for the store itself to hardly too little.
    for kib in [60, 250, 420, 560, 700] {
        let place = Place::new();
        place.write("site.toml", &site_job(&site.url("/"), ""));
        let said = shell(
            &place,
            &["unshare", "-rm"],
            &format!(
                "mkdir disk out && mount -t tmpfs -o size={kib}k tmpfs disk || exit 99
                 $NEAP run site.toml --db disk/neap.db
                 echo \"ended with $?\"
                 mount -o remount,size=64m disk || exit 99
                 $NEAP run site.toml --db disk/neap.db
                 ended=$?; cp -r disk/* out; exit $ended"
            ),
        )
        .expect(0);
        let both = format!("{kib} KiB\n{}\n{}", said.out, said.err);
        assert!(said.out.contains("ended with 1"), "{both}");
        assert!(
            said.err.contains("no space left for") || said.err.contains("may be full"),
            "{both}"
        );
        assert!(said.err.contains("run the same command again"), "{both}");
        std::fs::rename(place.path("out/neap.db"), place.path("neap.db")).unwrap();
        std::fs::rename(place.path("out/neap.segments"), place.path("neap.segments")).unwrap();
        check_complete(&place);
        let body = place.neap(&["body", &site.url("/page/7")]).expect(0);
        assert!(body.out.contains(&noise(7)), "{kib} KiB");
    }
}

#[test]
fn a_limit_on_the_size_of_files_stops_a_run_and_nothing_is_lost() {
    let site = site();
    let mut stopped = 0;
    for blocks in [64, 500, 900, 1100, 1300] {
        let place = Place::new();
        place.write("site.toml", &site_job(&site.url("/"), ""));
        let limited = shell(
            &place,
            &[],
            &format!("ulimit -f {blocks}; exec $NEAP run site.toml"),
        );
        if limited.code == Some(0) {
            println!("{blocks} blocks are enough");
            continue;
        }
        stopped += 1;
        let said = limited.expect(1).err;
        assert!(said.contains("ulimit -f"), "{blocks} blocks: {said}");
        place.neap(&["run", "site.toml"]).expect(0);
        check_complete(&place);
    }
    assert!(stopped > 0, "every limit was enough: nothing was tested");
}

#[test]
fn a_store_on_a_read_only_disk_can_be_read_and_a_run_says_why_not() {
    if !can_mount() {
        return;
    }
    let site = Site::builder()
        .page("/", Reply::html("top", [""; 0]))
        .start();
    let place = Place::new();
    place.write("site.toml", &site_job(&site.url("/"), ""));
    std::fs::create_dir(place.path("disk")).unwrap();
    place
        .neap(&["run", "site.toml", "--db", "disk/neap.db"])
        .expect(0);
    let before = std::fs::read(place.path("disk/neap.db")).unwrap();
    let in_there = |command: &str| {
        let script = format!(
            "mount --bind disk disk && mount -o remount,bind,ro disk || exit 99
             exec $NEAP {command} --db disk/neap.db"
        );
        shell(&place, &["unshare", "-rm"], &script)
    };
    for command in ["run site.toml", "resume", "submit site.toml"] {
        let said = in_there(command).expect(1).err;
        assert!(said.contains("read-only"), "{command}: {said}");
        assert!(said.contains("--db FILE"), "{command}: {said}");
    }
    for command in ["status", "query 'SELECT url, status FROM results'", "hosts"] {
        in_there(command).expect(0);
    }
    assert!(std::fs::read(place.path("disk/neap.db")).unwrap() == before);
}

#[test]
fn a_run_whose_store_is_moved_away_stops_and_goes_on_when_it_is_back() {
    let site = site();
    let place = Place::new();
    place.write(
        "site.toml",
        &site_job(&site.url("/"), "[limits]\nper_host = 1\n"),
    );
    let run = place.start(&["run", "site.toml"]);
    site.wait_answered(5, PATIENCE).unwrap();
    std::fs::rename(place.path("neap.db"), place.path("elsewhere.db")).unwrap();
    let said = run.wait().expect(1).err;
    assert!(said.contains("neap.db was moved or deleted"), "{said}");
    assert!(said.contains("put it back"), "{said}");
    std::fs::rename(place.path("elsewhere.db"), place.path("neap.db")).unwrap();
    place.neap(&["run", "site.toml"]).expect(0);
    check_complete(&place);
}
