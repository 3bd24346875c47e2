//! A brake on who asks too often. The count of guesses does not rest on it: addresses are cheap.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// How often one source may ask.
pub struct Limits(DefaultKeyedRateLimiter<IpAddr>);

impl Limits {
    /// So many requests a minute, and as many at once.
    pub fn new(requests_a_minute: NonZeroU32) -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(requests_a_minute)))
    }

    /// Whether a source may ask now. Of IPv6, whoever has one address has the network of 64 bits around it.
    pub fn allow(&self, source: IpAddr) -> bool {
        let network = match source.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            address => address,
        };
        self.0.check_key(&network).is_ok()
    }

    /// Forgets those that have not asked for long. It looks at all of them: not for each request.
    pub fn forget_idle(&self) {
        self.0.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_or_a_network() {
        let limits = Limits::new(NonZeroU32::new(2).unwrap());
        let allow = |address: &str| limits.allow(address.parse().unwrap());
        assert!(allow("192.0.2.1") && allow("::ffff:192.0.2.1") && !allow("192.0.2.1"));
        limits.forget_idle();
        assert!(allow("192.0.2.2") && !allow("192.0.2.1"), "who has just asked is remembered");
        assert!(allow("2001:db8::1") && allow("2001:db8::2") && !allow("2001:db8::3") && allow("2001:db8:0:1::1"));
    }
}
