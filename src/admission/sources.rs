//! Those who are not known yet. Who fails to say who it is, over and over, is not listened to for a while, longer each time;
//! who comes to no request is not shaken hands with. A refusal here costs a look into a table: nobody waits for it, and
//! nothing is held. Who has no room in the table of those who are told apart shares one rate with all others like that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::keys::{Keys, short};
use super::refusal::told;
use super::{FailuresSection, StrangersSection};
use crate::clock::Clock;
use crate::cluster::{Claim, Cluster, Draw, Dry, Fades, Full, Memory, Purpose, Rate, Shelf};
use crate::error::{Code, Failure};
use crate::identity::{Network, PeerIdentity};

const MINUTE: Duration = Duration::from_secs(60);

/// What is remembered of sources; it outlives a reload.
pub(super) struct Sources {
    failing: Shelf<Failing>,
    /// Whether there is any, so that nobody looks for nothing.
    any: AtomicBool,
    /// Whether a source could not be told apart since the last sweep.
    crowded: AtomicBool,
    handshakes: Cluster,
    /// The same of a network.
    thronged: AtomicBool,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            failing: Shelf::default(),
            any: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            // Apart from the buckets of callers, which no stranger may fill.
            handshakes: Cluster::Memory(Memory::new(0)),
            thronged: AtomicBool::new(false),
        }
    }
}

/// A source of which tokens were refused.
struct Failing {
    /// How many, less those that good ones made up for.
    times: u32,
    /// Until when it is not listened to.
    deaf: u64,
    forget: u64,
    /// When a token that was sent again last made up for one.
    eased: u64,
}

impl Fades for Failing {
    fn until(&self) -> u64 {
        self.forget
    }
}

/// What one configuration says of them.
pub(super) struct Wariness {
    failures: FailuresSection,
    strangers: StrangersSection,
    handshakes: Rate,
    /// One rate for all sources that cannot be told apart, and one for all such networks.
    unheard: Others,
    ungreeted: Others,
}

type Others = RateLimiter<NotKeyed, InMemoryState, Ticking, NoOpMiddleware<Instant>>;

/// Governor's view of our clock.
#[derive(Clone)]
struct Ticking(Clock);

impl governor::clock::Clock for Ticking {
    type Instant = Instant;

    fn now(&self) -> Instant {
        self.0.instant()
    }
}

impl Wariness {
    pub(super) fn new(failures: &FailuresSection, strangers: &StrangersSection, clock: &Clock) -> Self {
        let per = |count: u32| std::num::NonZeroU32::new(count).unwrap_or(std::num::NonZeroU32::MIN);
        let quota = Quota::per_minute(per(strangers.handshakes_per_minute)).allow_burst(per(strangers.burst));
        let others = || RateLimiter::direct_with_clock(quota, Ticking(clock.clone()));
        Self {
            failures: failures.clone(),
            strangers: strangers.clone(),
            handshakes: Rate::new(strangers.handshakes_per_minute, MINUTE, strangers.burst),
            unheard: others(),
            ungreeted: others(),
        }
    }
}

/// Whether one of those who are not told apart may go on.
fn one_of(others: &Others, code: Code) -> Result<(), Failure> {
    others.check().map_err(|until| {
        let wait = until.wait_time_from(others.clock().now());
        Failure::new(code, "too many strangers at a time; try again later").until(wait)
    })
}

impl Sources {
    /// Whether a network may shake hands.
    pub(super) fn greet(&self, from: Network, keys: &Keys, wariness: &Wariness, now: Instant) -> Result<(), Failure> {
        let draw = Draw { key: keys.network(from), rates: [Some(wariness.handshakes), None] };
        match self.handshakes.draw(&[draw], 0, 0, now, Purpose::Look) {
            Err(Dry::Used { wait, .. }) => {
                let text =
                    format!("too many handshakes from there were refused; the next is possible in {}", told(wait));
                Err(Failure::new(Code::TooManyHandshakes, text).until(wait))
            }
            // Who has a place in the table, or could have one, is judged by what itself does.
            Ok(())
                if self.thronged.load(Ordering::Relaxed)
                    && !self.handshakes.has_room(
                        draw.key,
                        of_neighbours(from, keys),
                        wariness.strangers.max_sources,
                    ) =>
            {
                one_of(&wariness.ungreeted, Code::TooManyHandshakes)
            }
            Ok(()) | Err(Dry::Full) => Ok(()),
        }
    }

    /// A handshake was refused.
    pub(super) fn stumbled(&self, from: Network, keys: &Keys, wariness: &Wariness, now: Instant) {
        let draw = Draw { key: keys.network(from), rates: [Some(wariness.handshakes), None] };
        let (owner, room) = (of_neighbours(from, keys), wariness.strangers.max_sources);
        if self.handshakes.draw(&[draw], owner, room, now, Purpose::Take) == Err(Dry::Full) {
            self.thronged.store(true, Ordering::Relaxed);
        }
    }

    /// Whether what a source presents is looked at.
    pub(super) fn listen(
        &self,
        peer: &PeerIdentity,
        keys: &Keys,
        wariness: &Wariness,
        now: u64,
    ) -> Result<(), Failure> {
        if !self.any.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.failing.look(keys.source(peer), |source| source.deaf.saturating_sub(now)) {
            Some(0) => Ok(()),
            Some(wait) => {
                let wait = Duration::from_nanos(wait);
                let text = format!("too many tokens from there were refused; the next is looked at in {}", told(wait));
                Err(Failure::new(Code::TooManyFailures, text).until(wait))
            }
            // Who could be told apart is: what one certificate has filled is its own share of the table.
            None if self.crowded.load(Ordering::Relaxed) && !self.failing.has_room(&claim(peer, keys, wariness)) => {
                one_of(&wariness.unheard, Code::TooManyFailures)
            }
            None => Ok(()),
        }
    }

    /// What it presented was refused.
    pub(super) fn failed(&self, peer: &PeerIdentity, keys: &Keys, wariness: &Wariness, now: u64) {
        let (section, claim) = (&wariness.failures, claim(peer, keys, wariness));
        let longest = nanos(section.longest_wait);
        let count = |source: &mut Failing| {
            if now >= source.forget {
                source.times = 0;
            }
            // Beyond the longest wait there is nothing to count.
            if wait_after(source.times, section) < longest {
                source.times = source.times.saturating_add(1);
            }
            let wait = wait_after(source.times, section);
            // Without a wait it stays as it is: requests at the same time have read the clock before this one, too.
            if wait > 0 {
                source.deaf = now.saturating_add(wait);
            }
            source.forget = now.saturating_add(wait).saturating_add(longest);
        };
        self.any.store(true, Ordering::Relaxed);
        if self.failing.change(&claim, now, || Failing { times: 0, deaf: 0, forget: 0, eased: now }, count) == Err(Full)
        {
            self.crowded.store(true, Ordering::Relaxed);
        }
    }

    /// What it presented was good, and makes up for one that was not; no more, or one good token would pay for any number of
    /// guesses. One that is not fresh can be sent as often as anybody likes, so it does only as many times as failures are free in
    /// the longest wait.
    pub(super) fn proved(
        &self,
        peer: &PeerIdentity,
        fresh: bool,
        keys: &Keys,
        wariness: &Wariness,
        now: impl FnOnce() -> u64,
    ) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let FailuresSection { free, longest_wait, .. } = &wariness.failures;
        let pace = nanos(*longest_wait).checked_div(u64::from(*free).max(1)).unwrap_or(u64::MAX);
        let now = now();
        self.failing.alter(keys.source(peer), |source| {
            if !fresh {
                if now < source.eased.saturating_add(pace) {
                    return;
                }
                source.eased = now;
            }
            source.times = source.times.saturating_sub(1);
            if source.times == 0 {
                source.forget = source.deaf;
            }
        });
    }

    pub(super) fn sweep(&self, now: Instant, nanos: u64) {
        self.crowded.store(false, Ordering::Relaxed);
        self.thronged.store(false, Ordering::Relaxed);
        self.handshakes.sweep(now);
        self.failing.sweep(nanos);
        if self.failing.is_empty() {
            self.any.store(false, Ordering::Relaxed);
        }
    }

    /// How many networks and sources are remembered.
    pub(super) fn len(&self) -> usize {
        self.failing.len().saturating_add(self.handshakes.buckets())
    }
}

fn claim(peer: &PeerIdentity, keys: &Keys, wariness: &Wariness) -> Claim {
    Claim { key: keys.source(peer), owner: short(keys.holder(peer)), room: wariness.strangers.max_sources }
}

fn of_neighbours(from: Network, keys: &Keys) -> u64 {
    short(keys.of([b"neighbours".as_slice(), &neighbours(from)]))
}

/// Nanoseconds of refusal after so many refusals in a row.
fn wait_after(times: u32, section: &FailuresSection) -> u64 {
    let Some(over) = times.checked_sub(section.free).and_then(|over| over.checked_sub(1)) else { return 0 };
    let doubled = 1_u64.checked_shl(over).unwrap_or(u64::MAX);
    nanos(section.first_wait.saturating_mul(doubled).min(section.longest_wait))
}

fn nanos(seconds: u64) -> u64 {
    seconds.saturating_mul(1_000_000_000)
}

/// Networks that one party is likely to have: an IPv6 /32, an IPv4 /16.
fn neighbours(network: Network) -> Vec<u8> {
    match network.address() {
        std::net::IpAddr::V4(address) => address.octets().into_iter().take(2).collect(),
        std::net::IpAddr::V6(address) => address.octets().into_iter().take(4).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::clock::Timestamp;

    const SECOND: u64 = 1_000_000_000;

    fn wariness(free: u32, max_sources: usize, clock: &Clock) -> Wariness {
        let strangers = StrangersSection { handshakes_per_minute: 60, burst: 5, max_sources };
        Wariness::new(&FailuresSection { free, first_wait: 1, longest_wait: 60 }, &strangers, clock)
    }

    fn clock() -> Clock {
        Clock::manual(Timestamp::from_seconds(0))
    }

    #[test]
    fn who_fails_over_and_over_waits_longer_and_longer() {
        let (sources, keys, clock) = (Sources::default(), Keys::new(), clock());
        let wary = wariness(3, 16_384, &clock);
        let (bad, good) = (PeerIdentity::Unix { uid: 1, gid: 1, pid: None }, PeerIdentity::Stdio { uid: 2 });
        let mut now = SECOND;
        for _ in 0..3 {
            sources.failed(&bad, &keys, &wary, now);
            assert!(sources.listen(&bad, &keys, &wary, now).is_ok(), "so many are free");
            assert!(sources.listen(&bad, &keys, &wary, now - 1).is_ok(), "also for those who came just before");
        }
        let mut waits = Vec::new();
        for _ in 0..9 {
            sources.failed(&bad, &keys, &wary, now);
            let refused = sources.listen(&bad, &keys, &wary, now).unwrap_err();
            assert_eq!(refused.code(), Code::TooManyFailures);
            assert!(sources.listen(&good, &keys, &wary, now).is_ok(), "nobody else waits");
            let wait = refused.wait().unwrap();
            now += u64::try_from(wait.as_nanos()).unwrap();
            assert!(sources.listen(&bad, &keys, &wary, now).is_ok());
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        sources.sweep(clock.instant(), now + 60 * SECOND);
        assert_eq!((sources.len(), sources.any.load(Ordering::Relaxed)), (0, false), "who stops is forgotten");
        assert!(sources.listen(&bad, &keys, &wary, now + 60 * SECOND).is_ok());
    }

    /// How many guesses are looked at within ten minutes, ten of them tried a second and each followed by so many good tokens;
    /// the longest wait is a minute.
    #[expect(clippy::arithmetic_side_effects, reason = "sums of a few small numbers")]
    fn guesses(fresh: bool, good_ones: usize) -> usize {
        let (sources, keys, clock) = (Sources::default(), Keys::new(), clock());
        let wary = wariness(20, 16_384, &clock);
        let peer = PeerIdentity::Unix { uid: 1, gid: 1, pid: None };
        let mut made = 0;
        for step in 0..6000 {
            let now = SECOND + step * SECOND / 10;
            if sources.listen(&peer, &keys, &wary, now).is_ok() {
                sources.failed(&peer, &keys, &wary, now);
                made += 1;
            }
            for _ in 0..good_ones {
                if sources.listen(&peer, &keys, &wary, now).is_ok() {
                    sources.proved(&peer, fresh, &keys, &wary, || now);
                }
            }
        }
        made
    }

    #[test]
    fn a_good_token_makes_up_for_one_refusal_and_one_that_is_sent_again_seldom_does() {
        assert!(guesses(true, 0) < 50, "{}", guesses(true, 0));
        assert_eq!(guesses(true, 1), 6000, "as many good ones as bad ones never wait");
        let again = guesses(false, 50);
        assert!(again < 20 + 10 * 20 + 50, "one of them for three seconds, however often it is sent: {again}");
    }

    #[test]
    fn a_good_token_takes_nothing_off_a_wait_that_has_begun() {
        let (sources, keys, clock) = (Sources::default(), Keys::new(), clock());
        let wary = wariness(0, 16_384, &clock);
        let peer = PeerIdentity::Unix { uid: 1, gid: 1, pid: None };
        sources.failed(&peer, &keys, &wary, SECOND);
        // It was under way when the failure was counted.
        sources.proved(&peer, true, &keys, &wary, || SECOND);
        assert!(sources.listen(&peer, &keys, &wary, SECOND).is_err());
        assert!(sources.listen(&peer, &keys, &wary, 2 * SECOND).is_ok());
        sources.sweep(clock.instant(), 2 * SECOND);
        assert_eq!(sources.len(), 0, "all is made up for");
    }

    #[test]
    fn a_network_whose_handshakes_fail_is_not_greeted_for_a_while() {
        let (sources, keys, clock) = (Sources::default(), Keys::new(), clock());
        let wary = wariness(3, 16_384, &clock);
        let at = |address: &str| Network::of(address.parse().unwrap());
        let (bad, neighbour, other) = (at("2001:db8::1"), at("2001:db8::2"), at("2001:db8:0:1::1"));
        for _ in 0..5 {
            assert!(sources.greet(bad, &keys, &wary, clock.instant()).is_ok());
            sources.stumbled(bad, &keys, &wary, clock.instant());
        }
        let refused = sources.greet(neighbour, &keys, &wary, clock.instant()).unwrap_err();
        assert_eq!((refused.code(), refused.wait()), (Code::TooManyHandshakes, Some(Duration::from_secs(1))));
        assert!(sources.greet(other, &keys, &wary, clock.instant()).is_ok());
        clock.advance(Duration::from_secs(1));
        assert!(sources.greet(bad, &keys, &wary, clock.instant()).is_ok());
    }

    #[test]
    fn when_the_table_is_full_those_in_it_stay_and_all_others_share_one_rate() {
        let (sources, keys, clock) = (Sources::default(), Keys::new(), clock());
        let wary = wariness(0, 1024, &clock);
        let at = |number: u32| Network::of(Ipv4Addr::from_bits(number).into());
        let first = at(1);
        (0..5).for_each(|_| sources.stumbled(first, &keys, &wary, clock.instant()));
        for number in 2..100_000_u32 {
            sources.stumbled(at(number.wrapping_mul(0x9e37_79b9)), &keys, &wary, clock.instant());
        }
        assert!(sources.len() <= 1024, "{}", sources.len());
        assert!(sources.greet(first, &keys, &wary, clock.instant()).is_err(), "a hot one is not forgotten");
        let greeted = (0..100).filter(|number| sources.greet(at(*number + 200), &keys, &wary, clock.instant()).is_ok());
        let greeted = greeted.count();
        assert!((5..15).contains(&greeted), "{greeted}");
        clock.advance(MINUTE);
        sources.sweep(clock.instant(), 60 * SECOND);
        assert_eq!(
            (0..100).filter(|n| sources.greet(at(*n + 200), &keys, &wary, clock.instant()).is_ok()).count(),
            100
        );
    }

    #[test]
    fn what_one_certificate_fills_of_the_table_keeps_nobody_else_out() {
        let (sources, keys, clock) = (Sources::default(), Keys::new(), clock());
        let wary = wariness(20, 1024, &clock);
        let at = |uid: u32| PeerIdentity::Unix { uid, gid: 1, pid: None };
        let holder = keys.holder(&at(1));
        // As one certificate that comes from everywhere does: many sources, one owner.
        for number in 0..100_000_u128 {
            let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834);
            let claim = Claim { key, owner: short(holder), room: wary.strangers.max_sources };
            let made = sources.failing.change(
                &claim,
                SECOND,
                || Failing { times: 0, deaf: 0, forget: 99 * SECOND, eased: 0 },
                |_| (),
            );
            if made.is_err() {
                sources.crowded.store(true, Ordering::Relaxed);
            }
        }
        sources.any.store(true, Ordering::Relaxed);
        assert!(sources.crowded.load(Ordering::Relaxed) && sources.len() < 1024);
        for uid in 2..1000 {
            assert!(sources.listen(&at(uid), &keys, &wary, SECOND).is_ok(), "{uid}");
        }
    }
}
