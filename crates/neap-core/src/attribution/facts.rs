//! What does the table ask of the evidence?
//!
//! Questions with a yes or a no, each answered from one thing that was seen. Nothing here decides.

use std::cell::OnceCell;
use std::time::Duration;

use super::evidence::{Evidence, Fields, Manner, Reply};
use super::phrases::Seen;
use super::products::{PRODUCTS, Product, Role, named};
use super::providers::{self, Says};
use super::proxy_status::{self, Origin};
use crate::route::{Phase, Way};

/// Largest page that still looks like nobody designed it, in bytes. The default pages of ten captured gateways have 0 to
/// 429; squid's, with its style sheet, 3.3 KB and a mark of its own.
const TINY: u64 = 1_024;

/// What is judged where nothing came.
static NOTHING: Reply = Reply {
    status: None,
    reason: None,
    headers: None,
    body: String::new(),
};

static NO_FIELDS: Fields = Fields::new();

/// The evidence, and what was worked out of it once.
pub(super) struct Facts<'a> {
    /// All of it.
    pub(super) evidence: &'a Evidence,
    /// What is judged: the refusal of a CONNECT, else the answer.
    pub(super) reply: &'a Reply,
    /// What a provider says in fields of its own.
    pub(super) provider: Option<Says>,
    /// Who says in `Proxy-Status` that it made the answer.
    pub(super) status_origin: Option<Origin>,
    /// Phrases on the page, in the reason phrase and in `X-Squid-Error`.
    pub(super) seen: Seen,
    /// Whose default page it is.
    pub(super) page_of: Option<&'static Product>,
    /// Whom `Server` names.
    pub(super) named: Option<&'static Product>,
    /// The page's title and first heading in lower case, once somebody asks: most answers are no errors.
    titles: OnceCell<[String; 2]>,
    fields: &'a Fields,
}

impl<'a> Facts<'a> {
    /// Works them out; `without` is a product that is taken for unknown.
    pub(super) fn of(evidence: &'a Evidence, without: Option<&str>) -> Facts<'a> {
        let reply = refusal(evidence)
            .or(evidence.answer.as_ref())
            .unwrap_or(&NOTHING);
        let fields = reply.headers.as_ref().unwrap_or(&NO_FIELDS);
        let page = Seen::of(&reply.body);
        let told = [reply.reason.as_deref(), fields.get("x-squid-error")];
        let told = Seen::of(&told.into_iter().flatten().collect::<Vec<_>>().join("\n"));
        let is_known = |product: &&Product| Some(product.name) != without;
        let has_page =
            |product: &&Product| product.pages.iter().any(|phrases| page.has_all(phrases));
        let is_error = reply.status.is_none_or(|status| status >= 400);
        let page_of = is_error.then(|| PRODUCTS.iter().filter(is_known).find(has_page));
        let named = fields.get("server").and_then(named).filter(is_known);
        Facts {
            provider: providers::says(reply),
            status_origin: proxy_status::origin(reply),
            seen: page.or(told),
            page_of: page_of.flatten(),
            named,
            titles: OnceCell::new(),
            evidence,
            fields,
            reply,
        }
    }

    // The way.

    /// Whether the request went through an HTTP proxy that reads it, as far as is known.
    pub(super) fn is_plain(&self) -> bool {
        self.evidence.way == Some(Way::Plain) || self.reads_along()
    }

    /// Whether it is not known that no proxy could have written the answer.
    pub(super) fn may_be_proxy(&self) -> bool {
        self.is_plain() || self.evidence.way.is_none() || self.is_refusal()
    }

    /// Whether some proxy was asked.
    pub(super) fn has_proxy(&self) -> bool {
        let way = self.evidence.way;
        way.is_some_and(|way| way != Way::Direct)
            || self.evidence.connect.is_some()
            || self.evidence.socks_reply.is_some()
    }

    /// Whether somebody reads the tunnel: then answers inside may be the proxy's.
    pub(super) fn reads_along(&self) -> bool {
        self.evidence.is_intercepted == Some(true)
    }

    /// Whether a tunnel is known to be open: what follows is inside it.
    pub(super) fn is_inside_tunnel(&self) -> bool {
        let opened = |reply: &Reply| {
            reply
                .status
                .is_some_and(|status| (200..300).contains(&status))
        };
        let is_open = self.evidence.connect.as_ref().is_some_and(opened);
        is_open || (self.evidence.way == Some(Way::Tunnel) && self.evidence.answer.is_some())
    }

    // What broke.

    /// Whether the exchange broke in this phase in one of these manners; any manner if none is given.
    pub(super) fn broke(&self, phase: Phase, manners: &[Manner]) -> bool {
        let is_it = |at: super::evidence::Break| {
            at.phase == phase && (manners.is_empty() || manners.contains(&at.manner))
        };
        self.evidence.broken.is_some_and(is_it)
    }

    /// Whether it broke in this manner.
    pub(super) fn broke_by(&self, manner: Manner) -> bool {
        self.evidence.broken.is_some_and(|at| at.manner == manner)
    }

    /// Whether an answer's body ended before its end.
    pub(super) fn is_cut(&self) -> bool {
        self.evidence.body.is_complete == Some(false)
            || (self.broke(Phase::Body, &[]) && !self.broke_by(Manner::TooLarge))
    }

    // The reply.

    /// Whether CONNECT was answered with another status than 2xx.
    pub(super) fn is_refusal(&self) -> bool {
        refusal(self.evidence).is_some()
    }

    /// Whether there is a reply with a status.
    pub(super) fn is_answered(&self) -> bool {
        self.reply.status.is_some()
    }

    /// The status, 0 if there is none.
    pub(super) fn status(&self) -> u16 {
        self.reply.status.unwrap_or(0)
    }

    /// Whether the status is an error.
    pub(super) fn is_error(&self) -> bool {
        self.status() >= 400
    }

    /// Whether the status is one that gateways give: 500, 502, 503, 504.
    pub(super) fn is_gateway_status(&self) -> bool {
        matches!(self.status(), 500 | 502 | 503 | 504)
    }

    /// Whether the header is known.
    pub(super) fn has_header(&self) -> bool {
        self.reply.headers.is_some()
    }

    /// Whether the header is known and has no field at all.
    pub(super) fn is_bare(&self) -> bool {
        self.has_header() && self.fields.is_empty()
    }

    /// A field of the reply; `name` in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// Whether there is a field; `name` in lower case.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.has(name)
    }

    /// Whether a field begins so, in lower case.
    pub(super) fn field_begins(&self, name: &str, prefix: &str) -> bool {
        self.fields.all(name).any(|value| {
            value
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
    }

    /// How many hops `Via` names.
    pub(super) fn hops(&self) -> usize {
        let members = self.fields.all("via").flat_map(|value| value.split(','));
        members.filter(|member| !member.trim().is_empty()).count()
    }

    /// Whether the page is of a product of this role.
    pub(super) fn has_page_of(&self, role: Role) -> bool {
        self.page_of.is_some_and(|product| product.role == role)
    }

    /// Whether the page is of this product.
    pub(super) fn is_page_of(&self, name: &str) -> bool {
        self.page_of.is_some_and(|product| product.name == name)
    }

    /// Whether `Server` names a product of this role.
    pub(super) fn is_named(&self, role: Role) -> bool {
        self.named.is_some_and(|product| product.role == role)
    }

    /// Whether the body is known to be empty.
    pub(super) fn is_bodiless(&self) -> bool {
        self.reply.body.is_empty() && self.evidence.body.bytes.is_none_or(|bytes| bytes == 0)
    }

    /// Whether the body is too small for a page that somebody designed.
    pub(super) fn is_tiny(&self) -> bool {
        let bytes = self.reply.body.len() as u64;
        self.evidence.body.bytes.unwrap_or(bytes).max(bytes) <= TINY
    }

    /// Whether the body is a tiny page that says the status, or its reason, in title or heading and little else: what
    /// products show when nobody has designed an error page.
    pub(super) fn is_default_page(&self) -> bool {
        let says = |text: &String| self.says_status(text);
        self.is_html() && self.is_tiny() && self.titles().iter().any(says)
    }

    /// Whether the body is such a page and gives the number of the status too, which frameworks rarely do.
    pub(super) fn says_number(&self) -> bool {
        let number = self.status().to_string();
        self.titles().iter().any(|text| text.contains(&number))
    }

    fn titles(&self) -> &[String; 2] {
        self.titles.get_or_init(|| {
            let body = self.reply.body.to_ascii_lowercase();
            [("<title", "</title>"), ("<h1", "</h1>")]
                .map(|(open, close)| between(&body, open, close))
        })
    }

    fn says_status(&self, text: &str) -> bool {
        let text = text.trim();
        let text = text.strip_prefix("error").unwrap_or(text).trim();
        let number = self.status().to_string();
        let text = text.strip_prefix(number.as_str()).unwrap_or(text);
        let text = text.trim_matches([' ', ':', '-', '.', '|']);
        let own = self
            .reply
            .reason
            .as_deref()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let standard = http::StatusCode::from_u16(self.status()).ok();
        let standard = standard
            .and_then(|status| status.canonical_reason())
            .unwrap_or_default();
        !text.is_empty()
            && (text == own
                || text == standard.to_ascii_lowercase()
                || text == "gateway time-out"
                || text == "service temporarily unavailable"
                || text == "proxy error")
    }

    /// Whether the body is nothing but the reason phrase of the status.
    pub(super) fn is_reason_only(&self) -> bool {
        let body = self.reply.body.trim().to_ascii_lowercase();
        !body.is_empty() && body.len() < 64 && !body.contains('<') && self.says_status(&body)
    }

    /// Whether the body is HTML, or nothing says that it is not.
    pub(super) fn is_html(&self) -> bool {
        let is_typed = self.field_begins("content-type", "text/html");
        let is_marked = self.reply.body.trim_start().starts_with('<');
        is_typed || (is_marked && !self.has("content-type"))
    }

    /// Whether the body is JSON.
    pub(super) fn is_json(&self) -> bool {
        self.field("content-type").is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            value.starts_with("application/json") || value.contains("+json")
        })
    }

    /// Whether the reply has what only an application writes: a session, its framework's name, its own request id, or
    /// a page with links, styles or scripts of the site.
    pub(super) fn has_app_marks(&self) -> bool {
        const FIELDS: [&str; 11] = [
            "set-cookie",
            "x-powered-by",
            "x-request-id",
            "x-runtime",
            "x-aspnet-version",
            "x-correlation-id",
            "x-drupal-cache",
            "x-generator",
            "content-security-policy",
            "access-control-allow-origin",
            "x-frame-options",
        ];
        self.is_json() || FIELDS.iter().any(|field| self.has(field)) || self.has_site_markup()
    }

    fn has_site_markup(&self) -> bool {
        const MARKS: [&str; 5] = [
            "<nav",
            "<script src",
            "<link rel=stylesheet",
            "href=/",
            "href=\"/",
        ];
        let body = &self.reply.body;
        self.is_html() && MARKS.iter().any(|mark| body.contains(mark))
    }

    /// Whether a body that should be text has bytes that no text has.
    pub(super) fn is_binary(&self) -> bool {
        let control = |c: char| c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c');
        self.reply.body.chars().take(64).any(control)
    }

    /// Whether the reply took long enough to be the end of somebody's patience.
    pub(super) fn is_slow(&self) -> bool {
        self.elapsed()
            .is_some_and(|elapsed| elapsed >= super::causes::SLOW)
    }

    /// Whether the body stopped coming long after it began, or took that long in all.
    pub(super) fn is_slow_body(&self) -> bool {
        let elapsed = self.evidence.elapsed;
        self.broke_by(Manner::Timeout) || elapsed.is_some_and(|all| all >= super::causes::SLOW)
    }

    /// How long it took until the reply came, or until there was none.
    pub(super) fn elapsed(&self) -> Option<Duration> {
        self.evidence.first_byte.or(self.evidence.elapsed)
    }
}

/// The answer to CONNECT, if it is none that opens a tunnel.
fn refusal(evidence: &Evidence) -> Option<&Reply> {
    let reply = evidence.connect.as_ref()?;
    let is_other = reply
        .status
        .is_some_and(|status| !(200..300).contains(&status));
    is_other.then_some(reply)
}

/// The text of the first such element of a page in lower case, without what is marked up within it.
fn between(body: &str, open: &str, close: &str) -> String {
    let found = body.find(open).and_then(|start| {
        let rest = &body[start..];
        let inner = &rest[rest.find('>')? + 1..];
        Some(&inner[..inner.find(close)?])
    });
    let mut text = String::new();
    let mut is_markup = false;
    for c in found.unwrap_or_default().chars().take(200) {
        match c {
            '<' => is_markup = true,
            '>' => is_markup = false,
            c if !is_markup => text.push(c),
            _ => {}
        }
    }
    text.trim().to_owned()
}
