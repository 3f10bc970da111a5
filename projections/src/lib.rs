//! Views computed from the journal alone: recorded event in, row changes out. Pure.

pub mod manifest;
