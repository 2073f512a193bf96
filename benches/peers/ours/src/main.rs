//! This library as a peer: `gpu`, its shaders recorded through the library, or `cpu`, its path of the processor.

#[path = "../../protocol.rs"]
mod protocol;

mod gpu;
mod processor;

use std::process::ExitCode;

use protocol::{Refused, Work};
use serde_json::Value;
use wgpu_batchnorm::Shape;

fn shape(work: &Work) -> Result<Shape, Refused> {
    let shape = if work.channels_last {
        Shape::channels_last(&work.shape)
    } else {
        Shape::channels_first(&work.shape)
    };
    shape.map_err(text)
}

fn versions() -> Value {
    protocol::locked_versions(include_str!("../Cargo.lock"), &["wgpu-batchnorm", "wgpu"])
}

/// What an error and everything behind it say.
fn text(error: impl std::error::Error) -> Refused {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn main() -> ExitCode {
    let variant = std::env::args().nth(1);
    let served = match variant.as_deref() {
        Some("gpu") => gpu::Adapter::new().and_then(|gpu| protocol::serve(&gpu).map_err(text)),
        // The calling thread is one of the pool's, as with OpenMP: no call waits for another to wake up.
        Some("cpu") => rayon::ThreadPoolBuilder::new()
            .use_current_thread()
            .build_global()
            .map_err(text)
            .and_then(|()| protocol::serve(&processor::Processor).map_err(text)),
        _ => Err("usage: run gpu|cpu".into()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}
