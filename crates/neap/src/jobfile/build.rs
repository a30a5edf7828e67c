//! How does a job come out of what was written?
//!
//! Section by section, every value checked against the range that [`neap_core::job`] gives it; then
//! the values that must fit each other.

use std::path::Path;
use std::time::Duration;

use neap_core::backoff::RETRY_AFTER_MAX;
use neap_core::job::{
    Adaptive, Crawl, Expect, Input, InputFormat, Job, Keep, Limits, MAX_BODY_CEILING,
    MAX_NAME_SERVERS, Request, Retry, Robots, Traps,
};

use super::compare::duration_text;
use super::identity;
use super::input::{STDIN, format_of_file};
use super::problem::Complaint;
use super::proxies;
use super::reader::Reader;
use super::rules;
use super::source::Source;
use super::{values, words};

/// The version of the job file format.
const FORMAT: i64 = 1;

/// Most URLs in the job file itself; it cannot hold more that make sense.
const MAX_URLS: usize = 1_000_000;

/// Most files of URLs.
const MAX_FILES: usize = 1_000;

/// Most sitemaps; an index names more.
const MAX_SITEMAPS: usize = 1_000;

/// Most patterns of `include` and of `exclude`: each is tried on every link.
const MAX_PATTERNS: usize = 1_000;

/// Statuses of `retry.statuses`: those of errors, and what lies above them up to the last that HTTP can
/// write, since servers make up their own (520 to 530, 999).
const RETRY_STATUSES: std::ops::RangeInclusive<i64> = 400..=999;

/// Most statuses that answers are expected to have; there are not many more.
const MAX_STATUSES: usize = 1_000;

/// Largest `expect.max_bytes`: what SQL can count.
const MAX_BYTES: u64 = i64::MAX.unsigned_abs();

/// Shortest timeout and backoff; less is no time at all.
const SHORTEST: Duration = Duration::from_millis(1);

/// Shortest `adaptive.give_up_after`, as [`Adaptive`] has it.
const SHORTEST_GIVE_UP: Duration = Duration::from_secs(1);

/// Longest duration of any key.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Sizes of `store.segment_size`: below, a file has hardly a page; above, no file system takes it.
const SEGMENT_SIZES: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 40;

/// Makes a job of what was written; the job is only good if no problem was noted. `file` is the job
/// file at `path`, for what is missing in it.
pub(super) fn job(reader: &mut Reader<'_>, file: &Source, path: &Path) -> Job {
    format(reader, file);
    let mut job = Job {
        name: name(reader, file, path),
        description: reader
            .text("description", values::description)
            .unwrap_or_default(),
        input: input(reader, file),
        crawl: crawl(reader),
        identity: identity::identity(reader, path),
        request: own_request(reader, path),
        limits: limits(reader, Limits::default()),
        adaptive: adaptive(reader),
        retry: retry(reader, Retry::default()),
        robots: robots(reader, Robots::default()),
        proxy: proxies::proxy(reader, path),
        store: store(reader),
        expect: expect(reader),
        hosts: Vec::new(),
    };
    if reader.problems.is_empty() {
        check_together(reader, file, &job);
        proxies::check_together(reader, file, &job);
    }
    job.hosts = rules::rules(reader, file, &job, path);
    job
}

fn format(reader: &mut Reader<'_>, file: &Source) {
    if reader.fields.get("neap").is_none() {
        let complaint = Complaint::new("the key `neap` is missing")
            .help("begin the file with `neap = 1`, the version of the format");
        return reader.problems.value(file.spot(0..0), complaint);
    }
    if let Some(version) = reader.integer("neap", 1..=i64::MAX)
        && version != FORMAT
    {
        let complaint = Complaint::new(format!("this neap knows format {FORMAT}, not {version}"))
            .help("a newer neap may read it");
        reader.complain(&["neap"], file, complaint);
    }
}

/// The name, or else the name of the file without its extension.
fn name(reader: &mut Reader<'_>, file: &Source, path: &Path) -> String {
    if reader.fields.get("name").is_some() {
        return reader.text("name", values::name).unwrap_or_default();
    }
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    values::name(stem).unwrap_or_else(|_| {
        let complaint =
            Complaint::new("the job has no name, and that of its file is none for a job")
                .help("add e.g. `name = \"prices\"`");
        reader.problems.value(file.spot(0..0), complaint);
        String::new()
    })
}

fn input(reader: &mut Reader<'_>, file: &Source) -> Input {
    const SOURCES: [&str; 3] = ["input.urls", "input.files", "input.sitemaps"];
    let written: usize = SOURCES
        .iter()
        .map(|key| reader.element_spots(key).len())
        .sum();
    let input = Input {
        urls: reader.texts("input.urls", MAX_URLS, values::input_url),
        files: reader.files("input.files", MAX_FILES),
        sitemaps: reader.texts("input.sitemaps", MAX_SITEMAPS, values::input_url),
        format: reader.text("input.format", |text| {
            words::word(text, &words::INPUT_FORMATS)
        }),
        url_column: reader
            .text("input.url_column", values::column)
            .unwrap_or(Input::default().url_column),
    };
    let mut stdin = std::iter::zip(&input.files, reader.element_spots("input.files"))
        .filter(|(file, _)| file.path == STDIN)
        .skip(1);
    if let Some((_, spot)) = stdin.next() {
        let complaint = Complaint::new("`-` stands there twice")
            .help("it means standard input, which can be read once");
        reader.problems.value(spot, complaint);
    }
    check_columns(reader, &input);
    // An array of the wrong type was complained about already; an empty one was not.
    let is_array = |key: &str| {
        reader
            .fields
            .get(key)
            .is_none_or(|field| field.value.get_ref().is_array())
    };
    if written == 0 && SOURCES.into_iter().all(is_array) {
        let spot = reader
            .fields
            .section("input")
            .cloned()
            .unwrap_or_else(|| file.spot(0..0));
        let complaint = Complaint::new("the job has nothing to fetch").help(
            "add [input] with `urls = [\"https://example.org/\"]` or `files = [\"urls.txt\"]`",
        );
        reader.problems.value(spot, complaint);
    }
    input
}

/// Complains about columns of files that have none.
fn check_columns(reader: &mut Reader<'_>, input: &Input) {
    let spots = reader.element_spots("input.files");
    // One that was complained about is not among the files: which spot is whose is not known then.
    if spots.len() != input.files.len() {
        return;
    }
    for (file, spot) in std::iter::zip(&input.files, spots) {
        let format = format_of_file(file, input.format);
        let names_columns = file.url.is_some() || file.keep.is_some();
        if names_columns && format == InputFormat::Text {
            let complaint = Complaint::new("a text has one URL a line and no columns")
                .help("leave `url` and `keep` out, or say its `format`: csv, tsv or jsonl");
            reader.problems.value(spot, complaint);
        }
    }
}

fn crawl(reader: &mut Reader<'_>) -> Crawl {
    let default = Crawl::default();
    let scope = reader.text("crawl.scope", |text| words::word(text, &words::SCOPES));
    let max_depth = reader.integer("crawl.max_depth", 0..=i64::from(u32::MAX));
    let max_pages = reader.integer("crawl.max_pages", 1..=i64::MAX);
    Crawl {
        scope: scope.unwrap_or(default.scope),
        include: reader.texts("crawl.include", MAX_PATTERNS, values::pattern),
        exclude: reader.texts("crawl.exclude", MAX_PATTERNS, values::pattern),
        max_depth: max_depth
            .and_then(|depth| u32::try_from(depth).ok())
            .or(default.max_depth),
        max_pages: max_pages
            .and_then(|pages| u64::try_from(pages).ok())
            .or(default.max_pages),
        sitemaps: reader.flag("crawl.sitemaps", default.sitemaps),
        nofollow: reader.flag("crawl.nofollow", default.nofollow),
        drop_params: reader.texts("crawl.drop_params", MAX_PATTERNS, values::param_name),
        requisites: reader
            .text("crawl.requisites", |text| {
                words::word(text, &words::REQUISITES)
            })
            .unwrap_or_default(),
        order: reader
            .text("crawl.order", |text| words::word(text, &words::ORDERS))
            .unwrap_or_default(),
        traps: traps(reader),
    }
}

fn traps(reader: &mut Reader<'_>) -> Traps {
    let default = Traps::default();
    let mut number = |name, range, default| {
        let key = format!("crawl.traps.{name}");
        reader.u32(&key, range, default)
    };
    Traps {
        max_url_length: number("max_url_length", 100..=16_384, default.max_url_length),
        max_repeated_segments: number(
            "max_repeated_segments",
            1..=100,
            default.max_repeated_segments,
        ),
        max_query_variants: number(
            "max_query_variants",
            10..=100_000,
            default.max_query_variants,
        ),
        max_years_ahead: number("max_years_ahead", 0..=8_000, default.max_years_ahead),
        max_near_duplicates: number(
            "max_near_duplicates",
            10..=1_000_000,
            default.max_near_duplicates,
        ),
        simhash_distance: number("simhash_distance", 0..=16, default.simhash_distance),
        session_ids: reader.flag("crawl.traps.session_ids", default.session_ids),
    }
}

pub(super) fn request(reader: &mut Reader<'_>, default: Request) -> Request {
    let range = SHORTEST..=LONGEST;
    Request {
        connect_timeout: reader.duration(
            "request.connect_timeout",
            range.clone(),
            default.connect_timeout,
        ),
        read_timeout: reader.duration("request.read_timeout", range.clone(), default.read_timeout),
        total_timeout: reader.duration("request.total_timeout", range, default.total_timeout),
        max_body: reader.size("request.max_body", 1..=MAX_BODY_CEILING, default.max_body),
        redirects: reader.u32("request.redirects", 0..=20, default.redirects),
        private_addresses: default.private_addresses,
        name_servers: default.name_servers,
        ca_file: default.ca_file,
        bind: default.bind,
    }
}

/// Of the job itself, with what no rule changes.
fn own_request(reader: &mut Reader<'_>, path: &Path) -> Request {
    let dir = path.parent().unwrap_or(Path::new(""));
    let default = Request::default();
    let own = Request {
        private_addresses: reader.flag("request.private_addresses", default.private_addresses),
        name_servers: reader.texts(
            "request.name_servers",
            MAX_NAME_SERVERS,
            values::name_server,
        ),
        ca_file: reader.text("request.ca_file", |text| values::file(text, dir)),
        bind: reader.text("request.bind", values::address),
        ..default
    };
    request(reader, own)
}

pub(super) fn limits(reader: &mut Reader<'_>, default: Limits) -> Limits {
    Limits {
        concurrency: reader.u32("limits.concurrency", 1..=10_000, default.concurrency),
        per_host: reader.u32("limits.per_host", 1..=1_024, default.per_host),
        per_host_rate: reader
            .text("limits.per_host_rate", values::rate)
            .or(default.per_host_rate),
        delay: reader.duration("limits.delay", Duration::ZERO..=LONGEST, default.delay),
        key: reader
            .text("limits.key", |text| words::word(text, &words::LIMIT_KEYS))
            .unwrap_or(default.key),
        bandwidth: reader
            .text("limits.bandwidth", values::bandwidth)
            .or(default.bandwidth),
    }
}

fn adaptive(reader: &mut Reader<'_>) -> Adaptive {
    let range = SHORTEST_GIVE_UP..=LONGEST;
    let default = Adaptive::default();
    Adaptive {
        give_up_after: reader.duration("adaptive.give_up_after", range, default.give_up_after),
    }
}

pub(super) fn retry(reader: &mut Reader<'_>, default: Retry) -> Retry {
    let most = usize::try_from(RETRY_STATUSES.end() - RETRY_STATUSES.start() + 1).unwrap_or(0);
    let statuses = reader
        .integers("retry.statuses", most, RETRY_STATUSES)
        .map(|statuses| {
            statuses
                .into_iter()
                .filter_map(|status| u16::try_from(status).ok())
                .collect()
        });
    let jitter = reader.text("retry.jitter", |text| words::word(text, &words::JITTERS));
    Retry {
        attempts: reader.u32("retry.attempts", 1..=100, default.attempts),
        statuses: statuses.unwrap_or(default.statuses),
        base: reader.duration("retry.base", SHORTEST..=LONGEST, default.base),
        max: reader.duration("retry.max", SHORTEST..=LONGEST, default.max),
        jitter: jitter.unwrap_or(default.jitter),
        retry_after_max: reader.duration(
            "retry.retry_after_max",
            Duration::ZERO..=RETRY_AFTER_MAX,
            default.retry_after_max,
        ),
        budget: reader.share("retry.budget", default.budget),
        swap_proxy_after: reader.u32("retry.swap_proxy_after", 1..=100, default.swap_proxy_after),
    }
}

pub(super) fn robots(reader: &mut Reader<'_>, default: Robots) -> Robots {
    let mode = reader.text("robots.mode", |text| {
        words::word(text, &words::ROBOTS_MODES)
    });
    let range = Duration::ZERO..=LONGEST;
    Robots {
        mode: mode.unwrap_or(default.mode),
        crawl_delay_max: reader.duration("robots.crawl_delay_max", range, default.crawl_delay_max),
    }
}

fn store(reader: &mut Reader<'_>) -> Keep {
    let default = Keep::default();
    let bodies = reader.text("store.bodies", |text| words::word(text, &words::BODIES));
    let durability = reader.text("store.durability", |text| {
        words::word(text, &words::DURABILITIES)
    });
    Keep {
        path: reader.text("store.path", values::path).or(default.path),
        bodies: bodies.unwrap_or(default.bodies),
        metadata: reader.flag("store.metadata", default.metadata),
        links: reader.flag("store.links", default.links),
        segment_size: reader.size("store.segment_size", SEGMENT_SIZES, default.segment_size),
        durability: durability.unwrap_or(default.durability),
    }
}

fn expect(reader: &mut Reader<'_>) -> Expect {
    let min_pages = reader.integer("expect.min_pages", 1..=i64::MAX);
    Expect {
        max_failed: reader.at_most("expect.max_failed"),
        min_pages: min_pages.and_then(|pages| u64::try_from(pages).ok()),
        statuses: reader.statuses("expect.statuses", MAX_STATUSES),
        max_bytes: reader.maybe_size("expect.max_bytes", 0..=MAX_BYTES),
    }
}

/// Values that are good alone and not with each other, of a job or of one of its rules.
pub(super) fn check_together(reader: &mut Reader<'_>, file: &Source, job: &Job) {
    if job.retry.base > job.retry.max {
        let [base, max] = [job.retry.base, job.retry.max].map(duration_text);
        let complaint = Complaint::new(format!("retry.base ({base}) is above retry.max ({max})"))
            .help("the first backoff cannot be longer than the longest; set both");
        reader.complain(&["retry.base", "retry.max"], file, complaint);
    }
    if job.request.connect_timeout > job.request.total_timeout {
        let [connect, total] =
            [job.request.connect_timeout, job.request.total_timeout].map(duration_text);
        let message =
            format!("request.connect_timeout ({connect}) is above request.total_timeout ({total})");
        let complaint = Complaint::new(message).help("connecting is part of the total; set both");
        let keys = ["request.connect_timeout", "request.total_timeout"];
        reader.complain(&keys, file, complaint);
    }
}
