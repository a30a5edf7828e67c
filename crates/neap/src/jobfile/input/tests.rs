//! Is every URL of the input found, whatever else a file holds?

use std::fs;
use std::io::{Read, Write};

use neap_core::canonical::MAX_URL_BYTES;
use proptest::prelude::*;

use super::lines::MAX_LINE_BYTES;
use super::row::MAX_FIELDS_BYTES;
use super::table::{MAX_COLUMNS, MAX_RECORD_BYTES};
use super::*;
use crate::jobfile::tests::shown;
use crate::screen::grouped;

/// A job in a directory of its own with these files of URLs.
fn job(urls: &str, files: &[(&str, &[u8])]) -> (tempfile::TempDir, JobFile) {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let path = dir.path().join("job.toml");
    fs::write(
        &path,
        format!("neap = 1\n[input]\nurls = {urls}\nfiles = {names:?}\n"),
    )
    .unwrap();
    let job = crate::jobfile::read(&path, &[]).unwrap();
    (dir, job)
}

fn urls(input: &mut InputRows) -> Vec<String> {
    input.map(|url| url.unwrap().url.to_string()).collect()
}

#[test]
fn listed_urls_come_first_then_each_file_in_order() {
    let one = b"\xef\xbb\xbfhttp://a.example/1\r\n\r\n  # comment\r\n\thttp://a.example/2  \r\n";
    let (_dir, job) = job(
        r#"["http://z.example/"]"#,
        &[
            ("one.txt", one),
            ("empty.txt", b""),
            ("two.txt", b"http://b.example/1#x"),
        ],
    );
    let mut input = job.input_rows(Known::default(), false).unwrap();
    assert_eq!(
        urls(&mut input),
        [
            "http://z.example/",
            "http://a.example/1",
            "http://a.example/2",
            "http://b.example/1"
        ]
    );
    assert_eq!((input.rows(), input.malformed()), (4, 0));
}

#[test]
fn malformed_lines_are_counted_and_do_not_stop_the_rest() {
    let mut text = b"nonsense\nftp://a.example/\nhttp://me:hunter2@a.example/\n\xff\xfe\n".to_vec();
    text.extend(
        b"http://a.example/"
            .iter()
            .chain(&vec![b'x'; 3 * MAX_LINE_BYTES])
            .chain(b"\n"),
    );
    text.extend(format!("http://a.example/{}\n", "y".repeat(MAX_URL_BYTES)).as_bytes());
    text.extend(b"http://a.example/good\n");
    let (_dir, job) = job("[]", &[("list.txt", &text)]);
    let mut input = job.input_rows(Known::default(), false).unwrap();
    assert_eq!(urls(&mut input), ["http://a.example/good"]);
    let told: Vec<String> = input.kept().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "list.txt:1: not a URL",
            "list.txt:2: only http and https can be fetched",
            "list.txt:3: a user name or password in a URL; use [identity] headers",
            "list.txt:4: not UTF-8",
            "list.txt:5: longer than 16384 bytes",
            "list.txt:6: longer than 4096 bytes",
        ]
    );
    assert_eq!(input.malformed(), 6);
}

#[test]
fn of_many_malformed_lines_only_the_first_are_kept() {
    let (_dir, job) = job("[]", &[("list.txt", "x\n".repeat(1000).as_bytes())]);
    let mut input = job.input_rows(Known::default(), false).unwrap();
    assert_eq!(urls(&mut input), Vec::<String>::new());
    assert_eq!(
        (input.malformed(), input.kept().len()),
        (1000, MAX_MALFORMED_KEPT)
    );
}

#[test]
fn a_line_of_the_greatest_length_is_read_whole() {
    let blanks = " ".repeat(MAX_LINE_BYTES - "http://a.example/".len());
    let text = format!("http://a.example/{blanks}\nhttp://a.example/2{blanks}\nhttp://a.example/3");
    let (_dir, job) = job("[]", &[("list.txt", text.as_bytes())]);
    let mut input = job.input_rows(Known::default(), false).unwrap();
    assert_eq!(
        urls(&mut input),
        ["http://a.example/", "http://a.example/3"]
    );
    assert_eq!(input.kept()[0].line, 2);
}

#[test]
fn a_record_that_is_too_long_takes_nothing_with_it_however_lines_end() {
    let long = "x".repeat(MAX_RECORD_BYTES + 1);
    for end in ["\n", "\r\n", "\r"] {
        let rows = [
            "sku,url",
            "1,http://a.example/1",
            &long,
            "2,http://a.example/2",
        ];
        let text = rows.map(|row| format!("{row}{end}")).concat();
        let (_dir, job) = job("[]", &[("list.csv", text.as_bytes())]);
        let mut input = job.input_rows(Known::default(), false).unwrap();
        let expected = ["http://a.example/1", "http://a.example/2"];
        assert_eq!(urls(&mut input), expected, "{end:?}");
        assert_eq!(input.malformed(), 1, "{end:?}");
    }
}

#[test]
fn columns_of_one_name_are_kept_apart() {
    let text = b"sku,url,sku,sku_4,sku,\n1,http://a.example/,2,3,4,5\n";
    let (_dir, one) = job("[]", &[("list.csv", text)]);
    let row = one.input_rows(Known::default(), false).unwrap().next();
    let fields: serde_json::Value =
        serde_json::from_str(&row.unwrap().unwrap().fields.unwrap()).unwrap();
    let expected =
        serde_json::json!({"sku": "1", "sku_3": "2", "sku_4": "3", "sku_5": "4", "column_6": "5"});
    assert_eq!(fields, expected);
    let (_dir, two) = job("[]", &[("list.csv", b"url,url\na,b\n")]);
    let error = two.input_rows(Known::default(), false).unwrap().next();
    let told = shown(&error.unwrap().unwrap_err());
    assert!(told.contains("has two columns `url`"), "{told}");
}

#[test]
fn a_missing_file_is_shown_in_the_line_that_names_it() {
    let (dir, job) = job("[]", &[("list.txt", b""), ("gone.txt", b"")]);
    fs::remove_file(dir.path().join("gone.txt")).unwrap();
    let told = shown(&job.input_rows(Known::default(), false).unwrap_err());
    assert!(told.contains("the file `gone.txt` is not there"), "{told}");
    assert!(told.contains("job.toml:4:22]"), "{told}");
    assert!(told.contains("relative to the job file"), "{told}");
    fs::create_dir(dir.path().join("gone.txt")).unwrap();
    let told = shown(&job.input_rows(Known::default(), false).unwrap_err());
    assert!(told.contains("is a directory"), "{told}");
}

#[test]
fn a_file_that_vanishes_while_others_are_read_ends_the_input() {
    let (dir, job) = job("[]", &[("one.txt", b"http://a.example/"), ("two.txt", b"")]);
    let mut input = job.input_rows(Known::default(), false).unwrap();
    fs::remove_file(dir.path().join("two.txt")).unwrap();
    assert!(input.next().unwrap().is_ok());
    assert!(shown(&input.next().unwrap().unwrap_err()).contains("is not there"));
    assert!(input.next().is_none());
}

/// Each row as its URL and what stands beside it.
fn rows(input: &mut InputRows) -> Vec<(String, String)> {
    let row = |row: Result<InputRow, JobFileError>| {
        let row = row.unwrap();
        (row.url.to_string(), row.fields.unwrap_or_default())
    };
    input.map(row).collect()
}

fn told(input: &InputRows) -> Vec<String> {
    input.kept().iter().map(ToString::to_string).collect()
}

fn read(files: &[(&str, &[u8])]) -> (Vec<(String, String)>, Vec<String>) {
    let (_dir, job) = job("[]", files);
    let mut input = job.input_rows(Known::default(), false).unwrap();
    let found = rows(&mut input);
    (found, told(&input))
}

fn row(url: &str, fields: &str) -> (String, String) {
    (url.to_owned(), fields.to_owned())
}

#[test]
fn a_table_keeps_what_stands_beside_a_url() {
    let text = "\u{feff}sku,url,note\r\n1,http://a.example/1,plain\r\n\r\n\
                2,\"http://a.example/2\",\"with, comma and \"\"quotes\"\"\"\r\n\
                3, http://a.example/3 ,\"over\ntwo lines\"\r\n";
    let (found, told) = read(&[("list.csv", text.as_bytes())]);
    assert_eq!(
        found,
        [
            row("http://a.example/1", r#"{"note":"plain","sku":"1"}"#),
            row(
                "http://a.example/2",
                r#"{"note":"with, comma and \"quotes\"","sku":"2"}"#
            ),
            row(
                "http://a.example/3",
                r#"{"note":"over\ntwo lines","sku":"3"}"#
            ),
        ]
    );
    assert_eq!(told, Vec::<String>::new());
}

#[test]
fn a_table_may_be_separated_by_tabs_and_have_columns_without_names() {
    let (found, _) = read(&[("LIST.TSV", b"url\t\nhttp://a.example/\tx,y\n")]);
    assert_eq!(found, [row("http://a.example/", r#"{"column_2":"x,y"}"#)]);
    let (found, _) = read(&[("one.csv", b"url\nhttp://a.example/\n")]);
    assert_eq!(found, [row("http://a.example/", "")]);
}

#[test]
fn malformed_records_of_a_table_are_counted() {
    let (long, big) = (
        "x".repeat(MAX_RECORD_BYTES + 1),
        "x".repeat(MAX_FIELDS_BYTES),
    );
    let mut text = format!(
        "url,sku\nhttp://a.example/1\nnonsense,2\n{long},3\nhttp://me:pw@a.example/,4\n\
         http://a.example/,{big}\nhttp://a.example/5,5\nhttp://a.example/6,"
    )
    .into_bytes();
    text.extend(b"\xff\xfe\nhttp://a.example/8,8,8\n");
    let (found, told) = read(&[("list.csv", &text)]);
    assert_eq!(
        found,
        [
            row("http://a.example/1", ""),
            row("http://a.example/5", r#"{"sku":"5"}"#)
        ]
    );
    let long = format!(
        "list.csv:4: longer than {MAX_RECORD_BYTES} bytes or {MAX_COLUMNS} columns; is a quote not closed?"
    );
    assert_eq!(
        told,
        [
            "list.csv:3: not a URL",
            &long,
            "list.csv:5: a user name or password in a URL; use [identity] headers",
            "list.csv:6: more than 16384 bytes beside the URL, as JSON",
            "list.csv:8: not UTF-8",
            "list.csv:9: 3 columns, the first line has 2",
        ]
    );
}

#[test]
fn a_quote_that_is_never_closed_costs_a_record_and_not_the_memory() {
    let mut text = "url,sku\nhttp://a.example/1,\"open\n".to_owned();
    for number in 0..5000 {
        text.push_str(&format!("http://a.example/{number},{number}\n"));
    }
    let (found, told) = read(&[("list.csv", text.as_bytes())]);
    assert!(found.len() > 2000, "{} found", found.len());
    assert!(told[0].starts_with("list.csv:2: longer than"), "{told:?}");
    let lost = format!(
        "the next {} lines, as one",
        grouped(5000 - found.len() as u64)
    );
    assert!(told[0].contains(&lost), "{} found: {told:?}", found.len());
    assert_eq!(told.len(), 1);
}

#[test]
fn a_quote_that_is_open_at_the_end_of_a_table_is_told_with_what_it_took() {
    for (end, said) in [
        (
            "\"http://a.example/2\nhttp://a.example/3\nhttp://a.example/4\n",
            "2 lines, is left out",
        ),
        ("\"http://a.example/2\nhttp://a.example/3", "is not closed"),
        ("\"http://a.example/2", "is not closed"),
        ("\"", "is not closed"),
    ] {
        let text = format!("url\nhttp://a.example/1\n{end}");
        let (found, told) = read(&[("list.csv", text.as_bytes())]);
        assert_eq!(found, [row("http://a.example/1", "")], "{end}");
        assert_eq!(told.len(), 1, "{end}: {told:?}");
        assert!(
            told[0].starts_with("list.csv:3: ") && told[0].contains(said),
            "{told:?}"
        );
    }
    for end in ["", "\n", "\r\n", "\n\n"] {
        let text = format!("url,x\n\"http://a.example/1\",\"5\"\" disk\"{end}");
        let (found, told) = read(&[("list.csv", text.as_bytes())]);
        assert_eq!((found.len(), told.len()), (1, 0), "{told:?}");
    }
}

#[test]
fn a_short_record_keeps_what_it_has() {
    let text = b"sku,url,note,price\n1,http://a.example/1\n2,http://a.example/2,x\n3\n";
    let (found, told) = read(&[("list.csv", text)]);
    assert_eq!(
        found,
        [
            row("http://a.example/1", r#"{"sku":"1"}"#),
            row("http://a.example/2", r#"{"note":"x","sku":"2"}"#),
        ]
    );
    assert_eq!(told, ["list.csv:4: 1 column, the first line has 4"]);
}

#[test]
fn a_file_that_is_packed_by_its_name_alone_is_told() {
    let (_dir, job) = job("[]", &[("list.txt.gz", b"http://a.example/1\n")]);
    let mut input = job.input_rows(Known::default(), false).unwrap();
    assert_eq!(rows(&mut input).len(), 1);
    assert_eq!(
        input.notes(),
        ["list.txt.gz is not packed, whatever its name says: it is read as it is"]
    );
}

#[test]
fn objects_keep_their_other_members() {
    let text = b"{\"url\": \"http://a.example/1\", \"sku\": 7, \"tags\": [\"x\"]}\n\n\
                 {\"url\":\"http://a.example/2\"}\r\n[1]\n{\"url\":3}\n{\"sku\":3}\n{\"url\":\"x\"}\nnonsense";
    for name in ["list.jsonl", "list.ndjson"] {
        let (found, told) = read(&[(name, text)]);
        assert_eq!(
            found,
            [
                row("http://a.example/1", r#"{"sku":7,"tags":["x"]}"#),
                row("http://a.example/2", ""),
            ]
        );
        let told: Vec<&str> = told.iter().map(|line| &line[name.len() + 1..]).collect();
        assert_eq!(
            told,
            [
                "4: not a JSON object",
                "5: `url` is no text",
                "6: no `url`",
                "7: not a URL",
                "8: not a JSON object",
            ]
        );
    }
}

#[test]
fn a_file_that_is_packed_is_read_whatever_its_name() {
    let text = b"http://a.example/1\nhttp://a.example/2\n";
    let gzip = |text: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    };
    let zstd = |text: &[u8]| zstd::encode_all(text, 3).unwrap();
    let two_members = [gzip(&text[..19]), gzip(&text[19..])].concat();
    let two_frames = [zstd(&text[..19]), zstd(&text[19..])].concat();
    for packed in [
        gzip(text),
        two_members,
        zstd(text),
        two_frames,
        text.to_vec(),
    ] {
        let (found, told) = read(&[("list.txt", &packed)]);
        let urls: Vec<&str> = found.iter().map(|(url, _)| url.as_str()).collect();
        assert_eq!(urls, ["http://a.example/1", "http://a.example/2"]);
        assert_eq!(told, Vec::<String>::new());
    }
    let table = gzip(b"url\nhttp://a.example/\n");
    for name in ["list.csv.gz", "list.csv"] {
        assert_eq!(read(&[(name, &table)]).0, [row("http://a.example/", "")]);
    }
}

#[test]
fn a_file_that_unpacks_without_end_or_is_cut_short_ends_the_input() {
    let bomb = zstd::encode_all(io::repeat(b'x').take(200 << 20), 3).unwrap();
    let mut cut = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    cut.write_all(&b"http://a.example/\n".repeat(1000)).unwrap();
    let mut cut = cut.finish().unwrap();
    cut.truncate(cut.len() - 10);
    for (packed, what) in [(bomb, "times its size"), (cut, "cannot be read")] {
        let (_dir, job) = job("[]", &[("list.txt", &packed)]);
        let mut input = job.input_rows(Known::default(), false).unwrap();
        let error = input.find_map(Result::err).unwrap();
        assert!(shown(&error).contains(what), "{}", shown(&error));
        assert!(input.next().is_none());
    }
}

/// A job whose only key of `[input]` is `files`, with these files beside it.
fn job_of_files(files: &str, beside: &[(&str, &[u8])]) -> (tempfile::TempDir, JobFile) {
    let (dir, _) = job("[]", beside);
    let path = dir.path().join("job.toml");
    fs::write(&path, format!("neap = 1\n[input]\nfiles = {files}\n")).unwrap();
    let job = crate::jobfile::read(&path, &[]).unwrap();
    (dir, job)
}

#[test]
fn each_file_may_be_read_in_a_way_of_its_own() {
    let csv = b"page,url,sku,shop\nhttp://a.example/1,x,7,b\n";
    let jsonl = b"{\"url\":\"http://a.example/2\",\"sku\":8,\"shop\":\"c\"}\n";
    let files = r#"[
      { path = "list", format = "csv", url = "page", keep = ["sku"] }, "more.txt",
      { path = "rows.jsonl", keep = ["shop", "none"] }, { path = "all.csv", url = "page" },
    ]"#;
    let beside: [(&str, &[u8]); 4] = [
        ("list", csv),
        ("more.txt", b"http://a.example/3\n"),
        ("rows.jsonl", jsonl),
        ("all.csv", csv),
    ];
    let (_dir, job) = job_of_files(files, &beside);
    let mut input = job.input_rows(Known::default(), false).unwrap();
    let expected = [
        row("http://a.example/1", r#"{"sku":"7"}"#),
        row("http://a.example/3", ""),
        row("http://a.example/2", r#"{"shop":"c"}"#),
        row("http://a.example/1", r#"{"shop":"b","sku":"7","url":"x"}"#),
    ];
    assert_eq!(rows(&mut input), expected);
    assert_eq!(told(&input), Vec::<String>::new());
    // What is stored of it comes back as it was, and a path alone as a text, as it was stored ever since.
    let stored = serde_json::to_value(&job.job.input).unwrap();
    assert_eq!(stored["files"][1], "more.txt");
    let back: neap_core::job::Input = serde_json::from_value(stored).unwrap();
    assert_eq!(back, job.job.input);
}

#[test]
fn a_file_that_lacks_a_column_that_is_to_be_kept_says_so() {
    let files = r#"[{ path = "list.csv", keep = ["size"] }]"#;
    let (_dir, job) = job_of_files(files, &[("list.csv", b"url,sku\n")]);
    let mut input = job.input_rows(Known::default(), false).unwrap();
    let error = shown(&input.next().unwrap().unwrap_err());
    let words = error.split_whitespace().filter(|word| *word != "\u{2502}");
    let told = words.collect::<Vec<_>>().join(" ");
    assert!(
        told.contains("has no column `size` (`keep`) but url, sku"),
        "{told}"
    );
}

#[test]
fn a_table_without_the_column_says_which_it_has() {
    for (bytes, what) in [
        (
            &b"sku,page_url\n1,http://a.example/\n"[..],
            "has no column `url` (`input.url_column`) but sku, page_url",
        ),
        (b"", "its first line must name the columns"),
        (b"\xff\n", "is not UTF-8"),
    ] {
        let (_dir, job) = job("[]", &[("list.csv", bytes)]);
        let mut input = job.input_rows(Known::default(), false).unwrap();
        let error = input.next().unwrap().unwrap_err();
        let error = shown(&error);
        // The words may be broken over lines, with a frame between them.
        let words = error.split_whitespace().filter(|word| *word != "│");
        let told = words.collect::<Vec<_>>().join(" ");
        assert!(told.contains(what), "{told}");
        assert!(told.contains("job.toml:4:"), "{told}");
    }
}

#[test]
fn what_is_known_is_not_read_again() {
    let files: [(&str, &[u8]); 2] = [
        ("old.txt", b"http://a.example/"),
        ("new.txt", b"http://b.example/"),
    ];
    let (dir, job) = job("['http://z.example/']", &files);
    // Long enough ago that a change since then would show.
    let settled = SystemTime::now() - Duration::from_secs(60);
    let path = dir.path().join("old.txt");
    let old = File::options().append(true).open(&path).unwrap();
    old.set_modified(settled).unwrap();
    let mut first = job.input_rows(Known::default(), false).unwrap();
    assert_eq!(first.by_ref().count(), 3);
    let read: Vec<&str> = first.read().iter().map(|file| file.name.as_str()).collect();
    assert_eq!(read, ["old.txt"], "the other one may still change");
    let known = || Known {
        urls: true,
        files: first.read().to_vec(),
    };
    let mut again = job.input_rows(known(), false).unwrap();
    assert_eq!(urls(&mut again), ["http://b.example/"]);
    assert_eq!(again.unread(), 1);
    fs::write(&path, "http://a.example/\nhttp://c.example/").unwrap();
    old.set_modified(settled + Duration::from_secs(1)).unwrap();
    let mut changed = job.input_rows(known(), false).unwrap();
    assert_eq!(urls(&mut changed).len(), 3);
}

proptest! {
    /// Whatever stands in a file, it is read to its end and nothing panics.
    #[test]
    fn any_bytes_are_read_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for name in ["x.txt", "x.csv", "x.jsonl"] {
            let (_dir, job) = job("[]", &[(name, &bytes)]);
            let input = job.input_rows(Known::default(), false).unwrap();
            prop_assert!(input.take(1000).count() < 1000);
        }
    }

    #[test]
    fn a_table_comes_back_as_it_was_written(
        notes in prop::collection::vec("[ -~\n\r\u{e4}\"]{0,20}", 1..20),
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["note", "url"]).unwrap();
        for (number, note) in notes.iter().enumerate() {
            let url = format!("http://a.example/{number}");
            writer.write_record([note.as_str(), &url]).unwrap();
        }
        let (found, told) = read(&[("list.csv", &writer.into_inner().unwrap())]);
        prop_assert!(told.is_empty(), "{:?}", told);
        prop_assert_eq!(found.len(), notes.len());
        for (number, ((url, fields), note)) in found.iter().zip(&notes).enumerate() {
            prop_assert_eq!(url, &format!("http://a.example/{number}"));
            let fields: serde_json::Value = serde_json::from_str(fields).unwrap();
            prop_assert_eq!(fields["note"].as_str(), Some(note.as_str()));
        }
    }
}
