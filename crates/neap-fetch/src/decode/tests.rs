//! Is every coding undone, and every broken or boundless one refused?

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 1 << 20;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn brotli(data: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    let parameters = ::brotli::enc::BrotliEncoderParams {
        quality: 3,
        ..Default::default()
    };
    ::brotli::BrotliCompress(&mut &data[..], &mut coded, &parameters).unwrap();
    coded
}

fn zstandard(data: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(data, 1).unwrap()
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ENCODERS: [(&str, Encode); 5] = [
    ("gzip", gzip),
    ("deflate", zlib),
    ("deflate", raw_deflate),
    ("br", brotli),
    ("zstd", zstandard),
];

fn decoder(codings: &str, limit: u64) -> Result<Decoder, DecodeError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_str(codings).unwrap());
    Decoder::for_headers(&headers, limit)
}

/// Decodes `coded`, fed in slices of `slice` bytes.
fn decode(codings: &str, coded: &[u8], slice: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = decoder(codings, LIMIT)?;
    let mut out = Vec::new();
    for part in coded.chunks(slice) {
        push(&mut decoder, part, &mut out)?;
    }
    decoder.finish()?;
    Ok(out)
}

fn push(decoder: &mut Decoder, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    while decoder.advance(&mut input, out)? {}
    Ok(())
}

/// Lines that compress as web pages do, to about a quarter.
fn text(lines: u32) -> Vec<u8> {
    let line = |i: u32| format!("line {} of it\n", i.wrapping_mul(2_654_435_761));
    (0..lines).flat_map(|i| line(i).into_bytes()).collect()
}

#[test]
fn every_coding_is_undone_however_it_is_cut_into_slices() {
    let text = text(5000);
    for (name, encode) in ENCODERS {
        let coded = encode(&text);
        for slice in [1, 7, 4096, usize::MAX] {
            assert_eq!(
                decode(name, &coded, slice).unwrap(),
                text,
                "{name} by {slice}"
            );
        }
    }
}

#[test]
fn codings_are_undone_last_first() {
    let text = text(5000);
    let coded = zstandard(&brotli(&gzip(&text)));
    assert_eq!(decode("gzip, br,zstd", &coded, 1000).unwrap(), text);
    assert_eq!(
        decode(" X-GZIP ,identity,", &gzip(&text), 1000).unwrap(),
        text
    );
}

#[test]
fn unknown_and_too_many_codings_are_named() {
    assert_eq!(
        decode("compress", b"x", 1),
        Err(DecodeError::Unknown("compress".to_owned()))
    );
    assert_eq!(
        decode("gzip, gzip, gzip, gzip", b"x", 1),
        Err(DecodeError::TooMany(4))
    );
}

#[test]
fn nothing_at_all_is_an_empty_body_in_every_coding() {
    for (name, encode) in ENCODERS {
        assert_eq!(decode(name, b"", 1).unwrap(), b"", "{name}");
        assert_eq!(decode(name, &encode(b""), 1).unwrap(), b"", "{name}");
    }
}

#[test]
fn data_cut_short_anywhere_is_an_error() {
    let text = text(100);
    for (name, encode) in ENCODERS {
        let coded = encode(&text);
        for end in 1..coded.len() {
            let cut = decode(name, &coded[..end], 512);
            assert_eq!(
                cut,
                Err(DecodeError::Truncated(name)),
                "{name} cut at {end}"
            );
        }
    }
}

#[test]
fn plain_text_that_claims_a_coding_is_an_error() {
    let page = b"<!doctype html><title>plain</title> and a little more text to read";
    for name in ["gzip", "deflate", "br", "zstd"] {
        assert!(decode(name, page, 4096).is_err(), "{name}");
    }
}

#[test]
fn a_flipped_bit_in_gzip_never_changes_what_is_read() {
    let text = text(100);
    let coded = gzip(&text);
    // The header's time, extra flags and system (bytes 4 to 9) carry nothing that is checked, and
    // the last byte of the data may end in padding.
    let mut noticed = 0;
    for at in 0..coded.len() {
        let mut broken = coded.clone();
        broken[at] ^= 0x10;
        match decode("gzip", &broken, 4096) {
            Ok(read) => assert_eq!(read, text, "byte {at}"),
            Err(_) => noticed += 1,
        }
    }
    assert!(noticed >= coded.len() - 7, "{noticed} of {}", coded.len());
}

#[test]
fn gzip_members_are_joined_and_what_follows_them_is_ignored() {
    let mut coded = gzip(b"one ");
    coded.extend(gzip(b"two"));
    for (tail, what) in [
        (&b""[..], "nothing"),
        (b"\0\0\0\0", "padding"),
        (b"\x1f", "half a magic"),
        (b"<!-- x -->", "text"),
    ] {
        let with_tail = [&coded[..], tail].concat();
        for slice in [1, 4096] {
            assert_eq!(
                decode("gzip", &with_tail, slice).unwrap(),
                b"one two",
                "{what} by {slice}"
            );
        }
    }
    coded.truncate(coded.len() - 3);
    assert_eq!(
        decode("gzip", &coded, 4096),
        Err(DecodeError::Truncated("gzip"))
    );
}

#[test]
fn zstd_frames_are_joined() {
    let coded = [zstandard(b"one "), zstandard(b"two")].concat();
    for slice in [1, 4096] {
        assert_eq!(decode("zstd", &coded, slice).unwrap(), b"one two");
    }
}

#[test]
fn a_window_beyond_eight_mebibytes_is_refused() {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(&text(100)).unwrap();
    let coded = encoder.finish().unwrap();
    assert!(matches!(
        decode("zstd", &coded, 4096),
        Err(DecodeError::Corrupt { .. })
    ));
}

#[test]
fn a_bomb_stops_at_the_limit_exactly() {
    let zeros = vec![0; 16 << 20];
    for (name, encode) in ENCODERS {
        let bomb = encode(&zeros);
        for slice in [512, usize::MAX] {
            let mut decoder = decoder(name, LIMIT).unwrap();
            let mut out = Vec::new();
            let mut fed = 0;
            let stopped = bomb.chunks(slice).try_for_each(|part| {
                fed += part.len();
                push(&mut decoder, part, &mut out)
            });
            assert_eq!(stopped, Err(DecodeError::TooLarge(LIMIT)), "{name}");
            assert_eq!(out.len() as u64, LIMIT, "{name}");
            let produced = decoder.stages[0].total;
            assert!(
                produced <= LIMIT + PIECE_BYTES as u64,
                "{name} inflated {produced} bytes"
            );
            assert!(
                slice == usize::MAX || fed <= 64 << 10,
                "{name} read {fed} bytes"
            );
        }
    }
}

#[test]
fn an_inner_layer_that_decodes_to_nothing_stops_at_the_limit_too() {
    let empty = gzip(b"");
    let many = empty.repeat(2 * LIMIT as usize / empty.len());
    let coded = gzip(&many);
    assert!(coded.len() < 64 << 10, "small on the wire: {}", coded.len());
    assert_eq!(
        decode("gzip, gzip", &coded, 4096),
        Err(DecodeError::TooLarge(LIMIT))
    );
}

proptest! {
    #[test]
    fn no_input_makes_a_decoder_panic_or_hang(
        noise in proptest::collection::vec(any::<u8>(), 0..2000),
        keep in 0usize..200,
        slice in 1usize..300,
    ) {
        for (name, encode) in ENCODERS {
            let _ = decode(name, &noise, slice);
            // A valid beginning leads deeper than noise does.
            let mut mixed = encode(&text(40));
            mixed.truncate(keep);
            mixed.extend(&noise);
            let _ = decode(name, &mixed, slice);
        }
    }
}
