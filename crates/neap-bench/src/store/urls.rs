//! Which URLs does the store hold, and where do pages lead?
//!
//! 75 bytes each on average, spread over hosts of which few are large: host `n` of `N` has its share as
//! `(n / N)^(1/3)` grows, so that half of the URLs are on an eighth of the hosts. Links come in blocks of 40,
//! as on the pages of a site: four of five lead to one host.

use neap_core::CanonicalUrl;

use crate::site::Dice;

/// URLs of a block, and how many of each five in it are on the block's own host.
const BLOCK: u64 = 40;
const AT_HOME_OF_FIVE: u64 = 4;

/// All URLs that were handed out so far: those of each host are numbered from zero.
#[derive(Debug)]
pub(super) struct Urls {
    of_host: Vec<u32>,
    dice: Dice,
    home: usize,
    left_of_block: u64,
}

impl Urls {
    pub(super) fn new(hosts: u32) -> Urls {
        Urls {
            of_host: vec![0; hosts as usize],
            dice: Dice::new(42),
            home: 0,
            left_of_block: 0,
        }
    }

    /// A URL that was not there before, the next of its block.
    pub(super) fn fresh(&mut self) -> CanonicalUrl {
        if self.left_of_block == 0 {
            self.left_of_block = BLOCK;
            self.home = self.any_host();
        }
        self.left_of_block -= 1;
        let host = self.near(self.home);
        self.fresh_on(host)
    }

    /// A URL that was not there before, as a page of `host` links to it.
    pub(super) fn fresh_near(&mut self, host: usize) -> CanonicalUrl {
        let host = self.near(host);
        self.fresh_on(host)
    }

    /// A URL that is there already, any one of its host, as a page of `host` links to it.
    pub(super) fn known_near(&mut self, host: usize) -> CanonicalUrl {
        let host = self.near(host);
        let known = u64::from(self.of_host[host]);
        match known {
            0 => self.fresh_on(host),
            known => url(host, self.dice.next() % known),
        }
    }

    /// One of the 40 URLs that the pages of a section of `host` all link to.
    pub(super) fn of_menu(&mut self, host: usize) -> CanonicalUrl {
        let host = self.near(host);
        let known = u64::from(self.of_host[host]);
        match known {
            0 => self.fresh_on(host),
            known => url(host, self.dice.next() % known.min(BLOCK)),
        }
    }

    /// The host that a URL of these is on.
    pub(super) fn host_of(url: &CanonicalUrl) -> usize {
        let name = url.url().host_str().unwrap_or_default();
        let number = name.trim_start_matches("www.my-shop-");
        number
            .split('.')
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    }

    fn fresh_on(&mut self, host: usize) -> CanonicalUrl {
        let number = self.of_host[host];
        self.of_host[host] += 1;
        url(host, u64::from(number))
    }

    fn near(&mut self, home: usize) -> usize {
        if self.dice.next() % 5 < AT_HOME_OF_FIVE {
            home
        } else {
            self.any_host()
        }
    }

    fn any_host(&mut self) -> usize {
        let share = (self.dice.next() % (1 << 30)) as f64 / f64::from(1 << 30);
        (share.powi(3) * self.of_host.len() as f64) as usize
    }
}

fn url(host: usize, number: u64) -> CanonicalUrl {
    let section = number % 97;
    let text = format!(
        "https://www.my-shop-{host}.example/catalogue/section-{section:02}/article-{number:08}.html"
    );
    CanonicalUrl::parse(&text).expect("a URL made of numbers is valid")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn urls_are_new_when_they_say_so_and_as_long_as_said() {
        let mut urls = Urls::new(20_000);
        let fresh: Vec<_> = (0..10_000).map(|_| urls.fresh()).collect();
        let texts: BTreeSet<&str> = fresh.iter().map(CanonicalUrl::as_str).collect();
        assert_eq!(texts.len(), 10_000);
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        assert!((74..=76).contains(&(bytes / 10_000)), "{bytes}");
        let host = Urls::host_of(&fresh[0]);
        for _ in 0..100 {
            let known = urls.known_near(host);
            let was_there = texts.contains(known.as_str());
            assert!(was_there || urls.of_host[Urls::host_of(&known)] == 1);
        }
        let first = fresh.iter().take(BLOCK as usize);
        let at_home = first.filter(|url| Urls::host_of(url) == host).count();
        assert!((20..=40).contains(&at_home), "{at_home}");
    }
}
