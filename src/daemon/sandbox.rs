//! What the sandbox has to leave open: what the configuration names, what the transports listen on and fetch, and what the
//! tools that somebody can reach declare. Everything else stays shut.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::compose;
use crate::audit::syslog::Target;
use crate::call::{Needs, ToolSpec};
use crate::config::{Config, Loaded};
use crate::error::{Code, Failure};
use crate::exec;
use crate::policy::SensitiveList;
use crate::sandbox::{self, Capability, Mode, Plan, Processes, Sandbox, lookout};
use crate::transport::TransportKind;

/// The kernel's own files; every host query reads them.
const KERNEL: [&str; 2] = ["/proc", "/sys"];

/// Where certificate authorities of the system lie, on one distribution or another.
const AUTHORITIES: [&str; 6] = [
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/lib/ssl",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

/// What the C library reads, and loads, to find the address of a name.
const NAMES: [&str; 12] = [
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/services",
    "/lib",
    "/lib64",
    "/run/systemd/resolve",
    "/usr/lib",
    "/usr/lib64",
];

/// The port of the domain name system, for answers that are too long for a datagram.
const DNS: u16 = 53;

/// Enters the sandbox that `loaded` asks for. Called before there is a second thread.
///
/// # Errors
/// Those of [`sandbox::enter`], and [`Code::Io`] when a lookout is needed and cannot be started.
pub fn enter(loaded: &Loaded) -> Result<Option<&'static Sandbox>, Failure> {
    let plan = plan(loaded, &compose::specs(&loaded.config));
    Asker::this();
    let mode = loaded.config.sandbox.mode;
    if plan.processes && mode != Mode::Off {
        // It has to be there first: what is started later stands within the walls.
        let all: &[&str] = if plan.environments { &["lookout", "--environments"] } else { &["lookout"] };
        lookout::attach(exec::companion(all)?);
    }
    sandbox::enter(plan, mode)
}

/// Whether a daemon with this configuration starts a lookout.
#[must_use]
pub fn has_lookout(config: &Config) -> bool {
    let within = config.sandbox.mode != Mode::Off && config.sandbox.processes == Processes::Visible;
    within && enabled(config, &compose::specs(config)).iter().any(|spec| spec.needs.processes)
}

/// Whether what is in force leaves open what `next` needs.
///
/// # Errors
/// [`Code::Config`] with what it lacks: walls never come down.
pub(super) fn suffices(next: &Loaded) -> Result<(), Failure> {
    let Some(sandbox) = sandbox::entered() else { return Ok(()) };
    let lacking = sandbox.plan().lacks(&plan(next, &compose::specs(&next.config)));
    if lacking.is_empty() {
        return Ok(());
    }
    let failure = Failure::new(Code::Config, "the sandbox was made for another configuration; restart to make it anew");
    Err(failure.because(format!("not open: {}", lacking.join(", "))))
}

/// To read whatever file, whosoever's it is.
const READ_ALL: &str = "CAP_DAC_READ_SEARCH";

/// Who runs this process.
struct Asker {
    is_root: bool,
    /// The names of the groups it is in.
    groups: Vec<String>,
}

impl Asker {
    /// Of this process, as it was before it shut itself in: from within it cannot read the names of groups.
    fn this() -> &'static Self {
        static THIS: OnceLock<Asker> = OnceLock::new();
        THIS.get_or_init(Self::look)
    }

    fn look() -> Self {
        let mut numbers: Vec<u32> =
            rustix::process::getgroups().unwrap_or_default().iter().map(|one| one.as_raw()).collect();
        numbers.push(rustix::process::getegid().as_raw());
        let named = |line: &str| {
            let mut words = line.split(':');
            let (name, number) = (words.next()?, words.nth(1)?.parse::<u32>().ok()?);
            numbers.contains(&number).then(|| name.to_owned())
        };
        let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
        Self { is_root: rustix::process::geteuid().is_root(), groups: text.lines().filter_map(named).collect() }
    }

    /// Whether it is in none of them, though there are some.
    fn is_outside(&self, groups: &[&str]) -> bool {
        !groups.is_empty() && !self.groups.iter().any(|own| groups.contains(&own.as_str()))
    }
}

/// Adds to the notes what the enabled tools need and the sandbox does not give.
pub fn note_needs(loaded: &mut Loaded) {
    let specs = compose::specs(&loaded.config);
    note_needs_of(loaded, &specs, Asker::this());
}

fn note_needs_of(loaded: &mut Loaded, specs: &[ToolSpec], asker: &Asker) {
    let section = loaded.config.sandbox.clone();
    if section.mode == Mode::Off {
        return;
    }
    for spec in enabled(&loaded.config, specs) {
        let name = &spec.name;
        if spec.needs.processes && section.processes == Processes::Hidden {
            let text =
                format!("{name} looks into processes of others, which it may not: parts of its answer are missing");
            loaded.note("sandbox.processes", text);
        }
        let reads_all = asker.is_root || section.capabilities.iter().any(|kept| kept == READ_ALL);
        if !reads_all && asker.is_outside(&spec.needs.groups) {
            let groups = spec.needs.groups.join(" or ");
            let text = format!("{name} says less to a user who is in no group {groups}, and without {READ_ALL}");
            loaded.note("sandbox.capabilities", text);
        }
        for capability in &spec.needs.capabilities {
            if !section.capabilities.iter().any(|kept| kept == capability) {
                loaded
                    .note("sandbox.capabilities", format!("{name} says less without {capability}, which is not kept"));
            }
        }
    }
}

/// The tools that a scope names and that are not kept shut as sensitive.
fn enabled<'a>(config: &Config, specs: &'a [ToolSpec]) -> Vec<&'a ToolSpec> {
    let sensitive = SensitiveList::new(&config.queries.sensitive);
    let named = |spec: &&ToolSpec| config.scopes.0.values().flatten().any(|name| *name == spec.name);
    specs.iter().filter(named).filter(|spec| sensitive.opens(spec)).collect()
}

fn plan(loaded: &Loaded, specs: &[ToolSpec]) -> Plan {
    let config = &loaded.config;
    let section = &config.sandbox;
    let mut plan = Plan {
        capabilities: section.capabilities.iter().filter_map(|name| Capability::parse(name)).collect(),
        ..Plan::default()
    };
    open(&mut plan, section.read.iter().cloned());
    loaded.files().iter().for_each(|path| plan.read_file(path));
    if let Some(path) = &config.log.path {
        plan.write_file(path);
    }
    for spec in enabled(config, specs) {
        open(&mut plan, KERNEL.map(PathBuf::from));
        meet(&mut plan, &spec.needs);
        let visible = section.processes == Processes::Visible;
        plan.processes |= visible && spec.needs.processes;
        plan.environments |= visible && spec.needs.environments;
    }
    audit(&mut plan, config);
    if uses(config, TransportKind::Https) {
        https(&mut plan, config);
    }
    if uses(config, TransportKind::Unix) {
        unix(&mut plan, config);
    }
    if let Some(socket) = config.operator.socket.as_deref().filter(|_| !uses(config, TransportKind::Stdio)) {
        plan.families.unix = true;
        plan.write_file(socket);
    }
    if config.probes() {
        probes(&mut plan, config);
    }
    if config.verifies_tokens() {
        keys(&mut plan, config);
    }
    if plan.listen.iter().any(|port| (1..1024).contains(port)) {
        plan.capabilities.insert(Capability::NET_BIND_SERVICE);
    }
    plan
}

fn uses(config: &Config, transport: TransportKind) -> bool {
    config.transport.uses(transport)
}

fn meet(plan: &mut Plan, needs: &Needs) {
    open(plan, needs.paths.iter().map(|path| PathBuf::from(&**path)));
    plan.programs |= needs.programs;
    if needs.programs {
        let names = needs.capabilities.iter().filter_map(|name| Capability::parse(name));
        plan.handed_on.extend(names.filter(|one| plan.capabilities.contains(one)));
    }
    // It is of no use to a program but with sockets of IP.
    plan.families.internet |= plan.handed_on.contains(&Capability::NET_RAW);
    // Programs of the system ask its servers, and those for the network ask the kernel.
    plan.families.unix |= needs.servers || needs.programs;
    plan.families.netlink |= needs.netlink || needs.programs;
}

/// Also where links lead: a rule holds for what a path leads to, and a link in it may be changed.
fn open(plan: &mut Plan, paths: impl IntoIterator<Item = PathBuf>) {
    for path in paths {
        plan.read.extend(path.canonicalize().ok().filter(|real| *real != path));
        plan.read.insert(path);
    }
}

fn audit(plan: &mut Plan, config: &Config) {
    let section = &config.audit;
    if !config.audits() {
        return;
    }
    plan.write_file(&section.path);
    if let Some(key) = &section.checkpoint.key {
        plan.write_file(key);
    }
    let syslog = &section.syslog;
    if !syslog.enabled {
        return;
    }
    match Target::parse(&syslog.target) {
        Ok(Target::Unix(_)) => plan.families.unix = true,
        Ok(Target::Udp(host)) => outbound(plan, &host.name, None),
        Ok(Target::Tcp(host)) => outbound(plan, &host.name, Some(host.port)),
        Ok(Target::Tls(host)) => {
            outbound(plan, &host.name, Some(host.port));
            match &syslog.ca {
                Some(path) => plan.read_file(path),
                None => open(plan, AUTHORITIES.map(PathBuf::from)),
            }
            [&syslog.cert, &syslog.key].into_iter().flatten().for_each(|path| plan.read_file(path));
        }
        // The check has refused it.
        Err(_) => {}
    }
}

fn https(plan: &mut Plan, config: &Config) {
    plan.families.internet = true;
    plan.listen.insert(config.tls.bind.port());
}

fn probes(plan: &mut Plan, config: &Config) {
    plan.families.internet = true;
    plan.listen.insert(config.metrics.bind.port());
}

/// Whoever issues tokens, over whatever they come in.
fn keys(plan: &mut Plan, config: &Config) {
    let jwt = &config.auth.jwt;
    if let Some(uri) = jwt.jwks_uri.as_deref().and_then(|uri| uri.parse::<http::Uri>().ok()) {
        outbound(plan, uri.host().unwrap_or_default(), Some(uri.port_u16().unwrap_or(443)));
        if jwt.jwks_ca.is_none() {
            open(plan, AUTHORITIES.map(PathBuf::from));
            let others = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter_map(std::env::var_os);
            open(plan, others.map(PathBuf::from));
        }
    }
}

fn unix(plan: &mut Plan, config: &Config) {
    let socket = &config.socket;
    plan.families.unix = true;
    plan.write_file(&socket.path);
    if socket.owner.is_some() || socket.group.is_some() {
        // Names become numbers, and the socket somebody else's.
        open(plan, ["/etc/passwd", "/etc/group"].map(PathBuf::from));
        plan.capabilities.extend(Capability::parse("CAP_CHOWN"));
        plan.capabilities.extend(Capability::parse("CAP_FOWNER"));
    }
}

/// A party elsewhere, by its name or address.
fn outbound(plan: &mut Plan, host: &str, port: Option<u16>) {
    plan.families.internet = true;
    plan.connect.extend(port);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    if address.parse::<std::net::IpAddr>().is_err() {
        plan.connect.insert(DNS);
        plan.families.unix = true;
        // The C library asks the kernel which addresses this machine has, to order those it found.
        plan.families.netlink = true;
        open(plan, NAMES.map(Path::new).map(Path::to_owned));
    }
}

#[cfg(test)]
mod tests;
