//! The house rules that a linter cannot say, as tests: see `tests/`.
