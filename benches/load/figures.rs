//! What was measured.

use serde::Serialize;

/// Everything of one run.
#[derive(Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) machine: String,
    pub(crate) quick: bool,
    /// Calls by contender, form and number of connections; one for each pass.
    pub(crate) calls: Vec<Sample>,
    /// One connection.
    pub(crate) latency: Vec<Sample>,
    pub(crate) memory: Option<Memory>,
    pub(crate) endurance: Option<Endurance>,
    pub(crate) handshakes: Vec<Handshakes>,
    /// Milliseconds from start to ready.
    pub(crate) start_ms: Vec<f64>,
    pub(crate) reload: Option<Reload>,
}

/// Who was asked how.
#[derive(Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) who: &'static str,
    pub(crate) form: &'static str,
    pub(crate) connections: usize,
    #[serde(flatten)]
    pub(crate) calls: Calls,
}

/// What calls came to.
#[derive(Clone, Serialize)]
pub(crate) struct Calls {
    pub(crate) calls: usize,
    pub(crate) errors: usize,
    pub(crate) first_error: Option<String>,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) server_cores: f64,
    pub(crate) client_cores: f64,
    /// Processor time of the server for each call, in microseconds.
    pub(crate) server_us: f64,
    /// Before and after.
    pub(crate) memory_mib: (f64, f64),
}

/// Memory of the door.
#[derive(Serialize)]
pub(crate) struct Memory {
    pub(crate) idle_mib: f64,
    pub(crate) connections: usize,
    pub(crate) connected_mib: f64,
    pub(crate) errors: usize,
}

/// What is held after every tenth of many calls and of many connections.
#[derive(Serialize)]
pub(crate) struct Endurance {
    pub(crate) calls: Vec<Held>,
    pub(crate) connections: Vec<Held>,
    pub(crate) errors: usize,
    pub(crate) first_error: Option<String>,
}

/// What the door holds after so many.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Held {
    pub(crate) after: usize,
    pub(crate) memory_mib: f64,
    pub(crate) threads: usize,
    pub(crate) files: usize,
}

/// New connections.
#[derive(Clone, Serialize)]
pub(crate) struct Handshakes {
    pub(crate) who: &'static str,
    pub(crate) per_second: f64,
    pub(crate) server_us: f64,
    pub(crate) server_cores: f64,
    pub(crate) client_cores: f64,
    pub(crate) errors: usize,
}

/// Calls while the configuration changes.
#[derive(Serialize)]
pub(crate) struct Reload {
    pub(crate) reloads: usize,
    pub(crate) calls: usize,
    pub(crate) errors: usize,
    pub(crate) first_error: Option<String>,
}

impl Figures {
    /// The median of what `of` says of all passes.
    pub(crate) fn median(&self, who: &str, form: &str, connections: usize, of: impl Fn(&Calls) -> f64) -> Option<f64> {
        let fits = |sample: &&Sample| sample.who == who && sample.form == form && sample.connections == connections;
        let all = self.calls.iter().chain(&self.latency).filter(fits);
        median(all.map(|sample| of(&sample.calls)).collect())
    }

    /// The same of new connections.
    pub(crate) fn handshake(&self, who: &str, of: impl Fn(&Handshakes) -> f64) -> Option<f64> {
        median(self.handshakes.iter().filter(|shaken| shaken.who == who).map(of).collect())
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_by(f64::total_cmp);
    let upper = all.get(all.len() / 2)?;
    let lower = all.get((all.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}
