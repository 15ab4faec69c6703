#![expect(clippy::arithmetic_side_effects, reason = "the model's numbers are small")]

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;

const ROOM: Room = Room { all: 64, line: 8 };

fn key(number: u64) -> u128 {
    u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(number)
}

fn wish(most: u32, caller: u64, counts: &[Count]) -> Wish {
    let mut all = [None; 5];
    all.iter_mut().zip(counts).for_each(|(place, count)| *place = Some(*count));
    Wish { most, line: key(caller), channel: key(caller), counts: all }
}

fn tool(number: u64, most: u32) -> Count {
    Count { kind: Kind::Tool, key: key(number), most }
}

type Entering = Pin<Box<dyn Future<Output = Result<Held, NoPlace>>>>;

fn enter(places: &Arc<Places>, wish: Wish, patience: impl Future<Output = ()> + 'static) -> Entering {
    let places = Arc::clone(places);
    Box::pin(async move { places.enter(wish, ROOM, patience).await })
}

fn poll(entering: &mut Entering) -> Option<Result<Held, NoPlace>> {
    match entering.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

#[test]
fn a_place_is_given_back_and_goes_to_who_waits() {
    let places = Arc::new(Places::default());
    let first = places.at_once(&wish(1, 1, &[])).unwrap();
    assert!(places.at_once(&wish(1, 2, &[])).is_none());
    let mut second = enter(&places, wish(1, 2, &[]), std::future::pending());
    assert!(poll(&mut second).is_none());
    assert_eq!(places.taken(), (1, 1));
    drop(first);
    assert!(places.at_once(&wish(1, 3, &[])).is_none(), "nobody gets in before who waits");
    let second = poll(&mut second).unwrap().unwrap();
    assert_eq!(places.taken(), (1, 0));
    drop(second);
    assert_eq!(places.taken(), (0, 0));
}

#[test]
fn patience_ends_and_the_refusal_tells_which_place_is_lacking() {
    let places = Arc::new(Places::default());
    let _first = places.at_once(&wish(9, 1, &[tool(1, 1)])).unwrap();
    let refused = poll(&mut enter(&places, wish(9, 2, &[tool(1, 1)]), std::future::ready(()))).unwrap().unwrap_err();
    assert_eq!(refused, NoPlace { kind: Kind::Tool, most: 1 });
    let other = poll(&mut enter(&places, wish(9, 2, &[tool(2, 1)]), std::future::ready(()))).unwrap();
    assert!(other.is_ok(), "another tool has places of its own, and what waits for the first does not hold it up");
    let refused = poll(&mut enter(&places, wish(2, 2, &[]), std::future::ready(()))).unwrap().unwrap_err();
    assert_eq!(refused, NoPlace { kind: Kind::Total, most: 2 });
    assert_eq!(places.taken(), (2, 0));
}

#[test]
fn callers_are_served_in_turn_and_lines_are_bounded() {
    let places = Arc::new(Places::default());
    let mut running = vec![places.at_once(&wish(1, 0, &[])).unwrap()];
    // One caller comes with many, then two with one each.
    let mut greedy: Vec<Entering> = (0..10).map(|_| enter(&places, wish(1, 1, &[]), std::future::pending())).collect();
    let refused = greedy.iter_mut().filter_map(poll).filter(Result::is_err).count();
    assert_eq!(refused, 2, "eight of one caller may wait");
    greedy.truncate(8);
    let mut modest: Vec<Entering> =
        [2, 3].into_iter().map(|who| enter(&places, wish(1, who, &[]), std::future::pending())).collect();
    assert!(modest.iter_mut().all(|entering| poll(entering).is_none()));
    let mut all: Vec<(u64, Entering)> = greedy.drain(..).map(|entering| (1, entering)).collect();
    all.extend([2, 3].into_iter().zip(modest.drain(..)));
    let mut served = Vec::new();
    while !all.is_empty() {
        running.clear();
        let before = all.len();
        all.retain_mut(|(who, entering)| match poll(entering) {
            Some(held) => {
                running.push(held.unwrap());
                served.push(*who);
                false
            }
            None => true,
        });
        assert_eq!(all.len(), before - 1, "one at a time");
    }
    assert_eq!(served, [1, 2, 3, 1, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn a_full_queue_keeps_nobody_from_a_place_that_is_free() {
    let places = Arc::new(Places::default());
    let _running = places.at_once(&wish(9, 0, &[tool(1, 1)])).unwrap();
    let mut crowd: Vec<Entering> = (1..=8)
        .flat_map(|who| (0..8).map(move |_| who))
        .map(|who| wish(9, who, &[tool(1, 1)]))
        .map(|wish| {
            let mut entering = enter(&places, wish, std::future::pending());
            let _ = poll(&mut entering);
            entering
        })
        .collect();
    assert!(places.taken().1 > 40, "{:?}", places.taken());
    let mut quiet = enter(&places, wish(9, 100, &[tool(2, 1)]), std::future::pending());
    assert!(poll(&mut quiet).unwrap().is_ok(), "another tool has places, and none of the crowd wants one");
    crowd.clear();
}

#[test]
fn the_callers_of_one_channel_leave_room_in_the_queue() {
    let places = Arc::new(Places::default());
    let _running = places.at_once(&wish(1, 0, &[])).unwrap();
    let over = |caller: u64, channel: u64| Wish { channel: key(channel), ..wish(1, caller, &[]) };
    let mut crowd = Vec::new();
    for who in 1..=64 {
        let mut entering = enter(&places, over(who, 7), std::future::pending());
        let refused = poll(&mut entering).is_some();
        assert_eq!(refused, who > 32, "{who}");
        crowd.push(entering);
    }
    assert!(poll(&mut enter(&places, over(100, 8), std::future::pending())).is_none(), "another channel may wait");
}

/// Two threads, ten thousand times: one asks for places of which the last one is taken, and so holds the others for a moment;
/// in that moment somebody else comes who needs one of those, and waits. When the first one is gone nobody gives anything back
/// any more, so it is then that whoever waits must be told.
#[test]
fn nobody_sleeps_for_want_of_what_somebody_else_held_for_a_moment() {
    let count = |kind, number, most| Count { kind, key: key(number), most };
    let (mine, full, toolset) = (count(Kind::Caller, 1, 1), tool(1, 1), count(Kind::Toolset, 1, 1));
    // In vain, but for a moment: one place in all, one of this caller, one of this toolset.
    let in_vain = wish(2, 1, &[mine, toolset, full]);
    let wishes = [wish(2, 2, &[]), wish(9, 1, &[mine, tool(2, 1)]), wish(9, 3, &[toolset])];
    for schedule in 0..10_000_usize {
        let places = Arc::new(Places::default());
        let running = places.at_once(&wish(9, 9, &[full])).unwrap();
        let (begun, over) = (std::sync::Barrier::new(2), std::sync::atomic::AtomicBool::new(false));
        let mut entering = enter(&places, wishes[schedule % wishes.len()], std::future::pending());
        let first = std::thread::scope(|scope| {
            scope.spawn(|| {
                begun.wait();
                while !over.load(Ordering::Relaxed) {
                    assert!(places.at_once(&in_vain).is_none());
                }
            });
            begun.wait();
            (0..schedule % 64).for_each(|_| std::hint::spin_loop());
            let first = poll(&mut entering);
            over.store(true, Ordering::Relaxed);
            first
        });
        let held = first.or_else(|| poll(&mut entering));
        assert!(matches!(held, Some(Ok(_))), "schedule {schedule}: {held:?}, {:?}", places.taken());
        drop((held, running));
        assert_eq!(places.taken(), (0, 0));
    }
}

/// What somebody who came does next.
#[derive(Clone, Debug)]
enum Step {
    Come {
        caller: u64,
        tool: u64,
    },
    Poll(usize),
    /// Goes away while waiting or running: cancelled, timed out, panicked, disconnected.
    Leave(usize),
    PanicHolding(usize),
    LoseTrack(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_u64, 0..3_u64).prop_map(|(caller, tool)| Step::Come { caller, tool }),
        3 => (0..8_usize).prop_map(Step::Poll),
        2 => (0..8_usize).prop_map(Step::Leave),
        1 => (0..8_usize).prop_map(Step::PanicHolding),
        1 => (0..8_usize).prop_map(Step::LoseTrack),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Ten thousand schedules: at each step no count is over what it may be, and in the end every place is free.
    #[test]
    fn no_place_leaks(steps in steps()) {
        let places = Arc::new(Places::default());
        let wish = |caller: u64, number: u64| {
            let caller_count = Count { kind: Kind::Caller, key: key(caller), most: 2 };
            wish(3, caller, &[caller_count, tool(100 + number, 2)])
        };
        let mut waiting: Vec<(Entering, Arc<tokio::sync::Notify>)> = Vec::new();
        let mut running: Vec<Held> = Vec::new();
        for step in steps {
            match step {
                Step::Come { caller, tool } => match places.at_once(&wish(caller, tool)) {
                    Some(held) => running.push(held),
                    None => {
                        let over = Arc::new(tokio::sync::Notify::new());
                        let patience = { let over = Arc::clone(&over); async move { over.notified().await } };
                        let mut entering = enter(&places, wish(caller, tool), patience);
                        match poll(&mut entering) {
                            None => waiting.push((entering, over)),
                            Some(result) => running.extend(result.ok()),
                        }
                    }
                },
                Step::Poll(at) if at < waiting.len() => {
                    if let Some(result) = poll(&mut waiting[at].0) {
                        drop(waiting.remove(at));
                        running.extend(result.ok());
                    }
                }
                // Its patience ends, perhaps after a place was given.
                Step::LoseTrack(at) if at < waiting.len() => {
                    waiting[at].1.notify_one();
                    if let Some(result) = poll(&mut waiting[at].0) {
                        drop(waiting.remove(at));
                        running.extend(result.ok());
                    }
                }
                Step::Leave(at) if at < waiting.len() => drop(waiting.remove(at)),
                Step::Leave(at) if at < running.len() => drop(running.remove(at)),
                Step::PanicHolding(at) if at < running.len() => {
                    let held = running.remove(at);
                    let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                        let _held = held;
                        std::panic::resume_unwind(Box::new("a defect"));
                    }));
                    prop_assert!(gone.is_err());
                }
                Step::Poll(_) | Step::Leave(_) | Step::PanicHolding(_) | Step::LoseTrack(_) => {}
            }
            let (taken, in_line) = places.taken();
            // Some of those who wait have been given a place and not been told yet.
            prop_assert!(taken <= 3 && usize::try_from(taken).unwrap() >= running.len());
            prop_assert!(in_line <= waiting.len());
            for number in 0..4 {
                prop_assert!(places.counted(Kind::Caller, key(number)) <= 2);
                prop_assert!(places.counted(Kind::Tool, key(100 + number)) <= 2);
            }
            // Whoever waits does so because something is full.
            if in_line > 0 {
                let full = (0..4).any(|number| places.counted(Kind::Caller, key(number)) == 2)
                    || (0..4).any(|number| places.counted(Kind::Tool, key(100 + number)) == 2);
                prop_assert!(taken == 3 || full);
            }
        }
        drop(running);
        drop(waiting);
        prop_assert_eq!(places.taken(), (0, 0));
        prop_assert!(places.counts.iter().all(|part| part.lock().unwrap().is_empty()));
    }
}
