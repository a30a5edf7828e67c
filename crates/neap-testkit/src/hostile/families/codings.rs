//! What if a coding unpacks to far more than came, is broken, or is not what its header says?

use bytes::Bytes;

use crate::coding::Coding;
use crate::reply::Reply;

use super::super::call::Call;

/// What good bodies hold.
const TEXT: &str = "<p>hostile</p>";

pub(super) fn reply(call: &Call<'_>) -> Option<Reply> {
    let gzip = || Coding::Gzip.encode(TEXT.as_bytes());
    let coded = |name: &'static str, body: Bytes| {
        Reply::ok(body)
            .header("content-type", "text/html")
            .header("content-encoding", name)
    };
    Some(match call.case {
        "gzip-bomb" => bomb(call, Coding::Gzip),
        "br-bomb" => bomb(call, Coding::Brotli),
        "zstd-bomb" => bomb(call, Coding::Zstd),
        "deflate-bomb" => bomb(call, Coding::Deflate),
        // A frame that wants a window of 2 GiB (RFC 8878, section 3.1.1.1.2), and one block of a repeated byte.
        "zstd-window" => coded(
            "zstd",
            Bytes::from_static(&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x0b, 0x00, 0x08, 0x41]),
        ),
        "deflate-raw" => Reply::ok(TEXT).encoded(Coding::RawDeflate),
        "stacked" => {
            let depth = call.small("depth", 10).min(1000);
            (0..depth).fold(Reply::ok(TEXT), |reply, _| reply.encoded(Coding::Gzip))
        }
        "truncated" => coded("gzip", gzip().slice(..gzip().len() - 10)),
        "bad-crc" => {
            let mut bytes = gzip().to_vec();
            let at = bytes.len() - 8;
            bytes[at] ^= 1;
            coded("gzip", bytes.into())
        }
        "lying" => coded("gzip", Bytes::from_static(TEXT.as_bytes())),
        "unlabelled" => Reply::ok(gzip()).header("content-type", "application/octet-stream"),
        "unknown" => coded("hostile", gzip()),
        "multi-member" => coded("gzip", [gzip(), gzip()].concat().into()),
        "trailing-garbage" => coded("gzip", [&gzip()[..], b"garbage"].concat().into()),
        _ => return None,
    })
}

/// Zeros, packed once and kept.
fn bomb(call: &Call<'_>, coding: Coding) -> Reply {
    let out = call.number("out", 1 << 30);
    let name = format!("{coding:?} {out}");
    let packed = call.shared.once(&name, || coding.bomb(out));
    Reply::ok(packed)
        .header("content-type", "text/html")
        .header("content-encoding", coding.name())
}
