//! The limits of the way out.

use std::time::Duration;

/// Addresses of a name that are tried.
pub(super) const ADDRESSES_MAX: usize = 16;
/// The next address is tried when the one before is silent for so long. Source: RFC 8305, section 5.
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Lookups at once in one runtime: each occupies a thread for as long as the system's resolver waits.
pub(super) const LOOKUPS_MAX: usize = 64;
/// Lookups of one run among them: threads that were given up go on waiting, and one run must not take them all.
pub(super) const LOOKUPS_OF_RUN_MAX: usize = 4;

/// How long the name of an address is believed, or that it has none: a traceroute that is run again looks at the same
/// routers, and names change with zones, which live longer.
pub(super) const NAME_MAX_AGE: Duration = Duration::from_secs(60);
/// How long somebody waits for a name: the first attempt of most resolvers. What comes later is kept.
pub(super) const NAME_TIME: Duration = Duration::from_secs(5);
/// Addresses whose names are remembered: a hundred traceroutes of forty hops.
pub(super) const NAMES_MAX: usize = 4096;
/// Addresses that are looked up at once, apart from names, which must not wait for a reverse zone that is silent.
pub(super) const NAMES_AT_ONCE_MAX: usize = 64;
/// Those of one run among them: half of a long way.
pub(super) const NAMES_OF_RUN_MAX: usize = 16;
/// The longest name of the DNS as text. Source: RFC 1035, section 2.3.4.
pub(super) const NAME_MAX_BYTES: usize = 253;

/// How long the list of our own addresses is believed. Addresses come and go with links and leases, which
/// take longer; one that is newer than this is still found by the check of the peer.
pub(super) const INTERFACES_MAX_AGE: Duration = Duration::from_secs(5);

/// How long the addresses of a protected endpoint are believed before its name is looked up again.
pub(super) const ENDPOINTS_MAX_AGE: Duration = Duration::from_secs(10);
/// How long a connection waits for that lookup, before it goes by the addresses that are known.
pub(super) const ENDPOINT_LOOKUP_TIME: Duration = Duration::from_secs(2);
/// How long an address of a protected endpoint stays protected after the last lookup that gave it: balancers
/// give a part of their addresses at a time.
pub(super) const ENDPOINT_MEMORY: Duration = Duration::from_secs(600);
/// Addresses of protected endpoints that are remembered. A name that has more of them in ten minutes is
/// not a name of one service.
pub(super) const ENDPOINT_ADDRESSES_MAX: usize = 1024;

/// A question that got no answer is asked again after this time, from another port.
pub(super) const DNS_ATTEMPT_TIME: Duration = Duration::from_secs(2);
/// How often one question is asked: two lost packets in a row are survived.
pub(super) const DNS_ATTEMPTS: u32 = 3;
/// Time for an answer over TCP, from the connection to its last byte.
pub(super) const DNS_TCP_TIME: Duration = Duration::from_secs(5);
/// Once one family has addresses, the other's answer is waited for this long: one lost packet must not
/// cost three attempts, and a slow answer should still be seen.
pub(super) const DNS_SECOND_FAMILY_TIME: Duration = Duration::from_secs(1);
/// Datagrams that are not the answer and are passed over in one attempt. Forgers send many.
pub(super) const DNS_STRAYS_MAX: usize = 64;
/// Bytes of an answer over UDP that are read: without EDNS a server sends at most 512 (RFC 1035), and what
/// is longer than this is not an answer to us.
pub(super) const DNS_UDP_MAX_BYTES: usize = 4096;
/// Aliases that are followed inside one answer. Real chains have up to about 8.
pub(super) const DNS_ALIASES_MAX: usize = 16;
/// Text of all records of one answer. Real ones have a few KiB; one of 64 KiB whose names point to each other would
/// have 8 MiB.
pub(super) const DNS_ANSWER_TEXT_MAX_BYTES: usize = 1024 * 1024;
/// The longest that one question of the import `dns` takes, retries and TCP included.
pub(super) const DNS_QUERY_TIME: Duration = Duration::from_secs(15);
/// Bytes of the system's list of resolvers that are read.
pub(super) const RESOLV_CONF_MAX_BYTES: u64 = 64 * 1024;
