//! The order of a process tree: each process behind its parent, siblings in the order in which they were given. Whatever
//! the host says about parents, each process stands there once.

use std::collections::HashMap;

use super::process_stat::ProcessStat;

/// The processes of `roots` with all below them, each with its depth, out of `found`. Without roots all are shown: the
/// roots are then those whose parent is not among them.
pub(super) fn order(
    found: Vec<ProcessStat>,
    roots: Option<&dyn Fn(&ProcessStat) -> bool>,
) -> Vec<(usize, ProcessStat)> {
    let by_pid: HashMap<u32, usize> = found.iter().enumerate().map(|(at, process)| (process.pid, at)).collect();
    let mut children: HashMap<u32, Vec<usize>> = HashMap::new();
    for (at, process) in found.iter().enumerate() {
        children.entry(process.parent).or_default().push(at);
    }
    let is_root = |process: &ProcessStat| match roots {
        Some(roots) => roots(process),
        None => !by_pid.contains_key(&process.parent),
    };
    let mut first: Vec<usize> = (0..found.len()).filter(|at| found.get(*at).is_some_and(is_root)).collect();
    if roots.is_some() {
        // What stands below another root is found there.
        first.sort_by_key(|at| ancestors(&found, &by_pid, *at));
    } else {
        // Processes that are each other's parents have no root; whoever comes first is taken for one.
        first.extend(0..found.len());
    }
    let mut slots: Vec<Option<ProcessStat>> = found.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(slots.len());
    for root in first {
        let mut stack = vec![(0_usize, root)];
        while let Some((depth, at)) = stack.pop() {
            let Some(process) = slots.get_mut(at).and_then(Option::take) else { continue };
            let below = children.get(&process.pid).map(Vec::as_slice).unwrap_or_default();
            stack.extend(below.iter().rev().map(|child| (depth.saturating_add(1), *child)));
            ordered.push((depth, process));
        }
    }
    ordered
}

/// How many generations a process is below the oldest one that is known; a circle counts as deep as there are processes.
fn ancestors(found: &[ProcessStat], by_pid: &HashMap<u32, usize>, at: usize) -> usize {
    const DEEPEST: usize = 1024;
    let mut here = Some(at);
    for depth in 0..DEEPEST {
        let parent = here.and_then(|at| found.get(at)).and_then(|process| by_pid.get(&process.parent).copied());
        match parent {
            None => return depth,
            parent => here = parent,
        }
    }
    DEEPEST
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn process(pid: u32, parent: u32) -> ProcessStat {
        ProcessStat::parse(&format!("{pid} (p) S {parent} 0 0 0 0 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0")).unwrap()
    }

    fn pids(ordered: &[(usize, ProcessStat)]) -> Vec<(usize, u32)> {
        ordered.iter().map(|(depth, process)| (*depth, process.pid)).collect()
    }

    #[test]
    fn each_process_stands_behind_its_parent() {
        let found = || [(9, 1), (1, 0), (4, 9), (2, 0), (3, 1)].map(|(pid, parent)| process(pid, parent)).to_vec();
        assert_eq!(pids(&order(found(), None)), [(0, 1), (1, 9), (2, 4), (1, 3), (0, 2)]);
        let roots = |process: &ProcessStat| [4, 9].contains(&process.pid);
        assert_eq!(pids(&order(found(), Some(&roots))), [(0, 9), (1, 4)]);
    }

    #[test]
    fn a_circle_of_parents_is_gone_round_once() {
        let found = || vec![process(5, 6), process(6, 5), process(7, 7)];
        assert_eq!(pids(&order(found(), None)), [(0, 5), (1, 6), (0, 7)]);
        assert_eq!(pids(&order(found(), Some(&|process: &ProcessStat| process.pid == 6))), [(0, 6), (1, 5)]);
    }

    proptest! {
        #[test]
        fn each_process_stands_there_once(pairs in proptest::collection::vec((0_u32..20, 0_u32..20), 0..20)) {
            let found: Vec<ProcessStat> = pairs.iter().map(|(pid, parent)| process(*pid, *parent)).collect();
            prop_assert_eq!(order(found, None).len(), pairs.len());
        }
    }
}
