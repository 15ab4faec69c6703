//! System calls: seccomp(2). What a daemon of this kind never asks the kernel for is refused, to it and to what it starts.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

use super::{Families, Plan, Standing};

/// `EPERM` and `ENOSYS`: the latter makes the C library take the older call, whose arguments can be judged.
const REFUSED: SeccompAction = SeccompAction::Errno(1);
const UNKNOWN: SeccompAction = SeccompAction::Errno(38);

/// Whatever the configuration: other processes' memory, the machine, its clock, its modules, its mounts, other users,
/// namespaces, keys of the kernel, and interfaces that have often been a way out.
const NEVER: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mknodat,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_settimeofday,
    libc::SYS_setuid,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// The same of this architecture alone.
#[cfg(target_arch = "x86_64")]
const NEVER_HERE: &[c_long] = &[
    libc::SYS__sysctl,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_mknod,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: &[c_long] = &[];

/// Every flag of clone(2) that makes a namespace.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// Set in the numbers by which x86-64 takes calls of its 32-bit variant x32.
#[cfg(target_arch = "x86_64")]
const X32: c_long = 0x4000_0000;

/// The calls of [`NEVER`] that have numbers of their own there: ptrace, kexec_load, process_vm_readv, process_vm_writev.
#[cfg(target_arch = "x86_64")]
const NEVER_X32: &[c_long] = &[521, 528, 539, 540];

/// And those that start programs: execve, execveat.
#[cfg(target_arch = "x86_64")]
const PROGRAMS_X32: &[c_long] = &[520, 545];

/// Refuses what `plan` does not leave open.
pub(super) fn restrict(plan: &Plan) -> Standing {
    let result = filters(plan).map_err(|error| error.to_string()).and_then(|filters| {
        // Before the filters there is one thread; should there ever be more, all are meant.
        filters.iter().try_for_each(|filter| apply_filter_all_threads(filter).map_err(|error| error.to_string()))
    });
    match result {
        Ok(()) => Standing::Whole,
        Err(why) => Standing::Missing(why),
    }
}

/// Whether this kernel filters calls; nothing is filtered by asking.
pub(super) fn given() -> Standing {
    match std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail") {
        Ok(actions) if actions.split_whitespace().any(|action| action == "errno") => Standing::Whole,
        Ok(_) => Standing::Missing("this kernel's seccomp refuses no call".to_owned()),
        Err(_) => Standing::Missing("this kernel has no seccomp filters, or does not show them".to_owned()),
    }
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

fn filters(plan: &Plan) -> Result<[BpfProgram; 2], BackendError> {
    let mut refused = Rules::new();
    for call in NEVER.iter().chain(NEVER_HERE) {
        refused.insert(*call, Vec::new());
    }
    if !plan.programs {
        refused.insert(libc::SYS_execve, Vec::new());
        refused.insert(libc::SYS_execveat, Vec::new());
    }
    refused.insert(libc::SYS_socket, other_families(plan.families)?);
    refused.insert(libc::SYS_clone, namespaces()?);
    #[cfg(target_arch = "x86_64")]
    for call in NEVER_X32.iter().chain(PROGRAMS_X32.iter().filter(|_| !plan.programs)) {
        refused.insert(*call, Vec::new());
    }
    let unknown = Rules::from([(libc::SYS_clone3, Vec::new())]);
    Ok([compile(refused, REFUSED)?, compile(unknown, UNKNOWN)?])
}

fn compile(rules: Rules, action: SeccompAction) -> Result<BpfProgram, BackendError> {
    #[cfg(target_arch = "x86_64")]
    let rules: Rules =
        rules.iter().flat_map(|(call, rules)| [(*call, rules.clone()), (*call | X32, rules.clone())]).collect();
    let here = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::Allow, action, here)?.try_into()
}

/// A socket of any other family; with none left, any socket.
fn other_families(families: Families) -> Result<Vec<SeccompRule>, BackendError> {
    let open = [
        (families.internet, libc::AF_INET),
        (families.internet, libc::AF_INET6),
        (families.unix, libc::AF_UNIX),
        (families.netlink, libc::AF_NETLINK),
    ];
    let conditions = open.into_iter().filter(|(open, _)| *open);
    let conditions =
        conditions.map(|(_, family)| condition(SeccompCmpOp::Ne, family)).collect::<Result<Vec<_>, _>>()?;
    if conditions.is_empty() { Ok(Vec::new()) } else { Ok(vec![SeccompRule::new(conditions)?]) }
}

fn namespaces() -> Result<Vec<SeccompRule>, BackendError> {
    let made = |flag: i32| {
        let bit = u64::from(flag.cast_unsigned());
        SeccompRule::new(vec![condition(SeccompCmpOp::MaskedEq(bit), flag)?])
    };
    NAMESPACES.into_iter().map(made).collect()
}

/// Of the first argument.
fn condition(operation: SeccompCmpOp, value: i32) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(0, SeccompCmpArgLen::Dword, operation, u64::from(value.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_filters_for_every_choice_of_sockets() {
        for choice in 0..8 {
            let families = Families { internet: choice & 1 > 0, unix: choice & 2 > 0, netlink: choice & 4 > 0 };
            let plan = Plan { families, ..Plan::default() };
            let [refused, unknown] = filters(&plan).unwrap();
            // The kernel takes 4096 instructions.
            assert!(refused.len() < 1000 && unknown.len() < 20, "{} {}", refused.len(), unknown.len());
            assert_eq!(other_families(families).unwrap().is_empty(), choice == 0);
        }
    }

    #[test]
    fn no_call_is_named_twice() {
        let mut calls: Vec<c_long> = NEVER.iter().chain(NEVER_HERE).copied().collect();
        let count = calls.len();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), count);
    }
}
