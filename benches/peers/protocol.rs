//! The protocol between `run` and a peer, one line of JSON each way: README.md describes it. Included by the peers written in
//! Rust.

use std::fs;
use std::io::{self, BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What goes wrong in a peer is said in its own words.
pub type Refused = String;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Double,
    Inference,
    Training,
    Step,
}

/// One piece of work, and where its inputs lie.
#[derive(Clone, Debug)]
pub struct Work {
    pub operation: Operation,
    pub channels_last: bool,
    pub shape: Vec<usize>,
    folder: PathBuf,
}

pub const EPSILON: f32 = 1e-5;
pub const MOMENTUM: f32 = 0.1;

impl Work {
    fn from_request(request: &Value) -> Result<Self, Refused> {
        let text = |key: &str| {
            request[key]
                .as_str()
                .ok_or_else(|| format!("the request has no {key}: {request}"))
        };
        let operation = match text("operation")? {
            "double" => Operation::Double,
            "inference" => Operation::Inference,
            "training" => Operation::Training,
            "step" => Operation::Step,
            other => return Err(format!("unknown operation {other}")),
        };
        let shape = request["shape"]
            .as_array()
            .and_then(|sizes| {
                sizes
                    .iter()
                    .map(|size| Some(size.as_u64()? as usize))
                    .collect()
            })
            .ok_or_else(|| format!("the request has no shape: {request}"))?;
        Ok(Self {
            operation,
            channels_last: text("layout")? == "channels-last",
            shape,
            folder: text("folder")?.into(),
        })
    }

    /// An input: "x", "dy", "gamma", "beta", "mean" or "variance".
    pub fn input(&self, name: &str) -> Result<Vec<f32>, Refused> {
        let path = self.folder.join(name).with_extension("f32");
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(bytes
            .chunks_exact(4)
            .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect())
    }
}

/// The versions of crates in the text of a lock file.
pub fn locked_versions(lock: &str, names: &[&str]) -> Value {
    let version = |name: &str| {
        let start = lock.find(&format!("name = \"{name}\"\n"))?;
        lock[start..].lines().nth(1)?.split('"').nth(1)
    };
    names
        .iter()
        .map(|&name| (name.to_owned(), json!(version(name))))
        .collect()
}

/// A result by its name: "y" ("copy" where a copy stands for `x * 2`), "dx", "dgamma", "dbeta", "mean", "variance".
pub type Results = Vec<(&'static str, Vec<f32>)>;

/// A piece of work whose inputs are on the device.
pub trait Prepared {
    /// Does the work `repeats` times, and returns when it is done.
    fn repeat(&mut self, repeats: usize) -> Result<(), Refused>;

    /// Does the work once, from the statistics in the files.
    fn results(&mut self) -> Result<Results, Refused>;
}

pub trait Peer {
    /// Versions, adapter and driver, by name.
    fn about(&self) -> Value;

    fn prepare(&self, work: &Work) -> Result<Box<dyn Prepared>, Refused>;
}

/// Seconds of all threads of this process on a processor.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn write_results(folder: &Path, results: Results) -> Result<Value, Refused> {
    let mut names = vec![];
    for (name, values) in results {
        let path = folder.join(name).with_extension("f32");
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        names.push(name);
    }
    Ok(json!(names))
}

fn answer(
    peer: &dyn Peer,
    prepared: &mut Option<Box<dyn Prepared>>,
    request: &Value,
) -> Result<Value, Refused> {
    let nothing = || "nothing is prepared".to_owned();
    match request["do"].as_str() {
        Some("about") => Ok(peer.about()),
        Some("prepare") => {
            // The memory of what was there is free before more is asked for.
            *prepared = None;
            *prepared = Some(peer.prepare(&Work::from_request(request)?)?);
            Ok(Value::Null)
        }
        Some("time") => {
            let repeats = request["repeats"].as_u64().ok_or("no number of repeats")? as usize;
            let prepared = prepared.as_mut().ok_or_else(nothing)?;
            let (processor, wall) = (processor_time(), Instant::now());
            prepared.repeat(repeats)?;
            let wall = wall.elapsed().as_secs_f64();
            let processor = (processor_time() - processor).as_secs_f64();
            Ok(json!({ "wall": wall, "cpu": processor }))
        }
        Some("results") => {
            let results = prepared.as_mut().ok_or_else(nothing)?.results()?;
            let into = request["into"]
                .as_str()
                .ok_or("no folder for the results")?;
            write_results(Path::new(into), results)
        }
        Some("release") => {
            *prepared = None;
            Ok(Value::Null)
        }
        _ => Err(format!("unknown request {request}")),
    }
}

/// What a panic said.
fn panic_text(panic: Box<dyn std::any::Any + Send>) -> Refused {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => match panic.downcast::<&str>() {
            Ok(text) => (*text).to_owned(),
            Err(_) => "a panic without text".to_owned(),
        },
    }
}

/// Answers requests until the input ends.
pub fn serve(peer: &dyn Peer) -> io::Result<()> {
    let mut prepared = None;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let request: Value = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(error) => json!({ "do": format!("{line}: {error}") }),
        };
        let answered = catch_unwind(AssertUnwindSafe(|| answer(peer, &mut prepared, &request)))
            .unwrap_or_else(|panic| Err(panic_text(panic)));
        let reply = match answered {
            Ok(value) => json!({ "ok": value }),
            Err(text) => json!({ "refused": text }),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{reply}")?;
        out.flush()?;
    }
    Ok(())
}
