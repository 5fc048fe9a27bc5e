//! The command `torture`: see the library's page.

fn main() -> std::process::ExitCode {
    torture::main(None)
}
