//! The program `blitz-boot`.

fn main() -> std::process::ExitCode {
    blitz_boot::main(std::env::args_os())
}
