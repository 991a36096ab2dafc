//! `presentia`: see `presentia --help`.

fn main() -> std::process::ExitCode {
    presentia::cli::main()
}
