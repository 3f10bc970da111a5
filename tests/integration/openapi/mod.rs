//! The reference of the administrators' door: that its examples are real, that it hides nothing from
//! whoever tries everything, and that people can look at it.

mod examples;
mod fuzzing;
mod pages;
