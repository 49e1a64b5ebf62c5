//! Which action of an agent is allowed, denied or held, and why.
