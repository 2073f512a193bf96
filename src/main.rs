//! The `wgpu-batchnorm` command.

#![forbid(unsafe_code)]

mod cli;
mod temporary;

fn main() -> std::process::ExitCode {
    cli::main()
}
