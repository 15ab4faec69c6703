//! Buckets by key, in the memory of this process. A call draws from all of its buckets or from none.

use std::sync::{MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use super::bucket::{Cell, Rate, Standing};
use super::shelf::{Claim, Fades, SHARDS, Shard, Shelf, shard_of};

/// Buckets that one call may draw from.
pub const MOST_DRAWS: usize = 16;

/// Rates of one bucket: by the minute and by the hour.
pub type Rates = [Option<Rate>; 2];

/// One bucket that a call draws from.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// A keyed digest of the rule and of whoever it counts.
    pub key: u128,
    /// What it may give.
    pub rates: Rates,
}

/// Why nothing was drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dry {
    /// This one of the draws, by this one of its rates, and for how long. Of several it is the one to wait for longest.
    Used {
        /// The place among the draws.
        draw: usize,
        /// The place among its rates.
        rate: usize,
        /// Until there is one in each of the buckets.
        wait: Duration,
    },
    /// There is no room to remember one more.
    Full,
}

/// Whether to draw, or only to see whether it could be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Draws.
    Take,
    /// Changes nothing.
    Look,
}

/// The buckets.
#[derive(Default)]
pub(super) struct Buckets {
    cells: Shelf<Cells>,
    origin: OnceLock<Instant>,
}

#[derive(Clone, Copy, Default)]
struct Cells([Cell; 2]);

impl Fades for Cells {
    fn until(&self) -> u64 {
        let [minute, hour] = self.0;
        minute.until().max(hour.until())
    }
}

impl Buckets {
    /// Draws one from each, or from none.
    pub(super) fn draw(
        &self,
        draws: &[Draw],
        owner: u64,
        room: usize,
        now: Instant,
        purpose: Purpose,
    ) -> Result<(), Dry> {
        let (now, draws) = (self.nanos(now), draws.get(..draws.len().min(MOST_DRAWS)).unwrap_or_default());
        let mut held = Held::of(&self.cells, draws);
        // Which entries were made only now: a call that draws nothing leaves none.
        let mut made = 0_u32;
        let mut dry: Option<Dry> = None;
        for (index, draw) in draws.iter().enumerate() {
            let Some(shard) = held.of_key(draw.key) else { return Err(Dry::Full) };
            let known = shard.get(draw.key).copied();
            if known.is_none() && purpose == Purpose::Take {
                let claim = Claim { key: draw.key, owner, room };
                if shard.slot(&claim, now, Cells::default).is_err() {
                    dry = Some(Dry::Full);
                    break;
                }
                made |= mark(index);
            }
            dry = later(dry, judge(draw, known.unwrap_or_default(), now).err().map(|(rate, wait)| (index, rate, wait)));
        }
        if let Some(dry) = dry {
            for (_, draw) in draws.iter().enumerate().filter(|(index, _)| made & mark(*index) != 0) {
                if let Some(shard) = held.of_key(draw.key) {
                    shard.remove(draw.key);
                }
            }
            return Err(dry);
        }
        if purpose == Purpose::Take {
            for draw in draws {
                let claim = Claim { key: draw.key, owner, room };
                let Some(shard) = held.of_key(draw.key) else { continue };
                if let Ok(slot) = shard.slot(&claim, now, Cells::default)
                    && let Ok(cells) = judge(draw, slot.value, now)
                {
                    slot.value = cells;
                    shard.changed(cells.until());
                }
            }
        }
        Ok(())
    }

    /// Whether a bucket is remembered, or could be.
    pub(super) fn has_room(&self, key: u128, owner: u64, room: usize) -> bool {
        self.cells.has_room(&Claim { key, owner, room })
    }

    /// How the rates of one bucket stand.
    pub(super) fn standing(&self, draw: &Draw, now: Instant) -> [Option<Standing>; 2] {
        let now = self.nanos(now);
        let Cells([minute, hour]) = self.cells.look(draw.key, |cells| *cells).unwrap_or_default();
        let [by_minute, by_hour] = draw.rates;
        [by_minute.map(|rate| rate.standing(minute, now)), by_hour.map(|rate| rate.standing(hour, now))]
    }

    /// Forgets buckets that are whole again.
    pub(super) fn sweep(&self, now: Instant) {
        self.cells.sweep(self.nanos(now));
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// The first look at the clock is a second from its beginning, so that zero is the past.
    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(*self.origin.get_or_init(|| now));
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).saturating_add(1_000_000_000)
    }
}

/// What the bucket would be afterwards, or which rate keeps it from that.
fn judge(draw: &Draw, cells: Cells, now: u64) -> Result<Cells, (usize, Duration)> {
    let Cells([minute, hour]) = cells;
    let [by_minute, by_hour] = draw.rates;
    let minute = by_minute.map_or(Ok(minute), |rate| rate.take(minute, now));
    let hour = by_hour.map_or(Ok(hour), |rate| rate.take(hour, now));
    match (minute, hour) {
        (Ok(minute), Ok(hour)) => Ok(Cells([minute, hour])),
        (Err(wait), Ok(_)) => Err((0, wait)),
        (Ok(_), Err(wait)) => Err((1, wait)),
        (Err(minute), Err(hour)) => Err(if minute > hour { (0, minute) } else { (1, hour) }),
    }
}

/// Of two reasons the one that holds for longer.
fn later(known: Option<Dry>, next: Option<(usize, usize, Duration)>) -> Option<Dry> {
    match (known, next) {
        (Some(Dry::Used { wait: known_wait, .. }), Some((_, _, wait))) if wait <= known_wait => known,
        (Some(Dry::Full), _) | (_, None) => known,
        (_, Some((draw, rate, wait))) => Some(Dry::Used { draw, rate, wait }),
    }
}

fn mark(index: usize) -> u32 {
    u32::try_from(index).ok().and_then(|index| 1_u32.checked_shl(index)).unwrap_or(0)
}

/// The parts of the table that hold the buckets of one call, all locked, always in the same order.
struct Held<'a> {
    which: u64,
    shards: [Option<MutexGuard<'a, Shard<Cells>>>; MOST_DRAWS],
}

impl<'a> Held<'a> {
    fn of(cells: &'a Shelf<Cells>, draws: &[Draw]) -> Self {
        let which = draws.iter().fold(0_u64, |which, draw| which | bit(shard_of(draw.key)));
        let mut shards = [const { None }; MOST_DRAWS];
        let mut left = which;
        for place in &mut shards {
            if left == 0 {
                break;
            }
            let lowest = usize::try_from(left.trailing_zeros()).unwrap_or(SHARDS);
            left &= !bit(lowest);
            *place = cells.locked(lowest);
        }
        Self { which, shards }
    }

    fn of_key(&mut self, key: u128) -> Option<&mut Shard<Cells>> {
        let below = bit(shard_of(key)).saturating_sub(1) & self.which;
        let place = usize::try_from(below.count_ones()).ok()?;
        self.shards.get_mut(place)?.as_deref_mut()
    }
}

fn bit(shard: usize) -> u64 {
    u32::try_from(shard).ok().and_then(|shard| 1_u64.checked_shl(shard)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::{Clock, Timestamp};

    const ROOM: usize = 100_000;
    const MINUTE: Duration = Duration::from_secs(60);

    fn key(number: u64) -> u128 {
        u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(number)
    }

    fn draw(number: u64, per_minute: u32, burst: u32) -> Draw {
        Draw { key: key(number), rates: [Some(Rate::new(per_minute, MINUTE, burst)), None] }
    }

    fn clock() -> Clock {
        Clock::manual(Timestamp::from_seconds(0))
    }

    #[test]
    fn a_call_that_is_refused_takes_nothing_and_leaves_nothing() {
        let (buckets, clock) = (Buckets::default(), clock());
        let (wide, narrow) = (draw(1, 60, 10), draw(2, 60, 1));
        let both = [wide, narrow];
        assert_eq!(buckets.draw(&both, 0, ROOM, clock.instant(), Purpose::Take), Ok(()));
        for _ in 0..5 {
            let dry = buckets.draw(&both, 0, ROOM, clock.instant(), Purpose::Take).unwrap_err();
            assert_eq!(dry, Dry::Used { draw: 1, rate: 0, wait: Duration::from_secs(1) });
        }
        assert_eq!(buckets.standing(&wide, clock.instant())[0].unwrap().left, 9);
        let fresh = draw(3, 60, 10);
        assert!(buckets.draw(&[fresh, narrow], 0, ROOM, clock.instant(), Purpose::Take).is_err());
        assert_eq!(buckets.len(), 2, "no bucket was made for it");
        assert_eq!(buckets.draw(&[fresh], 0, ROOM, clock.instant(), Purpose::Look), Ok(()));
        assert_eq!(buckets.len(), 2);
    }

    #[test]
    fn the_wait_that_is_told_is_the_longest() {
        let (buckets, clock) = (Buckets::default(), clock());
        let hour = Rate::new(1, MINUTE * 60, 1);
        let both = Draw { key: key(1), rates: [Some(Rate::new(1, MINUTE, 1)), Some(hour)] };
        buckets.draw(&[both, draw(2, 2, 1)], 0, ROOM, clock.instant(), Purpose::Take).unwrap();
        let dry = buckets.draw(&[both, draw(2, 2, 1)], 0, ROOM, clock.instant(), Purpose::Take).unwrap_err();
        assert_eq!(dry, Dry::Used { draw: 0, rate: 1, wait: MINUTE * 60 });
    }

    #[test]
    fn newcomers_are_refused_when_it_is_full_and_those_who_are_known_are_not() {
        let (buckets, clock) = (Buckets::default(), clock());
        let ask = |number: u64| buckets.draw(&[draw(number, 60, 5)], number, 640, clock.instant(), Purpose::Take);
        assert_eq!(ask(0), Ok(()));
        let let_in = (1..1_000_000).filter(|number| ask(*number).is_ok()).count();
        assert!(let_in < 640 && buckets.len() <= 640, "{let_in}");
        assert_eq!(ask(1_000_001), Err(Dry::Full));
        assert_eq!(ask(0), Ok(()), "who is known is not forgotten");
        clock.advance(MINUTE);
        assert_eq!(ask(1_000_001), Ok(()), "what is whole again makes room");
        buckets.sweep(clock.instant());
        assert_eq!(buckets.len(), 1);
    }

    #[test]
    fn threads_that_draw_at_once_get_no_more_than_there_is() {
        let (buckets, clock) = (Arc::new(Buckets::default()), clock());
        let threads = (0..4_u64).map(|own| {
            let (buckets, now) = (Arc::clone(&buckets), clock.instant());
            std::thread::spawn(move || {
                // In another order for each, which must not lock them up.
                let mut draws = vec![draw(100, 1, 1000), draw(101, 1, 900), draw(102 + own, 1, 400)];
                draws.rotate_left(usize::try_from(own).unwrap() % 3);
                (0..1000).filter(|_| buckets.draw(&draws, 0, ROOM, now, Purpose::Take).is_ok()).count()
            })
        });
        let passed: Vec<usize> = threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(passed.iter().sum::<usize>(), 900, "{passed:?}");
        let left = |number, burst| buckets.standing(&draw(number, 1, burst), clock.instant())[0].unwrap().left;
        assert_eq!((left(100, 1000), left(101, 900)), (100, 0));
    }

    proptest! {
        /// Several buckets together let through what the strictest would at each step, and are used by what passes alone.
        #[test]
        fn buckets_together_are_as_strict_as_the_strictest(
            rules in proptest::collection::vec((1_u32..120, 1_u32..20), 1..6),
            steps in proptest::collection::vec((0_u64..5000, 1_usize..10), 1..80)
        ) {
            let (together, alone, clock) = (Buckets::default(), Buckets::default(), clock());
            let draws: Vec<Draw> =
                (0..).zip(&rules).map(|(number, (rate, burst))| draw(number, *rate, *burst)).collect();
            for (wait, tries) in steps {
                clock.advance(Duration::from_millis(wait));
                for _ in 0..tries {
                    let now = clock.instant();
                    let strictest = draws.iter().all(|draw| alone.draw(&[*draw], 0, ROOM, now, Purpose::Look).is_ok());
                    let looked = together.draw(&draws, 0, ROOM, now, Purpose::Look).is_ok();
                    let passed = together.draw(&draws, 0, ROOM, now, Purpose::Take).is_ok();
                    prop_assert_eq!((passed, looked), (strictest, strictest));
                    if passed {
                        draws.iter().for_each(|draw| alone.draw(&[*draw], 0, ROOM, now, Purpose::Take).unwrap());
                    }
                    for draw in &draws {
                        prop_assert_eq!(alone.standing(draw, now), together.standing(draw, now));
                    }
                }
            }
        }
    }
}
