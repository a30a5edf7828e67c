//! Does every job file in `jobs/` run as it stands?

use neap_testkit::{ForwardProxy, Reply, Site, Tree};

use crate::support::{Place, root};

#[test]
fn every_example_job_file_runs() {
    let mut files = 0;
    for entry in std::fs::read_dir(root().join("jobs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        files += 1;
        let site = Site::builder()
            .tree(Tree::new(6, 3, 400))
            .page("/robots.txt", Reply::ok("User-agent: *\nAllow: /\n"))
            .start();
        let place = Place::new();
        let file = path.to_str().unwrap();
        place.neap(&["check", file]).expect(0);
        let input = format!("input.urls=[\"{}\"]", site.url("/"));
        let overrides = [
            "--set",
            &input,
            "--set",
            "input.files=[]",
            "--set",
            "input.sitemaps=[]",
            "--set",
            "limits.delay=0s",
        ];
        let db = place.path("job.db");
        let mut arguments = vec!["--db", db.to_str().unwrap(), "run", file];
        arguments.extend(overrides);
        let proxy = ForwardProxy::builder().start();
        let list = place.write("proxies.txt", &proxy.url());
        let pools = [
            format!("proxy.pool.datacentre.file={}", list.display()),
            format!("proxy.pool.residential.urls=['{}']", proxy.url()),
        ];
        let text = std::fs::read_to_string(&path).unwrap();
        let has_pools = text.contains("[[proxy.pool]]");
        if has_pools {
            arguments.extend(pools.iter().flat_map(|pool| ["--set", pool]));
        }
        let said = place
            .command(&arguments)
            .env("SHOP_TOKEN", "x")
            .env("SHOP_PASSWORD", "x")
            .output()
            .unwrap();
        let said = crate::support::Said::from(said).expect(0);
        assert!(
            said.err.contains("finished"),
            "{}: {}",
            path.display(),
            said.err
        );
        assert!(site.asked() > 0, "{} asked for nothing", path.display());
        // A job with proxies never goes without them, and no other job takes one.
        let through_proxy = if has_pools { site.asked() } else { 0 };
        let passed = proxy.passed().len() as u64;
        assert_eq!(passed, through_proxy, "{}", path.display());
    }
    assert!(files >= 3, "only {files} job files");
}
