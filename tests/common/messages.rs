//! What Vulkan's validation layers say, collected from wgpu's log.

use std::sync::{Mutex, Once, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Collector;

static COLLECTOR: Collector = Collector;
static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Where wgpu logs what the layers report, and that there are none.
const INSTANCE: &str = "wgpu_hal::vulkan::instance";
const NO_LAYERS: &str = "unable to find layer";

/// Layers older than wgpu's shaders (1.3.239 is) do not know that WGSL is a source language, which wgpu's debug information
/// names. That says nothing of the shaders.
const OLD_LAYERS: &str = "SPIR-V module not valid: Invalid source language operand";

impl Log for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == INSTANCE
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = record.args().to_string();
        // the loader speaks by the same way, of drivers that are not there
        let matters = record.level() <= Level::Warn
            && message.contains("VALIDATION [")
            && !message.contains(OLD_LAYERS);
        if matters || message.contains(NO_LAYERS) {
            let mut messages = MESSAGES.lock().unwrap_or_else(PoisonError::into_inner);
            messages.push(format!("{}: {message}", record.level()));
        }
    }

    fn flush(&self) {}
}

/// Starts to collect: before the first instance is made, which asks the layers for no more than is logged.
pub fn collect() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&COLLECTOR).expect("no other logger");
        // missing layers are told at this level
        log::set_max_level(LevelFilter::Debug);
    });
}

/// Warnings and errors so far.
pub fn all() -> Vec<String> {
    let messages = MESSAGES.lock().unwrap_or_else(PoisonError::into_inner);
    let said = messages.iter();
    said.filter(|message| !message.contains(NO_LAYERS))
        .cloned()
        .collect()
}

/// Whether the layers were asked for and are not installed.
pub fn no_layers() -> bool {
    let messages = MESSAGES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut said = messages.iter();
    said.any(|message| message.contains(NO_LAYERS))
}

/// Fails where the layers had anything to say.
pub fn assert_quiet() {
    let messages = all();
    assert!(messages.is_empty(), "{}", messages.join("\n"));
}
