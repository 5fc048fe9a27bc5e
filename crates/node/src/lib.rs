//! The writer and the committer: owns the machines, joins them in one entry, serves reads.
