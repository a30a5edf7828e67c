//! Which answers are tests for robots, or refusals because of who asks?
//!
//! Exact marks only: the markup and headers that a vendor's wall is made of. Words such as "access denied", the name of a CDN or
//! its script on a page are no marks: walls were found in requirements files and content policies that way.

use super::words::Cause;

/// One wall.
pub(super) struct Challenge {
    /// Whose it is.
    pub(super) vendor: &'static str,
    /// A test, or a refusal.
    pub(super) cause: Cause,
    /// The statuses it comes with; empty for any.
    pub(super) statuses: &'static [u16],
    /// A field that must be there, and what its value must begin with, in lower case.
    pub(super) header: Option<(&'static str, &'static str)>,
    /// Phrases that must all be on the page.
    pub(super) page: &'static [&'static str],
    /// Where this is known from.
    pub(super) source: &'static str,
}

const fn by_header(
    vendor: &'static str,
    cause: Cause,
    name: &'static str,
    value: &'static str,
    source: &'static str,
) -> Challenge {
    Challenge {
        vendor,
        cause,
        statuses: &[],
        header: Some((name, value)),
        page: &[],
        source,
    }
}

const fn by_page(
    vendor: &'static str,
    cause: Cause,
    statuses: &'static [u16],
    page: &'static [&'static str],
    source: &'static str,
) -> Challenge {
    Challenge {
        vendor,
        cause,
        statuses,
        header: None,
        page,
        source,
    }
}

/// Walls, the surest marks first.
#[rustfmt::skip]
pub(super) const CHALLENGES: &[Challenge] = &[
    by_header("Cloudflare", Cause::Challenge, "cf-mitigated", "challenge", "developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response"),
    by_header("AWS WAF", Cause::Challenge, "x-amzn-waf-action", "challenge", "docs.aws.amazon.com/waf/latest/developerguide/waf-captcha-and-challenge-actions.html"),
    by_header("AWS WAF", Cause::Challenge, "x-amzn-waf-action", "captcha", "docs.aws.amazon.com/waf/latest/developerguide/waf-captcha-and-challenge-actions.html"),
    by_header("Vercel", Cause::Challenge, "x-vercel-mitigated", "challenge", "vercel.com/docs/vercel-firewall"),
    by_header("Vercel", Cause::Block, "x-vercel-mitigated", "deny", "vercel.com/docs/vercel-firewall"),
    by_header("Sucuri", Cause::Block, "x-sucuri-block", "", "wafw00f plugins/sucuri.py"),
    // A page that Cloudflare itself wrote; titles alone are on honest pages too.
    Challenge { vendor: "Cloudflare", cause: Cause::Challenge, statuses: &[403, 429, 503], header: Some(("cf-ray", "")), page: &["<title>just a moment...</title>"], source: "WhatWaf captures of 2019 and 2020" },
    Challenge { vendor: "Cloudflare", cause: Cause::Block, statuses: &[403, 429, 503], header: Some(("cf-ray", "")), page: &["<title>attention required! | cloudflare</title>"], source: "WhatWaf capture of 2019" },
    Challenge { vendor: "Cloudflare", cause: Cause::Block, statuses: &[403], header: Some(("cf-ray", "")), page: &["/cdn-cgi/styles/cf.errors.css"], source: "WhatWaf capture of 2019" },
    Challenge { vendor: "Cloudflare", cause: Cause::Block, statuses: &[403, 429], header: Some(("cf-ray", "")), page: &["error code: 10"], source: "developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors" },
    by_page("Cloudflare", Cause::Challenge, &[403, 429, 503], &["/cdn-cgi/challenge-platform/", "_cf_chl_opt"], "developers.cloudflare.com/cloudflare-challenges"),
    by_page("DataDome", Cause::Block, &[401, 403], &["captcha-delivery.com/", "t=bv"], "docs.capsolver.com/guide/captcha/datadome"),
    by_page("DataDome", Cause::Challenge, &[401, 403], &["geo.captcha-delivery.com/captcha/"], "docs.capsolver.com/guide/captcha/datadome"),
    by_page("DataDome", Cause::Challenge, &[401, 403], &["geo.captcha-delivery.com/interstitial/"], "docs.capsolver.com/guide/captcha/datadome"),
    by_page("DataDome", Cause::Challenge, &[401, 403], &["ct.captcha-delivery.com/"], "docs.datadome.co/docs/faq"),
    by_page("HUMAN", Cause::Challenge, &[401, 403, 429], &["px-captcha"], "wafw00f plugins/perimeterx.py"),
    by_page("HUMAN", Cause::Block, &[401, 403, 429], &["client.perimeterx.net", "_pxappid"], "wafw00f plugins/perimeterx.py"),
    by_page("HUMAN", Cause::Block, &[403, 429], &["denied because we believe you are using automation tools"], "wafw00f plugins/perimeterx.py"),
    by_page("Imperva", Cause::Challenge, &[], &["_incapsula_resource?", "incident_id="], "incapsula-cracker-py3; on good pages there is no incident"),
    by_page("Imperva", Cause::Block, &[], &["incapsula incident id"], "wafw00f plugins/incapsula.py"),
    Challenge { vendor: "Akamai", cause: Cause::Block, statuses: &[], header: Some(("server", "akamaighost")), page: &["reference #18."], source: "WhatWaf captures" },
    by_page("Akamai", Cause::Block, &[403], &["you don't have permission to access", "reference #18."], "WhatWaf captures"),
    by_page("Akamai", Cause::Block, &[403, 429], &["errors.edgesuite.net/18."], "techdocs.akamai.com"),
    by_page("Vercel", Cause::Challenge, &[], &["<title>vercel security checkpoint</title>"], "wafw00f plugins/vercel.py"),
    by_page("AWS WAF", Cause::Challenge, &[202, 405], &["window.gokuprops"], "docs.aws.amazon.com/waf/latest/developerguide/waf-challenge-page"),
    Challenge { vendor: "CloudFront", cause: Cause::Block, statuses: &[403], header: None, page: &["generated by cloudfront (cloudfront)", "request blocked."], source: "docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/http-403-permission-denied.html" },
    by_page("F5 BIG-IP", Cause::Block, &[], &["the requested url was rejected. please consult with your administrator", "support id"], "wafw00f plugins/f5bigipasm.py"),
    by_page("Sucuri", Cause::Block, &[], &["sucuri website firewall - access denied"], "wafw00f plugins/sucuri.py"),
    by_page("SiteGround", Cause::Challenge, &[202, 403], &["/.well-known/sgcaptcha/"], "siteground.com/kb"),
    Challenge { vendor: "Kasada", cause: Cause::Challenge, statuses: &[403, 429], header: Some(("x-kpsdk-ct", "")), page: &[], source: "docs.kasada.io" },
    by_page("Google", Cause::Challenge, &[429, 503], &["our systems have detected unusual traffic from your computer network"], "support.google.com/websearch/answer/86640"),
    by_page("DDoS-Guard", Cause::Challenge, &[403, 503], &["check.ddos-guard.net/check.js"], "wafw00f plugins/ddosguard.py"),
    by_page("a web filter", Cause::Block, &[403, 502, 503], &["your request has been denied for security reason"], "WhatWaf #880: a refusal dressed as 502"),
];
