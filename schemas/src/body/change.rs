//! Records of an agent that changes itself.

use crate::body::{Part, Rationale};
use crate::error::{Error, Result};
use crate::map::{cbor_enum, cbor_map};
use crate::scalar::{Decimal, Id, List, Seq, Set};

cbor_enum! {
    /// What happens to the bytes of a part.
    pub enum Change {
        /// They begin to exist.
        1 "create" => Create,
        /// They change.
        2 "modify" => Modify,
        /// They cease to exist.
        3 "delete" => Delete,
        /// They move.
        4 "rename" => Rename,
        /// Their mode or owner changes.
        5 "mode" => Mode,
    }
}

cbor_enum! {
    /// How a mutation is known.
    pub enum Known {
        /// Through the gate or an importer.
        1 "declared" => Declared,
        /// By the watcher.
        2 "observed" => Observed,
    }
}

cbor_enum! {
    /// Who brought the bytes about.
    pub enum AppliedBy {
        /// The agent.
        1 "agent" => Agent,
        /// The gate, from outside the cell.
        2 "gate" => Gate,
        /// A human.
        3 "human" => Human,
    }
}

cbor_map! {
    /// A change of a part. Artefacts: `before`, `after`, `diff`; content: `path` and the rationale's words.
    pub struct Mutation {
        /// To which parts.
        114 "parts" => parts: opt Set<Part, 16>,
        /// Why, as the agent says. It must stand: `absent` says that there is none.
        115 "rationale" => rationale: opt Rationale,
        /// What happens.
        135 "change" => change: req Change,
        /// How it is known.
        136 "known" => known: req Known,
        /// Who proposed it, if not the actor.
        137 "proposer" => proposer: opt Id,
        /// The action that allowed it.
        138 "action" => action: opt Seq,
        /// The approvals behind it.
        139 "approvals" => approvals: opt Set<Seq, 32>,
        /// Who brought it about.
        140 "applied_by" => applied_by: opt AppliedBy,
        /// The mutation that this one undoes.
        141 "reverts" => reverts: opt Seq,
        /// Lines added.
        142 "added" => added: opt u64,
        /// Lines removed.
        143 "removed" => removed: opt u64,
    }
}

cbor_enum! {
    /// What became of a generation.
    pub enum Fate {
        /// It lives.
        1 "alive" => Alive,
        /// It did not run.
        2 "failed" => Failed,
        /// Its system dropped it.
        3 "evicted" => Evicted,
        /// Others name it, but it is not in the source.
        4 "missing" => Missing,
    }
}

cbor_map! {
    /// One state of all parts. Its digest is content, its parts are artefacts.
    pub struct Generation {
        /// The first generation of the lineage; absent in the first itself.
        96 "lineage" => lineage: opt Seq,
        /// The generations it was made from, none twice; the order is its system's.
        144 "parents" => parents: opt List<Seq, 64>,
        /// Generations that it was inspired by.
        145 "inspirations" => inspirations: opt Set<Seq, 256>,
        /// The mutations that made it, in the order of their making, none twice.
        146 "mutations" => mutations: opt List<Seq, 256>,
        /// The number that its system gave it.
        147 "ordinal" => ordinal: opt u64,
        /// The island or branch that its system kept it on.
        148 "branch" => branch: opt Id,
        /// What became of it.
        149 "fate" => fate: req Fate,
    }
}

impl Generation {
    pub(crate) fn check(&self) -> Result<()> {
        if self.parents.as_ref().is_some_and(List::repeats)
            || self.mutations.as_ref().is_some_and(List::repeats)
        {
            return Err(Error::Meaning(
                "a parent or a mutation stands twice".to_owned(),
            ));
        }
        Ok(())
    }
}

cbor_map! {
    /// One measured number.
    pub struct Metric {
        /// What is measured.
        150 "metric" => metric: req Id,
        /// The number, as its source wrote it.
        151 "score" => score: req Decimal,
    }
}

cbor_map! {
    /// A measurement of a generation, with what is needed to believe it. At least one of `main`, `metrics`, `passed`.
    pub struct Evaluation {
        /// What it cost.
        110 "cost" => cost: opt Decimal,
        /// The generation.
        152 "subject" => subject: opt Seq,
        /// The benchmark.
        153 "benchmark" => benchmark: opt Id,
        /// Of what version.
        154 "benchmark_version" => benchmark_version: opt Id,
        /// The number that its system selects by.
        155 "main" => main: opt Metric,
        /// The others.
        156 "metrics" => metrics: opt List<Metric, 256>,
        /// How many cases.
        157 "n" => n: opt u64,
        /// The seeds.
        158 "seeds" => seeds: opt List<i64, 64>,
        /// Whether it ran to its end.
        159 "passed" => passed: opt bool,
        /// Harness, tests or data that the agent changed since a human last approved.
        160 "touched" => touched: opt Set<Part, 16>,
    }
}

impl Evaluation {
    pub(crate) fn check(&self) -> Result<()> {
        if self.main.is_none() && self.metrics.is_none() && self.passed.is_none() {
            return Err(Error::Meaning(
                "an evaluation has `main`, `metrics` or `passed`".to_owned(),
            ));
        }
        Ok(())
    }
}
