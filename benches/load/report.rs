//! The figures as tables in Markdown, so that the page about them can be renewed from a run.

use crate::figures::{Calls, Figures, median};
use crate::goals;

/// Prints all there is.
pub(crate) fn print(figures: &Figures) {
    println!(
        "Machine: {}{}\n",
        figures.machine,
        if figures.quick { "; a quick run, its figures are worth little" } else { "" }
    );
    calls(figures);
    handshakes(figures);
    held(figures);
    println!("| goal | wanted | measured | |\n|---|---|---|---|");
    for goal in goals::all(figures) {
        println!(
            "| {} | {} | {} | {} |",
            goal.what,
            goal.goal,
            goal.measured,
            if goal.held { "held" } else { "**missed**" }
        );
    }
}

fn calls(figures: &Figures) {
    println!(
        "| who | form | connections | calls/s | of the floor | p50 ms | p99 ms | p99.9 ms | server µs a call | server cores | client cores | MiB | errors |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for connections in [1, 16, 64] {
        let mut seen = Vec::new();
        for sample in figures.calls.iter().chain(&figures.latency).filter(|sample| sample.connections == connections) {
            if seen.contains(&(sample.who, sample.form)) {
                continue;
            }
            seen.push((sample.who, sample.form));
            let of =
                |of: fn(&Calls) -> f64| figures.median(sample.who, sample.form, connections, of).unwrap_or(f64::NAN);
            let floor = figures.median("floor", sample.form, connections, |c| c.per_second).unwrap_or(f64::NAN);
            println!(
                "| {} | {} | {connections} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {:.2} | {:.2} | {:.1} | {:.0} |",
                sample.who,
                sample.form,
                of(|c| c.per_second),
                of(|c| c.per_second) / floor,
                of(|c| c.p50_ms),
                of(|c| c.p99_ms),
                of(|c| c.p999_ms),
                of(|c| c.server_us),
                of(|c| c.server_cores),
                of(|c| c.client_cores),
                of(|c| c.memory_mib.1),
                of(|c| c.errors as f64),
            );
        }
    }
    println!();
}

fn handshakes(figures: &Figures) {
    if figures.handshakes.is_empty() {
        return;
    }
    println!("| new connections | a second | server µs each | server cores | client cores |\n|---|---|---|---|---|");
    for who in ["handshake", "door"] {
        let of = |of: fn(&crate::figures::Handshakes) -> f64| figures.handshake(who, of).unwrap_or(f64::NAN);
        let name = if who == "door" { "door" } else { "rustls alone" };
        println!(
            "| {name} | {:.0} | {:.0} | {:.2} | {:.2} |",
            of(|s| s.per_second),
            of(|s| s.server_us),
            of(|s| s.server_cores),
            of(|s| s.client_cores)
        );
    }
    println!();
}

fn held(figures: &Figures) {
    if let Some(start) = median(figures.start_ms.clone()) {
        println!("Start to ready: {start:.1} ms (median of {}).\n", figures.start_ms.len());
    }
    if let Some(reload) = &figures.reload {
        println!("{} reloads during {} calls: {} refused.\n", reload.reloads, reload.calls, reload.errors);
    }
    if let Some(memory) = &figures.memory {
        println!(
            "Memory: {:.1} MiB idle, {:.1} MiB with {} connections that call.\n",
            memory.idle_mib, memory.connected_mib, memory.connections
        );
    }
    let Some(endurance) = &figures.endurance else { return };
    println!("| after | MiB | threads | files |\n|---|---|---|---|");
    for (what, held) in [("calls", &endurance.calls), ("new connections", &endurance.connections)] {
        for held in held {
            println!("| {} {what} | {:.1} | {} | {} |", held.after, held.memory_mib, held.threads, held.files);
        }
    }
    println!();
}
