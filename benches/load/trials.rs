//! The trials, one after another, each with servers of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustls::ClientConfig;

use crate::calls::{Form, Request, Window, window};
use crate::client::Connection;
use crate::figures::{Endurance, Figures, Handshakes, Held, Memory, Reload, Sample};
use crate::place::Place;
use crate::process::{Server, free_port, own_time};
use crate::tokens::{Signer, Stock};
use crate::{Result, Run};

/// More calls a second than any server here can answer that checks a signature.
const MOST_PER_SECOND: usize = 20_000;

/// Who is measured: a name, the forms it is asked in.
const CONTENDERS: [(&str, &[Form]); 5] = [
    ("bare", &[Form::Legacy]),
    ("floor", &[Form::Legacy, Form::Modern]),
    ("sdk", &[Form::Legacy, Form::Modern]),
    ("door", &[Form::Legacy, Form::Modern]),
    ("fastmcp", &[Form::Legacy]),
];

struct Bench<'a> {
    run: &'a Run,
    place: Place,
    tls: Arc<ClientConfig>,
    signer: Signer,
}

/// All that are asked for.
pub(crate) async fn all(run: &Run) -> Result<Figures> {
    let place = Place::prepare(&run.home, &run.doorward)?;
    let bench = Bench { run, tls: place.client_tls()?, signer: Signer::new(&place)?, place };
    let mut figures = Figures { machine: machine(), quick: run.quick, ..Figures::default() };
    if run.wants("calls") {
        bench.calls(&mut figures).await?;
    }
    if run.wants("latency") {
        bench.latency(&mut figures).await?;
    }
    if run.wants("handshakes") {
        bench.handshakes(&mut figures).await?;
    }
    if run.wants("start") {
        figures.start_ms = bench.start().await?;
    }
    if run.wants("reload") {
        figures.reload = Some(bench.reload().await?);
    }
    if run.wants("memory") {
        figures.memory = Some(bench.memory().await?);
    }
    if run.wants("endurance") {
        figures.endurance = Some(bench.endurance().await?);
    }
    Ok(figures)
}

impl Bench<'_> {
    async fn server(&self, who: &str) -> Result<Option<Server>> {
        let port = free_port()?;
        let (home, root) = (self.place.root.display().to_string(), &self.place.root);
        let port_word = port.to_string();
        let start = |program: &Path, words: &[&str]| Server::start(self.run.core, port, root, program, words);
        let mut server = match who {
            "door" => self.door(port)?,
            "fastmcp" => {
                let Some(python) = &self.run.python else { return Ok(None) };
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/load");
                #[rustfmt::skip]
                let words = [
                    "-m", "uvicorn", "fastmcp_server:app", "--app-dir", script, "--port", &port_word, "--log-level", "warning",
                    "--ssl-certfile", "server.crt", "--ssl-keyfile", "server.key", "--ssl-ca-certs", "ca/ca.crt",
                    "--ssl-cert-reqs", "2",
                ];
                start(python, &words)?
            }
            role => start(&std::env::current_exe()?, &["contend", role, "--port", &port_word, "--home", &home])?,
        };
        server.listening(Duration::from_secs(30)).await?;
        Ok(Some(server))
    }

    /// A door with a new log.
    fn door(&self, port: u16) -> Result<Server> {
        let _ = std::fs::remove_dir_all(self.place.path("log"));
        self.place.configure(port, 1000)?;
        let words = ["serve", "--config", "doorward.yaml"];
        Server::start(self.run.core, port, &self.place.root, &self.run.doorward, &words)
    }

    async fn calls(&self, figures: &mut Figures) -> Result<()> {
        let (passes, warm, measured) = if self.run.quick { (1, 1, 2) } else { (3, 1, 6) };
        for pass in 1..=passes {
            for (who, forms) in CONTENDERS.into_iter().filter(|(who, _)| self.run.measures(who)) {
                for form in forms {
                    for connections in [16, 64] {
                        let window = Window {
                            connections,
                            warm: Duration::from_secs(warm),
                            measured: Duration::from_secs(measured),
                            most: usize::MAX,
                        };
                        let Some(sample) = self.sample(who, *form, window).await? else { continue };
                        eprintln!(
                            "pass {pass} of {passes}: {who} {} with {connections} connections: {:.0} calls/s, {:.1} us each",
                            form.version(),
                            sample.calls.per_second,
                            sample.calls.server_us
                        );
                        figures.calls.push(sample);
                    }
                }
            }
        }
        Ok(())
    }

    async fn sample(&self, who: &'static str, form: Form, window_: Window) -> Result<Option<Sample>> {
        let Some(server) = self.server(who).await? else { return Ok(None) };
        let seconds = usize::try_from((window_.warm + window_.measured).as_secs())?;
        let stock = match who {
            "bare" => Stock::unread(&self.signer)?,
            "fastmcp" => Stock::of(&self.signer, seconds * 2000)?,
            _ => Stock::of(&self.signer, seconds * MOST_PER_SECOND)?,
        };
        let request = Request::new(form, server.port);
        let calls = window(&server, &self.tls, &request, &stock, window_, async || Ok(())).await?;
        if let Some(error) = &calls.first_error {
            eprintln!("{who}: {} errors, the first: {error}", calls.errors);
        }
        Ok(Some(Sample { who, form: form.version(), connections: window_.connections, calls }))
    }

    async fn latency(&self, figures: &mut Figures) -> Result<()> {
        let measured = Duration::from_secs(if self.run.quick { 1 } else { 5 });
        let window = Window { connections: 1, warm: Duration::from_secs(1), measured, most: usize::MAX };
        for (who, forms) in CONTENDERS.into_iter().filter(|(who, _)| self.run.measures(who)) {
            for form in forms {
                let Some(sample) = self.sample(who, *form, window).await? else { continue };
                eprintln!("{who} {} with one connection: {:.2} ms", form.version(), sample.calls.p50_ms);
                figures.latency.push(sample);
            }
        }
        Ok(())
    }

    async fn handshakes(&self, figures: &mut Figures) -> Result<()> {
        let (passes, length) = if self.run.quick { (1, 1) } else { (5, 6) };
        for _ in 0..passes {
            for who in ["handshake", "door"] {
                let Some(server) = self.server(who).await? else { continue };
                self.connect_for(&server, Duration::from_millis(500), 8, usize::MAX).await?;
                let (begun, before, own) = (Instant::now(), server.processor_time()?, own_time()?);
                let (made, errors) = self.connect_for(&server, Duration::from_secs(length), 8, usize::MAX).await?;
                let seconds = begun.elapsed().as_secs_f64();
                let used = (server.processor_time()? - before).as_secs_f64();
                let shaken = Handshakes {
                    who,
                    per_second: made as f64 / seconds,
                    server_us: used * 1e6 / made.max(1) as f64,
                    server_cores: used / seconds,
                    client_cores: (own_time()? - own).as_secs_f64() / seconds,
                    errors,
                };
                eprintln!("{who}: {:.0} connections/s, {:.0} us each", shaken.per_second, shaken.server_us);
                figures.handshakes.push(shaken);
            }
        }
        Ok(())
    }

    /// Opens and closes connections, so many at a time; gives how many came about, and how many did not.
    async fn connect_for(
        &self,
        server: &Server,
        length: Duration,
        at_once: usize,
        most: usize,
    ) -> Result<(usize, usize)> {
        let end = Instant::now() + length;
        let (made, errors) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        join_all((0..at_once).map(async |_| {
            while Instant::now() < end && made.get() < most {
                let closed = async { Connection::open(server.port, &self.tls).await?.close().await };
                let count = if closed.await.is_ok() { &made } else { &errors };
                count.set(count.get() + 1);
            }
        }))
        .await;
        Ok((made.get(), errors.get()))
    }

    /// From the start of the process to the first answer that it is ready, as often as is needed for a median.
    async fn start(&self) -> Result<Vec<f64>> {
        let mut all = Vec::new();
        for _ in 0..if self.run.quick { 3 } else { 20 } {
            let port = free_port()?;
            let begun = Instant::now();
            let mut server = self.door(port)?;
            server.listening(Duration::from_secs(10)).await?;
            let request = format!("GET /ready HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
            let (status, _) = Connection::open(port, &self.tls)
                .await?
                .exchange(request.as_bytes())
                .await
                .map(|(status, body)| (status, body.len()))?;
            if status != 200 {
                return Err(format!("/ready says {status}").into());
            }
            all.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        Ok(all)
    }

    async fn reload(&self) -> Result<Reload> {
        let Some(server) = self.server("door").await? else { return Err("no door".into()) };
        let measured = Duration::from_secs(if self.run.quick { 2 } else { 10 });
        let stock = Stock::of(&self.signer, usize::try_from(measured.as_secs())? * MOST_PER_SECOND)?;
        let window_ = Window { connections: 64, warm: Duration::ZERO, measured, most: usize::MAX };
        let mut told = 0;
        let beside = async || {
            let end = Instant::now() + measured - Duration::from_millis(300);
            while Instant::now() < end {
                told += 1;
                self.place.configure(server.port, 1000 + told % 2)?;
                server.reload()?;
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            Ok(())
        };
        let request = Request::new(Form::Legacy, server.port);
        let calls = window(&server, &self.tls, &request, &stock, window_, beside).await?;
        let log = std::fs::read_to_string(self.place.path("log/audit.jsonl"))?;
        let reloads = log.matches(r#""event":"config_reload""#).count();
        Ok(Reload { reloads, calls: calls.calls, errors: calls.errors, first_error: calls.first_error })
    }

    async fn memory(&self) -> Result<Memory> {
        let Some(server) = self.server("door").await? else { return Err("no door".into()) };
        tokio::time::sleep(Duration::from_secs(1)).await;
        let idle_mib = server.memory()?.0;
        let measured = Duration::from_secs(if self.run.quick { 1 } else { 5 });
        let stock = Stock::of(&self.signer, usize::try_from(measured.as_secs())? * MOST_PER_SECOND)?;
        let window_ = Window { connections: 512, warm: Duration::ZERO, measured, most: usize::MAX };
        let request = Request::new(Form::Legacy, server.port);
        let calls = window(&server, &self.tls, &request, &stock, window_, async || Ok(())).await?;
        if let Some(error) = &calls.first_error {
            eprintln!("512 connections: {} errors, the first: {error}", calls.errors);
        }
        Ok(Memory { idle_mib, connections: 512, connected_mib: calls.memory_mib.1, errors: calls.errors })
    }

    async fn endurance(&self) -> Result<Endurance> {
        let Some(server) = self.server("door").await? else { return Err("no door".into()) };
        let (calls, connections) = if self.run.quick { (20_000, 2_000) } else { (1_000_000, 100_000) };
        let held = |after| -> Result<Held> {
            Ok(Held { after, memory_mib: server.memory()?.0, threads: server.threads()?, files: server.files()? })
        };
        let mut endurance = Endurance { calls: Vec::new(), connections: Vec::new(), errors: 0, first_error: None };
        // Short-lived tokens, so that the register of used ones is as full after a quarter of the calls as it ever gets.
        let stock = Stock::signed_late(&self.signer, 10);
        let request = Request::new(Form::Legacy, server.port);
        let tenth = Duration::from_secs(600);
        for part in 1..=10 {
            let window_ = Window { connections: 64, warm: Duration::ZERO, measured: tenth, most: calls / 10 };
            let made = window(&server, &self.tls, &request, &stock, window_, async || Ok(())).await?;
            endurance.errors += made.errors;
            endurance.first_error = endurance.first_error.or(made.first_error);
            endurance.calls.push(held(calls / 10 * part)?);
        }
        for part in 1..=10 {
            let (_, errors) = self.connect_for(&server, tenth, 8, connections / 10).await?;
            endurance.errors += errors;
            endurance.connections.push(held(connections / 10 * part)?);
        }
        Ok(endurance)
    }
}

fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let count = text.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count} x {}", model.trim_start_matches([':', ' ', '\t']))
}
