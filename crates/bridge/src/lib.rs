//! Placeholder opened by the workspace; its owner fills it.
