//! The program `blitz`.

fn main() -> std::process::ExitCode {
    blitz::main()
}
