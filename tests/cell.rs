//! The cell and the off switch from outside: attacks from inside a cell, kills, levels. Run as an ordinary user, also by root.

#[path = "cell/attacks.rs"]
mod attacks;
#[path = "cell/kills.rs"]
mod kills;
#[path = "cell/user.rs"]
mod user;
